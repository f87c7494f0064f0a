/* SPDX-License-Identifier: ISC */
#ifndef ROAD_CONF_PARAMS_COMMON_H
#define ROAD_CONF_PARAMS_COMMON_H

#include "lib/conf/conf.h"

struct common_conf {
#define PARAM PARAM_FIELD
#include "lib/conf/params/common.def"
#undef PARAM
};
extern const struct param_group common_group;

#endif
