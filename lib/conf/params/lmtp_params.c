/* SPDX-License-Identifier: ISC */
#include <stddef.h>

#include "lib/conf/params/smtp.h"

#define PARAM_STRUCT smtp_conf
static const struct param rows[] = {
#define PARAM_AS PARAM_AS_ROW
#include "lib/conf/params/lmtp.def"
#undef PARAM_AS
};
const struct param_group lmtp_group = PARAM_GROUP("lmtp", smtp_conf);
