/* SPDX-License-Identifier: ISC */
/* One struct for both: as smtp it is filled from smtp_group, as lmtp from lmtp_group on top. */
#ifndef ROAD_CONF_PARAMS_SMTP_H
#define ROAD_CONF_PARAMS_SMTP_H

#include "lib/conf/conf.h"

struct smtp_conf {
#define PARAM PARAM_FIELD
#include "lib/conf/params/smtp.def"
#undef PARAM
};
extern const struct param_group smtp_group;
extern const struct param_group lmtp_group;	/* fills those fields of a struct smtp_conf that differ */

#endif
