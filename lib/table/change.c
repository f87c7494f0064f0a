/* SPDX-License-Identifier: ISC */
/*
 * One change costs a copy of the file and a sync, whoever is killed meanwhile (edit.h). So whoever
 * gets the turn makes all the changes that have gathered, on a pool thread; the others find theirs
 * made when their turn comes.
 */
#include "lib/table/change.h"

#include <errno.h>

#include "lib/base/die.h"
#include "lib/table/edit.h"

enum { PATIENCE_MS = 80000, CACHE_BYTES = 1 << 20, NEW_MODE = 0644 };

struct change {
	struct list link;
	struct str key, value;		/* in one piece of memory with it */
	bool is_removal;
	bool is_taken;			/* somebody is making it: it is in no list of ours any more */
	bool is_made;
	bool is_abandoned;		/* who wanted it went away: freed by who makes it */
	int result;
	struct buf why;
};

struct changes {
	struct gate turn;
	struct list waiting;
};

/* What one turn makes. */
struct batch {
	const struct table *table;
	struct list changes;
	int result;
	struct buf why;
};

static struct changes *changes_of(struct table *t)
{
	if (t->changes == NULL) {
		t->changes = get_memory(sizeof(*t->changes));
		gate_init(&t->changes->turn, 1);
		list_init(&t->changes->waiting);
	}
	return t->changes;
}

static struct change *new_change(struct str key, const struct str *value)
{
	struct change *c = get_memory(sizeof(*c) + key.len + (value == NULL ? 0 : value->len) + 1);
	char *at = (char *) (c + 1);

	list_init(&c->link);
	c->why = BUF_WORDS;
	c->key = str_make(memcpy(at, key.at, key.len), key.len);
	c->is_removal = value == NULL;
	if (value != NULL)
		c->value = str_make(memcpy(at + key.len, value->at, value->len), value->len);
	return c;
}

static void free_change(struct change *c)
{
	buf_free(&c->why);
	free(c);
}

/* ---- on a pool thread ---- */

static int make(struct edit *e, struct change *c)
{
	if (c->is_removal)
		return edit_delete(e, c->key, &c->why);
	return edit_put(e, c->key, c->value, true, &c->why);
}

static int make_all(void *arg)
{
	struct batch *b = arg;
	const struct stat *existing;
	struct edit *e;
	bool any = false;

	b->result = edit_open(b->table->drivers.database, b->table->file->path, EDIT_FROM_EXISTING,
			      CACHE_BYTES, &e, &b->why);
	if (b->result < 0)
		return 0;
	LIST_EACH(c, &b->changes, struct change, link) {
		c->result = make(e, c);
		any = any || c->result > 0;
	}
	existing = edit_existing(e);
	if (any)
		b->result = edit_commit(e, existing == NULL ? NEW_MODE : existing->st_mode & 0777,
					(uid_t) -1, (gid_t) -1, &b->why);
	else
		edit_abandon(e);
	return 0;
}

/* ---- in the loop's thread ---- */

static void take_turn(struct table *t, struct changes *all)
{
	struct batch b = { .table = t, .why = BUF_WORDS };

	list_init(&b.changes);
	LIST_EACH(c, &all->waiting, struct change, link) {
		list_remove(&c->link);
		list_append(&b.changes, &c->link);
		c->is_taken = true;
	}
	co_offload(make_all, &b);
	if (b.result >= 0)
		table_reopen(t);
	LIST_EACH(c, &b.changes, struct change, link) {
		list_remove(&c->link);
		c->is_made = true;
		if (b.result < 0) {
			c->result = b.result;
			buf_clear(&c->why);
			buf_add(&c->why, buf_str(&b.why));
		}
		if (c->is_abandoned)
			free_change(c);
	}
	buf_free(&b.why);
}

int database_change(struct table *t, struct str key, const struct str *value, struct buf *why)
{
	struct changes *all = changes_of(t);
	struct change *c;
	int r;

	if (t->drivers.database == NULL || t->file == NULL || !t->drivers.database->can_change) {
		buf_addf(why, "table %s: cannot be changed", t->spec);
		return -EOPNOTSUPP;
	}
	c = new_change(key, value);
	list_append(&all->waiting, &c->link);
	r = gate_enter(&all->turn, in(PATIENCE_MS));
	if (r == 0 && !c->is_made && co_is_cancelled()) {	/* would not be let onto a thread */
		gate_leave(&all->turn);
		r = -ECANCELED;
	}
	if (r < 0) {
		buf_addf(why, "waiting for other changes: %s", error_text(r));
		if (c->is_taken && !c->is_made) {
			c->is_abandoned = true;
			return r;
		}
		if (!c->is_taken)
			list_remove(&c->link);
		free_change(c);
		return r;
	}
	if (!c->is_made)
		take_turn(t, all);
	gate_leave(&all->turn);
	r = c->result;
	buf_add(why, buf_str(&c->why));
	free_change(c);
	return r;
}
