/* SPDX-License-Identifier: ISC */
/* The default of mynetworks (mynetworks.c), for computed.c. */
#ifndef ROAD_CONF_COMPUTED_H
#define ROAD_CONF_COMPUTED_H

#include "lib/conf/conf.h"

/*
 * As mynetworks_style, inet_interfaces and inet_protocols say, from the interfaces as they are now.
 * Text in the arena.
 */
struct str compute_mynetworks(struct conf *c, struct arena *a);

#endif
