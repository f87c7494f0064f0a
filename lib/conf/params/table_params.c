/* SPDX-License-Identifier: ISC */
#include "lib/conf/params/table.h"

#define PARAM_STRUCT table_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#include "lib/conf/params/table.def"
#undef PARAM
};
const struct param_group table_group = PARAM_GROUP("table", table_conf);
