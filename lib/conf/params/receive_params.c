/* SPDX-License-Identifier: ISC */
#include "lib/conf/params/receive.h"

#define PARAM_STRUCT receive_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#include "lib/conf/params/receive.def"
#undef PARAM
};
const struct param_group receive_group = PARAM_GROUP("receive", receive_conf);
