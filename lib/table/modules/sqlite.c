/* SPDX-License-Identifier: ISC */
/* sqlite: tables. The database is only read; one that was replaced is opened again. */
#include <errno.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/table/modules/driver.h"

struct connection {
	sqlite3 *db;
	sqlite3_stmt *statement;	/* prepared at the first question */
	const char *path;		/* the settings', which live longer */
	struct stat st;			/* of the file that was opened */
	long long until;		/* of the question at hand, monotonic ms */
};

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static void sqlite_close(void *connection)
{
	struct connection *c = connection;

	sqlite3_finalize(c->statement);
	sqlite3_close(c->db);
	free(c);
}

static int is_late(void *connection)
{
	const struct connection *c = connection;

	return c->until != 0 && now_ms() > c->until;
}

static void *sqlite_connect(const struct driver_settings *s, const char *host, int timeout_ms,
			    int question_ms, struct driver_words why)
{
	struct connection *c = calloc(1, sizeof(*c));
	int r;

	(void) host;
	(void) timeout_ms;
	if (c == NULL)
		return NULL;
	c->path = s->get(s, "dbpath");
	if (stat(c->path, &c->st) < 0) {
		snprintf(why.at, why.size, "open %s: %s", c->path,
			 errno == ENOENT ? "No such file or directory" : "cannot be reached");
		free(c);
		return NULL;
	}
	r = sqlite3_open_v2(c->path, &c->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
	if (r != SQLITE_OK) {
		snprintf(why.at, why.size, "open %s: %s", c->path, sqlite3_errmsg(c->db));
		sqlite_close(c);
		return NULL;
	}
	sqlite3_busy_timeout(c->db, question_ms);
	sqlite3_progress_handler(c->db, 10000, is_late, c);
	return c;
}

static int prepare(struct connection *c, const struct driver_question *q)
{
	int r = SQLITE_OK;

	if (c->statement == NULL)
		r = sqlite3_prepare_v2(c->db, q->statement, -1, &c->statement, NULL);
	if (r == SQLITE_OK && (size_t) sqlite3_bind_parameter_count(c->statement) != q->argument_count)
		r = SQLITE_RANGE;
	for (size_t i = 0; i < q->argument_count && r == SQLITE_OK; i++)
		r = sqlite3_bind_text(c->statement, (int) i + 1, q->arguments[i], -1, SQLITE_STATIC);
	return r;
}

static void tell_row(const struct connection *c, const struct driver_question *q, bool *enough)
{
	for (int i = 0; i < sqlite3_column_count(c->statement) && !*enough; i++)
		if (sqlite3_column_type(c->statement, i) != SQLITE_NULL) {
			const char *text = (const char *) sqlite3_column_text(c->statement, i);

			*enough = !q->found(q->arg, text, (size_t) sqlite3_column_bytes(c->statement, i));
		}
}

static enum driver_result sqlite_ask(void *connection, const struct driver_question *q,
				     struct driver_words why)
{
	struct connection *c = connection;
	bool enough = false;
	struct stat st;
	int r;

	if (stat(c->path, &st) < 0 || st.st_ino != c->st.st_ino || st.st_dev != c->st.st_dev) {
		snprintf(why.at, why.size, "%s was replaced", c->path);
		return DRIVER_GONE;
	}
	c->until = now_ms() + q->timeout_ms;
	r = prepare(c, q);
	while (r == SQLITE_OK || r == SQLITE_ROW) {
		r = enough ? SQLITE_DONE : sqlite3_step(c->statement);
		if (r == SQLITE_ROW)
			tell_row(c, q, &enough);
	}
	c->until = 0;
	if (r != SQLITE_DONE)
		snprintf(why.at, why.size, "%s: %s", c->path, r == SQLITE_INTERRUPT ? "no answer in time" :
			 r == SQLITE_RANGE ? "the query has placeholders of its own" : sqlite3_errmsg(c->db));
	if (c->statement != NULL) {
		sqlite3_reset(c->statement);
		sqlite3_clear_bindings(c->statement);
	}
	return r == SQLITE_DONE ? DRIVER_ANSWERED : r == SQLITE_NOTADB || r == SQLITE_IOERR
	       || r == SQLITE_CORRUPT ? DRIVER_GONE : DRIVER_FAILED;
}

static const struct server_driver servers[] = {
	{ .type = "sqlite", .connect = sqlite_connect, .ask = sqlite_ask, .close = sqlite_close },
	{ .type = NULL },
};

__attribute__((visibility("default"))) const struct table_module table_module = {
	.version = TABLE_MODULE_VERSION, .servers = servers };
