/* SPDX-License-Identifier: ISC */
/*
 * An agent played against the skeleton: requests over a socket, what it reports, what is logged, how it
 * leaves.
 */
#include "tests/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/agent/agent.h"
#include "lib/base/clock.h"
#include "lib/ipc/channel.h"

static const char file_content[] = "HEAD....body line\nmore\nSubject: x\nTo: y\n";
static const struct queue_parts parts = {
	.headers_at = 23, .headers_len = 17, .body_at = 8, .body_len = 15, .size = 17 + 1 + 15
};

struct scene {
	struct agent agent;
	struct agent_conf conf;
	struct channel *ch;		/* the queue manager's end */
	int agents_end, managers_end;
	struct scope *scope;
	bool over;
	void (*play)(struct scene *s);
	struct bell release;
	bool released;
};

static struct scene *the_scene;

static int message_file(void)
{
	int fd = memfd_create("message", MFD_CLOEXEC);

	assert_int_equal(write(fd, file_content, sizeof(file_content) - 1), sizeof(file_content) - 1);
	return fd;
}

static void send_request(struct scene *s, uint32_t call, const char *nexthop, const char *const *recipients,
			 size_t n)
{
	struct recipient to[10];
	struct envelope e = {
		.sender = STR("s@example.org"), .arrival_us = 1000000, .recipients = to, .recipient_count = n
	};
	AUTO(buf) packed = BUF(10000);
	struct deliver_request m = { .queue_id = STR("4jXBBBBBBBBz00HbYb"),
				     .transport = STR("test"),
				     .nexthop = str_of(nexthop),
				     .active_us = 1150000,
				     .dispatch_us = 1160000,
				     .size = parts.size,
				     .headers_at = parts.headers_at,
				     .headers_len = parts.headers_len,
				     .body_at = parts.body_at,
				     .body_len = parts.body_len,
				     .message = message_file() };
	struct frame_out out;

	for (size_t i = 0; i < n; i++)
		to[i] = (struct recipient){ .index = (uint32_t) i + 3, .address = str_of(recipients[i]) };
	assert_int_equal(envelope_pack(&e, &packed), 0);
	m.envelope = buf_str(&packed);
	assert_true(put_deliver_request(channel_buf(s->ch), call, &m, &out) >= 0);
	assert_int_equal(channel_send(s->ch, &out), 0);
}

static void serve_agent(void *arg)
{
	struct scene *s = arg;
	struct session_socket socket = { .fd = s->agents_end };

	agent_serve(&socket);
	s->over = true;
}

static void run_scene(void *arg)
{
	struct scene *s = arg;

	s->scope = scope_open("scene");
	bell_init(&s->release);
	scope_start(s->scope, "agent", serve_agent, s);
	s->play(s);
	channel_free(s->ch);
	scope_close(s->scope);
	loop_stop();
}

static void play(void (*deliver)(struct delivery *d), void (*how)(struct scene *s))
{
	struct scene s = { .agent = { .daemon = { .name = "test" }, .deliver = deliver },
			   .conf = { .delay_logging_resolution_limit = 2 },
			   .play = how };
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	s.managers_end = pair[0];
	s.ch = channel_new(pair[0]);
	s.agents_end = pair[1];
	the_scene = &s;
	agent_use(&s.agent, &s.conf);
	alarm(60);
	assert_int_equal(loop_run(run_scene, &s), 0);
	alarm(0);
}

/* The next reply: its outcomes as "index:status:dsn:text;", whatever order. Valid until the next. */
static struct str reply_text(struct scene *s, struct buf *b, uint32_t *ret_call, struct deliver_reply *ret)
{
	struct frame f;
	struct outcome o;
	struct str rest;

	assert_int_equal(channel_receive(s->ch, &f, in(10000)), 1);
	assert_str(f.message, "deliver_reply");
	assert_true(get_deliver_reply(&f, ret, NULL) >= 0);
	*ret_call = f.call;
	buf_clear(b);
	rest = ret->outcomes;
	while (outcome_unpack(&rest, &o) > 0)
		buf_addf(b, "%u:%.*s:%.*s:%.*s;", o.index, PSTR(outcome_status_text(o.status)), PSTR(o.dsn),
			 PSTR(o.text));
	return buf_str(b);
}

/* ---- outcomes ---- */

static void deliver_by_name(struct delivery *d)
{
	const struct result how = { .dsn = "2.1.9", .relay = STR("host[192.0.2.1]:25") };

	EACH_RECIPIENT(r, d) {
		if (str_starts(r->address, STR("ok")))
			delivered(d, r, &how, "fine %d", 1);
		else if (str_starts(r->address, STR("defer")))
			deferred(d, r, &how, "not now");
		else if (str_starts(r->address, STR("bounce")))
			bounced(d, r, &how, "never");
		else if (str_starts(r->address, STR("relayed")))
			relayed(d, r, &how, "handed on");
		else if (str_starts(r->address, STR("alias")))
			expanded(d, r, &how, "others");
		else if (str_starts(r->address, STR("told")))
			bounced_and_told(d, r, &how, "never, he knows");
	}
}

static const char *const everybody[] = {
	"ok@x", "defer@x", "bounce@x", "relayed@x", "alias@x", "forgotten@x", "told@x"
};

static void play_outcomes(struct scene *s)
{
	AUTO(buf) b = BUF(10000);
	struct deliver_reply rep;
	uint32_t call;

	send_request(s, 77, "x", everybody, COUNT_OF(everybody));
	assert_str(reply_text(s, &b, &call, &rep),
		   "3:delivered:2.1.9:fine 1;4:deferred:4.1.9:not now;5:bounced:5.1.9:never;"
		   "6:relayed:2.1.9:handed on;7:expanded:2.1.9:others;"
		   "8:deferred:4.3.0:delivery agent ended without a verdict;"
		   "9:handed_on:5.1.9:never, he knows;");
	assert_int_equal(call, 77);
	assert_int_equal(rep.site_dsn.len, 0);
}

static void each_recipient_has_one_outcome_with_a_code_that_fits(void **state)
{
	(void) state;
	play(deliver_by_name, play_outcomes);
}

static void play_soft_bounce(struct scene *s)
{
	AUTO(buf) b = BUF(10000);
	struct deliver_reply rep;
	uint32_t call;

	s->conf.soft_bounce = true;
	send_request(s, 1, "x", everybody + 2, 1);
	assert_str(reply_text(s, &b, &call, &rep), "3:deferred:4.1.9:never;");
}

static void soft_bounce_makes_a_deferral_of_a_bounce(void **state)
{
	(void) state;
	play(deliver_by_name, play_soft_bounce);
}

static void deliver_to_nobody(struct delivery *d)
{
	delivered(d, d->env.recipients, &(struct result){ .dsn = "2.0.0" }, "this one went");
	site_failed(d, &(struct result){ .dsn = "4.4.1" }, "connect to %s: refused", "x");
}

static void play_site_failure(struct scene *s)
{
	AUTO(buf) b = BUF(10000);
	struct deliver_reply rep;
	uint32_t call;

	send_request(s, 1, "x", everybody, 2);
	assert_str(reply_text(s, &b, &call, &rep),
		   "3:delivered:2.0.0:this one went;4:deferred:4.4.1:connect to x: refused;");
	assert_str(rep.site_dsn, "4.4.1");
	assert_str(rep.site_reason, "connect to x: refused");
}

static void a_failed_site_defers_who_is_left_and_is_reported(void **state)
{
	(void) state;
	play(deliver_to_nobody, play_site_failure);
}

/* ---- content ---- */

static void deliver_content(struct delivery *d)
{
	AUTO(buf) whole = BUF(1000);
	char piece[40];
	size_t step = (size_t) (d->nexthop.at[0] - '0');
	ssize_t n;

	assert_true(step <= sizeof(piece));
	for (uint64_t at = 0; (n = content_pread(&d->content, at, piece, step)) > 0; at += (uint64_t) n)
		buf_add(&whole, str_make(piece, (size_t) n));
	assert_int_equal(n, 0);
	assert_str(buf_str(&whole), "Subject: x\nTo: y\n\nbody line\nmore\n");
	d->content.parts.body_len = 1000;	/* more than there is */
	d->content.parts.size = d->content.parts.headers_len + 1 + 1000;
	assert_int_equal(content_pread(&d->content, parts.headers_len + 1 + 20, piece, 40), -EIO);
	delivered(d, d->env.recipients, &(struct result){ .dsn = "2.0.0" }, "read");
}

static void play_content(struct scene *s)
{
	static const char *const steps[] = { "1", "2", "3", "7", "9" };
	AUTO(buf) b = BUF(1000);
	struct deliver_reply rep;
	uint32_t call;

	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		send_request(s, 1, steps[i], everybody, 1);
		assert_str(reply_text(s, &b, &call, &rep), "3:delivered:2.0.0:read;");
	}
}

static void content_is_headers_an_empty_line_and_the_body_in_pieces_of_any_size(void **state)
{
	(void) state;
	play(deliver_content, play_content);
}

/* ---- many at once, and leaving ---- */

static void deliver_when_released(struct delivery *d)
{
	struct scene *s = the_scene;

	while (str_is(d->nexthop, STR("slow")) && !s->released)
		if (bell_wait(&s->release, NEVER) < 0)
			return;
	delivered(d, d->env.recipients, &(struct result){ .dsn = "2.0.0" }, "%.*s", PSTR(d->nexthop));
}

static void play_overtaking(struct scene *s)
{
	AUTO(buf) b = BUF(1000);
	struct deliver_reply rep;
	uint32_t call;

	send_request(s, 1, "slow", everybody, 1);
	send_request(s, 2, "quick", everybody, 1);
	assert_str(reply_text(s, &b, &call, &rep), "3:delivered:2.0.0:quick;");
	assert_int_equal(call, 2);
	s->released = true;
	bell_ring(&s->release);
	assert_str(reply_text(s, &b, &call, &rep), "3:delivered:2.0.0:slow;");
	assert_int_equal(call, 1);
}

static void deliveries_do_not_wait_for_each_other(void **state)
{
	(void) state;
	play(deliver_when_released, play_overtaking);
}

static void play_ping(struct scene *s)
{
	struct agent_ping m = {};
	struct frame_out out;
	struct frame f;
	AUTO(buf) b = BUF(1000);
	struct deliver_reply rep;
	uint32_t call;

	send_request(s, 1, "slow", everybody, 1);
	assert_int_equal(put_agent_ping(channel_buf(s->ch), 0, &m, &out), 0);
	assert_int_equal(channel_send(s->ch, &out), 0);
	assert_int_equal(channel_receive(s->ch, &f, in(10000)), 1);
	assert_str(f.message, "agent_ping");
	s->released = true;
	bell_ring(&s->release);
	assert_str(reply_text(s, &b, &call, &rep), "3:delivered:2.0.0:slow;");
}

static void an_agent_answers_a_ping_while_deliveries_wait(void **state)
{
	(void) state;
	play(deliver_when_released, play_ping);
}

static void play_leaving(struct scene *s)
{
	AUTO(buf) b = BUF(1000);
	struct deliver_reply rep;
	struct frame f;
	uint32_t call;

	send_request(s, 1, "slow", everybody, 1);
	co_sleep(in(20));
	agent_wind_down();
	s->released = true;
	bell_ring(&s->release);
	assert_str(reply_text(s, &b, &call, &rep), "3:delivered:2.0.0:slow;");
	assert_int_equal(channel_receive(s->ch, &f, in(10000)), 1);
	assert_str(f.message, "agent_goodbye");
	assert_int_equal(channel_receive(s->ch, &f, in(10000)), 0);
}

static void an_agent_that_leaves_finishes_what_it_has_and_says_goodbye(void **state)
{
	(void) state;
	play(deliver_when_released, play_leaving);
}

/* Much is on its way to it; it stops reading in the middle of a request. */
static void play_leaving_in_the_middle(struct scene *s)
{
	struct agent_ping m = {};
	struct frame_out out;
	AUTO(buf) torn = BUF(1000);
	AUTO(buf) b = BUF(1000);
	struct deliver_reply rep;
	struct frame f;
	uint32_t call;

	send_request(s, 1, "slow", everybody, 1);
	co_sleep(in(20));
	assert_int_equal(put_agent_ping(&torn, 0, &m, &out), 0);
	assert_int_equal(write(s->managers_end, torn.at, torn.len - 1), torn.len - 1);
	agent_wind_down();
	co_sleep(in(20));
	s->released = true;
	bell_ring(&s->release);
	assert_str(reply_text(s, &b, &call, &rep), "3:delivered:2.0.0:slow;");
	assert_int_equal(channel_receive(s->ch, &f, in(10000)), 1);
	assert_str(f.message, "agent_goodbye");
}

static void an_agent_that_leaves_while_a_request_arrives_finishes_what_it_has(void **state)
{
	(void) state;
	play(deliver_when_released, play_leaving_in_the_middle);
}

static void play_manager_gone(struct scene *s)
{
	send_request(s, 1, "slow", everybody, 1);
	co_sleep(in(20));
	channel_free(s->ch);
	s->ch = NULL;
	for (int i = 0; i < 1000 && !s->over; i++)
		co_sleep(in(1));
	assert_true(s->over);
}

static void without_the_queue_manager_deliveries_are_broken_off(void **state)
{
	(void) state;
	play(deliver_when_released, play_manager_gone);
}

static void play_nonsense(struct scene *s)
{
	struct deliver_request m = { .queue_id = STR("../../etc/passwd"),
				     .transport = STR("x"),
				     .envelope = STR("to\tgarbage"),
				     .message = -1 };
	struct frame_out out;
	struct frame f;

	assert_true(put_deliver_request(channel_buf(s->ch), 1, &m, &out) >= 0);
	assert_int_equal(channel_send(s->ch, &out), 0);
	assert_true(channel_receive(s->ch, &f, in(10000)) <= 0);
	assert_true(s->over);
}

static void nonsense_ends_the_connection(void **state)
{
	(void) state;
	play(deliver_by_name, play_nonsense);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_recipient_has_one_outcome_with_a_code_that_fits),
		cmocka_unit_test(soft_bounce_makes_a_deferral_of_a_bounce),
		cmocka_unit_test(a_failed_site_defers_who_is_left_and_is_reported),
		cmocka_unit_test(content_is_headers_an_empty_line_and_the_body_in_pieces_of_any_size),
		cmocka_unit_test(deliveries_do_not_wait_for_each_other),
		cmocka_unit_test(an_agent_answers_a_ping_while_deliveries_wait),
		cmocka_unit_test(an_agent_that_leaves_finishes_what_it_has_and_says_goodbye),
		cmocka_unit_test(an_agent_that_leaves_while_a_request_arrives_finishes_what_it_has),
		cmocka_unit_test(without_the_queue_manager_deliveries_are_broken_off),
		cmocka_unit_test(nonsense_ends_the_connection),
	};

	return cmocka_run_group_tests_name("agent", tests, NULL, NULL);
}
