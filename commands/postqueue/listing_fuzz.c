/* SPDX-License-Identifier: ISC */
/*
 * A message of the queue with any sender and any packed recipients, for people and as JSON: no
 * control characters reach the terminal, and a line of JSON is one line of UTF-8 whose strings and
 * brackets are closed.
 */
#include "commands/postqueue/listing.h"
#include "lib/base/die.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Nor C1, which are well-formed UTF-8. */
static bool is_fit_for_a_terminal(struct str line)
{
	AUTO(buf) printable = BUF(line.len);

	buf_add_printable(&printable, line);
	return str_is(buf_str(&printable), line);
}

static void check_json(struct str line)
{
	bool in_string = false;
	int depth = 0;

	BUG_UNLESS(str_is_utf8(line) && is_fit_for_a_terminal(line));
	for (size_t i = 0; i < line.len; i++) {
		unsigned char c = (unsigned char) line.at[i];

		BUG_UNLESS(c >= 32 && c != 127);
		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && (c == '{' || c == '['))
			depth++;
		else if (!in_string && (c == '}' || c == ']'))
			BUG_UNLESS(--depth >= 0);
	}
	BUG_UNLESS(!in_string && depth == 0);
}

static void print(const struct listed_message *m, bool as_json)
{
	char *text = NULL;
	size_t len = 0;
	struct printer p = { .to = open_memstream(&text, &len), .as_json = as_json };
	struct str all, line;

	BUG_UNLESS(p.to != NULL);
	print_message(&p, m);
	print_end(&p);
	fclose(p.to);
	all = str_make(text, len);
	while (str_cut(&all, '\n', &line)) {
		if (as_json)
			check_json(line);
		else
			BUG_UNLESS(is_fit_for_a_terminal(line));
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str all = str_make((const char *) data, MIN(size, 50000)), sender;
	struct listed_message m = { .queue = "deferred", .id = STR("4kbWbq0TestGivenId"),
				    .arrival_s = 1700000000, .size = 1000 };

	str_cut(&all, '\n', &sender);
	if (str_has_control(sender))
		return 0;		/* showq's client refuses it */
	m.sender = str_head(sender, 2000);
	m.recipients = all;
	print(&m, false);
	print(&m, true);
	return 0;
}
