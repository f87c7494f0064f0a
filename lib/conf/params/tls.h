/* SPDX-License-Identifier: ISC */
#ifndef ROAD_CONF_PARAMS_TLS_H
#define ROAD_CONF_PARAMS_TLS_H

#include "lib/conf/conf.h"

struct tls_conf {
#define PARAM PARAM_FIELD
#include "lib/conf/params/tls.def"
#undef PARAM
};
extern const struct param_group tls_group;

#endif
