/* SPDX-License-Identifier: ISC */
#ifndef ROAD_CONF_PARAMS_QUEUE_H
#define ROAD_CONF_PARAMS_QUEUE_H

#include "lib/conf/conf.h"

struct queue_conf {
#define PARAM PARAM_FIELD
#include "lib/conf/params/queue.def"
#undef PARAM
};
extern const struct param_group queue_group;

#endif
