/* SPDX-License-Identifier: ISC */
/*
 * tcp:host:port: "get KEY" LF, answered by "200 VALUE", "500 text" (not there) or "400 text"
 * (cannot tell), LF. Bytes that are not printable, blanks and percent signs stand as %XX.
 */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/table/remote.h"
#include "lib/table/type.h"

enum { MOST_LINE = 4096, PATIENCE_MS = 90000 };

struct question {
	struct str request;		/* with its LF */
	struct buf value;
	int result;			/* 1, 0, -errno */
};

static void encode(struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++) {
		if (is_print(s.at[i]) && s.at[i] != ' ' && s.at[i] != '%')
			buf_add_byte(out, s.at[i]);
		else
			buf_addf(out, "%%%02X", (unsigned) (unsigned char) s.at[i]);
	}
}

static int decode(struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.at[i];

		if (c == '%') {
			int high = i + 2 < s.len ? hex_value(s.at[i + 1]) : -1,
				low = i + 2 < s.len ? hex_value(s.at[i + 2]) : -1;

			if (high < 0 || low < 0)
				return -EBADMSG;
			c = (char) (high << 4 | low);
			i += 2;
		}
		buf_add_byte(out, c);
	}
	return 0;
}

static int talk(struct stream *s, void *arg, struct buf *why)
{
	struct question *q = arg;
	struct str line;

	write_str(s, q->request);
	if (!read_line(s, MOST_LINE, &line, NULL))
		return stream_error(s);
	buf_clear(&q->value);
	if (line.len < 3 || (line.len > 3 && line.at[3] != ' ') || decode(str_skip(line, 4), &q->value) < 0) {
		buf_addf(why, "a reply that is not in the protocol: \"%.*s\"", PSTR(str_head(line, 60)));
		return -EBADMSG;
	}
	if (str_starts(line, STR("200")))
		return q->result = 1;
	if (str_starts(line, STR("500")))
		return q->result = 0;
	if (str_starts(line, STR("400"))) {
		q->result = -EIO;
		return 0;
	}
	buf_addf(why, "a reply that is not in the protocol: \"%.*s\"", PSTR(str_head(line, 60)));
	return -EBADMSG;
}

static int tcp_open(struct table *t, struct str name, void **ret_content, struct buf *why)
{
	(void) t;
	return remote_new(name, &remote_limits_of_tables, (struct remote **) ret_content, why);
}

static int tcp_get(struct table *t, void *content, struct arena *a, struct str key, struct str *ret_value,
		   struct buf *why)
{
	AUTO(buf) request = BUF(3 * key.len + 8);
	struct question q = { .value = BUF(MOST_LINE) };
	int r;

	(void) t;
	buf_add_text(&request, "get ");
	encode(key, &request);
	buf_add_byte(&request, '\n');
	q.request = buf_str(&request);
	r = remote_ask(content, talk, &q, in(PATIENCE_MS), why);
	if (r >= 0)
		r = q.result;
	if (r < 0 && why->len == 0)
		buf_add_printable(why, buf_str(&q.value));
	if (r > 0)
		r = table_value(a, buf_str(&q.value), ret_value, why);
	buf_free(&q.value);
	return r;
}

static void remote_close(void *content)
{
	remote_free(content);
}

const struct table_type tcp_type = {
	.name = "tcp", .traits = TYPE_BLOCKS | TYPE_ANYBODYS, .open = tcp_open, .get = tcp_get, .close = remote_close,
};
