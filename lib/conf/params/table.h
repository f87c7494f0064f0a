/* SPDX-License-Identifier: ISC */
#ifndef ROAD_CONF_PARAMS_TABLE_H
#define ROAD_CONF_PARAMS_TABLE_H

#include "lib/conf/conf.h"

struct table_conf {
#define PARAM PARAM_FIELD
#include "lib/conf/params/table.def"
#undef PARAM
};
extern const struct param_group table_group;

#endif
