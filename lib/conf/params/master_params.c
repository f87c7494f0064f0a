/* SPDX-License-Identifier: ISC */
#include "lib/conf/params/master.h"

#include <stddef.h>

#define PARAM_STRUCT master_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#include "lib/conf/params/master.def"
#undef PARAM
};
const struct param_group master_group = PARAM_GROUP("master", master_conf);
