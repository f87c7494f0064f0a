/* SPDX-License-Identifier: ISC */
/*
 * memcache: tables: a memcached server, perhaps in front of another table (`backup`), whose results
 * it then keeps. A server that is away only costs time when there is a backup; without one it
 * cannot be told what is there.
 */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/table/remote.h"
#include "lib/table/results.h"
#include "lib/table/type.h"

enum { MOST_KEY = 250, MOST_RESULT = 1 << 20 };

struct memcache {
	struct settings *settings;
	struct template key_format;
	struct results results;
	struct remote *remote;
	struct table *backup;		/* NULL: none */
	int64_t flags, ttl, data_limit, line_limit, tries, pause_s, timeout_s;
	int users;
	bool closed;
};

struct question {
	const struct memcache *m;
	struct str key;			/* as the server has it */
	struct str store;		/* to be stored; at NULL: a question */
	struct buf value;
};

static const char *const parameters[] = {
	"memcache", "backup", "flags", "ttl", "key_format", "domain", "result_format", "expansion_limit",
	"data_size_limit", "line_size_limit", "max_try",
	"retry_pause", "timeout", NULL,
};

static void free_memcache(struct memcache *m)
{
	results_free(&m->results);
	remote_free(m->remote);
	table_free(m->backup);
	settings_free(m->settings);
	free(m);
}

static void memcache_close(void *content)
{
	struct memcache *m = content;

	m->closed = true;
	if (m->users == 0)
		free_memcache(m);
}

static int read_limits(struct memcache *m, struct buf *why)
{
	const struct settings *s = m->settings;
	int r = settings_number(s, "flags", 0, 0, UINT32_MAX, &m->flags, why);

	if (r == 0)
		r = settings_seconds(s, "ttl", 3600, 1, INT32_MAX, &m->ttl, why);
	if (r == 0)
		r = settings_number(s, "data_size_limit", 10240, 1, MOST_RESULT, &m->data_limit, why);
	if (r == 0)
		r = settings_number(s, "line_size_limit", 1024, 100, 1 << 16, &m->line_limit, why);
	if (r == 0)
		r = settings_number(s, "max_try", 2, 1, 10, &m->tries, why);
	if (r == 0)
		r = settings_seconds(s, "retry_pause", 1, 0, 30, &m->pause_s, why);
	return r == 0 ? settings_seconds(s, "timeout", 2, 1, 60, &m->timeout_s, why) : r;
}

static int open_memcache(struct memcache *m, unsigned flags, struct buf *why)
{
	const struct settings *s = m->settings;
	const char *backup = settings_get(s, "backup", "");
	int r = read_limits(m, why);

	if (r == 0)
		r = template_compile(s->arena, str_of(settings_get(s, "key_format", "%s")),
				     &m->key_format, why);
	if (r == 0)
		r = results_open(&m->results, s, "result_format", why);
	if (r == 0)
		r = remote_new(str_of(settings_get(s, "memcache", "inet:localhost:11211")),
			       &remote_limits_of_tables, &m->remote, why);
	if (r == 0 && *backup != 0)
		r = table_open(str_of(backup), flags & ~(unsigned) TABLE_MUST_EXIST, &m->backup, why);
	return r;
}

static int memcache_read(struct table *t, struct source *lines, void **ret_content, struct buf *why)
{
	struct memcache *m = get_memory(sizeof(*m));
	AUTO(buf) words = BUF_WORDS;
	int r;

	m->settings = settings_read(lines, parameters);
	r = open_memcache(m, t->flags, &words);
	if (r < 0) {
		buf_addf(why, "%s: %s", m->settings->file, buf_text(&words));
		free_memcache(m);
	} else {
		*ret_content = m;
	}
	return r;
}

/* ---- the protocol ---- */

static int not_in_protocol(struct str line, struct buf *why)
{
	buf_add_text(why, "a reply that is not in the protocol: ");
	buf_add_printable(why, str_head(line, 60));
	return -EBADMSG;
}

/* "VALUE key flags length", the value, "END"; or "END". 1, 0, -errno. */
static int talk_get(struct stream *s, void *arg, struct buf *why)
{
	struct question *q = arg;
	struct str line, word[4];
	int64_t len;
	char *at, end[2];

	writef(s, "get %.*s\r\n", PSTR(q->key));
	if (!read_line(s, (size_t) q->m->line_limit, &line, NULL))
		return stream_error(s);
	if (str_is(line, STR("END")))
		return 0;
	for (size_t i = 0; i < 4; i++)
		str_cut(&line, ' ', &word[i]);
	if (!str_is(word[0], STR("VALUE")) || str_to_int(word[3], 0, INT32_MAX, &len) < 0)
		return not_in_protocol(word[0], why);
	if (len > q->m->data_limit) {
		buf_addf(why, "a value of %lld bytes, more than data_size_limit", (long long) len);
		return -EMSGSIZE;
	}
	buf_clear(&q->value);
	at = buf_room(&q->value, (size_t) len + 1);
	if (!read_exact(s, at, (size_t) len) || !read_exact(s, end, 2))
		return stream_error(s);
	q->value.len = (size_t) len;
	at[len] = 0;
	if (!read_line(s, (size_t) q->m->line_limit, &line, NULL))
		return stream_error(s);
	return str_is(line, STR("END")) && memcmp(end, "\r\n", 2) == 0 ? 1 : not_in_protocol(line, why);
}

static int talk_set(struct stream *s, void *arg, struct buf *why)
{
	struct question *q = arg;
	struct str line;

	writef(s, "set %.*s %lld %lld %zu\r\n", PSTR(q->key), (long long) q->m->flags, (long long) q->m->ttl,
	       q->store.len);
	write_str(s, q->store);
	write_str(s, STR("\r\n"));
	if (!read_line(s, (size_t) q->m->line_limit, &line, NULL))
		return stream_error(s);
	return str_is(line, STR("STORED")) || str_starts(line, STR("SERVER_ERROR"))
	       || str_is(line, STR("NOT_STORED")) ? 0 : not_in_protocol(line, why);
}

static bool is_not_there(int error)
{
	return error == -ECONNREFUSED || error == -ENOENT || error == -EHOSTUNREACH || error == -ENETUNREACH;
}

/* Also several times, with a pause between; but one that takes no connection only once. */
static int ask_server(const struct memcache *m, remote_talk *talk, struct question *q, struct buf *why)
{
	int r = -ETIMEDOUT;

	for (int64_t i = 0; i < m->tries; i++) {
		if (i > 0 && m->pause_s > 0 && co_sleep(in(m->pause_s * 1000)) < 0)
			return -ECANCELED;
		buf_clear(why);
		r = remote_ask(m->remote, talk, q, in(m->timeout_s * 1000), why);
		if (r >= 0 || r == -EMSGSIZE || is_not_there(r))
			break;
	}
	return r;
}

/* ---- lookups ---- */

/* Blanks, control bytes and percent signs as %XX: the server's keys have none. */
static int quote_for_server(struct buf *out, struct str value)
{
	int r = 0;

	for (size_t i = 0; i < value.len && r == 0; i++)
		r = is_space(value.at[i]) || (unsigned char) value.at[i] < 32 || value.at[i] == 127
		    || value.at[i] == '%' ?
			buf_addf(out, "%%%02X", (unsigned) (unsigned char) value.at[i]) : buf_add_byte(out,
			value.at[i]);
	return r;
}

/* What the backup has, to be kept by the server too. */
static int ask_backup(const struct memcache *m, struct question *q, bool server_is_there, struct arena *own,
		      struct str key, struct buf *why)
{
	AUTO(buf) ignored = BUF_WORDS;
	struct str value;
	int r = table_get(m->backup, own, key, &value);

	buf_clear(why);
	if (r < 0)
		buf_add_text(why, table_why(m->backup));
	if (r <= 0)
		return r;
	buf_clear(&q->value);
	if (buf_add(&q->value, value) < 0) {
		buf_add_text(why, "the result is too long");
		return -EMSGSIZE;
	}
	q->store = value;
	if (server_is_there && q->key.len > 0 && (int64_t) value.len <= m->data_limit)
		remote_ask(m->remote, talk_set, q, in(m->timeout_s * 1000), &ignored);
	return 1;
}

static int look_up(const struct memcache *m, struct arena *own, struct question *q, struct str text,
		   struct buf *joined, struct buf *why)
{
	const struct address_parts key = address_parts(text);
	AUTO(buf) server_key = BUF(MOST_KEY);
	size_t count = 0;
	int r = results_wants(&m->results, own, &key, why);

	if (r > 0)
		r = template_expand(&m->key_format, &key, NULL, quote_for_server, &server_key);
	if (r == 0)
		return 0;
	/* A key that is too long for the server is in the backup, if anywhere. */
	q->key = r == -EMSGSIZE ? STR_NONE : buf_str(&server_key);
	if (r < 0 && r != -EMSGSIZE)
		return r;
	r = q->key.len == 0 ? 0 : ask_server(m, talk_get, q, why);
	if (r <= 0 && m->backup != NULL)
		r = ask_backup(m, q, r == 0, own, text, why);
	if (r > 0)
		r = results_add(&m->results, &key, buf_str(&q->value), &count, joined, why);
	return r;
}

static int memcache_get(struct table *t, void *content, struct arena *a, struct str key,
			struct str *ret_value, struct buf *why)
{
	struct memcache *m = content;
	struct arena *own = arena_new("memcache", NULL, 8 << 20);
	struct question q = { .m = m, .value = BUF(MOST_RESULT) };
	AUTO(buf) joined = BUF(MOST_RESULT);
	int r;

	(void) t;
	m->users++;
	r = look_up(m, own, &q, key, &joined, why);
	if (r >= 0)
		r = joined.len == 0 ? 0 : table_value(a, buf_str(&joined), ret_value, why);
	buf_free(&q.value);
	arena_free(own);
	if (--m->users == 0 && m->closed)
		free_memcache(m);
	return r;
}

const struct table_type memcache_type = {
	.name = "memcache", .traits = TYPE_FIXED_KEYS | TYPE_BLOCKS | TYPE_ANYBODYS, .read = memcache_read,
	.get = memcache_get, .close = memcache_close,
};
