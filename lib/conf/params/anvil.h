/* SPDX-License-Identifier: ISC */
#ifndef ROAD_CONF_PARAMS_ANVIL_H
#define ROAD_CONF_PARAMS_ANVIL_H

#include "lib/conf/conf.h"

struct anvil_conf {
#define PARAM PARAM_FIELD
#include "lib/conf/params/anvil.def"
#undef PARAM
};
extern const struct param_group anvil_group;

#endif
