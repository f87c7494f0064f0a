/* SPDX-License-Identifier: ISC */
/* The second column of master.cf, as master and its daemons name it to each other (master(5)). */
#ifndef ROAD_CONF_SERVICE_TYPE_H
#define ROAD_CONF_SERVICE_TYPE_H

#include "lib/base/str.h"

enum service_type { SERVICE_INET, SERVICE_UNIX, SERVICE_FIFO, SERVICE_PASS, SERVICE_DGRAM /* unix-dgram */ };

const char *service_type_text(enum service_type type);			/* "inet" */
int service_type_parse(struct str text, enum service_type *ret);	/* 0, -EINVAL */

#endif
