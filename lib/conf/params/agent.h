/* SPDX-License-Identifier: ISC */
#ifndef ROAD_CONF_PARAMS_AGENT_H
#define ROAD_CONF_PARAMS_AGENT_H

#include "lib/conf/conf.h"

struct agent_conf {
#define PARAM PARAM_FIELD
#include "lib/conf/params/agent.def"
#undef PARAM
};
extern const struct param_group agent_group;

#endif
