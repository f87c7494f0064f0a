/* SPDX-License-Identifier: ISC */
#include "lib/conf/params/smtp.h"

#include <stddef.h>

#define PARAM_STRUCT smtp_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#include "lib/conf/params/smtp.def"
#undef PARAM
};
const struct param_group smtp_group = PARAM_GROUP("smtp", smtp_conf);
