/* SPDX-License-Identifier: ISC */
/*
 * hash: and btree: tables of Berkeley DB, NAME.db, for reading. Compatible with what Postfix's postmap makes: keys and values with or without
 * a terminating NUL (found out by the first success).
 *
 * Our postmap puts a new file in place of the old one. Others rewrite the file in place, while it is read here: so the file is not mapped
 * (a truncated map is SIGBUS), an open file is one that no writer has locked, and "not there" is believed only if the file is still
 * as it was when it was opened. No environment is used: no lock region, no DB_CONFIG.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/table/bdb_place.h"
#include "lib/table/nul_forms.h"
#include "lib/table/type.h"

enum { READ_CACHE = 128 << 10, FIRST_ROOM = 512, MOST_ROOM = 16 << 20, WRITING_SECONDS = 60 };

struct bdb {
	DB *db;
	int fd;				/* our own descriptor of the same file */
	struct stat opened;
	struct nul_forms forms;
	char *room;			/* the value of the lookup at hand */
	u_int32_t room_size, value_len;
};

static const char *words_or(int error)
{
	return bdb_words()[0] != 0 ? bdb_words() : error_text(error);
}

static void bdb_close(void *content)
{
	struct bdb *b = content;

	if (b->db != NULL)
		b->db->close(b->db, DB_NOSYNC);
	if (b->fd >= 0)
		close(b->fd);
	free(b->room);
	free(b);
}

static int open_database(struct bdb *b, const struct watch *file, DBTYPE type)
{
	struct bdb_place place = { .path = file->path, .fd = b->fd };
	int r = db_create(&b->db, NULL, 0);

	if (r != 0) {
		b->db = NULL;
		return r > 0 ? -r : -EIO;
	}
	bdb_listen(b->db);
	b->db->set_cachesize(b->db, 0, READ_CACHE, 0);
	r = bdb_open_place(b->db, &place, type, DB_RDONLY | DB_NOMMAP);
	return r == 0 ? 0 : r > 0 ? -r : -EIO;
}

/*
 * Somebody holds the lock of writers, and the file has changed lately. Anybody who may read the file can take the lock, so it alone
 * says nothing.
 */
static bool is_being_written(const struct bdb *b)
{
	int64_t age_s = wall_s() - (int64_t) b->opened.st_mtim.tv_sec;

	return flock(b->fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK && age_s < WRITING_SECONDS && age_s > -WRITING_SECONDS;
}

static int bdb_open(const struct watch *file, DBTYPE type, void **ret_content, struct buf *why)
{
	struct bdb *b = get_memory(sizeof(*b));
	int r;

	bdb_clear_words();
	b->room = get_memory(FIRST_ROOM);
	b->room_size = FIRST_ROOM;
	b->fd = r = watch_open(file, &b->opened, why);
	if (r < 0)
		goto bad;
	if (is_being_written(b)) {
		buf_addf(why, "%s is being written", file->path);
		r = -EAGAIN;
		goto bad;
	}
	r = open_database(b, file, type);
	flock(b->fd, LOCK_UN);
	if (r < 0) {
		buf_addf(why, "open database %s: %s", file->path, words_or(r));
		goto bad;
	}
	watch_saw((struct watch *) file, &b->opened);
	*ret_content = b;
	return 0;
bad:
	bdb_close(b);
	return r;
}

static int hash_open(struct table *t, const struct watch *file, void **ret_content, struct buf *why)
{
	(void) t;
	return bdb_open(file, DB_HASH, ret_content, why);
}

static int btree_open(struct table *t, const struct watch *file, void **ret_content, struct buf *why)
{
	(void) t;
	return bdb_open(file, DB_BTREE, ret_content, why);
}

/* One key in one form. 1, 0, -errno; the value is in b->room. */
static int fetch(void *db, struct str key)
{
	struct bdb *b = db;
	DBT k = { .data = (void *) key.at, .size = (u_int32_t) key.len };
	DBT v = { .flags = DB_DBT_USERMEM };
	int r;

	for (;;) {
		v.data = b->room;
		v.ulen = b->room_size;
		r = b->db->get(b->db, NULL, &k, &v, 0);
		if (r != DB_BUFFER_SMALL || v.size > MOST_ROOM)
			break;
		b->room_size = v.size;
		b->room = resize_memory(b->room, v.size);
	}
	b->value_len = v.size;
	return r == 0 ? 1 : r == DB_NOTFOUND ? 0 : r > 0 ? -r : -EIO;
}

static bool is_unchanged(const void *content)
{
	const struct bdb *b = content;
	struct stat st;

	return fstat(b->fd, &st) == 0 && stat_is_same(&st, &b->opened);
}

static int bdb_get(struct table *t, void *content, struct arena *a, struct str key, struct str *ret_value, struct buf *why)
{
	struct bdb *b = content;
	int r;

	bdb_clear_words();
	r = nul_forms_fetch(&b->forms, key, fetch, b);
	if (r <= 0 && !is_unchanged(b)) {
		if (table_reopen(t) < 0) {
			buf_add(why, buf_str(&t->why));
			return t->error;
		}
		b = t->content;
		r = nul_forms_fetch(&b->forms, key, fetch, b);
		if (r == 0 && !is_unchanged(b)) {
			buf_addf(why, "%s is being written", t->file->path);
			return -EAGAIN;
		}
	}
	if (r < 0)
		buf_addf(why, "%s: %s", t->file->path, words_or(r));
	if (r <= 0)
		return r;
	return table_value(a, without_nul(str_make(b->room, b->value_len)), ret_value, why);
}

const struct table_type hash_type = {
	.name = "hash", .traits = TYPE_FIXED_KEYS, .suffix = ".db", .open_file = hash_open, .get = bdb_get, .close = bdb_close,
	.is_intact = is_unchanged,
};

const struct table_type btree_type = {
	.name = "btree", .traits = TYPE_FIXED_KEYS, .suffix = ".db", .open_file = btree_open, .get = bdb_get, .close = bdb_close,
	.is_intact = is_unchanged,
};
