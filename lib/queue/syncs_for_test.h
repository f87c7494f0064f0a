/* SPDX-License-Identifier: ISC */
/* For one test program each: fdatasync() as it is, counted, and failing as often as the test wants. */
#ifndef ROAD_QUEUE_SYNCS_FOR_TEST_H
#define ROAD_QUEUE_SYNCS_FOR_TEST_H

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

static int syncs, failing_syncs;

/* Ours instead of the C library's. */
int fdatasync(int fd)
{
	syncs++;
	if (failing_syncs > 0) {
		failing_syncs--;
		errno = EIO;
		return -1;
	}
	return (int) syscall(SYS_fdatasync, fd);
}

#endif
