/* SPDX-License-Identifier: ISC */
#ifndef ROAD_CONF_PARAMS_HTTPS_H
#define ROAD_CONF_PARAMS_HTTPS_H

#include "lib/conf/conf.h"

struct https_conf {
#define PARAM PARAM_FIELD
#include "lib/conf/params/https.def"
#undef PARAM
};
extern const struct param_group https_group;

#endif
