/* SPDX-License-Identifier: ISC */
#ifndef ROAD_CONF_PARAMS_CLEANUP_H
#define ROAD_CONF_PARAMS_CLEANUP_H

#include "lib/conf/conf.h"

struct cleanup_conf {
#define PARAM PARAM_FIELD
#include "lib/conf/params/cleanup.def"
#undef PARAM
};
extern const struct param_group cleanup_group;

#endif
