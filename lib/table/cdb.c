/* SPDX-License-Identifier: ISC */
/*
 * cdb: tables, for reading: two or three reads per lookup, nothing mapped, every position checked.
 * The driver that is built in.
 */
#include "lib/table/cdb.h"

#include <errno.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/die.h"
#include "lib/table/type.h"

enum { SLOTS_AT_ONCE = 32, FIRST_PIECE = 512, MOST_VALUE = 16 << 20 };

struct cdb {
	int fd;				/* fd and path are the caller's */
	const char *path;
	struct buf value;		/* of the lookup at hand */
	unsigned char head[CDB_HEAD];
};

static void cdb_close(void *db)
{
	struct cdb *c = db;

	buf_free(&c->value);
	free(c);
}

/* Reads exactly that many bytes: a position outside of the file means a damaged file. */
static int read_at(const struct cdb *c, void *to, size_t n, off_t at)
{
	ssize_t got = pread(c->fd, to, n, at);

	return got < 0 ? -errno : (size_t) got == n ? 0 : -EIO;
}

static int cdb_open(const char *path, int fd, void **ret_db, struct driver_words why)
{
	struct cdb *c = get_memory(sizeof(*c));
	int r;

	c->value = BUF(MOST_VALUE + FIRST_PIECE);
	c->fd = fd;
	c->path = path;
	r = read_at(c, c->head, CDB_HEAD, 0);
	if (r < 0) {
		snprintf(why.at, why.size, "open database %s: %s", path,
			 r == -EIO ? "not a cdb file" : error_text(r));
		cdb_close(c);
		return r;
	}
	*ret_db = c;
	return 0;
}

/* Is this record the key's? Then its value goes into c->value. 1, 0, -errno. */
static int read_record(struct cdb *c, off_t at, struct str key)
{
	size_t wanted = 8 + key.len + FIRST_PIECE, value_len;
	const unsigned char *bytes;
	ssize_t got;

	buf_clear(&c->value);
	bytes = (unsigned char *) buf_room(&c->value, wanted);
	if (bytes == NULL)
		return -EMSGSIZE;
	got = pread(c->fd, (void *) bytes, wanted, at);
	if (got < 8)
		return got < 0 ? -errno : -EIO;
	if (cdb_number(bytes) != key.len)
		return 0;
	if ((size_t) got < 8 + key.len)
		return -EIO;
	if (memcmp(bytes + 8, key.at, key.len) != 0)
		return 0;
	value_len = cdb_number(bytes + 4);
	if (value_len > MOST_VALUE)
		return -EMSGSIZE;
	c->value.len = MIN((size_t) got, 8 + key.len + value_len);
	buf_cut_front(&c->value, 8 + key.len);
	if (c->value.len < value_len) {
		size_t had = c->value.len;
		char *rest = buf_room(&c->value, value_len - had);
		int r = rest == NULL ? -EMSGSIZE : read_at(c, rest, value_len - had,
							   at + (off_t) (8 + key.len + had));

		if (r < 0)
			return r;
		c->value.len = value_len;
	}
	return 1;
}

/* 1, with the value in c->value; 0; -errno. */
static int find(struct cdb *c, struct str key)
{
	uint32_t hash = cdb_hash(key);
	const unsigned char *entry = c->head + (hash & 255) * 8;
	uint32_t table_at = cdb_number(entry), slots = cdb_number(entry + 4), slot;
	unsigned char piece[SLOTS_AT_ONCE * 8];

	if (slots == 0)
		return 0;
	slot = (hash >> 8) % slots;
	for (uint32_t done = 0; done < slots;) {
		uint32_t left = MIN(slots - slot, slots - done), count = MIN(left, (uint32_t) SLOTS_AT_ONCE);
		int r = read_at(c, piece, count * 8, (off_t) table_at + (off_t) slot * 8);

		if (r < 0)
			return r;
		for (uint32_t i = 0; i < count; i++) {
			uint32_t record_at = cdb_number(piece + i * 8 + 4);

			if (record_at == 0)
				return 0;
			if (cdb_number(piece + i * 8) == hash && (r = read_record(c, record_at, key)) != 0)
				return r;
		}
		done += count;
		slot = (slot + count) % slots;
	}
	return 0;
}

static int cdb_get(void *db, struct str key, struct str *ret_value, struct driver_words why)
{
	struct cdb *c = db;
	int r = find(c, key);

	if (r < 0)
		snprintf(why.at, why.size, "read %s: %s", c->path,
			 r == -EIO ? "the database is damaged" : error_text(r));
	*ret_value = buf_str(&c->value);
	return r;
}

const struct database_driver cdb_driver = {
	.type = "cdb", .open = cdb_open, .get = cdb_get, .close = cdb_close,
	.can_change = false, .edit = cdb_edit, .put = cdb_put, .remove = cdb_remove, .finish = cdb_finish,
	.each = cdb_each,
};
