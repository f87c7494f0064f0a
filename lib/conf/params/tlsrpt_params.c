/* SPDX-License-Identifier: ISC */
#include "lib/conf/params/tlsrpt.h"

#define PARAM_STRUCT tlsrpt_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#include "lib/conf/params/tlsrpt.def"
#undef PARAM
};
const struct param_group tlsrpt_group = PARAM_GROUP("tlsrpt", tlsrpt_conf);
