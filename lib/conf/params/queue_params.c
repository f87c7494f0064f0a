/* SPDX-License-Identifier: ISC */
/* The table of queue.def. */
#include "lib/conf/params/queue.h"

#include <stddef.h>

#define PARAM_STRUCT queue_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#include "lib/conf/params/queue.def"
#undef PARAM
};
const struct param_group queue_group = PARAM_GROUP("queue", queue_conf);
