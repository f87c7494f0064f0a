/* SPDX-License-Identifier: ISC */
/* The table of tls.def. */
#include "lib/conf/params/tls.h"

#include <stddef.h>

#define PARAM_STRUCT tls_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#include "lib/conf/params/tls.def"
#undef PARAM
};
const struct param_group tls_group = PARAM_GROUP("tls", tls_conf);
