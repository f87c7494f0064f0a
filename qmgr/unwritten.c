/* SPDX-License-Identifier: ISC */
/*
 * What goes into a message's journal, and what the disk does not take: it is full, or read-only for a while. That is remembered here, so that nobody gets a
 * message again at each attempt, or is told of it again, as long as this process lives; and it is written as soon as it can be.
 */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/queue/format.h"
#include "qmgr/qmgr.h"

enum { MOST_LINES = 1 << 20 /* bytes, of one message */, MOST_MESSAGES = 4000 };

static void free_lines(void *lines)
{
	buf_free(lines);
	free(lines);
}

static void keep(struct message *m, const struct journal_record *records, size_t n)
{
	struct map *all = m->q->unwritten;
	struct buf *lines = map_get(all, m->id);
	AUTO(buf) line = BUF(MOST_LINES);

	if (lines == NULL) {
		if (map_count(all) >= MOST_MESSAGES)
			return;
		lines = get_memory(sizeof(*lines));
		*lines = BUF(MOST_LINES);
		map_put(all, m->id, lines);
	}
	for (size_t i = 0; i < n; i++) {
		buf_clear(&line);
		if (journal_record_print(&line, m->id.at, &records[i]) >= 0)
			buf_add(lines, buf_str(&line));		/* all of it, or nothing */
	}
}

void unwritten_read(const struct qmgr *q, struct str id, void (*each)(void *arg, const struct journal_record *r), void *arg)
{
	const struct buf *lines = map_get(q->unwritten, id);
	struct str rest = lines == NULL ? STR_NONE : buf_str(lines), line;
	struct journal_record record;

	while (rest.len > 0) {
		str_cut(&rest, '\n', &line);
		if (journal_record_parse(line, id.at, &record) == 0)
			each(arg, &record);
	}
}

void unwritten_free(struct qmgr *q)
{
	map_free(q->unwritten, free_lines);
}

void unwritten_forget(struct qmgr *q, struct str id)
{
	struct buf *lines = map_remove(q->unwritten, id);

	if (lines != NULL)
		free_lines(lines);
}

struct writing {
	struct queue_file *f;
	int result;
};

static void write_one(void *arg, const struct journal_record *record)
{
	struct writing *w = arg;

	if (w->result >= 0)
		w->result = journal_append(w->f, record, 1);
}

/* Twice in the journal does no harm: what failed half-way starts from its beginning. */
static int write_kept(struct qmgr *q, struct str id, struct queue_file *f)
{
	struct writing w = { .f = f };

	unwritten_read(q, id, write_one, &w);
	if (w.result >= 0)
		unwritten_forget(q, id);
	return w.result;
}

int message_record(struct message *m, const struct journal_record *records, size_t n)
{
	AUTO(queue_file) f = { .fd = -1 };
	int r;

	if (n == 0 && map_get(m->q->unwritten, m->id) == NULL)
		return 0;
	r = message_open_file(m, true, &f);
	if (r >= 0)
		r = write_kept(m->q, m->id, &f);
	if (r >= 0 && n > 0)
		r = journal_append(&f, records, n);
	if (r < 0 && r != -ENOENT)
		keep(m, records, n);
	return r;
}

void unwritten_flush(struct qmgr *q)
{
	static const enum queue_name places[] = { QUEUE_DEFERRED, QUEUE_INCOMING };

	for (struct map_at at = { 0 }; map_next(q->unwritten, &at);)
		for (size_t i = 0; i < COUNT_OF(places); i++) {
			AUTO(queue_file) f = { .fd = -1 };

			if (queue_file_open(q->queue, places[i], at.key, true, false, &f) >= 0 && write_kept(q, str_of(f.id), &f) >= 0)
				break;
		}
}
