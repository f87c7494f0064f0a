/* SPDX-License-Identifier: ISC */
#include "lib/conf/params/route.h"

#define PARAM_STRUCT route_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#include "lib/conf/params/route.def"
#undef PARAM
};
const struct param_group route_group = PARAM_GROUP("route", route_conf);
