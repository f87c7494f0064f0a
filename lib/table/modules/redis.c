/* SPDX-License-Identifier: ISC */
/*
 * redis: tables, of Redis and what speaks its protocol. hiredis packs commands and takes replies
 * apart; the sockets are our own, for TLS and for time limits on every step. In a cluster each
 * connection of the pool keeps one to every node that it was sent to, and remembers which slot is
 * where.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/table/modules/driver.h"

enum { SLOTS = 16384, MOST_NODES = 64, MOST_REDIRECTS = 5, MOST_REPLY = 4 << 20, NAME = 300 };

struct node {
	char host[NAME], port[16];
	int fd;				/* -1: not connected */
	SSL *tls;
	redisReader *reader;
};

struct connection {
	const struct driver_settings *settings;
	SSL_CTX *tls;			/* NULL: without */
	bool in_cluster;
	int node_count;
	struct node nodes[MOST_NODES];	/* [0]: the host of the configuration */
	uint8_t slots[SLOTS];		/* the node that had it last */
};

/* What one step needs. */
struct step {
	long long until;
	struct driver_words why;
};

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static bool is_yes(const char *value)
{
	return value != NULL && (*value == 'y' || *value == 'Y');
}

static int fail(const struct step *s, const struct node *n, const char *what)
{
	snprintf(s->why.at, s->why.size, "%.200s:%s: %s", n->host, n->port, what);
	return -1;
}

static int fail_errno(const struct step *s, const struct node *n, int error)
{
	char room[128];

	return fail(s, n, strerror_r(error, room, sizeof(room)));
}

/*
 * What OpenSSL stumbled over first; a file's or a socket's trouble is the system's, for which it
 * has no words.
 */
static void say_tls_error(char *room, size_t size)
{
	const unsigned long error = ERR_get_error();
	const char *reason = ERR_reason_error_string(error);
	char own[128];

	ERR_clear_error();
	if (reason == NULL)
		reason = ERR_SYSTEM_ERROR(error) ? strerror_r(ERR_GET_REASON(error), own,
							      sizeof(own)) : "TLS failed";
	snprintf(room, size, "%s", reason);
}

static int fail_tls(const struct step *s, const struct node *n)
{
	long verified = n->tls == NULL ? X509_V_OK : SSL_get_verify_result(n->tls);
	char reason[200];

	say_tls_error(reason, sizeof(reason));
	return fail(s, n, verified != X509_V_OK ? X509_verify_cert_error_string(verified) : reason);
}

/* 0, or -1 with words: the time is up. */
static int wait_for(const struct step *s, const struct node *n, short events)
{
	struct pollfd p = { .fd = n->fd, .events = events };
	int r;

	do {
		long long left = s->until - now_ms();

		r = left <= 0 ? 0 : poll(&p, 1, (int) left);
	} while (r < 0 && errno == EINTR);
	return r > 0 ? 0 : fail(s, n, r == 0 ? "no answer in time" : "poll failed");
}

/* ---- bytes ---- */

static void disconnect(struct node *n)
{
	SSL_free(n->tls);
	if (n->fd >= 0)
		close(n->fd);
	if (n->reader != NULL)
		redisReaderFree(n->reader);
	n->tls = NULL;
	n->reader = NULL;
	n->fd = -1;
}

/* After an operation of OpenSSL that returned r: 0 try again, -1 failed. */
static int wait_for_tls(const struct step *s, const struct node *n, int r)
{
	switch (SSL_get_error(n->tls, r)) {
	case SSL_ERROR_WANT_READ:
		return wait_for(s, n, POLLIN);
	case SSL_ERROR_WANT_WRITE:
		return wait_for(s, n, POLLOUT);
	case SSL_ERROR_ZERO_RETURN:
		return fail(s, n, "connection closed");
	default:
		return fail_tls(s, n);
	}
}

static int write_all(const struct step *s, const struct node *n, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t done;

		if (n->tls != NULL) {
			ERR_clear_error();
			done = SSL_write(n->tls, bytes, (int) len);
			if (done <= 0 && wait_for_tls(s, n, (int) done) < 0)
				return -1;
		} else {
			done = send(n->fd, bytes, len, MSG_NOSIGNAL);
			if (done < 0 && errno != EAGAIN && errno != EINTR)
				return fail_errno(s, n, errno);
			if (done < 0 && wait_for(s, n, POLLOUT) < 0)
				return -1;
		}
		if (done > 0) {
			bytes += done;
			len -= (size_t) done;
		}
	}
	return 0;
}

/* Reads at least one byte. */
static ssize_t read_some(const struct step *s, const struct node *n, char *room, size_t size)
{
	for (;;) {
		ssize_t got;

		if (n->tls != NULL) {
			ERR_clear_error();
			got = SSL_read(n->tls, room, (int) size);
			if (got > 0)
				return got;
			if (wait_for_tls(s, n, (int) got) < 0)
				return -1;
			continue;
		}
		got = recv(n->fd, room, size, 0);
		if (got > 0)
			return got;
		if (got == 0)
			return fail(s, n, "connection closed");
		if (errno != EAGAIN && errno != EINTR)
			return fail_errno(s, n, errno);
		if (wait_for(s, n, POLLIN) < 0)
			return -1;
	}
}

/* ---- commands ---- */

/*
 * Sends a command and waits for its reply, which the caller frees; NULL with words: the connection
 * is of no use.
 */
static redisReply *command(const struct step *s, struct node *n, size_t count, const char *const *words)
{
	char *packed = NULL, piece[2048];
	void *reply = NULL;
	int len = redisFormatCommandArgv(&packed, (int) count, (const char **) words, NULL);
	size_t fed = 0;

	if (len < 0 || write_all(s, n, packed, (size_t) len) < 0) {
		free(packed);
		return NULL;
	}
	free(packed);
	for (;;) {
		ssize_t got;

		if (redisReaderGetReply(n->reader, &reply) != REDIS_OK) {
			fail(s, n, "a reply that is not in the protocol");
			return NULL;
		}
		if (reply != NULL)
			return reply;
		got = read_some(s, n, piece, sizeof(piece));
		if (got < 0)
			return NULL;
		if ((fed += (size_t) got) > MOST_REPLY) {
			fail(s, n, "the reply is too long");
			return NULL;
		}
		redisReaderFeed(n->reader, piece, (size_t) got);
	}
}

/* A command whose only good answer is a status. */
static int command_ok(const struct step *s, struct node *n, size_t count, const char *const *words)
{
	redisReply *reply = command(s, n, count, words);
	bool ok = reply != NULL && reply->type == REDIS_REPLY_STATUS;

	if (reply != NULL && !ok)
		fail(s, n, reply->type == REDIS_REPLY_ERROR ? reply->str : "an unexpected reply");
	if (reply != NULL)
		freeReplyObject(reply);
	return ok ? 0 : -1;
}

/* ---- connecting ---- */

static int open_socket(const struct step *s, struct node *n, const struct sockaddr *address, socklen_t len)
{
	int error = 0, one = 1;
	socklen_t size = sizeof(error);

	n->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (n->fd < 0)
		return fail_errno(s, n, errno);
	if (address->sa_family != AF_UNIX)
		setsockopt(n->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(n->fd, address, len) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return fail_errno(s, n, errno);
	if (wait_for(s, n, POLLOUT) < 0)
		return -1;
	if (getsockopt(n->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0)
		return fail_errno(s, n, error);
	return 0;
}

static int connect_socket(const struct step *s, struct node *n)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int r;

	if (n->host[0] == '/') {
		if (strlen(n->host) >= sizeof(un.sun_path))
			return fail(s, n, "the path is too long");
		memcpy(un.sun_path, n->host, strlen(n->host));
		return open_socket(s, n, (struct sockaddr *) &un, sizeof(un));
	}
	r = getaddrinfo(n->host, n->port, &hints, &list);
	if (r != 0)
		return fail(s, n, gai_strerror(r));
	r = -1;
	for (const struct addrinfo *a = list; a != NULL && r < 0; a = a->ai_next) {
		if (n->fd >= 0)
			close(n->fd);
		r = open_socket(s, n, a->ai_addr, a->ai_addrlen);
	}
	freeaddrinfo(list);
	return r;
}

static int start_tls(const struct step *s, const struct connection *c, struct node *n)
{
	const char *name = c->settings->get(c->settings, "tls_server_name");
	unsigned char ip[16];
	int r;

	if (name == NULL || *name == 0)
		name = n->host;
	n->tls = SSL_new(c->tls);
	if (n->tls == NULL || SSL_set_fd(n->tls, n->fd) != 1)
		return fail_tls(s, n);
	if (inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1) {
		X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(n->tls), name);
	} else {
		SSL_set_tlsext_host_name(n->tls, name);
		SSL_set1_host(n->tls, name);
	}
	for (;;) {
		ERR_clear_error();
		r = SSL_connect(n->tls);
		if (r == 1)
			return 0;
		if (wait_for_tls(s, n, r) < 0)
			return -1;
	}
}

static int log_in(const struct step *s, const struct connection *c, struct node *n)
{
	const char *user = c->settings->get(c->settings, "user"),
		*password = c->settings->get(c->settings, "password");
	const char *database = c->settings->get(c->settings, "database");
	int r = 0;

	if (password != NULL && *password != 0) {
		const char *words[] = { "AUTH", user, password };

		if (user != NULL && *user != 0) {
			r = command_ok(s, n, 3, words);
		} else {
			words[1] = password;
			r = command_ok(s, n, 2, words);
		}
	}
	if (r == 0 && database != NULL && strcmp(database, "0") != 0 && *database != 0)
		r = command_ok(s, n, 2, (const char *const[]){ "SELECT", database });
	return r;
}

/* Whoever takes a connection and then hangs is found out in his share of the time. Any answer will do. */
static int greet(const struct step *s, struct node *n)
{
	redisReply *reply = command(s, n, 1, (const char *const[]){ "PING" });

	if (reply == NULL)
		return -1;
	freeReplyObject(reply);
	return 0;
}

static int connect_node(const struct step *s, struct connection *c, struct node *n)
{
	int r;

	if (n->fd >= 0)
		return 0;
	n->reader = redisReaderCreate();
	if (n->reader == NULL)
		return fail(s, n, "out of memory");
	r = connect_socket(s, n);
	if (r == 0 && c->tls != NULL)
		r = start_tls(s, c, n);
	if (r == 0)
		r = greet(s, n);
	if (r == 0)
		r = log_in(s, c, n);
	if (r < 0)
		disconnect(n);
	return r;
}

/* unix:/path, inet:host:port, host:port, [v6]:port, host. */
static bool split_host(const char *host, struct node *n)
{
	const char *port;
	size_t len;

	n->fd = -1;
	if (strncmp(host, "unix:", 5) == 0) {
		snprintf(n->port, sizeof(n->port), "0");
		return (size_t) snprintf(n->host, sizeof(n->host), "%s", host + 5) < sizeof(n->host)
		       && n->host[0] == '/';
	}
	if (strncmp(host, "inet:", 5) == 0)
		host += 5;
	if (host[0] == '[' && strchr(host, ']') != NULL) {
		port = strchr(host, ']');
		len = (size_t) (port++ - ++host);
	} else {
		port = strrchr(host, ':');
		len = port == NULL ? strlen(host) : (size_t) (port - host);
	}
	snprintf(n->port, sizeof(n->port), "%s", port == NULL || port[0] != ':'
		 || port[1] == 0 ? "6379" : port + 1);
	return len > 0 && (size_t) snprintf(n->host, sizeof(n->host), "%.*s", (int) len,
					    host) < sizeof(n->host);
}

static SSL_CTX *make_tls(const struct driver_settings *s, struct driver_words why)
{
	const char *file = s->get(s, "tls_CAfile"), *path = s->get(s, "tls_CApath"),
		*cert = s->get(s, "tls_cert_file"), *key = s->get(s, "tls_key_file");
	const char *verify = s->get(s, "tls_verify_cert");
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
	bool ok = tls != NULL;
	char reason[200];

	if (ok && (file != NULL || path != NULL))
		ok = SSL_CTX_load_verify_locations(tls, file, path) == 1;
	else if (ok)
		ok = SSL_CTX_set_default_verify_paths(tls) == 1;
	if (ok && cert != NULL)
		ok = SSL_CTX_use_certificate_chain_file(tls, cert) == 1
		     && SSL_CTX_use_PrivateKey_file(tls, key == NULL ? cert : key, SSL_FILETYPE_PEM) == 1;
	if (ok) {
		SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
		SSL_CTX_set_verify(tls, verify == NULL || is_yes(verify) ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
				   NULL);
		return tls;
	}
	say_tls_error(reason, sizeof(reason));
	snprintf(why.at, why.size, "TLS: %s", reason);
	SSL_CTX_free(tls);
	return NULL;
}

static int redis_check(const struct driver_settings *s, struct driver_words why)
{
	SSL_CTX *tls;

	if (!is_yes(s->get(s, "tls")))
		return 0;
	tls = make_tls(s, why);
	if (tls == NULL)
		return -1;
	SSL_CTX_free(tls);
	return 0;
}

static void redis_close(void *connection)
{
	struct connection *c = connection;

	for (int i = 0; i < c->node_count; i++)
		disconnect(&c->nodes[i]);
	SSL_CTX_free(c->tls);
	free(c);
}

static void *redis_connect_to(const struct driver_settings *s, const char *host, int timeout_ms,
			      int question_ms, struct driver_words why)
{
	const struct step step = { now_ms() + timeout_ms, why };
	struct connection *c = calloc(1, sizeof(*c));

	(void) question_ms;
	if (c == NULL)
		return NULL;
	c->settings = s;
	c->in_cluster = is_yes(s->get(s, "cluster"));
	c->node_count = 1;
	if (!split_host(host, &c->nodes[0]))
		snprintf(why.at, why.size, "%.100s: not a host", host);
	else if ((!is_yes(s->get(s, "tls")) || (c->tls = make_tls(s, why)) != NULL)
		 && connect_node(&step, c, &c->nodes[0]) == 0)
		return c;
	redis_close(c);
	return NULL;
}

/* ---- clusters ---- */

/* CRC-16/XMODEM of the key, or of what stands in its first { }. */
static unsigned slot_of(const char *key)
{
	const char *open = strchr(key, '{'), *end = open == NULL ? NULL : strchr(open, '}');
	size_t len = strlen(key);
	unsigned crc = 0;

	if (end != NULL && end > open + 1) {
		key = open + 1;
		len = (size_t) (end - key);
	}
	for (size_t i = 0; i < len; i++) {
		crc ^= (unsigned) (unsigned char) key[i] << 8;
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 0x8000 ? (crc << 1 ^ 0x1021) & 0xffff : crc << 1 & 0xffff;
	}
	return crc % SLOTS;
}

/* "MOVED 3999 127.0.0.1:6381": the node, known or new; -1 with words. */
static int node_named(const struct step *s, struct connection *c, const struct node *from, const char *words)
{
	const char *where = strrchr(words, ' ');
	struct node named = { .fd = -1 };

	if (where == NULL || !split_host(where + 1, &named)) {
		/* without a host the one that said so is meant */
		if (where == NULL || where[1] != ':')
			return fail(s, from, "a redirection that makes no sense");
		memcpy(named.host, from->host, sizeof(named.host));
		snprintf(named.port, sizeof(named.port), "%s", where + 2);
	}
	for (int i = 0; i < c->node_count; i++)
		if (strcmp(c->nodes[i].host, named.host) == 0 && strcmp(c->nodes[i].port, named.port) == 0)
			return i;
	if (c->node_count == MOST_NODES)
		return fail(s, from, "too many nodes");
	c->nodes[c->node_count] = named;
	return c->node_count++;
}

/* ---- asking ---- */

static enum driver_result tell(const struct step *s, const struct node *n, const redisReply *reply,
			       const struct driver_question *q)
{
	switch (reply->type) {
	case REDIS_REPLY_NIL:
		return DRIVER_ANSWERED;
	case REDIS_REPLY_STRING:
		q->found(q->arg, reply->str, (size_t) reply->len);
		return DRIVER_ANSWERED;
	case REDIS_REPLY_ERROR:
		fail(s, n, reply->str);
		/* A copy that may not be written, or one that still loads: another host can do better. */
		return strncmp(reply->str, "LOADING", 7) == 0 || strncmp(reply->str, "MASTERDOWN", 10) == 0
		       || strncmp(reply->str, "NOAUTH", 6) == 0 ?
			DRIVER_GONE : DRIVER_FAILED;
	default:
		fail(s, n, "an unexpected reply");
		return DRIVER_FAILED;
	}
}

/* A node other than the first went away: its slots are asked of the first again. */
static bool forget_node(struct connection *c, int node)
{
	disconnect(&c->nodes[node]);
	if (node == 0)
		return false;
	for (int i = 0; i < SLOTS; i++)
		if (c->slots[i] == node)
			c->slots[i] = 0;
	return true;
}

static enum driver_result redis_ask(void *connection, const struct driver_question *q,
				    struct driver_words why)
{
	const struct step s = { now_ms() + q->timeout_ms, why };
	struct connection *c = connection;
	const unsigned slot = c->in_cluster ? slot_of(q->arguments[1]) : 0;
	int at = c->slots[slot];
	bool asking = false;

	for (int redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
		struct node *n = &c->nodes[at];
		redisReply *reply = NULL;
		enum driver_result result;

		if (connect_node(&s, c, n) == 0
		    && (!asking || command_ok(&s, n, 1, (const char *const[]){ "ASKING" }) == 0))
			reply = command(&s, n, q->argument_count, q->arguments);
		if (reply == NULL) {
			if (!forget_node(c, at))
				return DRIVER_GONE;
			at = 0;
			asking = false;
			continue;
		}
		asking = c->in_cluster && reply->type == REDIS_REPLY_ERROR
			 && strncmp(reply->str, "ASK ", 4) == 0;
		if (!asking && !(c->in_cluster && reply->type == REDIS_REPLY_ERROR
				 && strncmp(reply->str, "MOVED ", 6) == 0)) {
			result = tell(&s, n, reply, q);
			freeReplyObject(reply);
			return result;
		}
		at = node_named(&s, c, n, reply->str);
		freeReplyObject(reply);
		if (at < 0)
			return DRIVER_FAILED;
		if (!asking)
			c->slots[slot] = (uint8_t) at;
	}
	snprintf(why.at, why.size, "sent from node to node");
	return DRIVER_FAILED;
}

static const struct server_driver servers[] = {
	{ .type = "redis", .check = redis_check, .connect = redis_connect_to, .ask = redis_ask,
	  .close = redis_close },
	{ .type = NULL },
};

__attribute__((visibility("default"))) const struct table_module table_module = {
	.version = TABLE_MODULE_VERSION, .servers = servers };
