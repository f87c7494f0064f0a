/* SPDX-License-Identifier: ISC */
#ifndef ROAD_CONF_PARAMS_TLSMGR_H
#define ROAD_CONF_PARAMS_TLSMGR_H

#include "lib/conf/conf.h"

struct tlsmgr_conf {
#define PARAM PARAM_FIELD
#include "lib/conf/params/tlsmgr.def"
#undef PARAM
};
extern const struct param_group tlsmgr_group;

#endif
