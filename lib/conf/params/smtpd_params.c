/* SPDX-License-Identifier: ISC */
#include "lib/conf/params/smtpd.h"

#define PARAM_STRUCT smtpd_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#include "lib/conf/params/smtpd.def"
#undef PARAM
};
const struct param_group smtpd_group = PARAM_GROUP("smtpd", smtpd_conf);
