/* SPDX-License-Identifier: ISC */
/*
 * The skeleton of a delivery agent on top of lib/daemon: decodes requests of qmgr, opens the content,
 * collects an outcome per recipient, writes the log line of each, and replies. `discard` = a table and a
 * five-line loop.
 *
 *   int main(int argc, char **argv) { return agent_main(argc, argv, &discard_agent); }
 */
#ifndef ROAD_AGENT_AGENT_H
#define ROAD_AGENT_AGENT_H

#include "lib/conf/params/agent.h"
#include "lib/daemon/daemon.h"
#include "lib/queue/content.h"

enum deliver_flags {
	DELIVER_EXPIRING = 1,		/* the last attempt: qmgr will bounce what is deferred */
	DELIVER_PROBE = 2,		/* address verification: do not deliver, only find out */
	DELIVER_TRACE = 4,		/* sendmail -bv/-v: report everything to the sender */
	/*
	 * nobody knows whether that host lives, and many are tried: it may take its time at the
	 * next attempt
	 */
	DELIVER_HURRY = 8,
};

struct delivery {
	struct str queue_id;
	struct str transport, nexthop;
	struct envelope env;		/* with this job's recipients */
	struct content content;		/* the skeleton closes its file */
	unsigned flags;
	struct arena *arena;		/* ends with the delivery */
	/* the agent sets it when the connection stands: delays= c/d. 0: never */
	int64_t connected_us;
	unsigned conn_use;		/* > 1: logged as conn_use=N */
	const char *tls;		/* logged as tls=..., NULL: not */
	/* private to the skeleton */
	int64_t active_us, dispatch_us;
	struct outcome *outcomes;	/* parallel to env.recipients; status PENDING until reported */
	struct str site_dsn, site_reason;
	struct buf line;
};

struct agent {
	struct daemon daemon;		/* its serve is filled in by agent_main */
	/* one coroutine per request, or one at a time by daemon.shape */
	void (*deliver)(struct delivery *d) MAY_YIELD;
	/* deliver() heeds DELIVER_PROBE; who does not is not asked, and counts as delivering everything */
	bool probes;
};
int agent_main(int argc, char **argv, struct agent *a);
/* Dies when main.cf sets a limit of mailboxes that the largest message is beyond. */
void insist_on_mailbox_limit(const char *parameter, int64_t limit);
/* The address for X-Original-To; empty where enable_original_recipient wants no such header. */
struct str original_to(struct str address);
/* What agent_main makes the daemon's serve and wind_down: exported for tests. */
void agent_use(const struct agent *a, const struct agent_conf *conf);
void agent_serve(struct session_socket *socket) MAY_YIELD;
void agent_wind_down(void);

/*
 * Exactly one of these per recipient (asserted). They write the log line
 *   QID: to=<r>[, orig_to=<o>], relay=R[, conn_use=N], delay=D, delays=a/b/c/d[, tls=X], dsn=x.y.z, status=S
 *   (TEXT)
 * relay is "none" when empty. With soft_bounce, bounced() is a deferral that is logged as SOFTBOUNCE. A
 * recipient that was not reported when deliver() returns is deferred with 4.3.0 and logged as an error.
 */
struct result {
	const char *dsn;		/* "2.0.0" */
	struct str relay;		/* "host[addr]:25" */
	struct str remote_mta, diagnostic;	/* for the notification; may be empty */
	struct str became;		/* who got it in the recipient's place, for the log; may be empty */
};
void delivered(struct delivery *d, struct recipient *r, const struct result *how, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void deferred(struct delivery *d, struct recipient *r, const struct result *how, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void bounced(struct delivery *d, struct recipient *r, const struct result *how, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Does bounced() mean for good? Not with soft_bounce. */
bool is_final(const struct delivery *d);
/* As bounced(), but who has to know of it has been told: no notification from us. */
void bounced_and_told(struct delivery *d, struct recipient *r, const struct result *how, const char *format,
		      ...) __attribute__((format(printf, 4, 5)));
/* An alias that others took the place of: as good as delivered, and notified as "expanded". */
void expanded(struct delivery *d, struct recipient *r, const struct result *how, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Accepted by a host that knows no DSN: as good as delivered, and notified as "relayed". */
void relayed(struct delivery *d, struct recipient *r, const struct result *how, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/*
 * Accepted by a host that was told what the sender wants to hear, and takes care of it (RFC 3461
 * 5.2.2): no notification of success from us.
 */
void handed_on(struct delivery *d, struct recipient *r, const struct result *how, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Another agent was asked and has written the log line: its outcome as it is, for the reply only. */
void passed_on(struct delivery *d, struct recipient *r, const struct outcome *outcome);
bool is_pending(const struct delivery *d, const struct recipient *r);
#define EACH_RECIPIENT(r, d) \
	for (struct recipient *r = (d)->env.recipients; \
	     r < (d)->env.recipients + (d)->env.recipient_count; r++)
/* The whole next hop is out of order: defers every pending recipient and tells qmgr to throttle it. */
void site_failed(struct delivery *d, const struct result *how, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
