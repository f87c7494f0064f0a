/* SPDX-License-Identifier: ISC */
#include "lib/conf/params/postlogd.h"

#include <stddef.h>

#define PARAM_STRUCT postlogd_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#include "lib/conf/params/postlogd.def"
#undef PARAM
};
const struct param_group postlogd_group = PARAM_GROUP("postlogd", postlogd_conf);
