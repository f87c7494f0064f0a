/* SPDX-License-Identifier: ISC */
#ifndef ROAD_CONF_PARAMS_TLSRPT_H
#define ROAD_CONF_PARAMS_TLSRPT_H

#include "lib/conf/conf.h"

struct tlsrpt_conf {
#define PARAM PARAM_FIELD
#include "lib/conf/params/tlsrpt.def"
#undef PARAM
};
extern const struct param_group tlsrpt_group;

#endif
