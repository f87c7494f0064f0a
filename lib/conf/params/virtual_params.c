/* SPDX-License-Identifier: ISC */
#include "lib/conf/params/virtual.h"

#define PARAM_STRUCT virtual_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#include "lib/conf/params/virtual.def"
#undef PARAM
};
const struct param_group virtual_group = PARAM_GROUP("virtual", virtual_conf);
