/* SPDX-License-Identifier: ISC */
#include "lib/table/modules/bdb.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#else
#define __lsan_disable() ((void) 0)
#define __lsan_enable() ((void) 0)
#endif

struct place {
	const char *path;		/* what Berkeley DB is told */
	int fd;				/* the file itself */
};

/* Berkeley DB's hooks have no argument of ours: these are about the call that this thread makes. */
static _Thread_local const struct place *opening;
static _Thread_local char said[200];

static void keep_words(const DB_ENV *env, const char *prefix, const char *message)
{
	(void) env;
	(void) prefix;
	snprintf(said, sizeof(said), "%s", message);
}

void bdb_clear_words(void)
{
	said[0] = 0;
}

int bdb_explain(int result, const char *what, const char *path, struct driver_words why)
{
	char room[100];

	if (result == 0)
		return 0;
	result = result > 0 ? -result : -EIO;
	snprintf(why.at, why.size, "%s %s: %s", what, path, said[0] != 0 ? said : strerror_r(-result, room,
			sizeof(room)));
	return result;
}

/* A file that is made is opened once more when its pages are written, by the path that we gave it. */
static int open_hook(const char *path, int flags, ...)
{
	if (opening == NULL)
		return open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (strcmp(path, opening->path) != 0) {
		errno = ENOENT;
		return -1;
	}
	return fcntl(opening->fd, F_DUPFD_CLOEXEC, 3);
}

static int exists_hook(const char *path, int *ret_is_directory)
{
	if (opening == NULL ? access(path, F_OK) < 0 : strcmp(path, opening->path) != 0)
		return ENOENT;
	if (ret_is_directory != NULL)
		*ret_is_directory = 0;
	return 0;
}

static void set_hooks(void)
{
	db_env_set_func_open(open_hook);
	db_env_set_func_exists(exists_hook);
}

int bdb_open_file(const char *path, int fd, DBTYPE type, u_int32_t flags, size_t cache_bytes, DB **ret_db,
		  struct driver_words why)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const struct place place = { path, fd };
	DB *db;
	int r;

	pthread_once(&once, set_hooks);
	bdb_clear_words();
	r = db_create(&db, NULL, 0);
	if (r != 0)
		return bdb_explain(r, "open database", path, why);
	db->set_errcall(db, keep_words);
	db->set_cachesize(db, 0, (u_int32_t) cache_bytes, 0);
	opening = &place;
	/*
	 * Some of an open database's memory is known to it by offsets only, where the leak checker
	 * does not find it.
	 */
	__lsan_disable();
	r = db->open(db, NULL, path, NULL, type, flags, 0600);
	__lsan_enable();
	opening = NULL;
	if (r != 0) {
		r = bdb_explain(r, "open database", path, why);
		db->close(db, DB_NOSYNC);
		return r;
	}
	*ret_db = db;
	return 0;
}

static const struct database_driver databases[] = {
	{ .type = "hash", .open = bdb_open_hash, .get = bdb_get, .close = bdb_close, .written_in_place = true,
	  .can_change = true, .edit = bdb_edit_hash, .has_nul = bdb_has_nul, .put = bdb_put,
	  .remove = bdb_remove, .finish = bdb_finish,
	  .each = bdb_each_hash },
	{ .type = "btree", .open = bdb_open_btree, .get = bdb_get, .close = bdb_close,
	  .written_in_place = true,
	  .can_change = true, .edit = bdb_edit_btree, .has_nul = bdb_has_nul, .put = bdb_put,
	  .remove = bdb_remove, .finish = bdb_finish,
	  .each = bdb_each_btree },
	{ .type = NULL },
};

__attribute__((visibility("default"))) const struct table_module table_module = {
	.version = TABLE_MODULE_VERSION, .databases = databases };
