/* SPDX-License-Identifier: ISC */
/* static:text and static:{ text with spaces }: every key is there, with that value. fail:name: every lookup fails. */
#include <errno.h>

#include "lib/table/type.h"

static int static_open(struct table *t, struct str name, void **ret_content, struct buf *why)
{
	if (name.at[0] == '{') {
		if (name.at[name.len - 1] != '}') {
			buf_add_text(why, "missing '}'");
			return -EINVAL;
		}
		t->name = str_trim(str_make(name.at + 1, name.len - 2));
	}
	*ret_content = t;
	return 0;
}

static int static_get(struct table *t, void *content, struct arena *a, struct str key, struct str *ret_value, struct buf *why)
{
	(void) content;
	(void) key;
	return table_value(a, t->name, ret_value, why);
}

static int fail_open(struct table *t, struct str name, void **ret_content, struct buf *why)
{
	(void) name;
	(void) why;
	*ret_content = t;
	return 0;
}

static int fail_get(struct table *t, void *content, struct arena *a, struct str key, struct str *ret_value, struct buf *why)
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
};

const struct table_type fail_type = {
	.name = "fail", .traits = TYPE_FIXED_KEYS, .open = fail_open, .get = fail_get,
};
