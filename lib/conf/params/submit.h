/* SPDX-License-Identifier: ISC */
#ifndef ROAD_CONF_PARAMS_SUBMIT_H
#define ROAD_CONF_PARAMS_SUBMIT_H

#include "lib/conf/conf.h"

struct submit_conf {
#define PARAM PARAM_FIELD
#include "lib/conf/params/submit.def"
#undef PARAM
};
extern const struct param_group submit_group;

#endif
