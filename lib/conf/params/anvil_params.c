/* SPDX-License-Identifier: ISC */
#include "lib/conf/params/anvil.h"

#define PARAM_STRUCT anvil_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#include "lib/conf/params/anvil.def"
#undef PARAM
};
const struct param_group anvil_group = PARAM_GROUP("anvil", anvil_conf);
