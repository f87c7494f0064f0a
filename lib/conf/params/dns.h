/* SPDX-License-Identifier: ISC */
#ifndef ROAD_CONF_PARAMS_DNS_H
#define ROAD_CONF_PARAMS_DNS_H

#include "lib/conf/conf.h"

struct dns_conf {
#define PARAM PARAM_FIELD
#include "lib/conf/params/dns.def"
#undef PARAM
};
extern const struct param_group dns_group;

#endif
