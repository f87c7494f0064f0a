/* SPDX-License-Identifier: ISC */
/* See scene.h. No test itself: linked with qmgr_test, command_test and scan_test. */
#include "qmgr/scene.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/agent/agent.h"
#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/co/co.h"
#include "lib/io/net.h"
#include "lib/log/log.h"
#include "lib/queue/residents.h"

enum { MOST_RECIPIENTS = 20000 };

/*
 * ---- routing, simplified: the domain is the next hop, "local" domains go to local; that of "far"
 * and the text for "wordy" are endless; "slow" is known when hanging deliveries are released ----
 */

bool resolver_works = true;
static struct scene *the_scene;

static void wait_for_release(struct scene *s)
{
	while (!s->hanging_released && bell_wait(&s->release, NEVER) >= 0)
		continue;
}

int resolve_address(struct route *r, struct arena *a, struct str sender, struct str recipient,
		    struct resolution *ret)
{
	struct str domain = str_skip(recipient, (size_t) (str_find_last(recipient, '@') + 1));

	(void) r, (void) a, (void) sender;
	if (!resolver_works)
		return -EAGAIN;
	*ret = (struct resolution){
		.class = CLASS_OTHER, .transport = STR("smtp"), .nexthop = domain, .recipient = recipient
	};
	if (str_is(domain, STR("local"))) {
		ret->class = CLASS_LOCAL;
		ret->transport = STR("local");
	} else if (str_is(domain, STR("slow"))) {
		wait_for_release(the_scene);
	} else if (str_is(domain, STR("far")) || str_is(domain, STR("wordy"))) {
		char *text = memset(arena_get(a, 2000), 'x', 2000);

		ret->transport = str_is(domain, STR("far")) ? STR("smtp") : STR("retry");
		ret->nexthop = str_make(text, 2000);
	}
	return 0;
}

const char *route_why(const struct route *r)
{
	(void) r;
	return "the test says so";
}

/* ---- the scene ---- */

static struct queue *open_queue(struct scene *s)
{
	AUTO(buf) why = BUF_WORDS;
	struct queue *q;

	if (queue_open(s->dir, 1, (1u << QUEUE_COUNT) - 1, &q, &why) < 0)
		fail_msg("%s", buf_text(&why));
	return q;
}

static void configure(struct scene *s, const char *main_cf)
{
	AUTO(buf) why = BUF_WORDS;

	scratch_file(s->path, "main.cf", main_cf);
	scratch_file(s->path, "master.cf",
		   "smtp unix - - n - 10 smtp\nlocal unix - n n - - local\nretry unix - - n - - error\n");
	if (conf_load(s->path, &s->raw, &why) < 0 || conf_fill(s->raw, &common_group, &s->common, &why) < 0
	    || conf_fill(s->raw, &qmgr_group, &s->conf, &why) < 0
	    || conf_fill(s->raw, &queue_group, &s->queue_conf, &why) < 0
	    || master_cf_load(s->raw, s->q.arena, &s->q.services, &why) < 0)
		fail_msg("%s", buf_text(&why));
}

static const char plain_main[] = "myhostname = test.example\nmydomain = example\nworker_processes = 1\n"
				 "maximal_backoff_time = 4000s\nsmtp_destination_recipient_limit = 0\n";

int scene_begin(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));

	scratch_directory(s->path);
	assert_int_equal(chdir(s->path), 0);
	s->dir = open(".", O_DIRECTORY | O_RDONLY);
	for (int i = 0; i < QUEUE_COUNT; i++)
		assert_int_equal(mkdirat(s->dir, queue_name_text((enum queue_name) i), 0700), 0);
	assert_int_equal(mkdirat(s->dir, "private", 0700), 0);
	s->q.arena = arena_new("test", NULL, 64 << 20);
	s->deliveries = BUF(1 << 20);
	s->notices = BUF(1 << 20);
	s->received = BUF(1 << 20);
	bell_init(&s->release);
	s->q.queue = open_queue(s);
	configure(s, plain_main);
	s->log_fd = dup(STDERR_FILENO);
	the_scene = s;
	resolver_works = true;
	*state = s;
	return 0;
}

int scene_end(void **state)
{
	struct scene *s = *state;

	clock_set_for_test(-1, -1);
	scratch_remove(s->path);
	buf_free(&s->deliveries);
	buf_free(&s->notices);
	buf_free(&s->received);
	queue_close(s->q.queue);
	queue_close(s->writer);
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

static void say_outcome(struct buf *packed, const struct recipient *r, struct str word,
			struct deliver_reply *rep)
{
	struct outcome o = { .index = r->index,
			     .status = OUTCOME_DELIVERED,
			     .dsn = STR("2.0.0"),
			     .relay = STR("none"),
			     .text = STR("fine"),
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
	if (o.status == OUTCOME_DELIVERED)
		buf_addf(&the_scene->received, "%.*s;", PSTR(r->address));
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
	struct arena *a = arena_new("request", NULL, FRAME_LIMIT * 2);
	AUTO(buf) packed = BUF(FRAME_LIMIT / 2);
	AUTO(buf) why = BUF_WORDS;
	struct deliver_request m;
	struct deliver_reply rep = { 0 };
	struct frame_out out;
	struct envelope e;
	bool is_shy = false;
	int r = 0;

	if (get_deliver_request(f, &m, &why) < 0 || envelope_unpack(arena_copy(a, m.envelope), a, &e) < 0)
		fail_msg("malformed request: %s", buf_text(&why));
	assert_true(m.message >= 0 || m.content.len > 0);
	if (m.message >= 0)
		close(m.message);
	s->hurried += (m.flags & DELIVER_HURRY) != 0;
	buf_addf(&s->deliveries, "%s", p->name);
	for (size_t i = 0; i < e.recipient_count; i++) {
		struct str word = word_of(&e.recipients[i]), rest = word;

		buf_addf(&s->deliveries, "%c%.*s", i == 0 ? ' ' : ',', PSTR(e.recipients[i].address));
		str_cut(&rest, '.', &word);	/* hang.other does as hang */
		if (str_is(word, STR("die")))
			r = -EPIPE;
		if (str_is(p->name[0] == 'r' ? STR("retry") : STR(""), STR("retry")))
			word = STR("defer");
		else if (s->all_is_well)
			word = STR("ok");
		say_outcome(&packed, &e.recipients[i], word, &rep);
		if (str_is(word, STR("hang")) || str_is(word, STR("shy")))
			wait_for_release(s);
		is_shy |= str_is(word, STR("shy"));
	}
	buf_add_text(&s->deliveries, p->name[0] == 'r' ? " (" : "");
	if (p->name[0] == 'r')
		buf_addf(&s->deliveries, "%.*s)", PSTR(m.nexthop));
	buf_add_byte(&s->deliveries, ';');
	rep.outcomes = buf_str(&packed);
	p->leaving |= is_shy;
	if (r >= 0 && !is_shy && put_deliver_reply(channel_buf(p->ch), f->call, &rep, &out) >= 0)
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
	if (s->leave_after_reply || q->p->leaving) {
		s->leave_after_reply = false;
		q->p->leaving = true;
		shutdown(q->p->fd, SHUT_RD);
	}
	frame_close(&q->f);
	arena_free(q->a);
}

static void answer_ping(struct player *p)
{
	struct agent_ping m = {};
	struct frame_out out;

	if (!the_scene->is_stuck && put_agent_ping(channel_buf(p->ch), 0, &m, &out) >= 0)
		channel_send(p->ch, &out);
}

static void play_connection(void *arg)
{
	struct player *p = arg;
	struct scope *requests = scope_open("requests");
	struct frame f;

	while (channel_receive(p->ch, &f, NEVER) > 0) {
		struct arena *a;
		struct request *q;

		if (str_is(f.message, STR("agent_ping"))) {
			answer_ping(p);
			continue;
		}
		a = arena_new("request", NULL, FRAME_LIMIT * 2);
		q = ARENA_NEW(a, struct request);
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
	if (m.message >= 0)
		close(m.message);
	buf_addf(&s->notices, "%.*s", PSTR(m.kind));
	while (outcome_unpack(&m.outcomes, &o) > 0)
		buf_addf(&s->notices, " %u:%.*s", o.index, PSTR(o.dsn));
	buf_add_byte(&s->notices, ';');
	REPLY(call, bounce_reply, &rep);
}

static void play_bounce_service(void *arg)
{
	static const struct server_row rows[] = { { .message = "bounce_request", .serve = play_bounce },
						  { .message = NULL } };
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
	q->queue_conf = &s->queue_conf;
	q->raw = s->raw;
	q->common = &s->common;
	q->double_bounce_sender = STR("double-bounce");
	qmgr_begin(q);
	q->scope = scope_open("queue manager");
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
	map_free(q->in_hand, NULL);
	unwritten_free(q);
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

void play(void **state, void (*how)(struct scene *))
{
	struct scene *s = *state;

	s->play = how;
	alarm(60);
	assert_int_equal(loop_run(run_play, s), 0);
	alarm(0);
}

_Atomic bool disk_is_held_up;

/* A disk may take its time, unless it is a test that holds it up. */
static bool is_quiet_enough(int quiet)
{
	return co_offload_pending() ? disk_is_held_up && quiet >= 1000 : quiet >= 50;
}

void settle(struct scene *s)
{
	for (int quiet = 0, round = 0; !is_quiet_enough(quiet) && round < 20000; round++) {
		size_t before = s->deliveries.len + s->notices.len + (size_t) s->q.under_way;

		co_sleep(in(1));
		quiet = s->deliveries.len + s->notices.len + (size_t) s->q.under_way == before
					&& list_is_empty(&s->q.arrivals)
				? quiet + 1
				: 0;
	}
}

void use_log(struct scene *s)
{
	assert_int_equal(mkdirat(s->dir, "intake", 0700), 0);
	s->writer = open_queue(s);
	assert_int_equal(queue_append_to_intake(s->writer, s->dir, &(struct intake_limits){ 1 << 20, 4 }),
			 0);
	assert_int_equal(queue_open_intake(s->q.queue, s->dir, true, true), 0);
}

struct queue *open_predecessor(struct scene *s)
{
	struct queue *q;

	assert_int_equal(queue_open(s->dir, 1, (1u << QUEUE_COUNT) - 1, &q, &(struct buf){ 0 }), 0);
	assert_int_equal(queue_open_intake(q, s->dir, true, true), 0);
	assert_int_equal(residents_look(q->residents), 0);
	queue_write_through(q);
	return q;
}

static void make_placed_message(struct scene *s, char id[32], const char *recipients, unsigned notify,
				struct buf *ret_packed, struct queue_parts *ret_parts,
				struct queue_place *ret_place)
{
	static struct recipient to[MOST_RECIPIENTS];
	struct envelope e = { .sender = STR("sender@example.org"),
			      .arrival_us = wall_us() - s->age_us,
			      .recipients = to };
	struct str rest = str_of(recipients), one;
	struct queue_writer *w;

	queue_id_new(id);
	while (str_token(&rest, " ", &one)) {
		assert_in_range(e.recipient_count, 0, MOST_RECIPIENTS - 1);
		to[e.recipient_count] = (struct recipient){ .index = (uint32_t) e.recipient_count,
							    .address = one,
							    .notify = notify };
		e.recipient_count++;
	}
	assert_int_equal(envelope_pack(&e, ret_packed), 0);
	assert_int_equal(queue_create(ret_place != NULL ? s->writer : s->q.queue, QUEUE_INCOMING, str_of(id),
				      &w), 0);
	assert_int_equal(queue_write_body(w, s->body.len > 0 ? s->body : STR("body\n")), 0);
	assert_int_equal(queue_commit(w, &e, buf_str(ret_packed), STR("Subject: x\n"), ret_parts, ret_place),
			 0);
	queue_writer_free(w);
}

void make_message(struct scene *s, char id[32], const char *recipients, unsigned notify,
		  struct buf *ret_packed, struct queue_parts *ret_parts)
{
	make_placed_message(s, id, recipients, notify, ret_packed, ret_parts, NULL);
}

void announce_notifying(struct scene *s, char id[32], const char *recipients, unsigned notify)
{
	AUTO(buf) packed = BUF(FRAME_LIMIT);
	struct queue_parts parts;
	struct queue_place place = { .segment = "" };
	struct qmgr_announce m;

	make_placed_message(s, id, recipients, notify, &packed, &parts, s->writer != NULL ? &place : NULL);
	m = (struct qmgr_announce){ .queue_id = str_of(id),
				    .queue = STR("incoming"),
				    .size = parts.size,
				    .headers_at = parts.headers_at,
				    .headers_len = parts.headers_len,
				    .body_at = parts.body_at,
				    .body_len = parts.body_len,
				    .envelope = buf_str(&packed),
				    .segment = str_of(place.segment),
				    .place_at = place.at,
				    .place_len = place.len,
				    .headers = STR("Subject: x\n"),
				    .body = STR("body\n") };
	intake_announced(&s->q, &m);
}

void announce(struct scene *s, char id[32], const char *recipients)
{
	announce_notifying(s, id, recipients, 0);
}

void make_due(struct scene *s, const char *id)
{
	struct sleeper *sl = sleepers_find(s->q.sleepers, str_of(id));

	assert_non_null(sl);
	assert_int_equal(queue_set_next_attempt(s->q.queue, (enum queue_name) sl->where, str_of(id),
						wall_s()), 0);
	sleepers_set_due(s->q.sleepers, sl, wall_us());
	intake_wake(&s->q);
}

bool lies_in(struct scene *s, enum queue_name where, const char *id)
{
	AUTO(queue_file) f = { .fd = -1 };

	return queue_file_open(s->q.queue, where, str_of(id), false, false, &f) >= 0;
}

bool lies_anywhere(struct scene *s, const char *id)
{
	AUTO(queue_file) f = { .fd = -1 };

	return queue_file_find(s->q.queue, str_of(id), false, &f) >= 0;
}

bool is_locked(struct scene *s, const char *id)
{
	struct queue *q = open_queue(s);
	struct queue_file f = { .fd = -1 };
	int r;

	if (s->writer != NULL) {
		assert_int_equal(queue_open_intake(q, s->dir, false, false), 0);
		queue_refresh(q);
	}
	assert_int_equal(queue_file_find(q, str_of(id), false, &f), 0);
	r = queue_file_is_locked(&f);
	queue_file_close(&f);
	queue_close(q);
	assert_true(r >= 0);
	return r;
}
