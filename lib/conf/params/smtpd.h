/* SPDX-License-Identifier: ISC */
#ifndef ROAD_CONF_PARAMS_SMTPD_H
#define ROAD_CONF_PARAMS_SMTPD_H

#include "lib/conf/conf.h"

struct smtpd_conf {
#define PARAM PARAM_FIELD
#include "lib/conf/params/smtpd.def"
#undef PARAM
};
extern const struct param_group smtpd_group;

#endif
