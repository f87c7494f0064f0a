/* SPDX-License-Identifier: ISC */
#include "lib/table/source.h"

#include <errno.h>
#include <unistd.h>

#include "lib/table/type.h"

void source_start(struct source *s, const char *name, struct str text)
{
	*s = (struct source){ .name = name, .rest = text, .next_line = 1, .joined = BUF(16 << 20) };
}

void source_end(struct source *s)
{
	buf_free(&s->joined);
}

/* The next line that counts; *ret_line is it, without its end. */
static bool physical_line(struct source *s, struct str *ret_line)
{
	struct str line, text;

	while (s->rest.len > 0) {
		str_cut(&s->rest, '\n', &line);
		s->next_line++;
		text = str_trim(line);
		if (text.len > 0 && text.at[0] != '#') {
			*ret_line = line;
			return true;
		}
	}
	return false;
}

bool source_next(struct source *s, struct str *ret_line)
{
	struct str line, rest_before;
	int line_before;
	bool joined = false;

	for (;;) {
		if (!physical_line(s, &line))
			return false;
		s->line = s->next_line - 1;
		if (!is_space(line.at[0]))
			break;
		table_warn("%s, line %d: logical line must not start with whitespace: \"%.*s\"", s->name,
			   s->line, PSTR(str_head(str_trim(line), 60)));
	}
	*ret_line = line;
	for (;;) {
		rest_before = s->rest;
		line_before = s->next_line;
		if (!physical_line(s, &line))
			break;
		if (!is_space(line.at[0])) {
			s->rest = rest_before;
			s->next_line = line_before;
			break;
		}
		if (!joined) {
			joined = true;
			buf_clear(&s->joined);
			buf_add(&s->joined, *ret_line);
		}
		if (buf_add(&s->joined, line) < 0)
			table_warn("%s, line %d: line too long", s->name, s->line);
		*ret_line = buf_str(&s->joined);
	}
	*ret_line = str_trim_end(*ret_line);
	return true;
}

int source_read_file(int fd, size_t most, struct buf *b)
{
	char *at;
	ssize_t n;

	for (off_t offset = 0;; offset += n) {
		at = buf_room(b, 65536);
		if (at == NULL || b->len > most)
			return -EFBIG;
		n = pread(fd, at, 65536, offset);
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		b->len += (size_t) n;
	}
}

int source_split_entry(struct str line, struct str *ret_key, struct str *ret_value, struct buf *why)
{
	bool quoted = false;
	size_t i;

	if (memchr(line.at, 0, line.len) != NULL) {
		buf_add_text(why, "a null byte -- ignoring this line");
		return -EINVAL;
	}
	for (i = 0; i < line.len; i++) {
		if (line.at[i] == '\\' && i + 1 < line.len)
			i++;
		else if (line.at[i] == '"')
			quoted = !quoted;
		else if (is_space(line.at[i]) && !quoted)
			break;
	}
	if (quoted) {
		buf_addf(why, "unbalanced '\"' in '%.*s' -- ignoring this line", PSTR(str_head(line, 60)));
		return -EINVAL;
	}
	*ret_key = str_head(line, i);
	*ret_value = str_trim(str_skip(line, i));
	if (ret_key->len == 0 || ret_value->len == 0) {
		buf_add_text(why, "expected format: key whitespace value");
		return -EINVAL;
	}
	return 0;
}
