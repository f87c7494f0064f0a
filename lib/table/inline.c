/* SPDX-License-Identifier: ISC */
/* inline:{ key=value, { key = text with spaces }, ... }: the entries stand in the parameter itself. */
#include <errno.h>

#include "lib/table/files_value.h"
#include "lib/table/memory.h"
#include "lib/table/type.h"

/* "key = value" without braces around it. */
static int add_pair(const struct table *t, struct memory *m, struct str pair, struct buf *why)
{
	AUTO(buf) room = BUF(MOST_FILES_VALUE);
	struct str value = pair, key;
	int r;

	if (!str_cut(&value, '=', &key) || str_trim(key).len == 0) {
		buf_addf(why, "expected key=value instead of \"%.*s\"", PSTR(str_head(pair, 60)));
		return -EINVAL;
	}
	r = table_source_value(t, str_trim(value), &room, &value, why);
	if (r == 0)
		/* the last one counts */
		memory_put(m, str_trim(key), value, t->flags & TABLE_FOLD_KEY, true);
	return r;
}

static int add_item(const struct table *t, struct memory *m, struct str item, struct buf *why)
{
	struct str pair = item;

	if (item.at[0] == '{' && str_unbrace(item, &pair) < 0) {
		buf_addf(why, "expected { key = value } instead of \"%.*s\"", PSTR(str_head(item, 60)));
		return -EINVAL;
	}
	return add_pair(t, m, pair, why);
}

static int inline_open(struct table *t, struct str name, void **ret_content, struct buf *why)
{
	struct memory *m;
	struct str rest, item;
	int more, r = 0;

	if (str_unbrace(name, &rest) < 0 || rest.len == 0) {
		buf_addf(why, "expected inline:{ key=value, ... } instead of \"%.*s\"",
			 PSTR(str_head(name, 60)));
		return -EINVAL;
	}
	m = memory_new(t->flags & TABLE_FILE_VALUES ? (size_t) 2 << 30 : 64 << 20);
	while ((more = str_token_braced(&rest, ", \t\r\n", &item)) > 0 && r == 0) {
		r = add_item(t, m, item, why);
	}
	if (more < 0 && r == 0) {
		buf_add_text(why, "missing '}'");
		r = more;
	}
	if (r < 0)
		memory_free(m);
	else
		*ret_content = m;
	return r;
}

static int inline_get(struct table *t, void *content, struct arena *a, struct str key, struct str *ret_value,
		      struct buf *why)
{
	const struct str *value = memory_get(content, key);

	(void) t;
	return value == NULL ? 0 : table_value(a, *value, ret_value, why);
}

const struct table_type inline_type = {
	.name = "inline", .traits = TYPE_FIXED_KEYS, .open = inline_open, .get = inline_get,
	.close = memory_free,
};
