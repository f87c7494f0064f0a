/* SPDX-License-Identifier: ISC */
#include "lib/table/remote.h"

#include <errno.h>
#include <netdb.h>

#include "lib/base/arena.h"
#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/io/net.h"

enum { MOST_IDLE_MS = 10000, MOST_ADDRESSES = 8 };

struct kept {
	struct stream *stream;
	int64_t since;
	struct list link;
};

struct remote {
	char *where;			/* for words */
	char *path;			/* of a Unix socket; NULL: host and port */
	char *host;
	uint16_t port;
	struct gate turns;
	struct list idle;		/* of struct kept; the one used last stands first */
};

static char *copy(struct str s)
{
	char *c = get_memory(s.len + 1);

	memcpy(c, s.at, s.len);
	return c;
}

int remote_new(struct str where, int most, struct remote **ret_r, struct buf *why)
{
	struct remote *r;
	struct str rest = where, host, port;
	uint16_t number = 0;
	const bool is_unix = str_starts(where, STR("unix:"));

	if (is_unix || str_starts(where, STR("inet:")))
		rest = str_skip(where, 5);
	if (is_unix ? rest.len == 0 || rest.at[0] != '/' :
		      host_port_split(rest, &host, &port) < 0 || host.len == 0 || host.len > 255 || port.len == 0 || port_parse(port, &number) < 0) {
		buf_addf(why, "expected inet:host:port or unix:/path instead of \"%.*s\"", PSTR(str_head(where, 100)));
		return -EINVAL;
	}
	r = get_memory(sizeof(*r));
	r->where = copy(where);
	r->path = is_unix ? copy(rest) : NULL;
	r->host = is_unix ? NULL : copy(host);
	r->port = number;
	gate_init(&r->turns, most);
	list_init(&r->idle);
	*ret_r = r;
	return 0;
}

static void drop_idle(struct kept *k)
{
	list_remove(&k->link);
	stream_free(k->stream);
	free(k);
}

void remote_free(struct remote *r)
{
	if (r == NULL)
		return;
	LIST_EACH(k, &r->idle, struct kept, link)
		drop_idle(k);
	free(r->where);
	free(r->path);
	free(r->host);
	free(r);
}

/* ---- connecting ---- */

struct resolving {
	const char *host;
	struct address_ip found[MOST_ADDRESSES];
	int count;
};

/* On a pool thread: the C library knows /etc/hosts and all else that this machine has names from. */
static int resolve(void *arg)
{
	struct resolving *v = arg;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;

	if (getaddrinfo(v->host, NULL, &hints, &list) != 0)
		return -EHOSTUNREACH;
	for (const struct addrinfo *a = list; a != NULL && v->count < MOST_ADDRESSES; a = a->ai_next)
		ip_from_sockaddr(a->ai_addr, &v->found[v->count++]);
	freeaddrinfo(list);
	return 0;
}

static int connect_host(const struct remote *r, when_t until)
{
	struct resolving v = { .host = r->host };
	int fd = -EHOSTUNREACH;

	if (ip_parse(str_of(r->host), &v.found[0]) == 0)
		v.count = 1;
	else
		co_offload(resolve, &v);
	for (int i = 0; i < v.count && fd < 0; i++) {
		v.found[i].port = r->port;
		fd = connect_tcp(&v.found[i], NULL, until);
	}
	return fd;
}

static int connect_fresh(const struct remote *r, when_t until, struct stream **ret_s, struct buf *why)
{
	int fd = r->path != NULL ? connect_unix(r->path, until) : connect_host(r, until);

	if (fd < 0) {
		buf_addf(why, "connect to %s: %s", r->where, error_text(fd));
		return fd;
	}
	*ret_s = stream_new(fd);
	return 0;
}

/* A connection from the last lookups; NULL: there is none that still is one. */
static struct stream *take_idle(struct remote *r)
{
	const int64_t now = mono_ms();
	struct stream *s = NULL;

	LIST_EACH(k, &r->idle, struct kept, link) {
		if (s == NULL && now - k->since < MOST_IDLE_MS && !stream_poll_input(k->stream) && stream_error(k->stream) == 0) {
			s = k->stream;
			list_remove(&k->link);
			free(k);
		} else if (now - k->since >= MOST_IDLE_MS || stream_error(k->stream) != 0) {
			drop_idle(k);
		}
	}
	return s;
}

static void keep(struct remote *r, struct stream *s)
{
	struct kept *k = get_memory(sizeof(*k));

	k->stream = s;
	k->since = mono_ms();
	list_prepend(&r->idle, &k->link);
}

/* ---- asking ---- */

static int converse(struct remote *r, struct stream *s, remote_talk *talk, void *arg, when_t until, struct buf *why)
{
	int result;

	stream_deadline(s, until);
	result = talk(s, arg, why);
	if (result >= 0 && stream_error(s) == 0) {
		keep(r, s);
		return result;
	}
	if (result >= 0)
		result = stream_error(s);
	if (why->len == 0)
		buf_addf(why, "%s: %s", r->where, result == -EPIPE ? "connection closed" : error_text(result));
	stream_free(s);
	return result;
}

int remote_ask(struct remote *r, remote_talk *talk, void *arg, when_t until, struct buf *why)
{
	struct stream *s;
	int result = gate_enter(&r->turns, until);

	if (result < 0) {
		buf_addf(why, "%s: all connections are busy: %s", r->where, error_text(result));
		return result;
	}
	s = take_idle(r);
	if (s != NULL) {
		result = converse(r, s, talk, arg, until, why);
		if (result == -EPIPE || result == -ECONNRESET) {
			buf_clear(why);
			s = NULL;
		}
	}
	if (s == NULL) {
		result = connect_fresh(r, until, &s, why);
		if (result == 0)
			result = converse(r, s, talk, arg, until, why);
	}
	gate_leave(&r->turns);
	return result;
}
