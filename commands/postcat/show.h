/* SPDX-License-Identifier: ISC */
/* Showing one queue file, whole or damaged. */
#ifndef ROAD_COMMANDS_POSTCAT_SHOW_H
#define ROAD_COMMANDS_POSTCAT_SHOW_H

#include "lib/queue/format.h"

enum show_what {
	SHOW_ENVELOPE = 1,
	SHOW_HEADERS = 2,
	SHOW_BODY = 4,
};

/*
 * fd: the file, name: as the sections call it. 0, or < 0 when something in it is damaged or cannot
 * be read (said on stderr).
 */
int show_file(int fd, const char *name, unsigned what);

#endif
