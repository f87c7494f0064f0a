/* SPDX-License-Identifier: ISC */
#include "lib/conf/params/mailbox.h"

#define PARAM_STRUCT mailbox_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#include "lib/conf/params/mailbox.def"
#undef PARAM
};
const struct param_group mailbox_group = PARAM_GROUP("mailbox", mailbox_conf);
