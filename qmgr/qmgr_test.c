/* SPDX-License-Identifier: ISC */
/*
 * The queue manager on a scratch queue, with agents and a bounce service played by coroutines of the test. What an agent does with a recipient
 * is what the recipient's local part says: ok, defer, bounce, site, die, hang.
 */
#include "tests/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/io/net.h"
#include "lib/log/log.h"
#include "qmgr/qmgr.h"

/* ---- routing, simplified: the domain is the next hop, "local" domains go to local ---- */

static bool resolver_works = true;

int resolve_address(struct route *r, struct arena *a, struct str sender, struct str recipient, struct resolution *ret)
{
	struct str domain = str_skip(recipient, (size_t) (str_find_last(recipient, '@') + 1));

	(void) r, (void) a, (void) sender;
	if (!resolver_works)
		return -EAGAIN;
	*ret = (struct resolution){ .class = CLASS_OTHER, .transport = STR("smtp"), .nexthop = domain, .recipient = recipient };
	if (str_is(domain, STR("local"))) {
		ret->class = CLASS_LOCAL;
		ret->transport = STR("local");
	}
	return 0;
}

const char *route_why(const struct route *r)
{
	(void) r;
	return "the test says so";
}

/* ---- the scene ---- */

struct scene {
	char path[64];
	int dir, log_fd;
	struct conf *raw;
	struct common_conf common;
	struct qmgr_conf conf;
	struct qmgr q;
	struct scope *players;
	struct buf deliveries;		/* "smtp ok@x,defer@x;" */
	struct buf notices;		/* "failure 5.1.1;" */
	int connections;
	int bounce_code;
	int64_t age_us;			/* of new messages */
	bool leave_after_reply;		/* the agent says goodbye after its next reply */
	struct bell release;		/* hanging deliveries go on */
	bool hanging_released;
	void (*play)(struct scene *s);
};

static struct scene *the_scene;

static void write_file(struct scene *s, const char *name, const char *text)
{
	AUTO_FD fd = openat(s->dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void open_queue(struct scene *s)
{
	AUTO(buf) why = BUF_WORDS;

	if (queue_open(s->dir, 1, (1u << QUEUE_COUNT) - 1, &s->q.queue, &why) < 0)
		fail_msg("%s", buf_text(&why));
}

static void configure(struct scene *s, const char *main_cf)
{
	AUTO(buf) why = BUF_WORDS;

	write_file(s, "main.cf", main_cf);
	write_file(s, "master.cf", "smtp unix - - n - 10 smtp\nlocal unix - n n - - local\nretry unix - - n - - error\n");
	if (conf_load(s->path, &s->raw, &why) < 0 || conf_fill(s->raw, &common_group, &s->common, &why) < 0
	    || conf_fill(s->raw, &qmgr_group, &s->conf, &why) < 0 || master_cf_load(s->raw, s->q.arena, &s->q.services, &why) < 0)
		fail_msg("%s", buf_text(&why));
}

static const char plain_main[] = "myhostname = test.example\nmydomain = example\nworker_processes = 1\nmaximal_backoff_time = 4000s\n";

static int setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));

	snprintf(s->path, sizeof(s->path), "/tmp/qmgr-test-XXXXXX");
	assert_non_null(mkdtemp(s->path));
	assert_int_equal(chdir(s->path), 0);
	s->dir = open(".", O_DIRECTORY | O_RDONLY);
	for (int i = 0; i < QUEUE_COUNT; i++)
		assert_int_equal(mkdirat(s->dir, queue_name_text((enum queue_name) i), 0700), 0);
	assert_int_equal(mkdirat(s->dir, "private", 0700), 0);
	s->q.arena = arena_new("test", NULL, 64 << 20);
	s->deliveries = BUF(1 << 20);
	s->notices = BUF(1 << 20);
	bell_init(&s->release);
	open_queue(s);
	configure(s, plain_main);
	s->log_fd = dup(STDERR_FILENO);
	the_scene = s;
	resolver_works = true;
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct scene *s = *state;
	pid_t child = fork();

	clock_set_for_test(-1, -1);
	if (child == 0) {
		execlp("rm", "rm", "-rf", s->path, (char *) NULL);
		_exit(1);
	}
	waitpid(child, NULL, 0);
	buf_free(&s->deliveries);
	buf_free(&s->notices);
	queue_close(s->q.queue);
	arena_free(s->q.arena);
	conf_free(s->raw);
	close(s->dir);
	free(s);
	return 0;
}

/* ---- agents ---- */

struct player {
	struct channel *ch;
	const char *name;
	int fd;
	bool leaving;
};

static void say_outcome(struct buf *packed, const struct recipient *r, struct str word, struct deliver_reply *rep)
{
	struct outcome o = { .index = r->index, .status = OUTCOME_DELIVERED, .dsn = STR("2.0.0"), .relay = STR("none"), .text = STR("fine"),
			     .at_us = wall_us() };

	if (str_is(word, STR("defer")) || str_is(word, STR("site"))) {
		o.status = OUTCOME_DEFERRED;
		o.dsn = STR("4.2.0");
		o.text = STR("not now");
	} else if (str_is(word, STR("bounce"))) {
		o.status = OUTCOME_BOUNCED;
		o.dsn = STR("5.1.1");
		o.text = STR("nobody here");
	}
	if (str_is(word, STR("site"))) {
		rep->site_dsn = STR("4.4.1");
		rep->site_reason = STR("connection refused");
	}
	outcome_pack(&o, packed);
}

static struct str word_of(const struct recipient *r)
{
	return str_head(r->address, (size_t) str_find(r->address, '@'));
}

/* < 0: the agent dies. */
static int play_delivery(struct player *p, struct frame *f)
{
	struct scene *s = the_scene;
	struct arena *a = arena_new("request", NULL, 1 << 20);
	AUTO(buf) packed = BUF(1 << 20);
	AUTO(buf) why = BUF_WORDS;
	struct deliver_request m;
	struct deliver_reply rep = { 0 };
	struct frame_out out;
	struct envelope e;
	int r = 0;

	if (get_deliver_request(f, &m, &why) < 0 || envelope_unpack(arena_copy(a, m.envelope), a, &e) < 0)
		fail_msg("malformed request: %s", buf_text(&why));
	assert_true(m.message >= 0);
	close(m.message);
	buf_addf(&s->deliveries, "%s", p->name);
	for (size_t i = 0; i < e.recipient_count; i++) {
		struct str word = word_of(&e.recipients[i]);

		buf_addf(&s->deliveries, "%c%.*s", i == 0 ? ' ' : ',', PSTR(e.recipients[i].address));
		if (str_is(word, STR("die")))
			r = -EPIPE;
		if (str_is(p->name[0] == 'r' ? STR("retry") : STR(""), STR("retry")))
			word = STR("defer");
		say_outcome(&packed, &e.recipients[i], word, &rep);
		while (str_is(word, STR("hang")) && !s->hanging_released && bell_wait(&s->release, NEVER) >= 0)
			continue;
	}
	buf_add_text(&s->deliveries, p->name[0] == 'r' ? " (" : "");
	if (p->name[0] == 'r')
		buf_addf(&s->deliveries, "%.*s)", PSTR(m.nexthop));
	buf_add_byte(&s->deliveries, ';');
	rep.outcomes = buf_str(&packed);
	if (r >= 0 && put_deliver_reply(channel_buf(p->ch), f->call, &rep, &out) >= 0)
		channel_send(p->ch, &out);
	arena_free(a);
	return r;
}

static void leave(struct player *p)
{
	struct agent_goodbye m = {};
	struct frame_out out;

	if (put_agent_goodbye(channel_buf(p->ch), 0, &m, &out) >= 0)
		channel_send(p->ch, &out);
	channel_drain(p->ch, 1, NEVER);
}

struct request {
	struct player *p;
	struct frame f;
	struct arena *a;
};

static void play_request(void *arg)
{
	struct request *q = arg;
	struct scene *s = the_scene;

	if (play_delivery(q->p, &q->f) < 0)
		shutdown(q->p->fd, SHUT_RDWR);
	if (s->leave_after_reply) {
		s->leave_after_reply = false;
		q->p->leaving = true;
		shutdown(q->p->fd, SHUT_RD);
	}
	frame_close(&q->f);
	arena_free(q->a);
}

static void play_connection(void *arg)
{
	struct player *p = arg;
	struct scope *requests = scope_open("requests");
	struct frame f;

	while (channel_receive(p->ch, &f, NEVER) > 0) {
		struct arena *a = arena_new("request", NULL, 1 << 20);
		struct request *q = ARENA_NEW(a, struct request);

		*q = (struct request){ p, f, a };
		q->f.message = arena_copy(a, f.message);
		q->f.attributes = arena_copy(a, f.attributes);
		scope_start(requests, "request", play_request, q);
	}
	if (p->leaving) {
		scope_wait(requests, NEVER);
		leave(p);
	}
	scope_close(requests);
	channel_free(p->ch);
	free(p);
}

static void play_agents(void *arg)
{
	const char *name = arg;
	AUTO(buf) path = BUF(100);
	int listener, fd;

	buf_addf(&path, "private/%s", name);
	listener = listen_unix(buf_text(&path), 0600, 10);
	assert_true(listener >= 0);
	while ((fd = accept_one(listener, NEVER, NULL)) >= 0) {
		struct player *p = calloc(1, sizeof(*p));

		the_scene->connections++;
		*p = (struct player){ .ch = channel_new(fd), .name = name, .fd = fd };
		scope_start(the_scene->players, "connection", play_connection, p);
	}
	co_forget_fd(listener);
	close(listener);
}

static void play_bounce(struct server_call *call)
{
	struct scene *s = the_scene;
	AUTO(buf) why = BUF_WORDS;
	struct bounce_request m;
	struct bounce_reply rep = { .code = (uint64_t) s->bounce_code };
	struct outcome o;

	if (get_bounce_request(call->frame, &m, &why) < 0)
		fail_msg("malformed bounce request: %s", buf_text(&why));
	close(m.message);
	buf_addf(&s->notices, "%.*s", PSTR(m.kind));
	while (outcome_unpack(&m.outcomes, &o) > 0)
		buf_addf(&s->notices, " %u:%.*s", o.index, PSTR(o.dsn));
	buf_add_byte(&s->notices, ';');
	REPLY(call, bounce_reply, &rep);
}

static void play_bounce_service(void *arg)
{
	static const struct server_row rows[] = { { .message = "bounce_request", .serve = play_bounce }, { .message = NULL } };
	int listener = listen_unix("private/bounce", 0600, 10), fd;

	(void) arg;
	while ((fd = accept_one(listener, NEVER, NULL)) >= 0) {
		struct channel *ch = channel_new(fd);

		serve_channel(ch, rows, NULL, 1);
		channel_free(ch);
	}
	co_forget_fd(listener);
	close(listener);
}

/* ---- the play ---- */

static void begin(struct scene *s)
{
	struct qmgr *q = &s->q;

	q->conf = &s->conf;
	q->raw = s->raw;
	q->common = &s->common;
	q->double_bounce_sender = STR("double-bounce");
	qmgr_begin(q);
	q->scope = scope_open("queue manager");
	q->started_s = wall_s();
	q->is_ready = true;
}

static void end_play(struct scene *s)
{
	struct qmgr *q = &s->q;
	struct map_at at = { 0 };

	q->leaving = true;
	scope_close(q->scope);
	scope_close(s->players);
	while (map_next(q->active, &at)) {
		struct message *m = at.value;

		m->fate = GONE;
		drop_waiting_entries(m);
		at = (struct map_at){ 0 };
	}
	timer_set(&q->sleep_timer, NEVER);
	timer_set(&q->pause_timer, NEVER);
	turn_cancel(&q->dispatch_turn);
	client_free(q->bounce);
	map_free(q->active, NULL);
	sleepers_free(q->sleepers);
	schedule_free(q->schedule);
}

static void run_play(void *arg)
{
	struct scene *s = arg;

	s->players = scope_open("players");
	scope_start(s->players, "smtp", play_agents, (void *) (uintptr_t) "smtp");
	scope_start(s->players, "local", play_agents, (void *) (uintptr_t) "local");
	scope_start(s->players, "retry", play_agents, (void *) (uintptr_t) "retry");
	scope_start(s->players, "bounce", play_bounce_service, NULL);
	co_pass();
	begin(s);
	s->play(s);
	end_play(s);
	loop_stop();
}

static void play(void **state, void (*how)(struct scene *))
{
	struct scene *s = *state;

	s->play = how;
	alarm(60);
	assert_int_equal(loop_run(run_play, s), 0);
	alarm(0);
}

/* Everything that can happen without time passing has happened. */
static void settle(struct scene *s)
{
	for (int quiet = 0, round = 0; quiet < 50 && round < 20000; round++) {
		size_t before = s->deliveries.len + s->notices.len + (size_t) s->q.under_way;

		co_sleep(in(1));
		quiet = s->deliveries.len + s->notices.len + (size_t) s->q.under_way == before && list_is_empty(&s->q.arrivals) ? quiet + 1 : 0;
	}
}

static void make_message(struct scene *s, char id[32], const char *recipients, unsigned notify, struct buf *ret_packed, struct queue_parts *ret_parts)
{
	static struct recipient to[1000];
	struct envelope e = { .sender = STR("sender@example.org"), .arrival_us = wall_us() - s->age_us, .recipients = to };
	struct str rest = str_of(recipients), one;
	struct queue_writer *w;

	queue_id_new(id);
	while (str_token(&rest, " ", &one)) {
		to[e.recipient_count] = (struct recipient){ .index = (uint32_t) e.recipient_count, .address = one, .notify = notify };
		e.recipient_count++;
	}
	assert_int_equal(envelope_pack(&e, ret_packed), 0);
	assert_int_equal(queue_create(s->q.queue, QUEUE_INCOMING, str_of(id), &w), 0);
	assert_int_equal(queue_write_body(w, STR("body\n")), 0);
	assert_int_equal(queue_commit(w, &e, buf_str(ret_packed), STR("Subject: x\n"), ret_parts), 0);
	queue_writer_free(w);
}

static void announce_notifying(struct scene *s, char id[32], const char *recipients, unsigned notify)
{
	AUTO(buf) packed = BUF(1 << 20);
	struct queue_parts parts;
	struct qmgr_announce m;

	make_message(s, id, recipients, notify, &packed, &parts);
	m = (struct qmgr_announce){ .queue_id = str_of(id), .queue = STR("incoming"), .size = parts.size, .headers_at = parts.headers_at,
				    .headers_len = parts.headers_len, .body_at = parts.body_at, .body_len = parts.body_len,
				    .envelope = buf_str(&packed) };
	intake_announced(&s->q, &m);
}

static void announce(struct scene *s, char id[32], const char *recipients)
{
	announce_notifying(s, id, recipients, 0);
}

static bool lies_in(struct scene *s, enum queue_name where, const char *id)
{
	AUTO(queue_file) f = { .fd = -1 };

	return queue_file_open(s->q.queue, where, str_of(id), false, false, &f) >= 0;
}

static bool lies_anywhere(struct scene *s, const char *id)
{
	AUTO(queue_file) f = { .fd = -1 };

	return queue_file_find(s->q.queue, str_of(id), false, &f) >= 0;
}

#define EXPECT_DELIVERIES(s, text) do { assert_str(buf_str(&(s)->deliveries), text); buf_clear(&(s)->deliveries); } while (0)
#define EXPECT_NOTICES(s, text) do { assert_str(buf_str(&(s)->notices), text); buf_clear(&(s)->notices); } while (0)

/* ---- tests ---- */

static void play_delivered(struct scene *s)
{
	char id[32];

	announce(s, id, "ok@x");
	assert_true(lies_in(s, QUEUE_INCOMING, id));
	settle(s);
	EXPECT_DELIVERIES(s, "smtp ok@x;");
	assert_false(lies_anywhere(s, id));
	assert_int_equal(map_count(s->q.active), 0);
	EXPECT_NOTICES(s, "");
}

static void a_delivered_message_is_removed(void **state)
{
	play(state, play_delivered);
}

static void play_grouping(struct scene *s)
{
	char id[32];

	announce(s, id, "ok@x ok@y a.ok@x ok@local");
	settle(s);
	assert_true(str_find_str(buf_str(&s->deliveries), STR("smtp ok@x,a.ok@x;")) >= 0);
	assert_true(str_find_str(buf_str(&s->deliveries), STR("smtp ok@y;")) >= 0);
	assert_true(str_find_str(buf_str(&s->deliveries), STR("local ok@local;")) >= 0);
	assert_int_equal(s->connections, 2);	/* one to smtp for both, one to local */
	assert_false(lies_anywhere(s, id));
}

static void recipients_are_grouped_by_transport_and_next_hop(void **state)
{
	play(state, play_grouping);
}

static void play_deferred(struct scene *s)
{
	char id[32];
	struct sleeper *sl;

	announce(s, id, "ok@x defer@y");
	settle(s);
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
	sl = sleepers_find(s->q.sleepers, str_of(id));
	assert_non_null(sl);
	assert_in_range(sl->due.key / 1000000, wall_s() + 295, wall_s() + 301);
	buf_clear(&s->deliveries);
	/* the one who got it does not get it again */
	sleepers_set_due(s->q.sleepers, sl, wall_us());
	intake_wake(&s->q);
	settle(s);
	EXPECT_DELIVERIES(s, "smtp defer@y;");
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
}

static void deferred_recipients_are_tried_again_and_delivered_ones_are_not(void **state)
{
	play(state, play_deferred);
}

static void play_restart(struct scene *s)
{
	char id[32], fresh[32];
	AUTO(buf) packed = BUF(1 << 20);
	struct queue_parts parts;

	announce(s, id, "defer@y");
	settle(s);
	buf_clear(&s->deliveries);
	make_message(s, fresh, "ok@x", 0, &packed, &parts);	/* its announcement got lost */
	/* a queue manager that knows nothing */
	sleepers_free(s->q.sleepers);
	s->q.sleepers = sleepers_new();
	s->q.started_s = wall_s();
	scan_at_start(&s->q);
	scan_deferred_in_background(&s->q);
	settle(s);
	EXPECT_DELIVERIES(s, "smtp ok@x;");
	assert_false(lies_anywhere(s, fresh));
	assert_non_null(sleepers_find(s->q.sleepers, str_of(id)));
	assert_in_range(sleepers_find(s->q.sleepers, str_of(id))->due.key / 1000000, wall_s() + 290, wall_s() + 301);
}

static void a_restart_finds_everything_on_disk(void **state)
{
	play(state, play_restart);
}

static void play_bounced(struct scene *s)
{
	char id[32];

	announce(s, id, "bounce@x ok@y");
	settle(s);
	EXPECT_NOTICES(s, "failure 0:5.1.1;");
	assert_false(lies_anywhere(s, id));
}

static void the_sender_of_an_undeliverable_message_is_told_before_it_is_removed(void **state)
{
	play(state, play_bounced);
}

static void play_bounce_down(struct scene *s)
{
	char id[32];
	struct sleeper *sl;

	s->bounce_code = EAGAIN;
	announce(s, id, "bounce@x ok@y");
	settle(s);
	EXPECT_NOTICES(s, "failure 0:5.1.1;");
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
	buf_clear(&s->deliveries);
	/* next time only the sender is told */
	s->bounce_code = 0;
	sl = sleepers_find(s->q.sleepers, str_of(id));
	sleepers_set_due(s->q.sleepers, sl, wall_us());
	intake_wake(&s->q);
	settle(s);
	EXPECT_DELIVERIES(s, "");
	EXPECT_NOTICES(s, "failure 0:5.1.1;");
	assert_false(lies_anywhere(s, id));
}

static void a_notice_that_cannot_be_made_keeps_the_message_and_is_made_later(void **state)
{
	play(state, play_bounce_down);
}

static void play_success_notice(struct scene *s)
{
	char id[32];

	announce_notifying(s, id, "ok@x", NOTIFY_SUCCESS);
	settle(s);
	EXPECT_NOTICES(s, "success 0:2.0.0;");
	assert_false(lies_anywhere(s, id));
}

static void who_asks_for_it_is_told_of_success(void **state)
{
	play(state, play_success_notice);
}

static void play_expiry(struct scene *s)
{
	char id[32];

	s->conf.maximal_queue_lifetime = 0;
	announce(s, id, "defer@x ok@y");
	settle(s);
	EXPECT_NOTICES(s, "failure 0:4.2.0;");
	assert_false(lies_anywhere(s, id));
}

static void a_message_that_is_too_old_is_returned(void **state)
{
	play(state, play_expiry);
}

static void play_delay_warning(struct scene *s)
{
	char id[32];

	s->conf.delay_warning_time = 3600000;
	s->age_us = INT64_C(3600) * 1000000;
	announce(s, id, "defer@x");
	settle(s);
	EXPECT_NOTICES(s, "delay 0:4.2.0;");
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
	sleepers_set_due(s->q.sleepers, sleepers_find(s->q.sleepers, str_of(id)), wall_us());
	intake_wake(&s->q);
	settle(s);
	EXPECT_NOTICES(s, "");		/* once only */
}

static void the_sender_is_warned_once_of_a_delay(void **state)
{
	play(state, play_delay_warning);
}

static void play_dead_destination(struct scene *s)
{
	char id[32];

	s->conf.initial_destination_concurrency = 1;
	conf_set(s->raw, STR("initial_destination_concurrency"), STR("1"));
	announce(s, id, "site@x");
	announce(s, id, "ok@x");
	announce(s, id, "ok@y");
	settle(s);
	assert_true(str_find_str(buf_str(&s->deliveries), STR("smtp site@x;")) >= 0);
	assert_true(str_find_str(buf_str(&s->deliveries), STR("smtp ok@y;")) >= 0);
	assert_true(str_find_str(buf_str(&s->deliveries),
				 STR("retry ok@x (4.4.1 delivery temporarily suspended: connection refused);")) >= 0);
	assert_true(str_find_str(buf_str(&s->deliveries), STR("smtp ok@x;")) < 0);
	buf_clear(&s->deliveries);
	announce(s, id, "ok@x");
	settle(s);
	EXPECT_DELIVERIES(s, "retry ok@x (4.4.1 delivery temporarily suspended: connection refused);");
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
}

static void mail_for_a_dead_destination_is_deferred_without_being_tried(void **state)
{
	play(state, play_dead_destination);
}

static void play_agent_dies(struct scene *s)
{
	char id[32], other[32];

	announce(s, id, "die@x");
	settle(s);
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
	announce(s, other, "ok@x");
	settle(s);
	assert_false(lies_anywhere(s, other));	/* one death does not stop the transport */
}

static void an_agent_that_dies_costs_a_deferral(void **state)
{
	play(state, play_agent_dies);
}

static void play_agents_gone(struct scene *s)
{
	char id[32];

	unlink("private/smtp");
	announce(s, id, "ok@x");
	settle(s);
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
	EXPECT_DELIVERIES(s, "retry ok@x (4.3.0 mail transport unavailable);");
	announce(s, id, "ok@x");
	settle(s);
	EXPECT_DELIVERIES(s, "retry ok@x (4.3.0 mail transport unavailable);");
}

static void a_transport_that_cannot_be_reached_costs_a_deferral(void **state)
{
	play(state, play_agents_gone);
}

static void play_nothing_reachable(struct scene *s)
{
	char id[32];

	unlink("private/smtp");
	unlink("private/retry");
	announce(s, id, "ok@x");
	settle(s);
	EXPECT_DELIVERIES(s, "");
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
	assert_int_equal(map_count(s->q.active), 0);
}

static void without_even_the_retry_service_mail_waits_on_disk(void **state)
{
	play(state, play_nothing_reachable);
}

static void play_goodbye(struct scene *s)
{
	char first[32], second[32], third[32];

	announce(s, first, "hang@x");
	settle(s);
	s->leave_after_reply = true;		/* but this one is still under way then */
	announce(s, second, "ok@y");
	while (s->leave_after_reply)
		co_sleep(in(1));
	announce(s, third, "ok@z");		/* to a connection that takes no more */
	co_sleep(in(20));
	assert_true(lies_in(s, QUEUE_INCOMING, third));
	s->hanging_released = true;
	bell_ring(&s->release);
	settle(s);
	assert_false(lies_anywhere(s, third));
	assert_int_equal(s->connections, 2);
	assert_false(lies_anywhere(s, first));
	assert_false(lies_anywhere(s, second));	/* not deferred: sent again at once, or served before the goodbye */
	EXPECT_NOTICES(s, "");
}

static void a_request_that_crosses_an_agents_leaving_is_not_deferred(void **state)
{
	play(state, play_goodbye);
}

static void play_resolver_down(struct scene *s)
{
	char id[32];

	resolver_works = false;
	announce(s, id, "ok@x");
	settle(s);
	EXPECT_DELIVERIES(s, "retry ok@x (4.3.0 address resolver failure);");
	assert_true(lies_in(s, QUEUE_DEFERRED, id));
}

static void a_recipient_that_cannot_be_resolved_now_is_deferred(void **state)
{
	play(state, play_resolver_down);
}

static void play_limits(struct scene *s)
{
	char id[20][32];

	s->conf.qmgr_message_active_limit = 5;
	for (int i = 0; i < 20; i++)
		announce(s, id[i], "hang@x");
	settle(s);
	assert_int_equal(map_count(s->q.active), 5);
	assert_int_equal(sleepers_count(s->q.sleepers, QUEUE_INCOMING), 15);
	s->hanging_released = true;
	bell_ring(&s->release);
	settle(s);
	for (int i = 0; i < 20; i++)
		assert_false(lies_anywhere(s, id[i]));
}

static void what_exceeds_the_active_limit_waits_on_disk(void **state)
{
	play(state, play_limits);
}

static uint64_t command(struct scene *s, const char *name, const char *argument, uint64_t *ret_count)
{
	AUTO(buf) b = BUF(1 << 20);
	AUTO(buf) sent = BUF(1 << 20);
	int pair[2];
	struct qmgr_command m = { .command = str_of(name), .argument = str_of(argument) };
	struct qmgr_command_reply rep;
	struct visitor v = { &s->q, geteuid(), true };
	struct frame_out out;
	struct frame f, reply;
	struct channel *ours, *theirs;
	struct server_call call = { .frame = &f, .state = &v };

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	ours = channel_new(pair[0]);
	theirs = channel_new(pair[1]);
	assert_true(put_qmgr_command(channel_buf(ours), 7, &m, &out) >= 0);
	assert_int_equal(channel_send(ours, &out), 0);
	assert_int_equal(channel_receive(theirs, &f, in(5000)), 1);
	call.ch = theirs;
	call.arena = arena_new("call", NULL, 1 << 20);
	serve_command(&call);
	arena_free(call.arena);
	assert_int_equal(channel_receive(ours, &reply, in(5000)), 1);
	assert_true(get_qmgr_command_reply(&reply, &rep, NULL) >= 0);
	*ret_count = rep.count;
	channel_free(ours);
	channel_free(theirs);
	return rep.code;
}

static void play_commands(struct scene *s)
{
	char asleep[32], busy[32], third[32];
	uint64_t n;

	announce(s, asleep, "defer@x");
	announce(s, busy, "hang@x");
	announce(s, third, "defer@y");
	settle(s);
	/* hold: the one asleep at once, the one being delivered when it is through */
	assert_int_equal(command(s, "hold", asleep, &n), 0);
	assert_int_equal(n, 1);
	assert_true(lies_in(s, QUEUE_HOLD, asleep));
	assert_null(sleepers_find(s->q.sleepers, str_of(asleep)));
	assert_int_equal(command(s, "release", "", &n), 0);
	assert_int_equal(n, 1);
	buf_clear(&s->deliveries);
	settle(s);
	EXPECT_DELIVERIES(s, "smtp defer@x;");
	assert_int_equal(command(s, "flush", "", &n), 0);
	assert_int_equal(n, 2);
	settle(s);
	buf_clear(&s->deliveries);
	assert_int_equal(command(s, "flush_site", "Y", &n), 0);
	assert_int_equal(n, 1);
	settle(s);
	EXPECT_DELIVERIES(s, "smtp defer@y;");
	assert_int_equal(command(s, "flush_id", third, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(command(s, "active", "", &n), 0);
	assert_true(n >= 1);
	settle(s);
	assert_int_equal(command(s, "expire", third, &n), 0);
	settle(s);
	EXPECT_NOTICES(s, "failure 0:4.2.0;");
	assert_false(lies_anywhere(s, third));
	assert_int_equal(command(s, "delete", "", &n), 0);
	assert_int_equal(n, 2);
	assert_false(lies_anywhere(s, asleep));
	assert_false(lies_anywhere(s, busy));
	assert_int_equal(command(s, "delete", busy, &n), 0);
	assert_int_equal(n, 0);
	s->hanging_released = true;
	bell_ring(&s->release);
	settle(s);
	assert_int_equal(map_count(s->q.active), 0);
	assert_int_equal(command(s, "nonsense", "", &n), EINVAL);
}

static void commands_take_effect_at_once(void **state)
{
	play(state, play_commands);
}

static void play_damage(struct scene *s)
{
	static const char debris[] = "3b9dkLz0DEBRS";
	char id[32];
	AUTO(buf) packed = BUF(1 << 20);
	AUTO(buf) path = BUF(100);
	struct queue_parts parts;
	int fd;

	make_message(s, id, "ok@x", 0, &packed, &parts);
	buf_addf(&path, "incoming/%s", id);
	fd = openat(s->dir, buf_text(&path), O_WRONLY);
	assert_int_equal(pwrite(fd, "XXXXXXXXXXXXXXXX", 16, 60), 16);
	close(fd);
	fd = openat(s->dir, "incoming/3b9dkLz0DEBRS", O_WRONLY | O_CREAT, 0600);
	close(fd);
	scan_at_start(&s->q);
	settle(s);
	EXPECT_DELIVERIES(s, "");
	assert_false(lies_in(s, QUEUE_INCOMING, id));
	buf_clear(&path);
	buf_addf(&path, "corrupt/%s", id);
	assert_int_equal(access(buf_text(&path), F_OK), 0);
	buf_clear(&path);
	buf_addf(&path, "incoming/%s", debris);
	assert_int_equal(access(buf_text(&path), F_OK), 0);	/* may still be in the making: no long id, no age */
}

static void a_damaged_file_is_put_aside_and_a_young_half_one_left_alone(void **state)
{
	play(state, play_damage);
}

static void play_vanished(struct scene *s)
{
	char id[32];

	announce(s, id, "ok@x");
	assert_int_equal(queue_finish(s->q.queue, QUEUE_INCOMING, str_of(id)), 0);
	settle(s);
	EXPECT_DELIVERIES(s, "");
	assert_int_equal(map_count(s->q.active), 0);
	assert_null(sleepers_find(s->q.sleepers, str_of(id)));
}

static void a_message_that_vanished_from_the_disk_is_forgotten(void **state)
{
	play(state, play_vanished);
}

static void waits_grow_with_the_age_of_a_message(void **state)
{
	struct scene *s = *state;
	const int64_t start = INT64_C(1700000000) * 1000000;
	int64_t now = start;
	int attempts = 0;
	const int64_t first[] = { 300, 600, 1200, 2400, 4800, 8800, 12800 };

	while (now - start < s->conf.maximal_queue_lifetime * 1000) {
		now = next_attempt_s(&s->conf, start, now) * 1000000;
		if (attempts < (int) COUNT_OF(first))
			assert_int_equal((now - start) / 1000000, first[attempts]);
		attempts++;
	}
	assert_int_equal(attempts, 112);	/* in five days */
}

#define IN_SCENE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SCENE(a_delivered_message_is_removed),
		IN_SCENE(recipients_are_grouped_by_transport_and_next_hop),
		IN_SCENE(deferred_recipients_are_tried_again_and_delivered_ones_are_not),
		IN_SCENE(a_restart_finds_everything_on_disk),
		IN_SCENE(the_sender_of_an_undeliverable_message_is_told_before_it_is_removed),
		IN_SCENE(a_notice_that_cannot_be_made_keeps_the_message_and_is_made_later),
		IN_SCENE(who_asks_for_it_is_told_of_success),
		IN_SCENE(a_message_that_is_too_old_is_returned),
		IN_SCENE(the_sender_is_warned_once_of_a_delay),
		IN_SCENE(mail_for_a_dead_destination_is_deferred_without_being_tried),
		IN_SCENE(an_agent_that_dies_costs_a_deferral),
		IN_SCENE(a_transport_that_cannot_be_reached_costs_a_deferral),
		IN_SCENE(without_even_the_retry_service_mail_waits_on_disk),
		IN_SCENE(a_request_that_crosses_an_agents_leaving_is_not_deferred),
		IN_SCENE(a_recipient_that_cannot_be_resolved_now_is_deferred),
		IN_SCENE(what_exceeds_the_active_limit_waits_on_disk),
		IN_SCENE(commands_take_effect_at_once),
		IN_SCENE(a_damaged_file_is_put_aside_and_a_young_half_one_left_alone),
		IN_SCENE(a_message_that_vanished_from_the_disk_is_forgotten),
		IN_SCENE(waits_grow_with_the_age_of_a_message),
	};

	return cmocka_run_group_tests_name("qmgr", tests, NULL, NULL);
}
