/* SPDX-License-Identifier: ISC */
/*
 * One HTTPS request and its answer, for coroutines: many at once. The certificate must be the
 * host's and lead to somebody we trust, redirects are not followed, no proxy is asked, nothing is
 * kept for the next request, and addresses come from our own resolver. A peer may send headers of
 * 64 KiB and a body of the size that the caller allows, within the time that he allows, and
 * whatever else it does costs this one request an error.
 */
#ifndef ROAD_HTTPS_HTTPS_H
#define ROAD_HTTPS_HTTPS_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/co/co.h"
#include "lib/jail/jail.h"

struct https_trust { const char *ca_file, *ca_path; };	/* both "": the CAs of the system */
/* In start(), before the jail closes. -errno with words. The texts live as long as the process. */
int https_open(const struct https_trust *trust, struct buf *why);
/* What a jailed process has to be able to read: a daemon's more_paths. */
const struct jail_path *https_more_paths(void);
/*
 * A coroutine that drives all requests, as long as the process: scope_start(scope, "https",
 * https_run, NULL).
 */
void https_run(void *unused) MAY_YIELD;

struct https_request {
	/* a name that is valid in DNS, or an address; without brackets */
	struct str host;
	uint16_t port;
	struct str path;			/* "/..." */
	struct str type, encoding, body;	/* type not empty: POST */
	size_t most;				/* bytes of the answer's body */
	int64_t time_limit_ms;			/* for all of it */
};

enum https_outcome {
	HTTPS_ANSWERED,			/* with some status, perhaps a bad one */
	HTTPS_NO_ADDRESS,		/* the host has none, or DNS cannot tell */
	HTTPS_BAD_CERTIFICATE,
	HTTPS_TOO_LARGE,
	HTTPS_FAILED,			/* no connection, timeout, nonsense */
};
struct https_reply {
	enum https_outcome outcome;
	long status;
	struct str type;		/* as the server says: "text/plain; charset=utf-8" */
	struct str body;
	struct str why;			/* words, when it is no answer */
};
/* Everything in *ret lives in the arena, which has room for `most` bytes and 4 KiB. */
void https_ask(struct arena *a, const struct https_request *request, struct https_reply *ret) MAY_YIELD;

#endif
