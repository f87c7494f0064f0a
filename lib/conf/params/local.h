/* SPDX-License-Identifier: ISC */
#ifndef ROAD_CONF_PARAMS_LOCAL_H
#define ROAD_CONF_PARAMS_LOCAL_H

#include "lib/conf/conf.h"

struct local_conf {
#define PARAM PARAM_FIELD
#include "lib/conf/params/local.def"
#undef PARAM
};
extern const struct param_group local_group;

#endif
