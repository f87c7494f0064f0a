/* SPDX-License-Identifier: ISC */
/*
 * What is special about pgsql, mysql and sqlite tables: the query, or the older parameters that it
 * is made of.
 */
#include <errno.h>

#include "lib/table/server.h"

/* table, select_field, where_field, additional_conditions: as before there was `query`. */
static struct str old_query(const struct settings *s)
{
	const char *function = settings_get(s, "select_function", NULL);
	const char *table = settings_get(s, "table", NULL), *select = settings_get(s, "select_field", NULL),
		*where = settings_get(s, "where_field", NULL);

	if (function != NULL)
		return arena_fmt(s->arena, "SELECT %s('%%s')", function);
	if (table == NULL || select == NULL || where == NULL)
		return STR_NONE;
	return arena_fmt(s->arena, "SELECT %s FROM %s WHERE %s = '%%s' %s", select, table, where,
			 settings_get(s, "additional_conditions", ""));
}

static int make_question(const struct settings *s, enum sql_dialect dialect, struct question_form *ret_form,
			 struct buf *why)
{
	struct str query = str_of(settings_get(s, "query", ""));
	struct sql sql;
	int r;

	if (query.len == 0)
		query = old_query(s);
	if (query.len == 0) {
		buf_add_text(why, "query is not set");
		return -EINVAL;
	}
	r = sql_compile(s->arena, query, dialect, &sql, why);
	if (r < 0)
		return r;
	if (sql.values.len > 50) {
		buf_add_text(why, "more than 50 values in a query");
		return -EINVAL;
	}
	*ret_form = (struct question_form){ .statement = sql.statement.at, .count = sql.values.len,
					    .arguments = sql.values.at };
	return 0;
}

static int pgsql_form(const struct settings *s, struct question_form *ret_form, struct buf *why)
{
	int r = make_question(s, SQL_PGSQL, ret_form, why);

	ret_form->keys_are_utf8 = str_is_nocase(str_of(settings_get(s, "encoding", "UTF8")), STR("UTF8"));
	return r;
}

static int mysql_form(const struct settings *s, struct question_form *ret_form, struct buf *why)
{
	return make_question(s, SQL_MYSQL, ret_form, why);
}

static int sqlite_form(const struct settings *s, struct question_form *ret_form, struct buf *why)
{
	if (*settings_get(s, "dbpath", "") != '/') {
		buf_add_text(why, "dbpath is not the path of a file");
		return -EINVAL;
	}
	return make_question(s, SQL_SQLITE, ret_form, why);
}

#define SQL_PARAMETERS "query", "table", "select_field", "where_field", "additional_conditions"

static const char *const pgsql_parameters[] = {
	SQL_PARAMETERS, "select_function", "user", "password", "dbname", "encoding", NULL,
};
static const char *const mysql_parameters[] = {
	SQL_PARAMETERS, "user", "password", "dbname", "option_file", "option_group", "charset",
		"require_result_set", "tls_key_file", "tls_cert_file",
	"tls_CAfile", "tls_CApath", "tls_ciphers", "tls_verify_cert", NULL,
};
static const char *const sqlite_parameters[] = { SQL_PARAMETERS, "dbpath", NULL };

const struct server_kind pgsql_kind = {
	.type = "pgsql", .parameters = pgsql_parameters, .host_parameter = "hosts",
	.default_host = "localhost", .default_timeout = 10, .form = pgsql_form,
};
const struct server_kind mysql_kind = {
	.type = "mysql", .parameters = mysql_parameters, .host_parameter = "hosts",
	.default_host = "localhost", .default_timeout = 10, .form = mysql_form,
};
const struct server_kind sqlite_kind = {
	.type = "sqlite", .parameters = sqlite_parameters, .host_parameter = "dbpath",
	.default_host = "dbpath", .default_timeout = 10,
	.form = sqlite_form, .hosts_are_one = true,
};
