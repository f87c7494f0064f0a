/* SPDX-License-Identifier: ISC */
/* The table of tlsmgr.def. */
#include "lib/conf/params/tlsmgr.h"

#include <stddef.h>

#define PARAM_STRUCT tlsmgr_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#include "lib/conf/params/tlsmgr.def"
#undef PARAM
};
const struct param_group tlsmgr_group = PARAM_GROUP("tlsmgr", tlsmgr_conf);
