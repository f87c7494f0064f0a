/* SPDX-License-Identifier: ISC */
/* See postsuper.h. The queue manager must be asked as long as it runs: it has the messages in memory. */
#include <errno.h>

#include "commands/postsuper/postsuper.h"
#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/log/log.h"
#include "lib/queue/orders.h"

enum {
	COMMAND_MS = 600000, PORTION = 4 << 20,		/* bytes of ids in one request */
	MOST_TRIES = 50, PAUSE_MS = 100,		/* reload after reload */
};

/* ---- which ---- */

static int add_id(void *arg, struct str id, int64_t mtime_s)
{
	(void) mtime_s;
	return buf_addf(arg, "%.*s\n", PSTR(id));
}

static unsigned queues_of(const struct super *s, const struct action *a)
{
	return s->only != 0 ? s->only & a->queues : a->queues;
}

/* Who is being delivered and shall be held afterwards is not in hold/ yet. */
static void add_active(const struct super *s, struct buf *ids)
{
	struct arena *arena = arena_new("reply", NULL, 64 << 20);
	struct qmgr_command m = { .command = STR("active") };
	struct qmgr_command_reply rep;

	if (CALL(s->qmgr, qmgr_command, &m, arena, qmgr_command_reply, &rep, in(COMMAND_MS)) >= 0)
		buf_add(ids, rep.text);
	arena_free(arena);
}

void super_all_ids(const struct super *s, const struct action *a, struct buf *ids)
{
	for (int q = 0; q < QUEUE_COUNT; q++)
		if (queues_of(s, a) & (1u << q))
			queue_scan(s->queue, (enum queue_name) q, add_id, ids);
	if (s->only == 0 && strcmp(a->command, "release") == 0)
		add_active(s, ids);
}

/* The ids that lie in one of the queues named on the command line. */
static void filter(const struct super *s, const struct action *a, struct str ids, struct buf *ret)
{
	struct str id;

	while (str_token(&ids, "\n", &id)) {
		AUTO(queue_file) f = { .fd = -1 };

		if (queue_file_find(s->queue, id, false, &f) >= 0 && (queues_of(s, a) & (1u << f.where)) != 0)
			buf_addf(ret, "%.*s\n", PSTR(id));
	}
}

/* ---- on the files ---- */

static int delete_file(struct queue *q, struct queue_file *f)
{
	return queue_finish(q, f->where, str_of(f->id));
}

static int expire_file(struct queue *q, struct queue_file *f)
{
	int r = queue_order(f, JOURNAL_EXPIRE);

	if (r >= 0 && f->where == QUEUE_DEFERRED)
		r = queue_set_next_attempt(q, f->where, str_of(f->id), wall_s());
	return r;
}

/*
 * Still delivered by a queue manager that leaves, and cannot be asked any more: the order waits for whoever
 * takes the message up next, as with the queue manager itself.
 */
static bool has_to_wait(const struct queue_file *f)
{
	return queue_file_is_locked(f) > 0;
}

static int hold_file(struct queue *q, struct queue_file *f)
{
	if (has_to_wait(f))
		return queue_order(f, JOURNAL_HELD);
	return queue_move(q, f->where, QUEUE_HOLD, str_of(f->id));
}

static int release_file(struct queue *q, struct queue_file *f)
{
	return queue_release(q, str_of(f->id));
}

static int requeue_file(struct queue *q, struct queue_file *f)
{
	if (has_to_wait(f))
		return queue_order(f, JOURNAL_REQUEUED);
	return queue_requeue(q, f->where, str_of(f->id));
}

/* An order to hold it may wait for the end of a delivery: then it is not in hold/ yet. */
static bool is_meant(const struct super *s, const struct action *a, enum queue_name where)
{
	const bool may_wait = s->only == 0 && strcmp(a->command, "release") == 0;

	return (queues_of(s, a) & (1u << where)) != 0
	       || (may_wait && (where == QUEUE_INCOMING || where == QUEUE_DEFERRED));
}

static int act_on_file(struct super *s, const struct action *a, struct str id)
{
	static const struct {
		const char *command;
		int (*run)(struct queue *q, struct queue_file *f);
	} rows[] = {
		{ "delete", delete_file },   { "expire", expire_file },	  { "hold", hold_file },
		{ "release", release_file }, { "requeue", requeue_file },
	};
	AUTO(queue_file) f = { .fd = -1 };
	int r = queue_file_find(s->queue, id, strcmp(a->command, "delete") != 0, &f);

	if (r < 0)
		return r;
	if (!is_meant(s, a, f.where))
		return -ENOENT;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (strcmp(rows[i].command, a->command) == 0)
			return rows[i].run(s->queue, &f);
	BUG("no such action");
}

static void act_on_files(struct super *s, const struct action *a, struct str ids, struct buf *done)
{
	struct str id;

	while (str_token(&ids, "\n", &id)) {
		int r = act_on_file(s, a, id);

		if (r >= 0) {
			buf_addf(done, "%.*s\n", PSTR(id));
		} else if (r != -ENOENT) {
			log_mail(ROAD_WARNING, id, "%s: %s", a->command, error_text(r));
			s->failed = true;
		}
	}
}

/* ---- through the queue manager ---- */

static bool qmgr_is_not_there(int error)
{
	return error == -ENOENT || error == -ECONNREFUSED;
}

/* What nobody has picked up yet the queue manager does not know. */
static void delete_from_maildrop(struct super *s, struct str ids, struct buf *done)
{
	struct str id;

	while (str_token(&ids, "\n", &id))
		if (queue_finish(s->queue, QUEUE_MAILDROP, id) >= 0)
			buf_addf(done, "%.*s\n", PSTR(id));
}

/* A queue manager that leaves has stopped half-way, for its successor to go on: it has done them in their order. */
static struct str behind_last(struct str ids, struct str done)
{
	struct str id, last = STR_NONE, rest = ids;

	while (str_token(&done, "\n", &id))
		last = id;
	while (last.len > 0 && str_token(&rest, "\n", &id))
		if (str_is(id, last))
			return rest;
	return ids;
}

/* It is being replaced: before it began, or while it was at it. */
static bool has_left(int result, const struct qmgr_command_reply *rep)
{
	return result == -EPIPE || result == -ECONNRESET || (result >= 0 && rep->code == EAGAIN);
}

static void wait_for_successor(struct super *s)
{
	co_sleep(in(PAUSE_MS));
	client_free(s->qmgr);
	s->qmgr = client_new(s->qmgr_path);
}

static void act_on_portion(struct super *s, const struct action *a, struct str ids, struct buf *done)
{
	struct arena *arena = arena_new("reply", NULL, 64 << 20);
	struct qmgr_command m = { .command = str_of(a->command), .argument = ids };
	struct qmgr_command_reply rep;
	int r;

	for (int tries = 1;; tries++) {
		r = CALL(s->qmgr, qmgr_command, &m, arena, qmgr_command_reply, &rep, in(COMMAND_MS));
		if (r >= 0)
			buf_add(done, rep.text);
		if (!has_left(r, &rep) || tries == MOST_TRIES)
			break;
		if (r >= 0)
			m.argument = behind_last(m.argument, rep.text);
		wait_for_successor(s);
	}
	if (qmgr_is_not_there(r)) {
		act_on_files(s, a, m.argument, done);
	} else if (r < 0) {
		die(EX_TEMPFAIL, "queue manager: %s", error_text(r));
	} else {
		s->failed |= rep.code != 0;
		if (queues_of(s, a) & 1 << QUEUE_MAILDROP)
			delete_from_maildrop(s, ids, done);
	}
	arena_free(arena);
}

/* Whole lines: a request for millions of messages would be too large. */
static bool take_portion(struct str *rest, struct str *ret)
{
	ssize_t end = rest->len <= PORTION ? -1 : str_find_last(str_head(*rest, PORTION), '\n');

	*ret = end < 0 ? *rest : str_head(*rest, (size_t) end + 1);
	*rest = str_skip(*rest, ret->len);
	return ret->len > 0;
}

void super_act(struct super *s, const struct action *a, struct str ids, struct buf *done)
{
	AUTO(buf) chosen = BUF((size_t) 256 << 20);
	struct str rest, portion;

	if (s->only != 0)
		filter(s, a, ids, &chosen);
	else
		buf_add(&chosen, ids);
	rest = buf_str(&chosen);
	while (take_portion(&rest, &portion))
		act_on_portion(s, a, portion, done);
}
