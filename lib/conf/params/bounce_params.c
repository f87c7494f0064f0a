/* SPDX-License-Identifier: ISC */
/* The table of bounce.def. */
#include "lib/conf/params/bounce.h"

#include <stddef.h>

#define PARAM_STRUCT bounce_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#define PARAM_AS PARAM_AS_ROW
#include "lib/conf/params/bounce.def"
#undef PARAM
#undef PARAM_AS
};
const struct param_group bounce_group = PARAM_GROUP("bounce", bounce_conf);
