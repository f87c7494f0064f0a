/* SPDX-License-Identifier: ISC */
/* The worker's end of the line to master. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "lib/base/die.h"
#include "lib/daemon/private.h"
#include "lib/io/net.h"

static bool in_use;

void lifeline_use(bool yes)
{
	in_use = yes;
	if (!yes)
		return;
	if (set_nonblocking(LIFELINE_FD) < 0)
		die(EX_USAGE, "descriptor %d is not a line to master; use -d to run this program by hand",
		    LIFELINE_FD);
	fcntl(LIFELINE_FD, F_SETFD, FD_CLOEXEC);
}

bool has_master(void)
{
	return in_use;
}

void report_to_master(enum worker_report report)
{
	const char byte = (char) report;

	/*
	 * A full pipe means that master has not read for hundreds of reports: the next one will
	 * tell it more. A closed one, that it died.
	 */
	if (in_use)
		(void) !send(LIFELINE_FD, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}
