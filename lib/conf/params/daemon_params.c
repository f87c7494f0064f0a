/* SPDX-License-Identifier: ISC */
#include "lib/conf/params/daemon.h"

#include <stddef.h>

#define PARAM_STRUCT daemon_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#include "lib/conf/params/daemon.def"
#undef PARAM
};
const struct param_group daemon_group = PARAM_GROUP("daemon", daemon_conf);
