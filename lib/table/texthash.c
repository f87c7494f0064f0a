/* SPDX-License-Identifier: ISC */
/*
 * texthash: the source text of postmap, read into memory. Unlike Postfix's it notices when the file
 * changes.
 */
#include "lib/table/files_value.h"
#include "lib/table/memory.h"
#include "lib/table/type.h"

static int texthash_read(struct table *t, struct source *lines, void **ret_content, struct buf *why)
{
	struct memory *m = memory_new((size_t) 2 << 30);
	struct str line, key, value;

	while (source_next(lines, &line)) {
		AUTO(buf) words = BUF_WORDS, room = BUF(MOST_FILES_VALUE);
		int r;

		if (source_split_entry(line, &key, &value, &words) < 0) {
			table_warn("%s, line %d: %s", lines->name, lines->line, buf_text(&words));
			continue;
		}
		if (key.at[key.len - 1] == ':')
			table_warn("%s, line %d: record is in \"key: value\" format; is this an alias file?",
				   lines->name, lines->line);
		r = table_source_value(t, value, &room, &value, &words);
		if (is_not_allowed(r)) {
			buf_add(why, buf_str(&words));
			memory_free(m);
			return r;
		}
		if (r < 0)
			table_warn("%s, line %d: %s: skipping this entry", lines->name, lines->line,
				   buf_text(&words));
		else if (!memory_put(m, key, value, t->flags & TABLE_FOLD_KEY, false))
			table_warn("%s, line %d: duplicate entry: \"%.*s\"", lines->name, lines->line,
				   PSTR(str_head(key, 100)));
	}
	*ret_content = m;
	return 0;
}

static int texthash_get(struct table *t, void *content, struct arena *a, struct str key,
			struct str *ret_value, struct buf *why)
{
	const struct str *value = memory_get(content, key);

	(void) t;
	return value == NULL ? 0 : table_value(a, *value, ret_value, why);
}

const struct table_type texthash_type = {
	.name = "texthash", .traits = TYPE_FIXED_KEYS, .read = texthash_read, .get = texthash_get,
	.close = memory_free,
};
