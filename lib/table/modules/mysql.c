/* SPDX-License-Identifier: ISC */
/* mysql: tables, of MySQL and MariaDB, with libmariadb. The statement is prepared once per connection. */
#include <mysql.h>
#include <mysqld_error.h>
#include <errmsg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/table/modules/driver.h"

enum { MOST_COLUMNS = 100, FIRST_ROOM = 1024, MOST_VALUE = 1 << 20 };

struct connection {
	MYSQL *db;
	MYSQL_STMT *statement;		/* NULL: not prepared yet */
	bool wants_result_set;
};

struct column {
	char *at;
	unsigned long len, room;
	my_bool is_null, is_cut;
};

static bool is_no(const char *value)
{
	return value != NULL && (*value == 'n' || *value == 'N');
}

/* Called before there are threads: the library's own preparations are not for more than one. */
static int mysql_check(const struct driver_settings *s, struct driver_words why)
{
	(void) s;
	if (mysql_library_init(0, NULL, NULL) == 0)
		return 0;
	snprintf(why.at, why.size, "the MySQL client library does not start");
	return -1;
}

/* ---- connecting ---- */

/* True: TLS is wanted. */
static bool set_options(MYSQL *db, const struct driver_settings *s, int timeout_ms, int question_ms)
{
	const unsigned to_connect = (unsigned) (timeout_ms + 999) / 1000,
		seconds = (unsigned) (question_ms + 999) / 1000, no = 0;
	const char *key = s->get(s, "tls_key_file"), *cert = s->get(s, "tls_cert_file"),
		*ca = s->get(s, "tls_CAfile");
	const char *ca_path = s->get(s, "tls_CApath"), *ciphers = s->get(s, "tls_ciphers"),
		*verify = s->get(s, "tls_verify_cert");
	const bool wants_tls = key != NULL || cert != NULL || ca != NULL || ca_path != NULL
			       || ciphers != NULL;
	const char *file = s->get(s, "option_file"), *group = s->get(s, "option_group"),
		*charset = s->get(s, "charset");

	mysql_options(db, MYSQL_OPT_CONNECT_TIMEOUT, &to_connect);
	mysql_options(db, MYSQL_OPT_READ_TIMEOUT, &seconds);
	mysql_options(db, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
	mysql_options(db, MYSQL_OPT_LOCAL_INFILE, &no);		/* the server may ask for no file of ours */
	if (file != NULL)
		mysql_options(db, MYSQL_READ_DEFAULT_FILE, file);
	if (file != NULL || group != NULL)
		mysql_options(db, MYSQL_READ_DEFAULT_GROUP, group == NULL ? "client" : group);
	mysql_options(db, MYSQL_SET_CHARSET_NAME, charset == NULL ? "utf8mb4" : charset);
	if (wants_tls)
		mysql_ssl_set(db, key, cert, ca, ca_path, ciphers);
	if (verify != NULL) {
		my_bool yes = !is_no(verify);

		mysql_options(db, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &yes);
	}
	return wants_tls;
}

/* unix:/path, inet:host:port, host:port, host. The name is cut out of `room`. */
static void split_host(const char *host, char *room, size_t size, const char **ret_name, unsigned *ret_port,
		       const char **ret_socket)
{
	char *port;

	*ret_name = *ret_socket = NULL;
	*ret_port = 0;
	if (strncmp(host, "unix:", 5) == 0) {
		*ret_socket = host + 5;
		return;
	}
	snprintf(room, size, "%s", strncmp(host, "inet:", 5) == 0 ? host + 5 : host);
	*ret_name = room;
	if (room[0] == '[' && (port = strchr(room, ']')) != NULL) {
		*port++ = 0;
		*ret_name = room + 1;
		port = *port == ':' ? port : NULL;
	} else {
		port = strrchr(room, ':');
	}
	if (port != NULL) {
		*port = 0;
		*ret_port = (unsigned) strtoul(port + 1, NULL, 10);
	}
}

static void mysql_close_connection(void *connection)
{
	struct connection *c = connection;

	if (c->statement != NULL)
		mysql_stmt_close(c->statement);
	if (c->db != NULL)
		mysql_close(c->db);
	free(c);
}

static void *mysql_connect_to(const struct driver_settings *s, const char *host, int timeout_ms,
			      int question_ms, struct driver_words why)
{
	struct connection *c = calloc(1, sizeof(*c));
	const char *name, *socket;
	char room[300];
	unsigned port;
	bool wants_tls;

	if (c != NULL)
		c->db = mysql_init(NULL);
	if (c == NULL || c->db == NULL) {
		snprintf(why.at, why.size, "out of memory");
		free(c);
		return NULL;
	}
	wants_tls = set_options(c->db, s, timeout_ms, question_ms);
	split_host(host, room, sizeof(room), &name, &port, &socket);
	c->wants_result_set = !is_no(s->get(s, "require_result_set"));
	if (mysql_real_connect(c->db, name, s->get(s, "user"), s->get(s, "password"), s->get(s, "dbname"),
			       port, socket, CLIENT_MULTI_RESULTS) == NULL)
		snprintf(why.at, why.size, "connect to %s: %s", host, mysql_error(c->db));
	else if (wants_tls && name != NULL && mysql_get_ssl_cipher(c->db) == NULL)	/* the library goes on without */
		snprintf(why.at, why.size, "connect to %s: the server does not offer TLS", host);
	else
		return c;
	mysql_close_connection(c);
	return NULL;
}

/* ---- asking ---- */

/*
 * The server or this connection is going, or the server takes no questions now: a node of Galera
 * without its cluster (ER_UNKNOWN_COM_ERROR), no memory, a bad disk or table. Another one can do
 * better. Never a matter of the key: who makes keys up shall not drive servers away.
 */
static bool is_about_server(unsigned error)
{
	switch (error) {
	case CR_SERVER_GONE_ERROR:
	case CR_SERVER_LOST:
	case CR_CONNECTION_ERROR:
	case CR_CONN_HOST_ERROR:
	case CR_COMMANDS_OUT_OF_SYNC:
	case ER_SERVER_SHUTDOWN:
	case ER_NORMAL_SHUTDOWN:
	case ER_CON_COUNT_ERROR:
	case ER_CONNECTION_KILLED:
	case ER_UNKNOWN_COM_ERROR:
	case ER_OUTOFMEMORY:
	case ER_OUT_OF_RESOURCES:
	case ER_DISK_FULL:
	case ER_ERROR_ON_READ:
	case ER_GET_ERRNO:
	case ER_NOT_KEYFILE:
	case ER_CRASHED_ON_USAGE:
	case ER_CRASHED_ON_REPAIR:
	case 2055:				/* lost, with words about when */
	case 4031:				/* too long idle (MySQL 8) */
		return true;
	default:
		return false;
	}
}

static enum driver_result failed(struct connection *c, struct driver_words why)
{
	unsigned error = c->statement == NULL ? mysql_errno(c->db) : mysql_stmt_errno(c->statement);

	snprintf(why.at, why.size, "%s",
		 c->statement == NULL ? mysql_error(c->db) : mysql_stmt_error(c->statement));
	if (is_about_server(error))
		return DRIVER_GONE;
	/* What is wrong with the statement may be mended in the server: it is prepared again. */
	if (c->statement != NULL)
		mysql_stmt_close(c->statement);
	c->statement = NULL;
	return DRIVER_FAILED;
}

static enum driver_result prepare(struct connection *c, const struct driver_question *q,
				  struct driver_words why)
{
	if (c->statement != NULL)
		return DRIVER_ANSWERED;
	c->statement = mysql_stmt_init(c->db);
	if (c->statement == NULL || mysql_stmt_prepare(c->statement, q->statement, strlen(q->statement)) != 0)
		return failed(c, why);
	if (mysql_stmt_param_count(c->statement) == q->argument_count)
		return DRIVER_ANSWERED;
	mysql_stmt_close(c->statement);
	c->statement = NULL;
	snprintf(why.at, why.size, "the query has placeholders of its own");
	return DRIVER_FAILED;
}

static int execute(struct connection *c, const struct driver_question *q)
{
	MYSQL_BIND *values = calloc(q->argument_count + 1, sizeof(*values));
	int r = -1;

	for (size_t i = 0; values != NULL && i < q->argument_count; i++) {
		values[i].buffer_type = MYSQL_TYPE_STRING;
		values[i].buffer = (void *) q->arguments[i];
		values[i].buffer_length = strlen(q->arguments[i]);
	}
	if (values != NULL && (q->argument_count == 0 || mysql_stmt_bind_param(c->statement, values) == 0))
		r = mysql_stmt_execute(c->statement);
	free(values);
	return r;
}

/* One value of the row at hand; a long one is fetched into more room. 0, -1 failed, 1 enough. */
static int tell_value(MYSQL_STMT *statement, unsigned i, struct column *column,
		      const struct driver_question *q)
{
	MYSQL_BIND one = { .buffer_type = MYSQL_TYPE_STRING, .length = &column->len,
			   .is_null = &column->is_null, .error = &column->is_cut };
	char *room = NULL;
	int r = 0;

	if (column->is_null)
		return 0;
	if (column->len > column->room) {
		if (column->len > MOST_VALUE || (room = malloc(column->len)) == NULL)
			return -1;
		one.buffer = room;
		one.buffer_length = column->len;
		r = mysql_stmt_fetch_column(statement, &one, i, 0) == 0 ? 0 : -1;
	}
	if (r == 0 && !q->found(q->arg, room == NULL ? column->at : room, column->len))
		r = 1;
	free(room);
	return r;
}

static int tell_rows(MYSQL_STMT *statement, struct column *columns, unsigned count,
		     const struct driver_question *q)
{
	int r = 0, fetched;

	while (r == 0 && ((fetched = mysql_stmt_fetch(statement)) == 0 || fetched == MYSQL_DATA_TRUNCATED))
		for (unsigned i = 0; i < count && r == 0; i++)
			r = tell_value(statement, i, &columns[i], q);
	if (r == 0 && fetched == 1)
		r = -1;
	return r;
}

/* The rows of one result set. 0, -1 failed, 1 enough. */
static int take_result_set(MYSQL_STMT *statement, unsigned count, const struct driver_question *q)
{
	struct column *columns = calloc(count, sizeof(*columns));
	MYSQL_BIND *binds = calloc(count, sizeof(*binds));
	char *room = malloc((size_t) count * FIRST_ROOM);
	int r = columns == NULL || binds == NULL || room == NULL ? -1 : 0;

	for (unsigned i = 0; i < count && r == 0; i++) {
		columns[i].at = room + (size_t) i * FIRST_ROOM;
		columns[i].room = FIRST_ROOM;
		binds[i] = (MYSQL_BIND){ .buffer_type = MYSQL_TYPE_STRING, .buffer = columns[i].at,
					 .buffer_length = FIRST_ROOM,
					 .length = &columns[i].len, .is_null = &columns[i].is_null,
					 .error = &columns[i].is_cut };
	}
	if (r == 0 && mysql_stmt_bind_result(statement, binds) != 0)
		r = -1;
	if (r == 0)
		r = tell_rows(statement, columns, count, q);
	mysql_stmt_free_result(statement);
	free(columns);
	free(binds);
	free(room);
	return r;
}

static enum driver_result mysql_ask(void *connection, const struct driver_question *q,
				    struct driver_words why)
{
	struct connection *c = connection;
	enum driver_result r = prepare(c, q, why);
	bool any = false, enough = false;
	int next = 0;

	if (r != DRIVER_ANSWERED)
		return r;
	if (execute(c, q) != 0)
		return failed(c, why);
	while (next == 0) {
		unsigned count = mysql_stmt_field_count(c->statement);

		if (count > MOST_COLUMNS) {
			snprintf(why.at, why.size, "more than %d columns", MOST_COLUMNS);
			return DRIVER_GONE;
		}
		/* Of a procedure's results, the last one is its status, without columns. */
		if (count > 0 && !enough) {
			int told = take_result_set(c->statement, count, q);

			if (told < 0) {
				if (mysql_stmt_errno(c->statement) != 0)
					return failed(c, why);
				snprintf(why.at, why.size, "a value is too long");
				return DRIVER_GONE;
			}
			any = true;
			enough = told > 0;
		} else if (count > 0) {
			mysql_stmt_free_result(c->statement);
		}
		next = mysql_stmt_next_result(c->statement);
	}
	if (next > 0)
		return failed(c, why);
	if (any || !c->wants_result_set)
		return DRIVER_ANSWERED;
	snprintf(why.at, why.size, "the query has no result set");
	return DRIVER_FAILED;
}

static const struct server_driver servers[] = {
	{ .type = "mysql", .check = mysql_check, .connect = mysql_connect_to, .ask = mysql_ask,
	  .close = mysql_close_connection },
	{ .type = NULL },
};

__attribute__((visibility("default"))) const struct table_module table_module = {
	.version = TABLE_MODULE_VERSION, .servers = servers };
