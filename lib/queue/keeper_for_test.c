/* SPDX-License-Identifier: ISC */
/* See keeper_for_test.h. */
#include "lib/queue/keeper_for_test.h"

#include <errno.h>

#include "lib/base/die.h"
#include "lib/queue/calls_for_test.h"

struct queue *keeper_open_queue(int root)
{
	struct queue *q;

	return queue_open(root, KEEPER_DEPTH, (1u << QUEUE_COUNT) - 1, &q, NULL) < 0 ? NULL : q;
}

struct sight *keeper_find(struct keeper *k, const char *id)
{
	for (size_t i = 0; i < k->seen.count; i++)
		if (strcmp(k->seen.at[i].id, id) == 0 && k->seen.at[i].where != QUEUE_MAILDROP)
			return &k->seen.at[i];
	return NULL;
}

void keeper_forget(struct keeper *k, struct sight *s)
{
	*s = k->seen.at[--k->seen.count];
}

/*
 * Of a copy that could not be written something may be left, when its removal was not durable: the
 * message itself is elsewhere, or is missed there.
 */
static void set_aside(struct keeper *k, enum queue_name where, struct str id)
{
	const struct promise *p = promise_of(k->promises, id);

	if (calls_failed == 0 && p != NULL && (where == QUEUE_MAILDROP ? p->must_be_in_maildrop
			  : p->is_acknowledged && !p->may_be_gone))
		buf_addf(k->why, "%s in %s is damaged; ", p->id, queue_name_text(where));
	queue_move(k->q, where, QUEUE_CORRUPT, id);
}

/* As qmgr: is_known(), message_load(), scan_troubled(). */
static int take(struct keeper *k, enum queue_name where, struct str id)
{
	struct sight *s = &k->seen.at[k->seen.count];
	char text[32];
	int r;

	snprintf(text, sizeof(text), "%.*s", PSTR(id));
	if (where != QUEUE_MAILDROP && keeper_find(k, text) != NULL)
		return 0;
	BUG_UNLESS(k->seen.count < MOST_SIGHTS);
	r = sight_read(k->promises, k->q, where, str_of(text), s, k->why);
	if (r == -EMLINK && queue_mend(k->q, where, str_of(text)) == 0)
		r = sight_read(k->promises, k->q, where, str_of(text), s, k->why);
	if (r == 0)
		k->seen.count++;
	else if (r == -EBADMSG)
		set_aside(k, where, str_of(text));
	return 0;
}

struct look {
	struct keeper *k;
	enum queue_name where;
};

static int take_name(void *arg, struct str id, int64_t mtime_s)
{
	struct look *l = arg;

	(void) mtime_s;
	return take(l->k, l->where, id);
}

void keeper_scan(struct keeper *k)
{
	static const enum queue_name places[] = { QUEUE_INCOMING, QUEUE_DEFERRED, QUEUE_HOLD, QUEUE_MAILDROP };

	for (size_t i = 0; i < COUNT_OF(places); i++)
		queue_scan(k->q, places[i], take_name, &(struct look){ k, places[i] });
}

struct keeper *keeper_start(int root, struct promises *promises, struct buf *why)
{
	struct keeper *k = get_memory(sizeof(*k));

	k->q = keeper_open_queue(root);
	k->promises = promises;
	k->why = why;
	k->seen.count = 0;
	if (k->q == NULL || queue_open_intake(k->q, root, true, true) < 0) {
		keeper_free(k);
		return NULL;
	}
	keeper_scan(k);
	return k;
}

void keeper_free(struct keeper *k)
{
	if (k != NULL)
		queue_close(k->q);
	free(k);
}
