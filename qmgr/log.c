/* SPDX-License-Identifier: ISC */
/*
 * The intake log as the queue manager keeps it: the content of what was just announced stays in
 * memory, as far as there is room, and goes to the agents from there; ledgers are synced about once
 * a second; segments that are through are freed, and when many are in use, what lingers in one of
 * them is given files of its own.
 */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/log/log.h"
#include "qmgr/qmgr.h"

enum { MOST_CONTENT = 64 << 20, KEEP_MS = 1000, MOST_AT_ONCE = 200 };

/* ---- what comes in ---- */

static void keep_content(struct qmgr *q, const struct qmgr_announce *from, struct message *m)
{
	const bool has_empty_line = from->size != from->headers.len;
	const size_t size = from->headers.len + (has_empty_line ? 1 + from->body.len : 0);
	char *at;

	if (size != from->size || q->content_bytes + size > MOST_CONTENT)
		return;
	at = arena_get(m->arena, size);
	memcpy(at, from->headers.at, from->headers.len);
	if (has_empty_line) {
		at[from->headers.len] = '\n';
		memcpy(at + from->headers.len + 1, from->body.at, from->body.len);
	}
	m->content = str_make(at, size);
	q->content_bytes += size;
}

void log_forget_content(struct message *m)
{
	m->q->content_bytes -= m->content.len;
	m->content = STR_NONE;
}

bool log_take(struct qmgr *q, const struct qmgr_announce *from, struct message *m)
{
	struct queue_place place = { .at = from->place_at, .len = from->place_len };
	bool missed = false;
	int r = -EBADMSG;

	if (from->segment.len == 0)
		return true;
	if (from->segment.len < sizeof(place.segment)) {
		memcpy(place.segment, from->segment.at, from->segment.len);
		r = queue_announced(q->queue, &place, m->id, &missed);
	}
	if (r < 0)
		log_mail(ROAD_WARNING, m->id, "announced in intake/log-%.*s: %s", PSTR(from->segment),
			 error_text(r));
	if (missed || r < 0) {
		q->look_soon = true;
		bell_ring(&q->look);
	}
	if (r <= 0)
		return false;
	m->was_in_log = true;
	keep_content(q, from, m);
	log_keep(q);
	return true;
}

/* ---- keeping it ---- */

struct eviction {
	size_t count;
	struct queue_exit exits[MOST_AT_ONCE];
	int results[MOST_AT_ONCE];
	struct queue *queue;
};

static void note_lingering(void *arg, struct str id)
{
	struct eviction *e = arg;

	if (e->count < MOST_AT_ONCE && queue_exit_begin(e->queue, id, QUEUE_INCOMING,
							&e->exits[e->count]) == 0)
		e->count++;
}

static int write_all_files(void *arg)
{
	struct eviction *e = arg;

	for (size_t i = 0; i < e->count; i++)
		e->results[i] = queue_exit_write(&e->exits[i]);
	for (size_t i = 0; i < e->count; i++)
		if (e->results[i] == 0)
			e->results[i] = queue_exit_sync(&e->exits[i]);
	return 0;
}

/* Those who are being delivered are not disturbed by it. */
static void make_room(struct qmgr *q)
{
	struct eviction *e = get_memory(sizeof(*e));

	e->queue = q->queue;
	q->is_making_room = true;
	queue_crowding(q->queue, (int) q->queue_conf->intake_segment_limit / 2, note_lingering, e);
	if (e->count > 0)
		co_offload(write_all_files, e);
	for (size_t i = 0; i < e->count; i++) {
		int r = queue_exit_end(&e->exits[i], e->results[i]);

		if (r < 0 && r != -ENOENT)
			log_mail(ROAD_WARNING, str_of(e->exits[i].id), "cannot leave the intake log: %s",
				 error_text(r));
	}
	free(e);
	q->is_making_room = false;
	bell_ring(&q->is_put_down);
}

static void run_keeper(void *arg)
{
	struct qmgr *q = arg;

	while (!q->leaving && co_sleep(in(KEEP_MS)) >= 0 && !q->leaving) {
		/* while it waited for the disk the queue may have got another owner */
		if (queue_keep_intake(q->queue) == 0 || q->leaving)
			break;
		make_room(q);
	}
	q->log_keeper_runs = false;
}

void log_keep(struct qmgr *q)
{
	if (!q->log_keeper_runs && !q->leaving)
		q->log_keeper_runs = scope_start(q->scope, "log keeper", run_keeper, q) >= 0;
}
