/* SPDX-License-Identifier: ISC */
#ifndef ROAD_CONF_PARAMS_POSTLOGD_H
#define ROAD_CONF_PARAMS_POSTLOGD_H

#include "lib/conf/conf.h"

struct postlogd_conf {
#define PARAM PARAM_FIELD
#include "lib/conf/params/postlogd.def"
#undef PARAM
};
extern const struct param_group postlogd_group;

#endif
