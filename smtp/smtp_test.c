/* SPDX-License-Identifier: ISC */
/*
 * The whole client against scripted servers on loopback addresses, with a DNS of the test's own: what it says at every
 * stage, and which outcome each answer, silence and end of the connection has.
 */
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

/* ---- DNS ---- */

struct zone_row {
	const char *name;
	enum dns_type type;		/* DNS_MX, or DNS_A for addresses */
	enum dns_status status;
	const char *data;		/* "10 mx1.example, 20 mx2.example"; "127.0.0.1, 127.0.0.2" */
};
static const struct zone_row *zone;

static void answer(struct arena *a, struct str name, enum dns_type type, struct dns_answer *ret)
{
	const struct zone_row *row = zone;
	struct str data, one, word;
	int64_t preference;

	*ret = (struct dns_answer){ .status = DNS_NO_DOMAIN, .why = STR("Host not found"), .canonical = name };
	for (; row != NULL && row->name != NULL; row++) {
		if (!str_is_nocase(name, str_of(row->name)))
			continue;
		if (ret->status == DNS_NO_DOMAIN)
			*ret = (struct dns_answer){ .status = DNS_NO_DATA, .why = STR("Host found but no data record of requested type") };
		if (row->type != type)
			continue;
		ret->status = row->status;
		ret->why = row->status == DNS_OK ? STR_NONE : row->status == DNS_NO_DOMAIN ? STR("Host not found") : STR("Host not found, try again");
		ret->records = arena_get(a, 20 * sizeof(*ret->records));
		data = str_of(row->data);
		while (str_token(&data, ",", &one)) {
			struct dns_record *r = &ret->records[ret->count++];

			if (type == DNS_MX) {
				one = str_trim(one);
				str_cut(&one, ' ', &word);
				assert_int_equal(str_to_int(word, 0, 65535, &preference), 0);
				r->mx = (struct dns_mx){ (uint16_t) preference, str_is(one, STR(".")) ? STR_NONE : one };
			} else {
				assert_int_equal(ip_parse(str_trim(one), &r->ip), 0);
			}
		}
		return;
	}
}

void dns_query(struct arena *a, struct str name, enum dns_type type, struct dns_answer *ret) { answer(a, name, type, ret); co_pass(); }
void dns_addresses(struct arena *a, struct str host, struct dns_answer *ret) { answer(a, host, DNS_A, ret); co_pass(); }

/* ---- a delivery ---- */

enum { MOST_SERVERS = 4 };

struct case_ {
	const char *servers[MOST_SERVERS];	/* scripts for 127.0.0.1, 127.0.0.2, ... on one port */
	const char *nexthop;			/* "%d" is the port; NULL: "[127.0.0.1]:%d" */
	const char *sender;			/* NULL: "a@example.org" */
	const char *to;				/* recipients, separated by blanks; NULL: "b@example.net" */
	const char *content;			/* NULL: a small one */
	unsigned envelope_flags, deliver_flags;
	const char *outcomes;			/* a letter per recipient: D delivered, R relayed, d deferred, B bounced */
	const char *text;			/* the first recipient's reason; NULL: any. "%d" is the port */
	const char *dsn, *relay;
	bool site;				/* the next hop is reported as out of order */
	void (*with)(struct delivery *d);	/* changes the delivery before it starts */
};

static char directory[] = "/tmp/smtp-test-XXXXXX";
static struct conf *the_conf;
static struct fake_server servers[MOST_SERVERS];
static uint16_t port;
static struct delivery *last;			/* of the present case, for closer looks */
static const struct case_ *the_case;
static int unix_listener = -1;			/* the first server's, instead of TCP */
static int deliveries;				/* how often the case's message is sent, one after the other */

static const char SMALL[] = "Subject: x\n\nhello\n.dot\n";

static const char *with_port(struct arena *a, const char *text)
{
	AUTO(buf) b = BUF(1000);

	for (; *text != 0; text++) {
		if (text[0] == '%' && text[1] == 'd') {
			buf_addf(&b, "%u", port);
			text++;
		} else {
			buf_add_byte(&b, *text);
		}
	}
	return str_c(a, buf_str(&b));
}

static void fill_recipients(struct delivery *d, const char *to)
{
	struct str rest = str_of(to), one;

	d->env.recipients = arena_get(d->arena, 2000 * sizeof(struct recipient));
	while (str_token(&rest, " ", &one)) {
		d->env.recipients[d->env.recipient_count] =
			(struct recipient){ .index = (uint32_t) d->env.recipient_count, .address = one };
		d->env.recipient_count++;
	}
}

static struct delivery *make_delivery(const struct case_ *c)
{
	struct arena *a = arena_new("delivery", NULL, 256 << 20);
	struct delivery *d = ARENA_NEW(a, struct delivery);
	const char *content = c->content == NULL ? SMALL : c->content;
	const char *blank = strstr(content, "\n\n");
	char path[100];

	snprintf(path, sizeof(path), "%s/message", directory);
	d->arena = a;
	d->queue_id = STR("4XTESTzABC");
	d->transport = STR("smtp");
	d->nexthop = str_of(with_port(a, c->nexthop == NULL ? "[127.0.0.1]:%d" : c->nexthop));
	d->flags = c->deliver_flags;
	d->env.sender = str_of(c->sender == NULL ? "a@example.org" : c->sender);
	d->env.flags = c->envelope_flags;
	d->env.arrival_us = d->active_us = d->dispatch_us = wall_us();
	d->line = BUF(8192);
	d->message = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(write(d->message, content, strlen(content)), (ssize_t) strlen(content));
	d->parts.size = strlen(content);
	assert_non_null(blank);
	d->parts.headers_len = (uint64_t) (blank - content) + 1;
	d->parts.body_at = d->parts.headers_len + 1;
	d->parts.body_len = d->parts.size - d->parts.body_at;
	fill_recipients(d, c->to == NULL ? "b@example.net" : c->to);
	d->outcomes = arena_get(a, d->env.recipient_count * sizeof(*d->outcomes));
	if (c->with != NULL)
		c->with(d);
	return d;
}

static void free_delivery(struct delivery *d)
{
	close(d->message);
	buf_free(&d->line);
	arena_free(d->arena);
}

static char letter(enum outcome_status s)
{
	return s == OUTCOME_DELIVERED ? 'D' : s == OUTCOME_RELAYED ? 'R' : s == OUTCOME_DEFERRED ? 'd' : s == OUTCOME_BOUNCED ? 'B' : '?';
}

static void check(const struct case_ *c, struct delivery *d)
{
	const struct outcome *o = d->outcomes;
	char letters[2001];

	for (size_t i = 0; i < d->env.recipient_count; i++)
		letters[i] = letter(o[i].status);
	letters[d->env.recipient_count] = 0;
	for (int i = 0; i < MOST_SERVERS; i++)
		if (servers[i].complaint[0] != 0)
			fail_msg("server %d: %s (client: %s: %.*s)", i + 1, servers[i].complaint, letters, PSTR(o[0].text));
	if (strcmp(letters, c->outcomes) != 0)
		fail_msg("outcomes %s, expected %s: %.*s", letters, c->outcomes, PSTR(o[0].text));
	if (c->text != NULL)
		assert_str(o[0].text, with_port(d->arena, c->text));
	if (c->dsn != NULL)
		assert_str(o[0].dsn, c->dsn);
	if (c->relay != NULL)
		assert_str(o[0].relay, with_port(d->arena, c->relay));
	assert_int_equal(d->site_reason.len > 0, c->site);
}

static void run_case(void *unused)
{
	struct scope *scope = scope_open("servers");

	(void) unused;
	port = 0;
	for (int i = 0; i < MOST_SERVERS; i++) {
		char ip[20];

		snprintf(ip, sizeof(ip), "127.0.0.%d", i + 1);
		servers[i].listener = -1;
		servers[i].complaint[0] = 0;
		if (the_case->servers[i] == NULL)
			continue;
		if (unix_listener >= 0) {
			servers[i] = (struct fake_server){ .script = the_case->servers[i], .listener = unix_listener, .content = BUF(1 << 20) };
		} else {
			fake_listen(&servers[i], ip, port, the_case->servers[i]);
			port = servers[i].at.port;
		}
		assert_int_equal(scope_start(scope, "server", fake_run, &servers[i]), 0);
	}
	the_client.default_port = port;
	for (int i = 0; i < deliveries; i++) {
		last = make_delivery(the_case);
		smtp_deliver(last);
		if (i + 1 < deliveries)
			free_delivery(last);
	}
	if (deliveries == 1)
		cache_end_all();
	assert_int_equal(scope_wait(scope, in(15000)), 0);
	scope_close(scope);
	loop_stop();
}

static void run_many(const struct case_ *c, int times)
{
	the_case = c;
	deliveries = times;
	alarm(60);
	assert_int_equal(loop_run(run_case, NULL), 0);
	alarm(0);
	check(c, last);
}

static void end_case(void)
{
	free_delivery(last);
	for (int i = 0; i < MOST_SERVERS; i++)
		fake_end(&servers[i]);
}

static void run(const struct case_ *c)
{
	run_many(c, 1);
	end_case();
}

/* ---- set-up ---- */

static void configure(const char *main_cf)
{
	char path[100];
	AUTO(buf) why = BUF_WORDS;
	FILE *file;

	snprintf(path, sizeof(path), "%s/main.cf", directory);
	file = fopen(path, "w");
	fprintf(file, "%s\nmyhostname = client.example\nsmtp_randomize_addresses = no\n", main_cf);
	fclose(file);
	if (the_conf != NULL)
		conf_free(the_conf);
	assert_int_equal(conf_load(directory, &the_conf, &why), 0);
	if (conf_fill(the_conf, &smtp_group, &the_client.conf, &why) < 0
	    || (the_client.lmtp && conf_fill(the_conf, &lmtp_group, &the_client.conf, &why) < 0))
		fail_msg("%s", buf_text(&why));
	the_client.conf.smtp_connection_cache_time_limit = 200;
	the_client.hostname = STR("client.example");
	the_client.own = NULL;
	zone = NULL;
}

static int set_up(void **unused)
{
	static struct agent_conf agent_conf;
	static struct agent agent = { .daemon = { .name = "smtp" }, .deliver = smtp_deliver };
	AUTO(buf) why = BUF_WORDS;

	(void) unused;
	assert_non_null(mkdtemp(directory));
	configure("");
	assert_int_equal(conf_fill(the_conf, &agent_group, &agent_conf, &why), 0);
	agent_use(&agent, &agent_conf);
	log_open("test", LOG_TO_SYSLOG, "/dev/null");	/* no such socket: stderr */
	return 0;
}

static int tear_down(void **unused)
{
	char path[100];

	(void) unused;
	conf_free(the_conf);
	snprintf(path, sizeof(path), "%s/message", directory);
	unlink(path);
	snprintf(path, sizeof(path), "%s/main.cf", directory);
	unlink(path);
	return rmdir(directory);
}

/* ---- how it should go ---- */

#define HELLO "A\nS 220 mx ESMTP\nC EHLO client.example\nS 250-mx.example\nS 250-SIZE 100000\nS 250-8BITMIME\nS 250 PIPELINING\n"
#define PLAIN_HELLO "A\nS 220 mx ESMTP\nC EHLO client.example\nS 250 mx.example\n"
#define ENVELOPE "C MAIL FROM:<a@example.org>\nS 250 2.1.0 Ok\nC RCPT TO:<b@example.net>\nS 250 2.1.5 Ok\n"
#define DATA_OK "C DATA\nS 354 go\nD\nS 250 2.0.0 Ok: queued as 1234\n"

static void test_a_message_is_delivered(void **unused)
{
	static const struct case_ c = {
		.servers = { HELLO ENVELOPE DATA_OK "Q" }, .outcomes = "D", .text = "250 2.0.0 Ok: queued as 1234", .dsn = "2.0.0",
		.relay = "127.0.0.1[127.0.0.1]:%d",
	};

	(void) unused;
	configure("smtp_connection_cache_on_demand = no");
	run_many(&c, 1);
	assert_str(buf_str(&servers[0].content), "Subject: x\n\nhello\n..dot\n");
	assert_str(last->outcomes[0].diagnostic, "smtp; 250 2.0.0 Ok: queued as 1234");
	end_case();
}

static void test_without_pipelining_each_command_waits(void **unused)
{
	static const struct case_ c = {
		.servers = { PLAIN_HELLO "C MAIL FROM:<a@example.org>\nP 20\nS 250 ok\nC RCPT TO:<b@example.net>\nS 250 ok\n" DATA_OK "E" },
		.outcomes = "D" };

	(void) unused;
	configure("");
	run(&c);
}

static void test_helo_where_ehlo_is_not_known(void **unused)
{
	static const struct case_ c = {
		.servers = { "A\nS 220 old\nC EHLO\nS 502 what?\nC HELO client.example\nS 250 mx\n" ENVELOPE DATA_OK "E" },
		.outcomes = "D" };
	static const struct case_ never = {
		.servers = { "A\nS 220 old\nC HELO client.example\nS 250 mx\n" ENVELOPE DATA_OK "E" }, .outcomes = "D" };

	(void) unused;
	configure("");
	run(&c);
	configure("smtp_never_send_ehlo = yes");
	run(&never);
	configure("smtp_always_send_ehlo = no");
	run(&never);
}

static void test_size_body_and_null_sender(void **unused)
{
	static const struct case_ c = {
		.servers = { HELLO "C MAIL FROM:<> SIZE=23 BODY=8BITMIME\nS 250 ok\nC RCPT TO:<b@example.net>\nS 250 ok\n" DATA_OK "E" },
		.sender = "", .envelope_flags = ENVELOPE_8BITMIME, .outcomes = "D" };

	(void) unused;
	configure("");
	run(&c);
}

static void set_dsn(struct delivery *d)
{
	d->env.envid = STR("id=1 +");
	d->env.ret = RETURN_HEADERS;
	d->env.recipients[0].notify = NOTIFY_SUCCESS | NOTIFY_DELAY;
	d->env.recipients[0].orcpt = STR("rfc822;x+y@example.net");
	d->env.recipients[1].original = STR("old@example.net");
	d->env.recipients[1].notify = NOTIFY_NEVER;
}

static void test_dsn_parameters_go_on(void **unused)
{
	static const struct case_ c = {
		.servers = { "A\nS 220 mx\nC EHLO\nS 250-mx\nS 250-DSN\nS 250 PIPELINING\n"
			     "C MAIL FROM:<a@example.org> ENVID=id+3D1+20+2B RET=HDRS\nS 250 ok\n"
			     "C RCPT TO:<b@x> ORCPT=rfc822;x+2By@example.net NOTIFY=SUCCESS,DELAY\nS 250 ok\n"
			     "C RCPT TO:<c@x> ORCPT=rfc822;old@example.net NOTIFY=NEVER\nS 250 ok\n" DATA_OK "E" },
		.to = "b@x c@x", .with = set_dsn, .outcomes = "DD" };
	static const struct case_ without = {
		.servers = { HELLO "C MAIL FROM:<a@example.org> SIZE=23\nS 250 ok\nC RCPT TO:<b@x>\nS 250 ok\nC RCPT TO:<c@x>\nS 250 ok\n"
			     DATA_OK "E" },
		.to = "b@x c@x", .with = set_dsn, .outcomes = "RD" };

	(void) unused;
	configure("");
	run(&c);
	run(&without);
}

static void set_odd_addresses(struct delivery *d)
{
	d->env.sender = STR("a\"b@x");
	d->env.recipients[0].address = STR("a b@x");
}

static void test_odd_addresses_are_quoted(void **unused)
{
	static const struct case_ c = {
		.servers = { HELLO "C MAIL FROM:<\"a\\\"b\"@x>\nS 250 ok\nC RCPT TO:<\"a b\"@x>\nS 250 ok\n" DATA_OK "E" },
		.with = set_odd_addresses, .outcomes = "D" };

	(void) unused;
	configure("");
	run(&c);
}

/* ---- each stage, each answer ---- */

#define SAID(reply, command) "host 127.0.0.1[127.0.0.1] said: " reply " (in reply to " command ")"

static void test_every_refusal_has_its_verdict(void **unused)
{
	static const struct case_ cases[] = {
		{ .servers = { "A\nS 421 4.3.2 too busy\nE" }, .outcomes = "d", .dsn = "4.3.2", .site = true,
		  .text = "host 127.0.0.1[127.0.0.1] refused to talk to me: 421 4.3.2 too busy" },
		{ .servers = { "A\nS 554 5.7.1 go away\nQ" }, .outcomes = "d", .dsn = "4.7.1", .site = true,
		  .text = "host 127.0.0.1[127.0.0.1] refused to talk to me: 554 5.7.1 go away" },
		{ .servers = { "A\nS 220 hi\nC EHLO\nS 500 no\nC HELO\nS 550 no\nQ" }, .outcomes = "B", .dsn = "5.0.0",
		  .text = "host 127.0.0.1[127.0.0.1] refused to talk to me: 550 no" },
		{ .servers = { "A\nS 220 hi\nC EHLO\nS 450 later\nC HELO\nS 450 later\nQ" }, .outcomes = "d", .dsn = "4.0.0", .site = true },
		{ .servers = { HELLO "C MAIL\nS 450 4.1.8 who?\nC RCPT\nS 503 5.5.1 MAIL first\nC DATA\nS 503 5.5.1 MAIL first\nE" },
		  .outcomes = "d", .dsn = "4.1.8", .text = SAID("450 4.1.8 who?", "MAIL FROM command") },
		{ .servers = { HELLO "C MAIL\nS 553 5.1.8 who?\nC RCPT\nS 503 5.5.1 MAIL first\nC DATA\nS 503 5.5.1 MAIL first\nE" },
		  .outcomes = "B", .dsn = "5.1.8", .text = SAID("553 5.1.8 who?", "MAIL FROM command") },
		{ .servers = { PLAIN_HELLO "C MAIL\nS 553 5.1.8 who?\nE" }, .outcomes = "B", .dsn = "5.1.8" },
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 550 5.1.1 unknown\nC DATA\nS 554 no valid recipients\nE" },
		  .outcomes = "B", .dsn = "5.1.1", .text = SAID("550 5.1.1 unknown", "RCPT TO command") },
		{ .servers = { PLAIN_HELLO "C MAIL\nS 250 ok\nC RCPT\nS 550 unknown\nE" }, .outcomes = "B", .dsn = "5.0.0" },
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 450-4.2.0 grey\nS 450 4.2.0 listed\nC DATA\nS 354 hm\nD\nS 554 nobody\nE" },
		  .outcomes = "d", .dsn = "4.2.0", .text = SAID("450-4.2.0 grey 450 4.2.0 listed", "RCPT TO command") },
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 451 4.3.0 not now\nE" },
		  .outcomes = "d", .dsn = "4.3.0", .text = SAID("451 4.3.0 not now", "DATA command") },
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 554 5.7.1 no\nE" },
		  .outcomes = "B", .dsn = "5.7.1", .text = SAID("554 5.7.1 no", "DATA command") },
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nD\nS 452 4.3.1 full\nE" },
		  .outcomes = "d", .dsn = "4.3.1", .text = SAID("452 4.3.1 full", "end of DATA command") },
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nD\nS 550 5.7.0 spam\nE" },
		  .outcomes = "B", .dsn = "5.7.0", .text = SAID("550 5.7.0 spam", "end of DATA command") },
		/* the code's class wins over a contradicting enhanced code */
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 450 5.1.1 odd\nC DATA\nS 554 nobody\nE" }, .outcomes = "d", .dsn = "4.1.1" },
	};

	(void) unused;
	configure("");
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		run(&cases[i]);
	configure("smtp_skip_5xx_greeting = no");
	{
		static const struct case_ c = { .servers = { "A\nS 554 5.7.1 go away\nQ" }, .outcomes = "B", .dsn = "5.7.1" };

		run(&c);
	}
}

static void test_every_recipient_has_a_verdict_of_its_own(void **unused)
{
	static const struct case_ c = {
		.servers = { HELLO "C MAIL\nS 250 ok\nC RCPT TO:<a@x>\nS 250 ok\nC RCPT TO:<b@x>\nS 550 5.1.1 no\nC RCPT TO:<c@x>\nS 450 4.2.1 later\n"
			     "C RCPT TO:<d@x>\nS 250 ok\n" DATA_OK "E" },
		.to = "a@x b@x c@x d@x", .outcomes = "DBdD" };
	static const struct case_ refused = {
		.servers = { HELLO "C MAIL\nS 250 ok\nC RCPT TO:<a@x>\nS 250 ok\nC RCPT TO:<b@x>\nS 550 5.1.1 no\nC RCPT TO:<c@x>\nS 450 4.2.1 later\n"
			     "C DATA\nS 354 go\nD\nS 554 5.6.0 bad content\nE" },
		.to = "a@x b@x c@x", .outcomes = "BBd", .text = SAID("554 5.6.0 bad content", "end of DATA command") };

	(void) unused;
	configure("");
	run(&c);
	run(&refused);
}

#define LOST(doing) "lost connection with 127.0.0.1[127.0.0.1] while " doing
#define TIMED_OUT(doing) "conversation with 127.0.0.1[127.0.0.1] timed out while " doing

static void test_a_lost_connection_defers_at_every_stage(void **unused)
{
	static const struct case_ cases[] = {
		{ .servers = { "A\nX" }, .text = LOST("receiving the initial server greeting") },
		{ .servers = { "A\nR 220-half\nX" }, .text = LOST("receiving the initial server greeting") },
		{ .servers = { "A\nS 220 hi\nC EHLO\nX" }, .text = LOST("performing the EHLO handshake") },
		{ .servers = { "A\nS 220 hi\nC EHLO\nS 250-mx\nX" }, .text = LOST("performing the EHLO handshake") },
		{ .servers = { "A\nS 220 hi\nC EHLO\nS 500 no\nC HELO\nX" }, .text = LOST("performing the HELO handshake") },
		{ .servers = { HELLO "C MAIL\nX" }, .text = LOST("sending MAIL FROM") },
		{ .servers = { PLAIN_HELLO "C MAIL\nX" }, .text = LOST("sending MAIL FROM") },
		{ .servers = { PLAIN_HELLO "C MAIL\nS 250 ok\nC RCPT\nX" }, .text = LOST("sending RCPT TO") },
		{ .servers = { PLAIN_HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nX" }, .text = LOST("sending DATA command") },
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nD\nX" },
		  .text = LOST("sending end of data -- message may be sent more than once") },
	};

	(void) unused;
	configure("");
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct case_ c = cases[i];

		c.outcomes = "d";
		c.dsn = "4.4.2";
		c.site = true;
		run(&c);
	}
}

static void test_silence_defers_at_every_stage(void **unused)
{
	static const struct case_ cases[] = {
		{ .servers = { "A\nE" }, .text = TIMED_OUT("receiving the initial server greeting") },
		{ .servers = { "A\nS 220 hi\nC EHLO\nE" }, .text = TIMED_OUT("performing the EHLO handshake") },
		{ .servers = { HELLO "C MAIL\nC RCPT\nC DATA\nE" }, .text = TIMED_OUT("sending MAIL FROM") },
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nC DATA\nE" }, .text = TIMED_OUT("sending RCPT TO") },
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nE" }, .text = TIMED_OUT("sending DATA command") },
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nD\nE" },
		  .text = TIMED_OUT("sending end of data -- message may be sent more than once") },
	};
	struct smtp_conf *conf = &the_client.conf;

	(void) unused;
	configure("");
	conf->smtp_helo_timeout = conf->smtp_mail_timeout = conf->smtp_rcpt_timeout = conf->smtp_data_init_timeout = 100;
	conf->smtp_data_done_timeout = 100;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct case_ c = cases[i];

		c.outcomes = "d";
		c.dsn = "4.4.2";
		c.site = true;
		run(&c);
	}
}

/* The recipients that had an answer keep it; the others suffer from the end of the connection. */
static void test_an_end_in_the_middle_spares_those_who_had_an_answer(void **unused)
{
	static const struct case_ c = {
		.servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 550 5.1.1 no\nC RCPT\nS 250 ok\nX" }, .to = "a@x b@x c@x", .outcomes = "Bdd",
		.site = true };
	static const struct case_ leaving = {
		.servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 450 4.2.0 a\nC RCPT\nS 421 4.3.2 bye\nX" }, .to = "a@x b@x c@x",
		.outcomes = "ddd", .text = SAID("450 4.2.0 a", "RCPT TO command") };

	(void) unused;
	configure("");
	run(&c);
	run(&leaving);
}

static void test_nonsense_is_a_deferral_and_never_a_bounce(void **unused)
{
	static const struct case_ cases[] = {
		{ .servers = { "A\nS HTTP/1.1 400 Bad Request\nE" }, .dsn = "4.5.0" },
		{ .servers = { "A\nS 220 hi\nC EHLO\nS hello\nE" }, .dsn = "4.5.0" },
		{ .servers = { HELLO "C MAIL\nS 25O ok\nC RCPT\nC DATA\nE" }, .dsn = "4.5.0",
		  .text = "Protocol error: host 127.0.0.1[127.0.0.1] said: 25O ok (while sending MAIL FROM)" },
		{ .servers = { HELLO "C MAIL\nS 354 go?\nC RCPT\nS 250 ok\nC DATA\nS 503 no\nE" }, .dsn = "4.5.0",
		  .text = "Protocol error: " SAID("354 go?", "MAIL FROM command") },
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 250 done?\nE" }, .dsn = "4.5.0" },
		{ .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nD\nS 354 more\nE" }, .dsn = "4.5.0" },
	};

	(void) unused;
	configure("");
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct case_ c = cases[i];

		c.outcomes = "d";
		run(&c);
	}
}

/* ---- what the server cannot take ---- */

static void test_a_message_beyond_the_servers_size_is_not_even_offered(void **unused)
{
	static const struct case_ c = {
		.servers = { "A\nS 220 hi\nC EHLO\nS 250-mx\nS 250 SIZE 10\nE" }, .outcomes = "B", .dsn = "5.3.4",
		.text = "message size 23 exceeds size limit 10 of server 127.0.0.1[127.0.0.1]" };

	(void) unused;
	configure("");
	run(&c);
}

static void test_smtputf8_is_asked_for_where_needed(void **unused)
{
	static const struct case_ offered = {
		.servers = { "A\nS 220 hi\nC EHLO\nS 250-mx\nS 250-SMTPUTF8\nS 250 8BITMIME\n"
			     "C MAIL FROM:<a@example.org> BODY=8BITMIME SMTPUTF8\nS 250 ok\nC RCPT TO:<j\xc3\xb6@x>\nS 250 ok\n" DATA_OK "E" },
		.to = "j\xc3\xb6@x", .envelope_flags = ENVELOPE_SMTPUTF8 | ENVELOPE_8BITMIME, .outcomes = "D" };
	static const struct case_ missing = {
		.servers = { HELLO "E" }, .to = "j\xc3\xb6@x", .envelope_flags = ENVELOPE_SMTPUTF8, .outcomes = "B", .dsn = "5.6.7",
		.text = "SMTPUTF8 is required, but was not offered by host 127.0.0.1[127.0.0.1]" };
	static const struct case_ header = {
		.servers = { HELLO "E" }, .content = "Subject: \xc3\xb6\n\nx\n", .envelope_flags = ENVELOPE_SMTPUTF8, .outcomes = "B", .dsn = "5.6.7" };
	static const struct case_ unneeded = {
		.servers = { HELLO ENVELOPE DATA_OK "E" }, .envelope_flags = ENVELOPE_SMTPUTF8, .outcomes = "D" };

	(void) unused;
	configure("");
	run(&offered);
	run(&missing);
	run(&header);
	run(&unneeded);
}

static void test_8bit_content_is_converted_for_a_server_without_8bitmime(void **unused)
{
	static const struct case_ c = {
		.servers = { PLAIN_HELLO ENVELOPE DATA_OK "E" }, .envelope_flags = ENVELOPE_8BITMIME,
		.content = "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\ngr\xc3\xbc\n.\n",
		.outcomes = "D" };

	(void) unused;
	configure("");
	run_many(&c, 1);
	assert_non_null(strstr(buf_text(&servers[0].content), "quoted-printable"));
	assert_non_null(strstr(buf_text(&servers[0].content), "\ngr=C3=BC\n..\n"));
	end_case();
	configure("disable_mime_output_conversion = yes");
	run_many(&c, 1);
	assert_non_null(strstr(buf_text(&servers[0].content), "\ngr\xc3\xbc\n"));
	end_case();
}

static void test_keywords_can_be_overlooked(void **unused)
{
	static const struct case_ c = {
		.servers = { HELLO "C MAIL FROM:<a@example.org>\nP 20\nS 250 ok\nC RCPT\nS 250 ok\n" DATA_OK "E" }, .outcomes = "D" };

	(void) unused;
	configure("smtp_discard_ehlo_keywords = size, pipelining");
	run(&c);
}

/* ---- much ---- */

static char *big_content(size_t size)
{
	char *text = malloc(size + 1);
	size_t at = (size_t) snprintf(text, size, "Subject: big\n\n");

	for (size_t line = 0; at < size; line++)
		at += (size_t) snprintf(text + at, size + 1 - at, "%zu .some text to fill the line with, and then some more of it\n.\n", line);
	text[size] = 0;
	return text;
}

static void test_a_big_message_arrives_byte_for_byte(void **unused)
{
	char *content = big_content(5000000), *got, *to;
	struct case_ c = { .servers = { PLAIN_HELLO ENVELOPE DATA_OK "E" }, .outcomes = "D", .content = content };

	(void) unused;
	configure("");
	run_many(&c, 1);
	got = to = servers[0].content.at;
	for (char *from = got; *from != 0; from++) {		/* undo the dots */
		if (*from == '.' && (from == got || from[-1] == '\n'))
			continue;
		*to++ = *from;
	}
	*to = 0;
	if (strlen(got) == strlen(content) + 1)
		got[strlen(content)] = 0;			/* the line end that was missing */
	assert_string_equal(got, content);
	end_case();
	free(content);
}

static void test_a_server_may_refuse_halfway(void **unused)
{
	char *content = big_content(8000000);
	struct case_ refused = { .servers = { PLAIN_HELLO ENVELOPE "C DATA\nS 354 go\nS 552 5.3.4 that is too much\nP 50\nX" }, .content = content,
				 .outcomes = "B", .dsn = "5.3.4", .text = SAID("552 5.3.4 that is too much", "message content") };
	struct case_ gone = { .servers = { PLAIN_HELLO ENVELOPE "C DATA\nS 354 go\nP 50\nX" }, .content = content, .outcomes = "d", .site = true,
			      .dsn = "4.4.2", .text = LOST("sending message body") };

	(void) unused;
	configure("");
	run(&refused);
	run(&gone);
	free(content);
}

static void test_long_lines_are_broken_as_configured(void **unused)
{
	static const struct case_ c = {
		.servers = { HELLO ENVELOPE DATA_OK "E" }, .content = "Subject: 123456789 123456789\n\n123456789 123456789 1\n", .outcomes = "D" };

	(void) unused;
	configure("smtp_line_length_limit = 20");
	run_many(&c, 1);
	assert_str(buf_str(&servers[0].content), "Subject: 123456789 1\n 23456789\n\n123456789 123456789 \n 1\n");
	end_case();
	configure("smtp_line_length_limit = 0");
	run_many(&c, 1);
	assert_str(buf_str(&servers[0].content), c.content);
	end_case();
}

static void test_a_thousand_recipients_in_one_transaction(void **unused)
{
	AUTO(buf) to = BUF(100000);
	AUTO(buf) script = BUF(1000000);
	AUTO(buf) outcomes = BUF(2000);
	struct case_ c = { 0 };

	(void) unused;
	configure("");
	buf_add_text(&script, HELLO "C MAIL\nS 250 ok\n");
	for (int i = 0; i < 1000; i++) {
		buf_addf(&to, "user%d@example.net ", i);
		buf_addf(&script, "C RCPT TO:<user%d@example.net>\nS %s\n", i, i % 7 == 3 ? "550 5.1.1 no" : "250 2.1.5 Ok");
		buf_add_byte(&outcomes, i % 7 == 3 ? 'B' : 'D');
	}
	buf_add_text(&script, DATA_OK "E");
	c.servers[0] = buf_text(&script);
	c.to = buf_text(&to);
	c.outcomes = buf_text(&outcomes);
	run(&c);
}

static void test_those_who_were_one_too_many_get_another_transaction(void **unused)
{
	static const struct case_ c = {
		.servers = { HELLO "C MAIL\nS 250 ok\nC RCPT TO:<a@x>\nS 250 ok\nC RCPT TO:<b@x>\nS 250 ok\nC RCPT TO:<c@x>\nS 452 4.5.3 too many\n"
			     DATA_OK "C MAIL\nS 250 ok\nC RCPT TO:<c@x>\nS 250 ok\n" DATA_OK "E" },
		.to = "a@x b@x c@x", .outcomes = "DDD" };
	static const struct case_ full = {
		.servers = { HELLO "C MAIL\nS 250 ok\nC RCPT TO:<a@x>\nS 250 ok\nC RCPT TO:<b@x>\nS 552 5.2.2 mailbox full\n" DATA_OK "E" },
		.to = "a@x b@x", .outcomes = "DB" };

	(void) unused;
	configure("");
	run(&c);
	run(&full);
}

static void test_a_probe_stops_after_rcpt(void **unused)
{
	static const struct case_ good = {
		.servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 2.1.5 yes\nE" }, .deliver_flags = DELIVER_PROBE, .outcomes = "D", .text = "250 2.1.5 yes" };
	static const struct case_ bad = {
		.servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 550 5.1.1 no\nE" }, .deliver_flags = DELIVER_PROBE, .outcomes = "B" };

	(void) unused;
	configure("");
	run(&good);
	run(&bad);
}

/* ---- kept sessions ---- */

static void test_a_session_is_used_again(void **unused)
{
	static const struct case_ c = { .servers = { HELLO ENVELOPE DATA_OK ENVELOPE DATA_OK ENVELOPE DATA_OK "Q" }, .outcomes = "D" };

	(void) unused;
	configure("");
	run_many(&c, 3);
	assert_int_equal(last->conn_use, 3);
	assert_null(last->tls);
	end_case();
}

static void test_a_session_is_reset_after_a_transaction_that_came_to_nothing(void **unused)
{
	static const struct case_ c = {
		.servers = { PLAIN_HELLO "C MAIL\nS 250 ok\nC RCPT\nS 450 4.2.0 grey\nC RSET\nS 250 ok\nC MAIL\nS 250 ok\nC RCPT\nS 450 4.2.0 grey\nE" },
		.outcomes = "d" };

	(void) unused;
	configure("");
	run_many(&c, 2);
	cache_end_all();
	end_case();
}

static void test_a_kept_session_that_died_costs_nothing(void **unused)
{
	static const struct case_ closed = { .servers = { HELLO ENVELOPE DATA_OK "X\n" HELLO ENVELOPE DATA_OK "Q" }, .outcomes = "D" };
	static const struct case_ said_421 = { .servers = { HELLO ENVELOPE DATA_OK "S 421 4.4.2 idle too long\nX\n" HELLO ENVELOPE DATA_OK "Q" },
					       .outcomes = "D" };
	static const struct case_ slow_421 = { .servers = { HELLO ENVELOPE DATA_OK "C MAIL\nS 421 4.4.2 idle too long\nX\n" HELLO ENVELOPE DATA_OK "Q" },
					       .outcomes = "D" };

	(void) unused;
	configure("");
	run_many(&closed, 2);
	end_case();
	run_many(&said_421, 2);
	end_case();
	run_many(&slow_421, 2);
	end_case();
}

static void test_a_session_is_not_used_more_often_than_allowed(void **unused)
{
	static const struct case_ c = { .servers = { HELLO ENVELOPE DATA_OK ENVELOPE DATA_OK "Q\n" HELLO ENVELOPE DATA_OK "Q" }, .outcomes = "D" };

	(void) unused;
	configure("smtp_connection_reuse_count_limit = 2\n");
	run_many(&c, 3);
	end_case();
	configure("smtp_connection_cache_on_demand = no\n");
	{
		static const struct case_ off = { .servers = { HELLO ENVELOPE DATA_OK "Q\n" HELLO ENVELOPE DATA_OK "Q" }, .outcomes = "D" };

		run_many(&off, 2);
		end_case();
	}
	configure("smtp_connection_cache_on_demand = no\nsmtp_connection_cache_destinations = 127.0.0.1\n");
	{
		static const struct case_ listed = { .servers = { HELLO ENVELOPE DATA_OK ENVELOPE DATA_OK "Q" }, .outcomes = "D" };

		run_many(&listed, 2);
		end_case();
	}
}

/* ---- finding the way ---- */

static const struct zone_row ZONE[] = {
	{ "two.example", DNS_MX, DNS_OK, "20 mx2.example, 10 mx1.example" },
	{ "same.example", DNS_MX, DNS_OK, "10 mx1.example, 10 mx2.example" },
	{ "three.example", DNS_MX, DNS_OK, "10 mx1.example, 20 mx2.example, 30 mx3.example" },
	{ "mx1.example", DNS_A, DNS_OK, "127.0.0.1" },
	{ "mx2.example", DNS_A, DNS_OK, "127.0.0.2" },
	{ "mx3.example", DNS_A, DNS_OK, "127.0.0.3" },
	{ "nomx.example", DNS_A, DNS_OK, "127.0.0.1" },
	{ "null.example", DNS_MX, DNS_OK, "0 ." },
	{ "null.example", DNS_A, DNS_OK, "127.0.0.1" },
	{ "broken.example", DNS_MX, DNS_CANNOT_TELL, "" },
	{ "bogus.example", DNS_MX, DNS_BOGUS, "" },
	{ "dangling.example", DNS_MX, DNS_OK, "10 nowhere.example" },
	{ "maybe.example", DNS_MX, DNS_OK, "10 nowhere.example, 20 brokenhost.example" },
	{ "half.example", DNS_MX, DNS_OK, "10 nowhere.example, 20 brokenhost.example, 30 mx1.example" },
	{ "brokenhost.example", DNS_A, DNS_CANNOT_TELL, "" },
	{ "empty.example", DNS_TXT, DNS_OK, "" },
	{ NULL, 0, 0, NULL },
};

#define REFUSING "A\nS 421 4.3.2 mx busy\nE"
#define TAKES "" HELLO ENVELOPE DATA_OK "E"

static void test_exchangers_are_tried_in_order(void **unused)
{
	static const struct case_ first = { .servers = { TAKES, "" }, .nexthop = "two.example:%d", .outcomes = "D", .relay = "mx1.example[127.0.0.1]:%d" };
	static const struct case_ second = { .servers = { REFUSING, TAKES }, .nexthop = "two.example:%d", .outcomes = "D",
					     .relay = "mx2.example[127.0.0.2]:%d" };
	static const struct case_ no_mx = { .servers = { TAKES }, .nexthop = "nomx.example:%d", .outcomes = "D" };
	static const struct case_ host = { .servers = { TAKES }, .nexthop = "[mx1.example]:%d", .outcomes = "D" };
	static const struct case_ half = { .servers = { TAKES }, .nexthop = "half.example:%d", .outcomes = "D" };
	static const struct case_ several = { .servers = { REFUSING, TAKES }, .nexthop = "[mx1.example]:%d, [127.0.0.2]:%d", .outcomes = "D" };
	static const struct case_ soft = {
		.servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC RCPT\nS 450 4.2.0 grey\nC RCPT\nS 550 5.1.1 no\n" DATA_OK "E",
			     HELLO "C MAIL\nS 250 ok\nC RCPT TO:<c@x>\nS 250 ok\n" DATA_OK "E" },
		.nexthop = "two.example:%d", .to = "b@x c@x d@x", .outcomes = "DDB" };
	static const struct case_ hard = { .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 550 5.1.1 no\nC DATA\nS 554 no\nE", "" },
					   .nexthop = "two.example:%d", .outcomes = "B" };

	(void) unused;
	configure("");
	zone = ZONE;
	run(&first);
	run(&second);
	run(&no_mx);
	run(&host);
	run(&half);
	run(&several);
	run(&soft);
	run(&hard);
}

static void test_no_more_sessions_and_addresses_than_allowed(void **unused)
{
	static const struct case_ sessions = { .servers = { REFUSING, REFUSING, "" }, .nexthop = "three.example:%d", .outcomes = "d", .site = true,
					       .relay = "mx2.example[127.0.0.2]:%d" };
	static const struct case_ addresses = { .servers = { REFUSING, "", "" }, .nexthop = "three.example:%d", .outcomes = "d", .site = true,
						.relay = "mx1.example[127.0.0.1]:%d" };

	(void) unused;
	configure("");
	zone = ZONE;
	run(&sessions);
	configure("smtp_mx_address_limit = 1");
	zone = ZONE;
	run(&addresses);
}

static void test_what_dns_says_decides(void **unused)
{
	static const struct case_ cases[] = {
		{ .nexthop = "gone.example", .outcomes = "B", .dsn = "5.4.4", .relay = "none",
		  .text = "Host or domain name not found. Name service error for name=gone.example type=MX: Host not found" },
		{ .nexthop = "[gone.example]", .outcomes = "B", .dsn = "5.4.4",
		  .text = "Host or domain name not found. Name service error for name=gone.example type=A: Host not found" },
		{ .nexthop = "empty.example", .outcomes = "B", .dsn = "5.4.4" },
		{ .nexthop = "null.example", .outcomes = "B", .dsn = "5.1.0", .text = "Domain null.example does not accept mail (nullMX)" },
		{ .nexthop = "broken.example", .outcomes = "d", .dsn = "4.4.3", .site = true,
		  .text = "Host or domain name not found. Name service error for name=broken.example type=MX: Host not found, try again" },
		{ .nexthop = "bogus.example", .outcomes = "d", .dsn = "4.4.3", .site = true },
		{ .nexthop = "dangling.example", .outcomes = "B", .dsn = "5.4.4" },
		{ .nexthop = "maybe.example", .outcomes = "d", .dsn = "4.4.3", .site = true },
		{ .nexthop = "a:b:c", .outcomes = "d", .dsn = "4.3.5", .site = true },
		{ .nexthop = "", .outcomes = "d", .dsn = "4.3.5", .site = true },
		{ .nexthop = "[127.0.0.1]:1", .outcomes = "d", .dsn = "4.4.1", .site = true, .relay = "none",
		  .text = "connect to 127.0.0.1[127.0.0.1]:1: Connection refused" },
		{ .nexthop = "[IPv6:::1]:1", .outcomes = "d", .dsn = "4.4.1", .site = true },
	};

	(void) unused;
	configure("");
	zone = ZONE;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		run(&cases[i]);
	configure("smtp_defer_if_no_mx_address_found = yes");
	zone = ZONE;
	{
		static const struct case_ c = { .nexthop = "dangling.example", .outcomes = "d", .dsn = "4.4.4", .site = true };

		run(&c);
	}
}

static void test_a_fallback_relay_takes_what_cannot_be_reached(void **unused)
{
	static const struct case_ gone = { .servers = { "", TAKES }, .nexthop = "gone.example", .outcomes = "D", .relay = "127.0.0.2[127.0.0.2]:%d" };
	static const struct case_ busy = { .servers = { REFUSING, TAKES }, .nexthop = "[127.0.0.1]:%d", .outcomes = "D" };
	static const struct case_ refused = { .servers = { HELLO "C MAIL\nS 250 ok\nC RCPT\nS 550 5.1.1 no\nC DATA\nS 554 no\nE", "" },
					      .nexthop = "[127.0.0.1]:%d", .outcomes = "B" };
	static const struct case_ all_down = { .servers = { REFUSING, REFUSING }, .nexthop = "[127.0.0.1]:%d", .outcomes = "d", .site = true,
					       .relay = "127.0.0.2[127.0.0.2]:%d" };
	static const struct case_ *const cases[] = { &gone, &busy, &refused, &all_down };

	(void) unused;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		configure("smtp_fallback_relay = [127.0.0.2]");		/* the default port is the servers' */
		zone = ZONE;
		run(cases[i]);
	}
}

static void test_mail_does_not_loop_back_to_us(void **unused)
{
	static struct own_address at = { .prefix = 32 };
	static const struct own_addresses own = { .at = &at, .len = 1 };
	static const struct case_ best = { .servers = { "" }, .nexthop = "two.example", .outcomes = "B", .dsn = "5.4.6",
					   .text = "mail for two.example loops back to myself" };
	static const struct case_ equal = { .servers = { "", "" }, .nexthop = "same.example", .outcomes = "B", .dsn = "5.4.6" };
	static const struct case_ better = { .servers = { REFUSING, "", "" }, .nexthop = "three.example", .outcomes = "d", .site = true,
					     .relay = "mx1.example[127.0.0.1]:%d" };
	static const struct case_ other_port = { .servers = { TAKES }, .nexthop = "[127.0.0.1]:%d", .outcomes = "D" };
	static const struct case_ greeted = { .servers = { "A\nS 220 hi\nC EHLO\nS 250 client.example\nQ" }, .nexthop = "[mx1.example]", .outcomes = "B",
					      .dsn = "5.4.6" };

	(void) unused;
	configure("");
	zone = ZONE;
	the_client.own = &own;
	ip_parse(STR("127.0.0.1"), &at.ip);
	run(&best);
	run(&equal);
	run(&other_port);
	ip_parse(STR("127.0.0.2"), &at.ip);
	run(&better);
	run(&greeted);
}

static void test_families_are_preferred_and_balanced(void **unused)
{
	static const struct zone_row mixed[] = {
		{ "mixed.example", DNS_A, DNS_OK, "127.0.0.1, 127.0.0.2, 127.0.0.3, ::1" },
		{ NULL, 0, 0, NULL },
	};
	static const struct { const char *conf; bool v4, v6; const char *order; } cases[] = {
		{ "smtp_mx_address_limit = 5", true, false, "4446" },
		{ "smtp_mx_address_limit = 5", false, true, "6444" },
		{ "smtp_mx_address_limit = 2", true, false, "46" },
		{ "smtp_mx_address_limit = 2\nsmtp_balance_inet_protocols = no", true, false, "44" },
		{ "smtp_mx_address_limit = 1", true, false, "4" },
		{ "smtp_mx_address_limit = 0", true, false, "4446" },
	};
	static const struct destination to = { .host = STR_INIT("mixed.example"), .port = 25 };

	(void) unused;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct delivery d = { .arena = arena_new("t", NULL, 1 << 20) };
		struct job job = { .d = &d, .arena = d.arena };
		struct candidates list = { 0 };
		struct trouble why;
		char order[10] = "";

		configure(cases[i].conf);
		zone = mixed;
		the_client.ipv4_first = cases[i].v4;
		the_client.ipv6_first = cases[i].v6;
		assert_true(candidates_find(&job, &to, &list, &why));
		for (size_t k = 0; k < list.len; k++)
			order[k] = list.at[k].ip.family == AF_INET ? '4' : '6';
		assert_string_equal(order, cases[i].order);
		arena_free(d.arena);
	}
	the_client.ipv4_first = the_client.ipv6_first = false;
}

/* ---- being cancelled, and not getting through ---- */

static void deliver_last(void *unused)
{
	(void) unused;
	smtp_deliver(last);
}

static void cancel_in_the_middle(void *unused)
{
	static const struct case_ c = { .nexthop = "[127.0.0.1]:%d" };
	struct scope *serving = scope_open("server"), *delivering = scope_open("delivery");

	(void) unused;
	fake_listen(&servers[0], "127.0.0.1", 0, HELLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nD\nE");
	port = servers[0].at.port;
	last = make_delivery(&c);
	scope_start(serving, "server", fake_run, &servers[0]);
	scope_start(delivering, "delivery", deliver_last, NULL);
	for (int i = 0; i < 1000 && servers[0].content.len == 0; i++)
		co_sleep(in(5));
	scope_close(delivering);
	assert_int_equal(last->outcomes[0].status, OUTCOME_PENDING);	/* nobody is there to hear of it, so nothing is logged */
	assert_int_equal(scope_wait(serving, in(5000)), 0);
	assert_string_equal(servers[0].complaint, "");
	scope_close(serving);
	free_delivery(last);
	fake_end(&servers[0]);
	loop_stop();
}

static void test_a_cancelled_delivery_hangs_up_and_reports_nothing(void **unused)
{
	(void) unused;
	configure("");
	alarm(30);
	assert_int_equal(loop_run(cancel_in_the_middle, NULL), 0);
	alarm(0);
}

static void test_a_host_that_does_not_answer_is_given_up(void **unused)
{
	struct case_ c = { .outcomes = "d", .dsn = "4.4.1", .relay = "none", .site = true };
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct address_ip at;
	int listener, fillers[8];
	char nexthop[50], text[100];

	(void) unused;
	configure("");
	the_client.conf.smtp_connect_timeout = 200;
	ip_parse(STR("127.0.0.1"), &at);
	listener = listen_tcp(&at, 0);			/* its backlog is full at once, and then it drops what comes */
	getsockname(listener, (struct sockaddr *) &sa, &len);
	ip_from_sockaddr((struct sockaddr *) &sa, &at);
	for (size_t i = 0; i < COUNT_OF(fillers); i++)
		fillers[i] = connect_tcp(&at, NULL, in(50));
	snprintf(nexthop, sizeof(nexthop), "[127.0.0.1]:%u", at.port);
	snprintf(text, sizeof(text), "connect to 127.0.0.1[127.0.0.1]:%u: Connection timed out", at.port);
	c.nexthop = nexthop;
	c.text = text;
	run(&c);
	for (size_t i = 0; i < COUNT_OF(fillers); i++)
		if (fillers[i] >= 0)
			close(fillers[i]);
	close(listener);
}

/* ---- LMTP ---- */

#define LHLO "A\nS 220 lmtp\nC LHLO client.example\nS 250-mx\nS 250 PIPELINING\n"

static void test_lmtp_has_an_answer_for_every_recipient(void **unused)
{
	static const struct case_ c = {
		.servers = { LHLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC RCPT\nS 550 5.1.1 no\nC RCPT\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nD\n"
			     "S 250 2.0.0 <a> saved\nS 452 4.2.2 <c> full\nS 554 5.2.0 <d> no\nE" },
		.nexthop = "inet:127.0.0.1:%d", .to = "a@x b@x c@x d@x", .outcomes = "DBdB", .text = "250 2.0.0 <a> saved" };
	static const struct case_ lost = {
		.servers = { LHLO "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nD\nS 250 2.0.0 saved\nX" },
		.nexthop = "[127.0.0.1]:%d", .to = "a@x b@x", .outcomes = "Dd", .site = true };
	static const struct case_ no_lhlo = { .servers = { "A\nS 220 lmtp\nC LHLO\nS 500 no\nC QUIT\nS 221 bye\nE" }, .outcomes = "B" };

	(void) unused;
	the_client.lmtp = true;
	configure("");
	run(&c);
	configure("");
	run(&lost);
	run(&no_lhlo);
	the_client.lmtp = false;
}

static void test_lmtp_over_a_unix_socket(void **unused)
{
	char nexthop[200], path[100], relay[200];
	struct case_ c = { .servers = { "" }, .nexthop = nexthop, .outcomes = "D", .relay = relay };
	struct case_ gone = { .nexthop = "unix:/nonexistent/lmtp", .outcomes = "d", .dsn = "4.4.1", .site = true,
			      .text = "connect to client.example[/nonexistent/lmtp]: No such file or directory" };
	int listener;

	(void) unused;
	the_client.lmtp = true;
	configure("lmtp_skip_quit_response = yes");
	run(&gone);
	snprintf(path, sizeof(path), "%s/lmtp", directory);
	snprintf(nexthop, sizeof(nexthop), "unix:%s", path);
	snprintf(relay, sizeof(relay), "client.example[%s]", path);
	listener = listen_unix(path, 0600, 5);
	assert_true(listener >= 0);
	unix_listener = listener;
	c.servers[0] = LHLO ENVELOPE "C DATA\nS 354 go\nD\nS 250 2.0.0 saved\nE";
	run(&c);
	unix_listener = -1;
	unlink(path);
	the_client.lmtp = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_message_is_delivered),
		cmocka_unit_test(test_without_pipelining_each_command_waits),
		cmocka_unit_test(test_helo_where_ehlo_is_not_known),
		cmocka_unit_test(test_size_body_and_null_sender),
		cmocka_unit_test(test_dsn_parameters_go_on),
		cmocka_unit_test(test_odd_addresses_are_quoted),
		cmocka_unit_test(test_every_refusal_has_its_verdict),
		cmocka_unit_test(test_every_recipient_has_a_verdict_of_its_own),
		cmocka_unit_test(test_a_lost_connection_defers_at_every_stage),
		cmocka_unit_test(test_silence_defers_at_every_stage),
		cmocka_unit_test(test_an_end_in_the_middle_spares_those_who_had_an_answer),
		cmocka_unit_test(test_nonsense_is_a_deferral_and_never_a_bounce),
		cmocka_unit_test(test_a_message_beyond_the_servers_size_is_not_even_offered),
		cmocka_unit_test(test_smtputf8_is_asked_for_where_needed),
		cmocka_unit_test(test_8bit_content_is_converted_for_a_server_without_8bitmime),
		cmocka_unit_test(test_keywords_can_be_overlooked),
		cmocka_unit_test(test_a_big_message_arrives_byte_for_byte),
		cmocka_unit_test(test_a_server_may_refuse_halfway),
		cmocka_unit_test(test_long_lines_are_broken_as_configured),
		cmocka_unit_test(test_a_thousand_recipients_in_one_transaction),
		cmocka_unit_test(test_those_who_were_one_too_many_get_another_transaction),
		cmocka_unit_test(test_a_probe_stops_after_rcpt),
		cmocka_unit_test(test_a_session_is_used_again),
		cmocka_unit_test(test_a_session_is_reset_after_a_transaction_that_came_to_nothing),
		cmocka_unit_test(test_a_kept_session_that_died_costs_nothing),
		cmocka_unit_test(test_a_session_is_not_used_more_often_than_allowed),
		cmocka_unit_test(test_exchangers_are_tried_in_order),
		cmocka_unit_test(test_no_more_sessions_and_addresses_than_allowed),
		cmocka_unit_test(test_what_dns_says_decides),
		cmocka_unit_test(test_a_fallback_relay_takes_what_cannot_be_reached),
		cmocka_unit_test(test_mail_does_not_loop_back_to_us),
		cmocka_unit_test(test_families_are_preferred_and_balanced),
		cmocka_unit_test(test_a_cancelled_delivery_hangs_up_and_reports_nothing),
		cmocka_unit_test(test_a_host_that_does_not_answer_is_given_up),
		cmocka_unit_test(test_lmtp_has_an_answer_for_every_recipient),
		cmocka_unit_test(test_lmtp_over_a_unix_socket),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
