/* SPDX-License-Identifier: ISC */
#include "lib/conf/params/https.h"

#define PARAM_STRUCT https_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#include "lib/conf/params/https.def"
#undef PARAM
};
const struct param_group https_group = PARAM_GROUP("https", https_conf);
