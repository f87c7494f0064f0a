/* SPDX-License-Identifier: ISC */
/*
 * cdb: tables, for writing and listing. What is put is kept in memory until the end, so that a
 * later value can replace an earlier one.
 */
#include <errno.h>
#include <unistd.h>

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/die.h"
#include "lib/table/cdb.h"

/* There may be millions: this, its bytes and two pointers are all that is kept of each. */
struct record {
	uint32_t hash, at, key_len, value_len;
	const char *bytes;		/* the key, then the value */
};

struct writing {
	const char *path;		/* path and fd are the caller's */
	int fd;
	struct arena *arena;
	VEC(struct record *) records;	/* in their order */
	struct record **slots;		/* the same by the hash of their keys, at most half full */
	size_t slot_count;		/* a power of two */
	struct buf pending;		/* to be written */
	off_t written;
	int error;
};

enum { PIECE = 1 << 20, FIRST_SLOTS = 1024 };

int cdb_edit(const char *path, int fd, bool fresh, size_t cache_bytes, void **ret_db, struct driver_words why)
{
	struct writing *f = get_memory(sizeof(*f));

	(void) fresh;
	(void) cache_bytes;
	(void) why;
	f->path = path;
	f->fd = fd;
	f->arena = arena_new("cdb", NULL, (size_t) 8 << 30);
	f->slot_count = FIRST_SLOTS;
	f->slots = get_memory(FIRST_SLOTS * sizeof(*f->slots));
	f->pending = BUF(2 * PIECE);
	*ret_db = f;
	return 0;
}

/* Where the record of that key is, or goes. */
static struct record **find_slot(const struct writing *f, struct str key, uint32_t hash)
{
	size_t n = hash & (f->slot_count - 1);

	for (; f->slots[n] != NULL; n = (n + 1) & (f->slot_count - 1))
		if (f->slots[n]->hash == hash
		    && str_is(str_make(f->slots[n]->bytes, f->slots[n]->key_len), key))
			break;
	return &f->slots[n];
}

static void double_slots(struct writing *f)
{
	free(f->slots);
	f->slot_count *= 2;
	f->slots = get_memory(f->slot_count * sizeof(*f->slots));
	for (size_t i = 0; i < f->records.len; i++) {
		struct record *r = f->records.at[i];

		*find_slot(f, str_make(r->bytes, r->key_len), r->hash) = r;
	}
}

int cdb_put(void *db, struct str key, struct str value, bool replace, struct driver_words why)
{
	struct writing *f = db;
	char *bytes;
	const uint32_t hash = cdb_hash(key);
	struct record **slot = find_slot(f, key, hash), *r = *slot;

	if (key.len + value.len > PIECE - 8) {
		snprintf(why.at, why.size, "an entry of %zu bytes is too long", key.len + value.len);
		return -EMSGSIZE;
	}
	if (r != NULL && !replace)
		return 0;
	if (r == NULL) {
		r = ARENA_NEW(f->arena, struct record);
		*slot = r;
		*vec_add(f->arena, &f->records) = r;
	}
	bytes = arena_get(f->arena, key.len + value.len + 1);
	memcpy(bytes, key.at, key.len);
	memcpy(bytes + key.len, value.at, value.len);
	*r = (struct record){ .hash = hash, .key_len = (uint32_t) key.len, .value_len = (uint32_t) value.len,
			      .bytes = bytes };
	if (2 * f->records.len > f->slot_count)
		double_slots(f);
	return 1;
}

int cdb_remove(void *db, struct str key, struct driver_words why)
{
	(void) db;
	(void) key;
	snprintf(why.at, why.size, "a cdb table cannot be changed");
	return -EOPNOTSUPP;
}

/* ---- the file ---- */

static void flush_pending(struct writing *f)
{
	size_t done = 0;

	while (f->error == 0 && done < f->pending.len) {
		ssize_t n = pwrite(f->fd, f->pending.at + done, f->pending.len - done,
				   f->written + (off_t) done);

		if (n < 0)
			f->error = -errno;
		else
			done += (size_t) n;
	}
	f->written += (off_t) f->pending.len;
	buf_clear(&f->pending);
}

static void add_bytes(struct writing *f, struct str bytes)
{
	if (f->pending.len + bytes.len > PIECE)
		flush_pending(f);
	buf_add(&f->pending, bytes);
}

static void add_number(struct writing *f, uint32_t n)
{
	const char bytes[4] = { (char) n, (char) (n >> 8), (char) (n >> 16), (char) (n >> 24) };

	add_bytes(f, str_make(bytes, 4));
}

/* Where the next byte goes; positions have 32 bits. */
static uint32_t position(struct writing *f)
{
	off_t at = f->written + (off_t) f->pending.len;

	if (at > UINT32_MAX && f->error == 0)
		f->error = -EFBIG;
	return (uint32_t) at;
}

static void write_records(struct writing *f)
{
	for (size_t i = 0; i < f->records.len && f->error == 0; i++) {
		struct record *r = f->records.at[i];

		r->at = position(f);
		add_number(f, r->key_len);
		add_number(f, r->value_len);
		add_bytes(f, str_make(r->bytes, r->key_len + r->value_len));
	}
}

/* The records in order of their hash table: *ret_starts[n] is where those of table n begin. */
static const struct record **sort_by_table(const struct writing *f, size_t starts[257])
{
	const struct record **sorted = get_memory((f->records.len + 1) * sizeof(*sorted));
	AUTO_PTR size_t *next = get_memory(256 * sizeof(*next));

	memset(starts, 0, 257 * sizeof(*starts));
	for (size_t i = 0; i < f->records.len; i++)
		starts[(f->records.at[i]->hash & 255) + 1]++;
	for (size_t n = 1; n <= 256; n++)
		starts[n] += starts[n - 1];
	memcpy(next, starts, 256 * sizeof(*next));
	for (size_t i = 0; i < f->records.len; i++)
		sorted[next[f->records.at[i]->hash & 255]++] = f->records.at[i];
	return sorted;
}

static void write_table(struct writing *f, const struct record **records, size_t count)
{
	size_t slots = 2 * count;
	AUTO_PTR const struct record **slot = get_memory((slots + 1) * sizeof(const struct record *));

	for (size_t i = 0; i < count; i++) {
		size_t n = (records[i]->hash >> 8) % slots;

		while (slot[n] != NULL)
			n = n + 1 == slots ? 0 : n + 1;
		slot[n] = records[i];
	}
	for (size_t n = 0; n < slots; n++) {
		add_number(f, slot[n] == NULL ? 0 : slot[n]->hash);
		add_number(f, slot[n] == NULL ? 0 : slot[n]->at);
	}
}

static int write_file(struct writing *f)
{
	static const char no_head[CDB_HEAD];
	AUTO(buf) head = BUF(CDB_HEAD);
	AUTO_PTR const struct record **sorted = NULL;
	size_t starts[257];

	add_bytes(f, str_make(no_head, CDB_HEAD));
	write_records(f);
	sorted = sort_by_table(f, starts);
	for (size_t n = 0; n < 256 && f->error == 0; n++) {
		uint32_t at = position(f), slots = (uint32_t) (2 * (starts[n + 1] - starts[n]));
		const char entry[8] = { (char) at, (char) (at >> 8), (char) (at >> 16), (char) (at >> 24),
					(char) slots, (char) (slots >> 8), (char) (slots >> 16),
					(char) (slots >> 24) };

		buf_add(&head, str_make(entry, 8));
		write_table(f, sorted + starts[n], starts[n + 1] - starts[n]);
	}
	position(f);
	flush_pending(f);
	if (f->error == 0 && pwrite(f->fd, head.at, head.len, 0) != CDB_HEAD)
		f->error = errno > 0 ? -errno : -EIO;
	return f->error;
}

int cdb_finish(void *db, bool keep, struct driver_words why)
{
	struct writing *f = db;
	int r = keep ? write_file(f) : 0;

	if (r < 0)
		snprintf(why.at, why.size, "write %s: %s", f->path, error_text(r));
	free(f->slots);
	arena_free(f->arena);
	buf_free(&f->pending);
	free(f);
	return r;
}

/* ---- listing ---- */

/* Where the records end: at the first of the hash tables. */
static off_t end_of_records(int fd)
{
	unsigned char head[CDB_HEAD];
	uint32_t end = UINT32_MAX;

	if (pread(fd, head, sizeof(head), 0) != (ssize_t) sizeof(head))
		return -1;
	for (size_t n = 0; n < 256; n++)
		end = MIN(end, cdb_number(head + n * 8));
	return end;
}

int cdb_each(const char *path, int fd, driver_entry *say, void *arg, struct driver_words why)
{
	off_t end = end_of_records(fd), at = CDB_HEAD;
	AUTO(buf) room = BUF((size_t) 4 * PIECE);
	unsigned char lengths[8];
	int said = 0;

	while (said >= 0 && at < end) {
		size_t key_len, both;
		char *bytes;

		if (pread(fd, lengths, 8, at) != 8)
			break;
		key_len = cdb_number(lengths);
		both = key_len + cdb_number(lengths + 4);
		buf_clear(&room);
		bytes = key_len > PIECE || both > 2 * PIECE ? NULL : buf_room(&room, both + 1);
		if (bytes == NULL || pread(fd, bytes, both, at + 8) != (ssize_t) both)
			break;
		said = say(arg, str_make(bytes, key_len), str_make(bytes + key_len, both - key_len));
		at += 8 + (off_t) both;
	}
	if (said < 0)
		return said;
	if (at == end)
		return 0;
	snprintf(why.at, why.size, "read %s: the database is damaged", path);
	return -EIO;
}
