/* SPDX-License-Identifier: ISC */
#ifndef ROAD_CONF_PARAMS_VIRTUAL_H
#define ROAD_CONF_PARAMS_VIRTUAL_H

#include "lib/conf/conf.h"

struct virtual_conf {
#define PARAM PARAM_FIELD
#include "lib/conf/params/virtual.def"
#undef PARAM
};
extern const struct param_group virtual_group;

#endif
