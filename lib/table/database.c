/* SPDX-License-Identifier: ISC */
/*
 * Tables that are database files: hash btree lmdb cdb. A driver knows the format; here is what they
 * share: an answer counts only if the file is still as it was when it was opened, and is asked for
 * again otherwise; keys and values that end with a NUL byte, or not, depending on who made the
 * file.
 */
#include "lib/table/database.h"

#include <errno.h>
#include <sys/file.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/table/type.h"

enum { MOST_TRIES = 3, WRITING_SECONDS = 60 };

/* A content: a file as it was when it was opened. */
struct database {
	const struct database_driver *driver;
	void *db;
	int fd;
	struct stat opened;
	bool no_nul, no_plain;		/* forms of keys that the first success has ruled out */
};

struct str without_nul(struct str value)
{
	return value.len > 0 && value.at[value.len - 1] == 0 ? str_head(value, value.len - 1) : value;
}

int database_find(struct str type_name, const struct database_driver **ret_driver, struct buf *why)
{
	const struct table_type *type = table_type_find(type_name);
	struct drivers drivers;
	int r;

	if (type == NULL || type->suffix == NULL) {
		buf_addf(why, "tables of type %.*s are not made by a command", PSTR(type_name));
		return -EINVAL;
	}
	r = drivers_find(type, &drivers, why);
	*ret_driver = drivers.database;
	return r;
}

static void database_close(void *content)
{
	struct database *d = content;

	if (d->db != NULL)
		d->driver->close(d->db);
	if (d->fd >= 0)
		close(d->fd);
	free(d);
}

/*
 * Somebody holds the lock of writers, and the file has changed lately. Anybody who may read the
 * file can take the lock, so it alone says nothing.
 */
static bool is_being_written(const struct database *d)
{
	int64_t age_s = wall_s() - (int64_t) d->opened.st_mtim.tv_sec;

	return flock(d->fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK && age_s < WRITING_SECONDS
	       && age_s > -WRITING_SECONDS;
}

static int open_unlocked(struct database *d, const char *path, struct driver_words why)
{
	int r;

	if (!d->driver->written_in_place)
		return d->driver->open(path, d->fd, &d->db, why);
	if (is_being_written(d)) {
		snprintf(why.at, why.size, "%s is being written", path);
		return -EAGAIN;
	}
	r = d->driver->open(path, d->fd, &d->db, why);
	flock(d->fd, LOCK_UN);
	return r;
}

static int database_open(struct table *t, const struct watch *file, void **ret_content, struct buf *why)
{
	struct database *d = get_memory(sizeof(*d));
	char words[500] = "";
	int r;

	d->driver = t->drivers.database;
	d->fd = r = watch_open(file, &d->opened, why);
	if (r >= 0)
		r = open_unlocked(d, file->path, (struct driver_words){ words, sizeof(words) });
	if (r < 0) {
		buf_add_text(why, words);
		database_close(d);
		return r;
	}
	watch_saw((struct watch *) file, &d->opened);
	*ret_content = d;
	return 0;
}

/* One key in both forms, as far as they are not ruled out: 1, 0, -errno. */
static int fetch(struct database *d, struct str key, struct str *ret_value, struct driver_words why)
{
	AUTO(buf) longer = BUF(key.len + 1);
	char room[1024], *copy = room;
	int r = 0;

	if (key.len >= sizeof(room))
		copy = buf_room(&longer, key.len + 1);
	memcpy(copy, key.at, key.len);
	copy[key.len] = 0;
	if (!d->no_nul) {
		r = d->driver->get(d->db, str_make(copy, key.len + 1), ret_value, why);
		d->no_plain = d->no_plain || r > 0;
	}
	if (r == 0 && !d->no_plain) {
		r = d->driver->get(d->db, str_make(copy, key.len), ret_value, why);
		d->no_nul = d->no_nul || r > 0;
	}
	return r;
}

static bool is_unchanged(const void *content)
{
	const struct database *d = content;
	struct stat st;

	return fstat(d->fd, &st) == 0 && stat_is_same(&st, &d->opened);
}

static int look_up(struct database *d, struct arena *a, struct str key, struct str *ret_value,
		   struct buf *why)
{
	char words[500] = "";
	struct str value;
	int r = fetch(d, key, &value, (struct driver_words){ words, sizeof(words) });

	buf_add_text(why, words);
	return r > 0 ? table_value(a, without_nul(value), ret_value, why) : r;
}

static int database_get(struct table *t, void *content, struct arena *a, struct str key,
			struct str *ret_value, struct buf *why)
{
	struct database *d = content;

	for (int tries = 0; tries < MOST_TRIES; tries++) {
		int r = look_up(d, a, key, ret_value, why);

		if ((r > 0 && d->driver->written_in_place) || is_unchanged(d))
			return r;
		buf_clear(why);
		if (table_reopen(t) < 0) {
			buf_add(why, buf_str(&t->why));
			return t->error;
		}
		d = t->content;
	}
	buf_addf(why, "%s is being written", t->file->path);
	return -EAGAIN;
}

#define DATABASE_TYPE(name_, suffix_, ...) \
	const struct table_type name_##_type = { \
		.name = #name_, .traits = TYPE_FIXED_KEYS, .suffix = suffix_, .find_drivers = drivers_find, .open_file = database_open, .get = database_get, \
		.close = database_close, .is_intact = is_unchanged, __VA_ARGS__ \
	}

DATABASE_TYPE(hash, ".db", .module = "bdb");
DATABASE_TYPE(btree, ".db", .module = "bdb");
DATABASE_TYPE(lmdb, ".lmdb", .module = "lmdb");
DATABASE_TYPE(cdb, ".cdb", .database = &cdb_driver);
