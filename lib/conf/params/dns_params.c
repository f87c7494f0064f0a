/* SPDX-License-Identifier: ISC */
#include "lib/conf/params/dns.h"

#define PARAM_STRUCT dns_conf
static const struct param rows[] = {
#define PARAM PARAM_ROW
#include "lib/conf/params/dns.def"
#undef PARAM
};
const struct param_group dns_group = PARAM_GROUP("dns", dns_conf);
