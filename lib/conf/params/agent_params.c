/* SPDX-License-Identifier: ISC */
/* The table of agent.def. */
#include "lib/conf/params/agent.h"

#define PARAM_STRUCT agent_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#include "lib/conf/params/agent.def"
#undef PARAM
};
const struct param_group agent_group = PARAM_GROUP("agent", agent_conf);
