/* SPDX-License-Identifier: ISC */
/* The table of qmgr.def. */
#include "lib/conf/params/qmgr.h"

#define PARAM_STRUCT qmgr_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#include "lib/conf/params/qmgr.def"
#undef PARAM
};
const struct param_group qmgr_group = PARAM_GROUP("qmgr", qmgr_conf);
