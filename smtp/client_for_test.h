/* SPDX-License-Identifier: ISC */
/*
 * For the client's tests: the whole client against scripted servers on loopback addresses, with a
 * DNS of the test's own. A case says what the servers do and what must come of it; run() delivers
 * its message and checks.
 */
#ifndef ROAD_SMTP_CLIENT_FOR_TEST_H
#define ROAD_SMTP_CLIENT_FOR_TEST_H

#include "tests/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/conf/own_addresses.h"
#include "lib/dns/dns.h"
#include "smtp/fake_server.h"
#include "smtp/smtp.h"

struct zone_row {
	const char *name;
	enum dns_type type;		/* DNS_MX, or DNS_A for addresses */
	enum dns_status status;
	const char *data;		/* "10 mx1.example, 20 mx2.example"; "127.0.0.1, 127.0.0.2" */
};
extern const struct zone_row *zone;		/* ends with name NULL */

enum { MOST_SERVERS = 4 };

struct case_ {
	const char *servers[MOST_SERVERS];	/* scripts for 127.0.0.1, 127.0.0.2, ... on one port */
	const char *nexthop;			/* "%d" is the port; NULL: "[127.0.0.1]:%d" */
	const char *sender;			/* NULL: "a@example.org" */
	const char *to;				/* recipients, separated by blanks; NULL: "b@example.net" */
	const char *content;			/* NULL: a small one */
	unsigned envelope_flags, deliver_flags;
	/* a letter per recipient: D delivered, R relayed, d deferred, B bounced */
	const char *outcomes;
	/* the first recipient's reason; NULL: any. "%d" is the port */
	const char *text;
	const char *dsn, *relay;
	bool site;				/* the next hop is reported as out of order */
	void (*with)(struct delivery *d);	/* changes the delivery before it starts */
};

extern struct fake_server servers[MOST_SERVERS];
extern uint16_t port;				/* of the present case's servers */
extern struct delivery *last;			/* of the present case, for closer looks */
extern int unix_listener;			/* the first server's, instead of TCP */
extern char directory[];			/* scratch */

int client_set_up(void **unused);
int client_tear_down(void **unused);
void configure(const char *main_cf);		/* and forgets the zone */
int try_to_configure(const char *main_cf, struct buf *why);	/* the same; -errno with words */
struct delivery *make_delivery(const struct case_ *c);
void free_delivery(struct delivery *d);
void run(const struct case_ *c);
void run_many(const struct case_ *c, int times);	/* the message so often; then end_case() */
void end_case(void);

#define HELLO "A\nS 220 mx ESMTP\nC EHLO client.example\nS 250-mx.example\nS 250-SIZE 100000\nS 250-8BITMIME\nS 250 PIPELINING\n"
#define PLAIN_HELLO "A\nS 220 mx ESMTP\nC EHLO client.example\nS 250 mx.example\n"
#define ENVELOPE "C MAIL FROM:<a@example.org>\nS 250 2.1.0 Ok\nC RCPT TO:<b@example.net>\nS 250 2.1.5 Ok\n"
#define DATA_OK "C DATA\nS 354 go\nD\nS 250 2.0.0 Ok: queued as 1234\n"
#define SAID(reply, command) "host 127.0.0.1[127.0.0.1] said: " reply " (in reply to " command ")"
#define LOST(doing) "lost connection with 127.0.0.1[127.0.0.1] while " doing
#define TIMED_OUT(doing) "conversation with 127.0.0.1[127.0.0.1] timed out while " doing
#define REFUSING "A\nS 421 4.3.2 mx busy\nE"
#define TAKES "" HELLO ENVELOPE DATA_OK "E"

#endif
