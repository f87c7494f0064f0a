/* SPDX-License-Identifier: ISC */
/*
 * What a table type is to lib/table: one row in types.c and one file that fills in this struct.
 * table.c does what all types share: the spec, folding of keys, reopening of files, words. A new
 * type needs nothing else.
 *
 * A content is what a type made of its name or file. It is replaced as a whole when the file
 * changes, between two lookups, so a `get` that waits (MAY_YIELD) is only for types without a file.
 */
#ifndef ROAD_TABLE_TYPE_H
#define ROAD_TABLE_TYPE_H

#include <errno.h>

#include "lib/table/module.h"
#include "lib/table/source.h"
#include "lib/table/table.h"
#include "lib/table/watch.h"

enum table_traits {
	/* compares whole keys: they are folded, and parts of an address make sense as keys */
	TYPE_FIXED_KEYS = 1,
	TYPE_BLOCKS = 2,		/* may block: asked through proxymap by everybody else */
	TYPE_COMPOSED = 4,		/* of other tables, which are named behind "type:" */
	TYPE_ANYBODYS = 8,		/* who answers does not prove who he is */
};

struct table_type {
	const char *name;
	unsigned traits;
	const char *suffix;		/* of a database file: ".db"; NULL: none */
	const char *module;		/* that has its driver: "bdb"; NULL: no module */
	const struct database_driver *database;	/* the driver that is built in; NULL: none */
	/*
	 * drivers_find(), for types that have drivers; else NULL, so that a program without such
	 * types cannot load a module.
	 */
	int (*find_drivers)(const struct table_type *type, struct drivers *ret_drivers, struct buf *why);
	/* Exactly one of these three makes the content; on error -errno and words. */
	int (*open)(struct table *t, struct str name, void **ret_content, struct buf *why);		/* from the name alone */
	/* from text: a file, or { { line }, ... } */
	int (*read)(struct table *t, struct source *lines, void **ret_content, struct buf *why);
	/* from a database file */
	int (*open_file)(struct table *t, const struct watch *file, void **ret_content, struct buf *why);
	/*
	 * 1 found, 0 not there, -errno with words. a NULL: only whether it is there, *ret_value is
	 * not set.
	 */
	int (*get)(struct table *t, void *content, struct arena *a, struct str key, struct str *ret_value,
		   struct buf *why) MAY_YIELD;
	/*
	 * Stores the value; NULL: deletes the key. 1, 0 it was not there, -errno with words. May be
	 * NULL: such tables are not changed one by one.
	 */
	int (*change)(struct table *t, struct str key, const struct str *value, struct buf *why) MAY_YIELD;
	void (*close)(void *content);	/* NULL: nothing to free */
	/* Is the content good although its file may not be opened again? NULL: yes, it is in memory. */
	bool (*is_intact)(const void *content);
};

struct table {
	const struct table_type *type;
	unsigned flags;			/* enum table_flags */
	char *spec;
	struct str name;		/* behind "type:", the end of spec */
	struct drivers drivers;
	bool has_fixed_keys;
	struct watch *file;		/* NULL: not from a file */
	void *content;			/* NULL: could not be opened, error says why */
	/* of the last attempt to open the file; -EAGAIN also: open again before the next lookup */
	int error;
	struct changes *changes;	/* of change.c; NULL: none yet */
	bool outgrown;			/* the file changed and this process may not open it: said once */
	struct buf why;
};

const struct table_type *table_type_find(struct str name);
/* the n-th type there is, in no order; NULL: no more */
const struct table_type *table_type_at(size_t n);
bool table_type_is_installed(const struct table_type *type);	/* it needs no module, or there is one */
/* -EBADMSG with words: it found the key, and nothing for it, which is no answer. */
int table_empty_result(struct table *t, struct str key);
/* A found value as a result in the arena: 1, or -EMSGSIZE when it does not fit. a NULL: 1. */
int table_value(struct arena *a, struct str value, struct str *ret_value, struct buf *why);
/*
 * A value as it stands in the source, as it is stored: itself, or with TABLE_FILE_VALUES what is in
 * the files that it names (in *room). 0, or -errno with words: its entry has to be left out, or,
 * when this process may not read them (is_not_allowed), the table be read by another one.
 */
int table_source_value(const struct table *t, struct str value, struct buf *room, struct str *ret_value,
		       struct buf *why);
static inline bool is_not_allowed(int error)
{
	return error == -EACCES || error == -EPERM;
}
/*
 * Opens the file again now, although it was looked at less than a second ago. If it may not be
 * opened any more (root's file, opened before the process gave up root), an intact old content
 * stays, and table_set_outgrown's hook is told.
 */
int table_reopen(struct table *t);
void table_tell_outgrown(const char *what);
/* Through table_set_warning's hook: "warning" words about a source line that is left out. */
void table_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

extern const struct table_type hash_type, btree_type, texthash_type, inline_type, static_type, fail_type,
	cidr_type, regexp_type, pcre_type, proxy_type, unix_type, cdb_type, lmdb_type, environ_type,
	internal_type, random_type, union_type, pipe_type, debug_type, pgsql_type, mysql_type, sqlite_type,
	ldap_type, redis_type, memcache_type, tcp_type, socketmap_type;

#endif
