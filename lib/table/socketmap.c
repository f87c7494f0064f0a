/* SPDX-License-Identifier: ISC */
/*
 * socketmap:inet:host:port:name and socketmap:unix:/path:name, as Sendmail has it: netstrings "name
 * key", answered by "OK value", "NOTFOUND ", or "TEMP", "TIMEOUT", "PERM" and why.
 */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/table/remote.h"
#include "lib/table/type.h"

enum { MOST_REPLY = 100000, PATIENCE_MS = 90000 };

struct socketmap {
	struct remote *remote;
	char *name;
};

struct question {
	struct str request;		/* as a netstring */
	struct buf reply;
};

/* The length and colon of a netstring. */
static int read_length(struct stream *s, size_t *ret_len)
{
	size_t len = 0, digits = 0;
	char c;

	for (;;) {
		if (!read_exact(s, &c, 1))
			return stream_error(s);
		if (c == ':' && digits > 0)
			break;
		if (!is_digit(c) || ++digits > 6)
			return -EBADMSG;
		len = len * 10 + (size_t) (c - '0');
	}
	*ret_len = len;
	return len > MOST_REPLY ? -EMSGSIZE : 0;
}

static int talk(struct stream *s, void *arg, struct buf *why)
{
	struct question *q = arg;
	size_t len;
	char *at, comma;
	int r;

	write_str(s, q->request);
	r = read_length(s, &len);
	if (r == 0) {
		buf_clear(&q->reply);
		at = buf_room(&q->reply, len + 1);
		if (!read_exact(s, at, len) || !read_exact(s, &comma, 1))
			return stream_error(s);
		q->reply.len = len;
		at[len] = 0;
		r = comma == ',' ? 0 : -EBADMSG;
	}
	if (r == -EBADMSG || r == -EMSGSIZE)
		buf_add_text(why, r == -EMSGSIZE
			     ? "the reply is too long" : "a reply that is not in the protocol");
	return r;
}

/* 1 found, 0 not there, -errno. */
static int understand(struct str reply, struct str *ret_value, struct buf *why)
{
	struct str rest = reply, word;

	str_cut(&rest, ' ', &word);
	*ret_value = rest;
	if (str_is(word, STR("OK")))
		return 1;
	if (str_is(word, STR("NOTFOUND")))
		return 0;
	buf_add_text(why, "the server says: ");
	buf_add_printable(why, str_head(reply, 300));
	return -EIO;
}

static void socketmap_close(void *content)
{
	struct socketmap *m = content;

	remote_free(m->remote);
	free(m->name);
	free(m);
}

static int socketmap_open(struct table *t, struct str name, void **ret_content, struct buf *why)
{
	ssize_t colon = str_find_last(name, ':');
	struct str map = colon < 0 ? STR_NONE : str_skip(name, (size_t) colon + 1);
	struct socketmap *m;
	struct remote *remote;

	(void) t;
	if (map.len == 0 || map.len > 500
	    || (!str_starts(name, STR("inet:")) && !str_starts(name, STR("unix:/")))
	    || remote_new(str_head(name, (size_t) colon), &remote_limits_of_tables, &remote, why) < 0) {
		buf_clear(why);
		buf_addf(why, "expected socketmap:inet:host:port:name or socketmap:unix:/path:name instead of \"%.*s\"",
			 PSTR(str_head(name, 100)));
		return -EINVAL;
	}
	m = get_memory(sizeof(*m));
	m->remote = remote;
	m->name = get_memory(map.len + 1);
	memcpy(m->name, map.at, map.len);
	*ret_content = m;
	return 0;
}

static int socketmap_get(struct table *t, void *content, struct arena *a, struct str key,
			 struct str *ret_value, struct buf *why)
{
	const struct socketmap *m = content;
	const size_t len = strlen(m->name) + 1 + key.len;
	AUTO(buf) request = BUF(len + 32);
	struct question q = { .reply = BUF(MOST_REPLY + 2) };
	struct str value;
	int r;

	(void) t;
	buf_addf(&request, "%zu:%s ", len, m->name);
	buf_add(&request, key);
	buf_add_byte(&request, ',');
	q.request = buf_str(&request);
	r = remote_ask(m->remote, talk, &q, in(PATIENCE_MS), why);
	if (r >= 0)
		r = understand(buf_str(&q.reply), &value, why);
	if (r > 0)
		r = table_value(a, value, ret_value, why);
	buf_free(&q.reply);
	return r;
}

const struct table_type socketmap_type = {
	.name = "socketmap", .traits = TYPE_BLOCKS | TYPE_ANYBODYS, .open = socketmap_open, .get = socketmap_get,
	.close = socketmap_close,
};
