/* SPDX-License-Identifier: ISC */
/* Loading TYPE.so from shlib_directory, once per process and type; before the jail closes, which allows no new code. */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/base/map.h"
#include "lib/base/module.h"
#include "lib/table/server.h"
#include "lib/table/setup.h"

static struct map *loaded;		/* type -> const struct table_driver *; for the life of the process */

static int load(const char *type, const struct table_driver **ret_driver, struct buf *why)
{
	const void *object;
	const struct table_driver *driver;
	int r = module_load(table_module_directory(), type, "table_driver", &object, why);

	if (r < 0)
		return r;
	driver = object;
	if (driver->version != TABLE_DRIVER_VERSION || strcmp(driver->type, type) != 0) {
		buf_addf(why, "%s/%s.so: made for another version", table_module_directory(), type);
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
