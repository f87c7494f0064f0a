/* SPDX-License-Identifier: ISC */
#ifndef ROAD_CONF_PARAMS_BOUNCE_H
#define ROAD_CONF_PARAMS_BOUNCE_H

#include "lib/conf/conf.h"

struct bounce_conf {
#define PARAM PARAM_FIELD
#define PARAM_AS PARAM_AS_FIELD
#include "lib/conf/params/bounce.def"
#undef PARAM
#undef PARAM_AS
};
extern const struct param_group bounce_group;

#endif
