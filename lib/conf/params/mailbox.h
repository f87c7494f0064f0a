/* SPDX-License-Identifier: ISC */
#ifndef ROAD_CONF_PARAMS_MAILBOX_H
#define ROAD_CONF_PARAMS_MAILBOX_H

#include "lib/conf/conf.h"

struct mailbox_conf {
#define PARAM PARAM_FIELD
#include "lib/conf/params/mailbox.def"
#undef PARAM
};
extern const struct param_group mailbox_group;

#endif
