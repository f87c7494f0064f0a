/* SPDX-License-Identifier: ISC */
#include "lib/table/bdb_place.h"

#include <errno.h>
#include <fcntl.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#else
#define __lsan_disable() ((void) 0)
#define __lsan_enable() ((void) 0)
#endif

/* Berkeley DB's hooks have no argument of ours: these are about the call under way, which never waits. */
static const struct bdb_place *opening;
static char words[200];

static void keep_words(const DB_ENV *env, const char *prefix, const char *message)
{
	(void) env;
	(void) prefix;
	snprintf(words, sizeof(words), "%s", message);
}

void bdb_listen(DB *db)
{
	db->set_errcall(db, keep_words);
}

void bdb_clear_words(void)
{
	words[0] = 0;
}

const char *bdb_words(void)
{
	return words;
}

static int open_hook(const char *path, int flags, ...)
{
	(void) flags;
	if (opening == NULL || strcmp(path, opening->path) != 0) {
		errno = ENOENT;
		return -1;
	}
	return fcntl(opening->fd, F_DUPFD_CLOEXEC, 3);
}

static int exists_hook(const char *path, int *ret_is_directory)
{
	if (opening == NULL || strcmp(path, opening->path) != 0)
		return ENOENT;
	if (ret_is_directory != NULL)
		*ret_is_directory = 0;
	return 0;
}

int bdb_open_place(DB *db, const struct bdb_place *place, DBTYPE type, u_int32_t flags)
{
	int r;

	db_env_set_func_open(open_hook);
	db_env_set_func_exists(exists_hook);
	opening = place;
	/* Some of an open database's memory is known to it by offsets only, where the leak checker does not find it. */
	__lsan_disable();
	r = db->open(db, NULL, place->path, NULL, type, flags, 0600);
	__lsan_enable();
	opening = NULL;
	db_env_set_func_open(NULL);
	db_env_set_func_exists(NULL);
	return r;
}
