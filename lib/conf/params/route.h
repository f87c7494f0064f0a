/* SPDX-License-Identifier: ISC */
#ifndef ROAD_CONF_PARAMS_ROUTE_H
#define ROAD_CONF_PARAMS_ROUTE_H

#include "lib/conf/conf.h"

struct route_conf {
#define PARAM PARAM_FIELD
#include "lib/conf/params/route.def"
#undef PARAM
};
extern const struct param_group route_group;

#endif
