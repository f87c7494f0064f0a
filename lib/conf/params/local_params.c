/* SPDX-License-Identifier: ISC */
#include "lib/conf/params/local.h"

#define PARAM_STRUCT local_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#include "lib/conf/params/local.def"
#undef PARAM
};
const struct param_group local_group = PARAM_GROUP("local", local_conf);
