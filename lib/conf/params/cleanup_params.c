/* SPDX-License-Identifier: ISC */
/* The table of cleanup.def. */
#include "lib/conf/params/cleanup.h"

#include <stddef.h>

#define PARAM_STRUCT cleanup_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#include "lib/conf/params/cleanup.def"
#undef PARAM
};
const struct param_group cleanup_group = PARAM_GROUP("cleanup", cleanup_conf);
