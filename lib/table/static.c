/* SPDX-License-Identifier: ISC */
/*
 * static:text and static:{ text with spaces }: every key is there, with that value. fail:name:
 * every lookup fails.
 */
#include <errno.h>

#include "lib/table/files_value.h"
#include "lib/table/memory.h"
#include "lib/table/type.h"

static int static_open(struct table *t, struct str name, void **ret_content, struct buf *why)
{
	AUTO(buf) room = BUF(MOST_FILES_VALUE);
	struct memory *m;
	int r;

	if (name.at[0] == '{' && str_unbrace(name, &name) < 0) {
		buf_addf(why, "expected static:{ value } instead of \"%.*s\"", PSTR(str_head(name, 60)));
		return -EINVAL;
	}
	r = table_source_value(t, name, &room, &name, why);
	if (r < 0)
		return r;
	m = memory_new(MOST_FILES_VALUE + name.len);
	memory_put(m, STR_NONE, name, false, false);
	*ret_content = m;
	return 0;
}

static int static_get(struct table *t, void *content, struct arena *a, struct str key, struct str *ret_value,
		      struct buf *why)
{
	(void) t;
	(void) key;
	return table_value(a, *memory_get(content, STR_NONE), ret_value, why);
}

static int fail_open(struct table *t, struct str name, void **ret_content, struct buf *why)
{
	(void) name;
	(void) why;
	*ret_content = t;
	return 0;
}

static int fail_get(struct table *t, void *content, struct arena *a, struct str key, struct str *ret_value,
		    struct buf *why)
{
	(void) t;
	(void) content;
	(void) a;
	(void) key;
	(void) ret_value;
	buf_add_text(why, "every lookup in a table of this type fails");
	return -EIO;
}

const struct table_type static_type = {
	.name = "static", .traits = TYPE_FIXED_KEYS, .open = static_open, .get = static_get,
	.close = memory_free,
};

const struct table_type fail_type = {
	.name = "fail", .traits = TYPE_FIXED_KEYS, .open = fail_open, .get = fail_get,
};
