/* SPDX-License-Identifier: ISC */
/* Splitting message headers. Views only; nothing is copied but by header_unfold(). */
#include "lib/mail/header.h"

#include <errno.h>

static struct str first_line(struct str text)
{
	ssize_t end = str_find(text, '\n');

	return end < 0 ? text : str_head(text, (size_t) end);
}

/* How long the name at the start of the line is; 0 when the line is no header's start. */
static size_t name_length(struct str line)
{
	size_t n = 0, colon;

	while (n < line.len && line.at[n] > 32 && line.at[n] < 127 && line.at[n] != ':')
		n++;
	for (colon = n; colon < line.len && is_blank(line.at[colon]); colon++)
		;
	return colon < line.len && line.at[colon] == ':' ? n : 0;
}

bool is_header_start(struct str line)
{
	return name_length(line) > 0;
}

int header_next(struct str *rest, struct header *ret)
{
	struct str line = first_line(*rest);
	struct header h;
	size_t name = name_length(line);
	size_t len = line.len;

	if (rest->len == 0)
		return 0;
	if (line.len == 0) {
		*rest = str_skip(*rest, 1);
		return 0;
	}
	if (name == 0)
		return -EINVAL;
	while (len + 1 < rest->len && is_blank(rest->at[len + 1]))
		len += 1 + first_line(str_skip(*rest, len + 1)).len;
	h.whole = str_head(*rest, len);
	h.name = str_head(h.whole, name);
	h.value = str_skip(h.whole, (size_t) str_find(h.whole, ':') + 1);
	*rest = str_skip(*rest, len + 1);
	*ret = h;
	return 1;
}

struct str header_unfold(struct arena *a, struct str value, size_t max)
{
	char *to;
	size_t len = 0;

	value = str_trim(value);
	to = arena_get(a, MIN(value.len, max) + 1);
	for (size_t i = 0; i < value.len && len < max; i++) {
		if (value.at[i] != '\n') {
			to[len++] = value.at[i];
			continue;
		}
		while (i + 1 < value.len && is_space(value.at[i + 1]))
			i++;
		to[len++] = ' ';
	}
	return str_trim_end(str_make(to, len));
}
