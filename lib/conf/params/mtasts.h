/* SPDX-License-Identifier: ISC */
#ifndef ROAD_CONF_PARAMS_MTASTS_H
#define ROAD_CONF_PARAMS_MTASTS_H

#include "lib/conf/conf.h"

struct mtasts_conf {
#define PARAM PARAM_FIELD
#include "lib/conf/params/mtasts.def"
#undef PARAM
};
extern const struct param_group mtasts_group;

#endif
