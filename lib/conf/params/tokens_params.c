/* SPDX-License-Identifier: ISC */
#include "lib/conf/params/tokens.h"

#define PARAM_STRUCT tokens_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#include "lib/conf/params/tokens.def"
#undef PARAM
};
const struct param_group tokens_group = PARAM_GROUP("tokens", tokens_conf);
