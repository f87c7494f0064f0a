/* SPDX-License-Identifier: ISC */
#include "lib/conf/params/common.h"

#define PARAM_STRUCT common_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#include "lib/conf/params/common.def"
#undef PARAM
};
const struct param_group common_group = PARAM_GROUP("common", common_conf);
