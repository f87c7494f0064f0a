/* SPDX-License-Identifier: ISC */
/* The intake log as qmgr keeps it: log.c. */
#include "lib/queue/manager_parts_for_test.h"

#include "lib/base/die.h"

struct eviction {
	struct manager *m;
	size_t count;
	struct queue_exit exits[MOST_AT_ONCE];
	int results[MOST_AT_ONCE];
};

static void note_lingering(void *arg, struct str id)
{
	struct eviction *e = arg;

	if (e->count < MOST_AT_ONCE
	    && queue_exit_begin(e->m->q, id, QUEUE_INCOMING, &e->exits[e->count]) == 0)
		TELL(e->m, number_of(e->m, str_of(e->exits[e->count++].id)), "has to make room");
}

static int write_all_files(void *arg)
{
	struct eviction *e = arg;

	for (size_t k = 0; k < e->count; k++)
		e->results[k] = queue_exit_write(&e->exits[k]);
	for (size_t k = 0; k < e->count; k++)
		if (e->results[k] == 0)
			e->results[k] = queue_exit_sync(&e->exits[k]);
	return 0;
}

static void make_room(struct manager *m)
{
	struct eviction *e = get_memory(sizeof(*e));

	e->m = m;
	m->is_making_room = true;
	queue_crowding(m->q, MANAGER_SEGMENTS / 2, note_lingering, e);
	if (e->count > 0)
		offload(write_all_files, e);
	for (size_t k = 0; k < e->count; k++) {
		int r = queue_exit_end(&e->exits[k], e->results[k]);

		TELL(m, number_of(m, str_of(e->exits[k].id)), "made room: %d", r);
	}
	free(e);
	m->is_making_room = false;
}

static void run_keeper(void *manager)
{
	struct manager *m = manager;

	task_sleep();
	if (!m->leaving && queue_keep_intake(m->q) > 0 && !m->leaving)
		make_room(m);
	m->is_keeping = false;
}

void log_keep(struct manager *m)
{
	if (m->is_keeping || m->leaving)
		return;
	m->is_keeping = true;
	task_start(&m->process, run_keeper, m);
}
