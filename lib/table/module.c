/* SPDX-License-Identifier: ISC */
/* Loading TYPE.so from shlib_directory, once per process and type; before the jail closes, which allows no new code. */
#include <dlfcn.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/base/map.h"
#include "lib/table/server.h"
#include "lib/table/setup.h"

static struct map *loaded;		/* type -> const struct table_driver *; for the life of the process */

/* A module becomes part of a process that started as root: nobody else may have had a hand in it. */
static int check_owner(const char *path, struct buf *why)
{
	struct stat st;

	if (stat(path, &st) < 0) {
		int error = -errno;

		buf_addf(why, "%s: %s", path, error_text(error));
		return error;
	}
	if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & (S_IWGRP | S_IWOTH)) || !S_ISREG(st.st_mode)) {
		buf_addf(why, "%s: not loaded, because others than its owner, root or this user, could have written it", path);
		return -EPERM;
	}
	return 0;
}

static int load(const char *type, const struct table_driver **ret_driver, struct buf *why)
{
	AUTO(buf) path = BUF(4096);
	const struct table_driver *driver;
	void *module;
	int r;

	buf_addf(&path, "%s/%s.so", table_module_directory(), type);
	r = check_owner(buf_text(&path), why);
	if (r < 0)
		return r;
	module = dlopen(buf_text(&path), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (module == NULL) {
		buf_add_text(why, dlerror());
		return -ENOEXEC;
	}
	driver = dlsym(module, "table_driver");
	if (driver == NULL || driver->version != TABLE_DRIVER_VERSION || strcmp(driver->type, type) != 0) {
		buf_addf(why, "%s: made for another version", buf_text(&path));
		return -ENOEXEC;
	}
	*ret_driver = driver;
	return 0;
}

int module_find(const char *type, const struct table_driver **ret_driver, struct buf *why)
{
	AUTO(buf) words = BUF_WORDS;
	const struct table_driver *driver = loaded == NULL ? NULL : map_get(loaded, str_of(type));
	int r = 0;

	if (driver == NULL) {
		r = load(type, &driver, &words);
		if (r < 0) {
			buf_addf(why, "no module for tables of type %s: %s", type, buf_text(&words));
			return r;
		}
		if (loaded == NULL)
			loaded = map_new();
		map_put(loaded, str_of(type), (void *) driver);
	}
	*ret_driver = driver;
	return 0;
}
