/* SPDX-License-Identifier: ISC */
#include "lib/conf/params/mtasts.h"

#define PARAM_STRUCT mtasts_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#include "lib/conf/params/mtasts.def"
#undef PARAM
};
const struct param_group mtasts_group = PARAM_GROUP("mtasts", mtasts_conf);
