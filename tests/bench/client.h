/* SPDX-License-Identifier: ISC */
/* The client's side of an SMTP dialogue, as the load programs here need it: to 127.0.0.1 only. */
#ifndef ROAD_BENCH_CLIENT_H
#define ROAD_BENCH_CLIENT_H

#include "lib/io/stream.h"

/* reads a reply of any number of lines: does its code begin so? */
bool expect(struct stream *s, char digit);
bool say_hello(struct stream *s);			/* EHLO, answered */
/* connected and greeted, EHLO said and answered; NULL: failed */
struct stream *open_session(uint16_t port);
void ask_for_descriptors(void);				/* as many as the system lets this process have */
int64_t number_option(int option, const char *text);	/* from 1; dies when it is none */

/* What was measured, in microseconds. */
struct samples {
	int64_t *at;
	int count, room;
};

void samples_add(struct samples *s, int64_t us);
/*
 * "NAME": {"n": .., "p50_us": .., "p99_us": .., "max_us": ..} on stdout; zeros when nothing was
 * measured. Sorts.
 */
void samples_print(const char *name, struct samples *s);

#endif
