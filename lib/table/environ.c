/* SPDX-License-Identifier: ISC */
/*
 * environ:name: the variables of this process's environment (the name does not matter); what is
 * folded is the key, so that in tables of mail addresses only variables with lower-case names are
 * found. internal:name: empty, and gone with the process; for caches.
 */
#include "lib/table/memory.h"
#include "lib/table/type.h"

static int environ_open(struct table *t, struct str name, void **ret_content, struct buf *why)
{
	(void) name;
	(void) why;
	*ret_content = t;
	return 0;
}

static int environ_get(struct table *t, void *content, struct arena *a, struct str key,
		       struct str *ret_value, struct buf *why)
{
	AUTO(buf) name = BUF(key.len + 1);
	const char *value;

	(void) t;
	(void) content;
	buf_add(&name, key);
	value = memchr(key.at, 0, key.len) != NULL ? NULL : getenv(buf_text(&name));
	return value == NULL ? 0 : table_value(a, str_of(value), ret_value, why);
}

static int internal_open(struct table *t, struct str name, void **ret_content, struct buf *why)
{
	(void) t;
	(void) name;
	(void) why;
	*ret_content = memory_new(64 << 20);
	return 0;
}

static int internal_get(struct table *t, void *content, struct arena *a, struct str key,
			struct str *ret_value, struct buf *why)
{
	const struct str *value = memory_get(content, key);

	(void) t;
	return value == NULL ? 0 : table_value(a, *value, ret_value, why);
}

const struct table_type environ_type = {
	.name = "environ", .traits = TYPE_FIXED_KEYS, .open = environ_open, .get = environ_get,
};

const struct table_type internal_type = {
	.name = "internal", .traits = TYPE_FIXED_KEYS, .open = internal_open, .get = internal_get,
	.close = memory_free,
};
