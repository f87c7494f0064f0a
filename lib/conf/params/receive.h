/* SPDX-License-Identifier: ISC */
#ifndef ROAD_CONF_PARAMS_RECEIVE_H
#define ROAD_CONF_PARAMS_RECEIVE_H

#include "lib/conf/conf.h"

struct receive_conf {
#define PARAM PARAM_FIELD
#include "lib/conf/params/receive.def"
#undef PARAM
};
extern const struct param_group receive_group;

#endif
