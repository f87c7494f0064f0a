/* SPDX-License-Identifier: ISC */
#ifndef ROAD_CONF_PARAMS_DAEMON_H
#define ROAD_CONF_PARAMS_DAEMON_H

#include "lib/conf/conf.h"

struct daemon_conf {
#define PARAM PARAM_FIELD
#include "lib/conf/params/daemon.def"
#undef PARAM
};
extern const struct param_group daemon_group;

#endif
