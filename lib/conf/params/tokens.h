/* SPDX-License-Identifier: ISC */
#ifndef ROAD_CONF_PARAMS_TOKENS_H
#define ROAD_CONF_PARAMS_TOKENS_H

#include "lib/conf/conf.h"

struct tokens_conf {
#define PARAM PARAM_FIELD
#include "lib/conf/params/tokens.def"
#undef PARAM
};
extern const struct param_group tokens_group;

#endif
