/* SPDX-License-Identifier: ISC */
/*
 * pgsql: tables, with libpq. Everything is done without waiting inside the library, so that each
 * step keeps its time limit.
 */
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <time.h>

#include "lib/table/modules/driver.h"

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* 0, or -1 with words: the time is up. */
static int wait_for(PGconn *c, short events, long long until, struct driver_words why)
{
	struct pollfd p = { .fd = PQsocket(c), .events = events };
	int n;

	do {
		long long left = until - now_ms();

		n = left <= 0 ? 0 : poll(&p, 1, (int) left);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		return 0;
	snprintf(why.at, why.size, "host \"%s\": %s", PQhost(c), n == 0 ? "no answer in time" : "poll failed");
	return -1;
}

static void say_error(PGconn *c, struct driver_words why)
{
	snprintf(why.at, why.size, "%s", PQerrorMessage(c));
	for (size_t i = strlen(why.at); i > 0 && why.at[i - 1] == '\n'; i--)
		why.at[i - 1] = 0;
}

/* ---- connecting ---- */

struct words {
	const char *names[16], *values[16];
	int count;
	char room[600], port[16], seconds[16];
};

static void add(struct words *w, const char *name, const char *value)
{
	if (value == NULL || *value == 0)
		return;
	w->names[w->count] = name;
	w->values[w->count++] = value;
}

static bool is_uri(const char *host)
{
	return strncmp(host, "postgresql://", 13) == 0 || strncmp(host, "postgres://", 11) == 0;
}

/* unix:/directory, unix:/directory/.s.PGSQL.5432, inet:host:port, host:port, host. */
static void add_host(struct words *w, const char *host)
{
	static const char socket_name[] = "/.s.PGSQL.";
	char *part;

	if (strncmp(host, "unix:", 5) == 0 || strncmp(host, "inet:", 5) == 0)
		host += 5;
	snprintf(w->room, sizeof(w->room), "%s", host);
	if (host[0] == '/') {
		part = strstr(w->room, socket_name);
		if (part != NULL) {
			snprintf(w->port, sizeof(w->port), "%s", part + sizeof(socket_name) - 1);
			*part = 0;
		}
		part = w->room;
	} else if (w->room[0] == '[' && (part = strchr(w->room, ']')) != NULL) {
		*part = 0;
		if (part[1] == ':')
			snprintf(w->port, sizeof(w->port), "%s", part + 2);
		part = w->room + 1;
	} else {
		part = strrchr(w->room, ':');
		if (part != NULL) {
			*part = 0;
			snprintf(w->port, sizeof(w->port), "%s", part + 1);
		}
		part = w->room;
	}
	add(w, "host", part);
	add(w, "port", w->port);
}

static int finish_connecting(PGconn *c, long long until, struct driver_words why)
{
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;

	while (state != PGRES_POLLING_OK) {
		if (state == PGRES_POLLING_FAILED) {
			say_error(c, why);
			return -1;
		}
		if (wait_for(c, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, until, why) < 0)
			return -1;
		state = PQconnectPoll(c);
	}
	return 0;
}

/* ---- asking ---- */

static bool send_all(PGconn *c, long long until, struct driver_words why)
{
	int left;

	while ((left = PQflush(c)) > 0) {
		if (wait_for(c, POLLIN | POLLOUT, until, why) < 0)
			return false;
		if (!PQconsumeInput(c)) {
			say_error(c, why);
			return false;
		}
	}
	if (left < 0)
		say_error(c, why);
	return left == 0;
}

static bool receive_all(PGconn *c, long long until, struct driver_words why)
{
	while (PQisBusy(c)) {
		if (wait_for(c, POLLIN, until, why) < 0)
			return false;
		if (!PQconsumeInput(c)) {
			say_error(c, why);
			return false;
		}
	}
	return true;
}

/*
 * The server is going (57P), full (53), its disk or its data are bad (58, XX), or, as a standby, it
 * had to drop what was read (40001): another server, or later this one, can do better. So can another
 * connection when a statement took too long (57014) for this one: its limit is what was left of the
 * time when it connected. Never a matter of the key: who makes keys up shall not drive servers away.
 */
static bool is_about_server(const PGresult *r)
{
	static const char *const classes[] = { "57P", "57014", "08", "53", "58", "XX", "40001" };
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);

	for (size_t i = 0; state != NULL && i < sizeof(classes) / sizeof(*classes); i++)
		if (strncmp(state, classes[i], strlen(classes[i])) == 0)
			return true;
	return false;
}

static void tell_values(const PGresult *r, const struct driver_question *q)
{
	for (int row = 0; row < PQntuples(r); row++)
		for (int column = 0; column < PQnfields(r); column++)
			if (!PQgetisnull(r, row, column)
			    && !q->found(q->arg, PQgetvalue(r, row, column),
					 (size_t) PQgetlength(r, row, column)))
				return;
}

static enum driver_result take_results(PGconn *c, const struct driver_question *q, long long until,
				       struct driver_words why)
{
	enum driver_result result = DRIVER_ANSWERED;
	PGresult *r;

	for (;;) {
		if (!receive_all(c, until, why))
			return DRIVER_GONE;
		r = PQgetResult(c);
		if (r == NULL)
			return result;
		switch (PQresultStatus(r)) {
		case PGRES_TUPLES_OK:
			tell_values(r, q);
			break;
		case PGRES_COMMAND_OK:
		case PGRES_EMPTY_QUERY:
			snprintf(why.at, why.size, "the query has no result set");
			result = DRIVER_FAILED;
			break;
		default:
			say_error(c, why);
			result = PQstatus(c) != CONNECTION_OK
				 || is_about_server(r) ? DRIVER_GONE : DRIVER_FAILED;
		}
		PQclear(r);
	}
}

static enum driver_result pgsql_ask(void *connection, const struct driver_question *q,
				    struct driver_words why)
{
	const long long until = now_ms() + q->timeout_ms;
	PGconn *c = connection;

	if (!PQsendQueryParams(c, q->statement, (int) q->argument_count, NULL, q->arguments, NULL, NULL, 0)) {
		say_error(c, why);
		return DRIVER_GONE;
	}
	if (!send_all(c, until, why))
		return DRIVER_GONE;
	return take_results(c, q, until, why);
}

static bool ignore(void *arg, const char *value, size_t len)
{
	(void) arg;
	(void) value;
	(void) len;
	return true;
}

/* A query that takes too long does not go on in the server when nobody waits for it any more. */
static bool limit_statements(PGconn *c, int question_ms, long long until, struct driver_words why)
{
	char number[16];
	const char *const arguments[] = { number };
	const struct driver_question q = {
		.statement = "SELECT set_config('statement_timeout', $1, false)", .arguments = arguments,
		.argument_count = 1,
		.timeout_ms = (int) (until - now_ms()), .found = ignore,
	};

	snprintf(number, sizeof(number), "%d", question_ms);
	return pgsql_ask(c, &q, why) != DRIVER_GONE;
}

static void *pgsql_connect(const struct driver_settings *s, const char *host, int timeout_ms,
			   int question_ms, struct driver_words why)
{
	const long long until = now_ms() + timeout_ms;
	const char *encoding = s->get(s, "encoding");
	struct words w = { .count = 0 };
	PGconn *c;

	add(&w, "user", s->get(s, "user"));
	add(&w, "password", s->get(s, "password"));
	if (is_uri(host)) {
		add(&w, "dbname", host);	/* what it holds counts more than what came before */
	} else {
		add(&w, "dbname", s->get(s, "dbname"));
		add_host(&w, host);
	}
	add(&w, "client_encoding", encoding == NULL ? "UTF8" : encoding);
	add(&w, "fallback_application_name", "postroad");
	snprintf(w.seconds, sizeof(w.seconds), "%d", timeout_ms / 1000 + 1);
	add(&w, "connect_timeout", w.seconds);
	c = PQconnectStartParams(w.names, w.values, 1);
	if (c == NULL) {
		snprintf(why.at, why.size, "out of memory");
		return NULL;
	}
	if (PQstatus(c) == CONNECTION_BAD) {
		say_error(c, why);
	} else if (finish_connecting(c, until, why) == 0 && PQsetnonblocking(c, 1) == 0
		   && limit_statements(c, question_ms, until, why)) {
		return c;
	}
	PQfinish(c);
	return NULL;
}

static void pgsql_close(void *connection)
{
	PQfinish(connection);
}

static const struct server_driver servers[] = {
	{ .type = "pgsql", .connect = pgsql_connect, .ask = pgsql_ask, .close = pgsql_close },
	{ .type = NULL },
};

__attribute__((visibility("default"))) const struct table_module table_module = {
	.version = TABLE_MODULE_VERSION, .servers = servers };
