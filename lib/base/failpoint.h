/* SPDX-License-Identifier: ISC */
/*
 * Named places on the road of a message where tests let a process die, stop or fail:
 * FAILPOINT("queue.commit.written"). Nothing is left of them without --enable-failpoints.
 *
 * The orders are records of a file that $POSTROAD_FAILPOINTS names. It is mapped when the process
 * starts, before its jail closes, and shared, so a test gives orders to running daemons and sees
 * there how often each place was reached. tests/torture/failpoints.py is the other side.
 */
#ifndef ROAD_BASE_FAILPOINT_H
#define ROAD_BASE_FAILPOINT_H

#ifdef WITH_FAILPOINTS
int failpoint_reach(const char *name);
#define FAILPOINT(name) ((void) failpoint_reach(name))		/* the process may end here, or stand still */
#define FAILS_AT(name) failpoint_reach(name)			/* ... or this is -errno: an operation that failed. 0: go on */
#else
#define FAILPOINT(name) ((void) 0)
#define FAILS_AT(name) 0
#endif

#endif
