/* SPDX-License-Identifier: ISC */
#ifndef ROAD_CONF_PARAMS_QMGR_H
#define ROAD_CONF_PARAMS_QMGR_H

#include "lib/conf/conf.h"

struct qmgr_conf {
#define PARAM PARAM_FIELD
#include "lib/conf/params/qmgr.def"
#undef PARAM
};
extern const struct param_group qmgr_group;

#endif
