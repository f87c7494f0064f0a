/* SPDX-License-Identifier: ISC */
/*
 * See disk_for_test.h. Of each file there is what a reader sees now, what is durable, and the
 * writes in between; of each directory the names now and the durable ones, and of all of them one
 * list of changes in between.
 */
#include "lib/queue/disk_for_test.h"

#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/str.h"

enum { SECTOR = 512, NAME = 40, MOST_NODES = 4096 };

/* Shared by copies of a disk until one of them writes. */
struct bytes {
	int users;
	size_t len, room;
	unsigned char at[];
};

struct data_change {			/* also shared */
	int users;
	uint64_t at, len, size_after;
	bool is_truncation;
	unsigned char data[];
};

struct entry {
	int node;
	char name[NAME];
};

struct names {
	struct entry *at;
	size_t count;
};

struct node {
	bool is_directory;
	struct bytes *now, *durable;
	struct data_change **changes;
	size_t change_count;
	int64_t mtime, durable_mtime;
	struct names names, durable_names;
};

/*
 * What one call does is one group: all of it is there after a cut, or nothing, but for what a sync
 * took out of it.
 */
struct name_change {
	bool is_added, is_creation, is_logged;
	unsigned group;
	int dir, node;
	char name[NAME];
};

struct disk {
	enum disk_kind kind;
	struct node *nodes;
	int node_count;
	struct name_change *changes;
	size_t change_count;
	unsigned groups;
};

uint64_t roll(uint64_t *dice, uint64_t n)
{
	uint64_t z = *dice += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (z ^ z >> 31) % n;
}

/* ---- bytes ---- */

static struct bytes *share(struct bytes *b)
{
	b->users++;
	return b;
}

static void let_bytes_go(struct bytes *b)
{
	if (b != NULL && --b->users == 0)
		free(b);
}

static struct bytes *new_bytes(size_t room)
{
	struct bytes *b = get_memory(sizeof(*b) + room);

	b->users = 1;
	b->room = room;
	return b;
}

/* Ours alone, and of that length: zeros where there was nothing. */
static void make_own(struct bytes **b, size_t len)
{
	struct bytes *own = *b;

	if (own->users > 1 || own->room < len) {
		own = new_bytes(MAX(len, (*b)->len) * 5 / 4);
		memcpy(own->at, (*b)->at, (*b)->len);
		own->len = (*b)->len;
		let_bytes_go(*b);
		*b = own;
	}
	if (own->len < len)
		memset(own->at + own->len, 0, len - own->len);
	else
		memset(own->at + len, 0, own->len - len);
	own->len = len;
}

static void put_bytes(struct bytes **b, uint64_t at, const unsigned char *data, size_t len)
{
	make_own(b, MAX((*b)->len, at + len));
	memcpy((*b)->at + at, data, len);
}

/* ---- names ---- */

static struct entry *find_entry(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->at[i].name, name) == 0)
			return &names->at[i];
	return NULL;
}

static void put_name(struct names *names, const char *name, int node)
{
	struct entry *e = find_entry(names, name);

	if (e == NULL) {
		names->at = resize_memory(names->at, (names->count + 1) * sizeof(*names->at));
		e = &names->at[names->count++];
		snprintf(e->name, sizeof(e->name), "%s", name);
	}
	e->node = node;
}

static void drop_name(struct names *names, const char *name, int node)
{
	struct entry *e = find_entry(names, name);

	if (e != NULL && e->node == node)
		*e = names->at[--names->count];
}

static struct names copy_names(const struct names *names)
{
	struct names copy = { .count = names->count };

	if (copy.count > 0) {
		copy.at = get_memory(copy.count * sizeof(*copy.at));
		memcpy(copy.at, names->at, copy.count * sizeof(*copy.at));
	}
	return copy;
}

/* ---- a disk ---- */

static int add_node(struct disk *d, bool is_directory)
{
	struct node *n;

	BUG_UNLESS(d->node_count < MOST_NODES);
	d->nodes = resize_memory(d->nodes, ((size_t) d->node_count + 1) * sizeof(*d->nodes));
	n = &d->nodes[d->node_count];
	*n = (struct node){ .is_directory = is_directory, .now = new_bytes(0), .mtime = wall_s() };
	n->durable = share(n->now);
	n->durable_mtime = n->mtime;
	return d->node_count++;
}

struct disk *disk_new(enum disk_kind kind)
{
	struct disk *d = get_memory(sizeof(*d));

	*d = (struct disk){ .kind = kind };
	add_node(d, true);
	return d;
}

static void forget_data_changes(struct node *n)
{
	for (size_t i = 0; i < n->change_count; i++)
		if (--n->changes[i]->users == 0)
			free(n->changes[i]);
	free(n->changes);
	n->changes = NULL;
	n->change_count = 0;
}

void disk_free(struct disk *d)
{
	if (d == NULL)
		return;
	for (int i = 0; i < d->node_count; i++) {
		struct node *n = &d->nodes[i];

		forget_data_changes(n);
		let_bytes_go(n->now);
		let_bytes_go(n->durable);
		free(n->names.at);
		free(n->durable_names.at);
	}
	free(d->nodes);
	free(d->changes);
	free(d);
}

static struct disk *new_like(const struct disk *d)
{
	struct disk *copy = get_memory(sizeof(*copy));

	*copy = (struct disk){ .kind = d->kind, .node_count = d->node_count, .groups = d->groups };
	copy->nodes = get_memory((size_t) d->node_count * sizeof(*copy->nodes));
	return copy;
}

static void copy_node(const struct node *from, struct node *to)
{
	*to = (struct node){ .is_directory = from->is_directory, .now = share(from->now),
			     .durable = share(from->durable), .change_count = from->change_count,
			     .mtime = from->mtime, .durable_mtime = from->durable_mtime,
			     .names = copy_names(&from->names),
			     .durable_names = copy_names(&from->durable_names) };
	if (from->change_count > 0)
		to->changes = get_memory(from->change_count * sizeof(*to->changes));
	for (size_t i = 0; i < from->change_count; i++) {
		to->changes[i] = from->changes[i];
		to->changes[i]->users++;
	}
}

struct disk *disk_copy(const struct disk *d)
{
	struct disk *copy = new_like(d);

	for (int i = 0; i < d->node_count; i++)
		copy_node(&d->nodes[i], &copy->nodes[i]);
	copy->change_count = d->change_count;
	if (d->change_count > 0) {
		copy->changes = get_memory(d->change_count * sizeof(*d->changes));
		memcpy(copy->changes, d->changes, d->change_count * sizeof(*d->changes));
	}
	return copy;
}

/* ---- what is durable of a file ---- */

/* How many of the changes a sector, or the size, has seen: any number. */
static size_t changes_seen(const struct node *n, enum survival how, uint64_t *dice)
{
	if (how != SOME)
		return how == EVERYTHING ? n->change_count : 0;
	return roll(dice, 2) == 0 ? roll(dice, n->change_count + 1) : roll(dice, 2) * n->change_count;
}

static void put_sector(struct bytes **b, const struct data_change *c, uint64_t sector)
{
	uint64_t from = MAX(c->at, sector * SECTOR), to = MIN(c->at + c->len, (sector + 1) * SECTOR);

	if (c->is_truncation && from < MIN((sector + 1) * SECTOR, (*b)->len)) {
		make_own(b, (*b)->len);
		memset((*b)->at + from, 0, MIN((sector + 1) * SECTOR, (*b)->len) - from);
	} else if (!c->is_truncation && from < to) {
		put_bytes(b, from, c->data + (from - c->at), to - from);
	}
}

static uint64_t furthest(const struct node *n)
{
	uint64_t end = n->durable->len;

	for (size_t i = 0; i < n->change_count; i++)
		end = MAX(end, n->changes[i]->at + n->changes[i]->len);
	return end;
}

static struct bytes *survivors(const struct node *n, enum survival how, uint64_t *dice)
{
	struct bytes *b = share(n->durable);
	size_t seen_by_size;
	uint64_t size;

	if (n->change_count == 0 || how == NOTHING_MORE)
		return b;
	if (how == EVERYTHING) {
		let_bytes_go(b);
		return share(n->now);
	}
	for (uint64_t sector = 0, end = furthest(n); sector * SECTOR < end; sector++) {
		size_t seen = changes_seen(n, how, dice);

		for (size_t i = 0; i < seen; i++)
			put_sector(&b, n->changes[i], sector);
	}
	seen_by_size = changes_seen(n, how, dice);
	size = seen_by_size == 0 ? n->durable->len : n->changes[seen_by_size - 1]->size_after;
	make_own(&b, size);
	return b;
}

static void make_durable(struct node *n)
{
	/* what a failed sync dropped does not become durable by a later one */
	for (size_t i = 0; i < n->change_count; i++) {
		const struct data_change *c = n->changes[i];

		if (c->is_truncation)
			make_own(&n->durable, c->size_after);
		else
			put_bytes(&n->durable, c->at, c->data, c->len);
	}
	forget_data_changes(n);
	n->durable_mtime = n->mtime;
}

/* ---- what is durable of the names ---- */

static void apply(struct names *names, const struct name_change *c)
{
	if (c->is_added)
		put_name(names, c->name, c->node);
	else
		drop_name(names, c->name, c->node);
}

static void make_names_durable(struct disk *d, size_t count)
{
	for (size_t i = 0; i < count; i++)
		apply(&d->nodes[d->changes[i].dir].durable_names, &d->changes[i]);
	d->change_count -= count;
	if (d->change_count > 0)
		memmove(d->changes, d->changes + count, d->change_count * sizeof(*d->changes));
}

static bool concerns(const struct name_change *c, int node, bool data_only)
{
	return (c->node == node && (!data_only || c->is_creation)) || (c->dir == node && !data_only);
}

static void log_names(struct disk *d, int node, bool data_only)
{
	for (size_t i = 0; i < d->change_count; i++) {
		struct name_change *c = &d->changes[i];

		if (c->is_logged || !concerns(c, node, data_only))
			continue;
		c->is_logged = true;
		log_names(d, c->dir, true);		/* above it, what is new */
		for (size_t k = 0; k < d->change_count; k++)
			/* what left a directory is not nowhere; a new directory is written with what is in it */
			d->changes[k].is_logged |= (!c->is_added && d->changes[k].group == c->group)
						   || (c->is_creation && d->changes[k].is_added
						       && d->changes[k].dir == c->node);
	}
}

static void sync_names(struct disk *d, int node, bool data_only)
{
	size_t upto = 0;

	if (d->kind == DISK_LOGGED) {
		log_names(d, node, data_only);
		return;
	}
	for (size_t i = 0; i < d->change_count; i++)
		if (concerns(&d->changes[i], node, data_only))
			upto = i + 1;
	while (upto > 0 && upto < d->change_count && d->changes[upto].group == d->changes[upto - 1].group)
		upto++;
	make_names_durable(d, upto);
}

void disk_sync(struct disk *d, int node, bool data_only)
{
	make_durable(&d->nodes[node]);
	sync_names(d, node, data_only);
}

void disk_settle(struct disk *d)
{
	make_names_durable(d, d->change_count);
	for (int i = 0; i < d->node_count; i++)
		make_durable(&d->nodes[i]);
}

void disk_fail_sync(struct disk *d, int node, uint64_t *dice)
{
	struct node *n = &d->nodes[node];
	struct bytes *left = survivors(n, (enum survival) roll(dice, 3), dice);

	forget_data_changes(n);
	let_bytes_go(n->durable);
	n->durable = left;
	if (roll(dice, 2) == 0) {		/* the page left the cache: what is read is what is on disk */
		let_bytes_go(n->now);
		n->now = share(left);
	}
}

static unsigned last_surviving_group(const struct disk *d, enum survival how, uint64_t *dice)
{
	if (d->change_count == 0 || how == NOTHING_MORE)
		return 0;
	if (how == EVERYTHING)
		return d->groups;
	return d->changes[roll(dice, d->change_count)].group - (unsigned) roll(dice, 2);
}

struct disk *disk_after_cut(const struct disk *d, enum survival how, uint64_t *dice)
{
	struct disk *after = new_like(d);
	unsigned upto = last_surviving_group(d, how, dice);

	for (int i = 0; i < d->node_count; i++) {
		const struct node *from = &d->nodes[i];
		struct node *n = &after->nodes[i];
		int64_t mtime = how == EVERYTHING || (how == SOME && roll(dice, 2) == 0)
				? from->mtime : from->durable_mtime;

		*n = (struct node){ .is_directory = from->is_directory,
				    .durable = survivors(from, how, dice),
				    .mtime = mtime, .durable_mtime = mtime,
				    .durable_names = copy_names(&from->durable_names) };
		n->now = share(n->durable);
	}
	for (size_t i = 0; i < d->change_count; i++)
		if (d->changes[i].group <= upto || d->changes[i].is_logged)
			apply(&after->nodes[d->changes[i].dir].durable_names, &d->changes[i]);
	for (int i = 0; i < d->node_count; i++)
		after->nodes[i].names = copy_names(&after->nodes[i].durable_names);
	return after;
}

/* ---- calls: names ---- */

/* The directory that holds the last component of path, which *ret_name then is. */
static int parent_of(const struct disk *d, int dir, const char *path, const char **ret_name)
{
	const char *slash;
	char part[NAME];

	while ((slash = strchr(path, '/')) != NULL) {
		struct entry *e;

		snprintf(part, sizeof(part), "%.*s", (int) (slash - path), path);
		e = find_entry(&d->nodes[dir].names, part);
		if (e == NULL)
			return -ENOENT;
		if (!d->nodes[e->node].is_directory)
			return -ENOTDIR;
		dir = e->node;
		path = slash + 1;
	}
	BUG_UNLESS(strlen(path) < NAME);
	*ret_name = path;
	return dir;
}

int disk_find(const struct disk *d, int dir, const char *path)
{
	const char *name;
	const struct entry *e;
	int parent = parent_of(d, dir, path, &name);

	if (parent < 0 || strcmp(name, ".") == 0)
		return parent;
	e = find_entry(&d->nodes[parent].names, name);
	return e == NULL ? -ENOENT : e->node;
}

static void change_name(struct disk *d, int dir, const char *name, int node, bool is_added, bool is_creation)
{
	struct name_change *c;

	d->changes = resize_memory(d->changes, (d->change_count + 1) * sizeof(*d->changes));
	c = &d->changes[d->change_count++];
	*c = (struct name_change){ .is_added = is_added, .is_creation = is_creation, .group = d->groups,
				   .dir = dir, .node = node };
	snprintf(c->name, sizeof(c->name), "%s", name);
	apply(&d->nodes[dir].names, c);
}

int disk_make(struct disk *d, int dir, const char *path, bool is_directory)
{
	const char *name;
	int parent = parent_of(d, dir, path, &name), node;

	if (parent < 0)
		return parent;
	if (find_entry(&d->nodes[parent].names, name) != NULL)
		return -EEXIST;
	node = add_node(d, is_directory);
	d->groups++;
	change_name(d, parent, name, node, true, true);
	return node;
}

int disk_rename(struct disk *d, int from_dir, const char *from, int to_dir, const char *to)
{
	const char *old, *new;
	int node = disk_find(d, from_dir, from), source, target;

	if (node < 0)
		return node;
	source = parent_of(d, from_dir, from, &old);
	target = parent_of(d, to_dir, to, &new);
	if (source < 0 || target < 0)
		return MIN(source, target);
	d->groups++;
	change_name(d, target, new, node, true, false);
	change_name(d, source, old, node, false, false);
	return 0;
}

int disk_unlink(struct disk *d, int dir, const char *path)
{
	const char *name;
	int node = disk_find(d, dir, path), parent;

	if (node < 0)
		return node;
	if (d->nodes[node].is_directory)
		return -EISDIR;
	parent = parent_of(d, dir, path, &name);
	d->groups++;
	change_name(d, parent, name, node, false, false);
	return 0;
}

bool disk_is_directory(const struct disk *d, int node)
{
	return d->nodes[node].is_directory;
}

int disk_links(const struct disk *d, int node)
{
	int links = 0;

	for (int i = 0; i < d->node_count; i++)
		for (size_t k = 0; k < d->nodes[i].names.count; k++)
			links += d->nodes[i].names.at[k].node == node;
	return links;
}

const char *disk_name_at(const struct disk *d, int dir, size_t position)
{
	const struct names *names = &d->nodes[dir].names;

	return position < names->count ? names->at[position].name : NULL;
}

/* ---- calls: data ---- */

uint64_t disk_size(const struct disk *d, int node)
{
	return d->nodes[node].now->len;
}

int64_t disk_mtime(const struct disk *d, int node)
{
	return d->nodes[node].mtime;
}

void disk_set_mtime(struct disk *d, int node, int64_t to_s)
{
	d->nodes[node].mtime = to_s;
}

size_t disk_read(const struct disk *d, int node, uint64_t at, void *to, size_t len)
{
	const struct bytes *b = d->nodes[node].now;
	size_t n = at >= b->len ? 0 : (size_t) MIN((uint64_t) len, b->len - at);

	if (n > 0)
		memcpy(to, b->at + at, n);
	return n;
}

static void remember_change(struct node *n, uint64_t at, const void *data, size_t len, bool is_truncation)
{
	struct data_change *c = get_memory(sizeof(*c) + len);

	*c = (struct data_change){ .users = 1, .at = at, .len = len, .size_after = n->now->len,
				   .is_truncation = is_truncation };
	if (len > 0)
		memcpy(c->data, data, len);
	n->changes = resize_memory(n->changes, (n->change_count + 1) * sizeof(*n->changes));
	n->changes[n->change_count++] = c;
	n->mtime = wall_s();
}

void disk_write(struct disk *d, int node, uint64_t at, const void *data, size_t len)
{
	struct node *n = &d->nodes[node];

	put_bytes(&n->now, at, data, len);
	remember_change(n, at, data, len, false);
}

void disk_truncate(struct disk *d, int node, uint64_t size)
{
	struct node *n = &d->nodes[node];

	make_own(&n->now, size);
	remember_change(n, size, NULL, 0, true);
}
