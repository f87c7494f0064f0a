/* SPDX-License-Identifier: ISC */
#include "lib/conf/params/submit.h"

#define PARAM_STRUCT submit_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#include "lib/conf/params/submit.def"
#undef PARAM
};
const struct param_group submit_group = PARAM_GROUP("submit", submit_conf);
