/* SPDX-License-Identifier: ISC */
/*
 * Removing what is through. An unlink waits for the file system's journal whenever somebody syncs (measured:
 * 0.6 ms each at
 * 20 sessions), and the scheduler must not wait: so files are removed in batches on a pool thread. While one
 * batch is removed the next gathers. A message stays in q->active until its file is gone, so that no scan
 * takes it for a new one.
 */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/log/log.h"
#include "qmgr/qmgr.h"

enum { MOST_AT_ONCE = 200 };

struct removal {
	struct message *m;
	int result;
};

struct batch {
	struct queue *queue;
	size_t count;
	struct removal at[MOST_AT_ONCE];
};

/* On a pool thread: the loop does not touch the messages meanwhile. */
static int remove_files(void *arg)
{
	struct batch *b = arg;

	for (size_t i = 0; i < b->count; i++)
		b->at[i].result = queue_finish(b->queue, b->at[i].m->where, b->at[i].m->id);
	FAILPOINT("qmgr.removed");
	return 0;
}

static void removed(struct qmgr *q, const struct removal *r)
{
	struct message *m = r->m;

	if (r->result < 0 && r->result != -ENOENT)
		log_mail(ROAD_ERROR, m->id, "cannot be removed from %s: %s", queue_name_text(m->where),
			 error_text(r->result));
	else
		log_mail(ROAD_INFO, m->id, "removed");
	m->to_do = 0;
	forget(m);
	end_of_work(q);
}

static void take_batch(struct qmgr *q, struct batch *b)
{
	b->count = 0;
	LIST_EACH(m, &q->finished, struct message, link) {
		if (b->count == MOST_AT_ONCE)
			break;
		list_remove(&m->link);
		b->at[b->count++].m = m;
	}
}

static void run_remover(void *arg)
{
	struct qmgr *q = arg;
	struct batch *b = get_memory(sizeof(*b));

	b->queue = q->queue;
	while (!list_is_empty(&q->finished)) {
		take_batch(q, b);
		co_offload(remove_files, b);
		for (size_t i = 0; i < b->count; i++)
			removed(q, &b->at[i]);
	}
	free(b);
	q->remover_runs = false;
}

void remove_message(struct message *m)
{
	struct qmgr *q = m->q;

	m->to_do = 1;			/* so that nobody concludes it a second time meanwhile */
	q->under_way++;
	list_append(&q->finished, &m->link);
	if (q->remover_runs)
		return;
	q->remover_runs = true;
	if (scope_start(q->scope, "remover", run_remover, q) < 0) {
		struct removal here = { m, queue_finish(q->queue, m->where, m->id) };

		q->remover_runs = false;
		list_remove(&m->link);
		removed(q, &here);
	}
}
