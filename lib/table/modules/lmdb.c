/* SPDX-License-Identifier: ISC */
#include "lib/table/modules/lmdb.h"

#include <errno.h>

int lmdb_explain(int result, const char *what, const char *path, struct driver_words why)
{
	if (result == 0)
		return 0;
	snprintf(why.at, why.size, "%s %s: %s", what, path, mdb_strerror(result));
	return result > 0 ? -result : -EIO;
}

static const struct database_driver databases[] = {
	{ .type = "lmdb", .open = lmdb_open, .get = lmdb_get, .close = lmdb_close,
	  .can_change = true, .edit = lmdb_edit, .has_nul = lmdb_has_nul, .put = lmdb_put,
	  .remove = lmdb_remove, .finish = lmdb_finish,
	  .each = lmdb_each },
	{ .type = NULL },
};

__attribute__((visibility("default"))) const struct table_module table_module = {
	.version = TABLE_MODULE_VERSION, .databases = databases };
