/* SPDX-License-Identifier: ISC */
#ifndef ROAD_CONF_PARAMS_MASTER_H
#define ROAD_CONF_PARAMS_MASTER_H

#include "lib/conf/conf.h"

struct master_conf {
#define PARAM PARAM_FIELD
#include "lib/conf/params/master.def"
#undef PARAM
};
extern const struct param_group master_group;

#endif
