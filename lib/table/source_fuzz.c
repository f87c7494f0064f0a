/* SPDX-License-Identifier: ISC */
/*
 * Sources of tables: the first byte chooses what the rest is the text of. Whatever was read is then
 * looked up with a piece of the text.
 */
#include "lib/table/source.h"
#include "lib/table/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void split_lines(struct str text, bool aliases)
{
	struct source lines;
	struct str line, key, value;

	source_start(&lines, "fuzz", text);
	while (source_next(&lines, &line)) {
		AUTO(buf) name = BUF(line.len * 4), rest = BUF(line.len * 4), why = BUF_WORDS;

		if (aliases)
			source_split_alias(line, &name, &rest, &why);
		else if (source_split_entry(line, &key, &value, &why) == 0 && key.len + value.len >= line.len)
			abort();
	}
	source_end(&lines);
}

/* type:{ { line }, ... } or type:{ entries } */
static void open_inline(const char *type, struct str text)
{
	struct arena *a = arena_new("fuzz", NULL, 16 << 20);
	AUTO(buf) why = BUF_WORDS;
	struct table *t;
	struct str value;

	if (table_open(arena_fmt(a, "%s:{%.*s}", type, PSTR(text)), TABLE_FOLD_KEY, &t, &why) == 0) {
		table_get(t, a, str_head(text, 20), &value);
		table_get(t, a, STR("192.0.2.1"), &value);
		table_free(t);
	}
	arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text;

	if (size == 0 || size > 4096)
		return 0;
	text = str_make((const char *) data + 1, size - 1);
	switch (data[0] % 5) {
	case 0: split_lines(text, false); break;
	case 1: split_lines(text, true); break;
	case 2: open_inline("inline", text); break;
	case 3: open_inline("cidr", text); break;
	default: open_inline("pcre", text); break;
	}
	return 0;
}
