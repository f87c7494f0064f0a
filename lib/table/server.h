/* SPDX-License-Identifier: ISC */
/* Tables that ask a server through a loadable module: what is common to pgsql, mysql, sqlite, ldap, redis. */
#ifndef ROAD_TABLE_SERVER_H
#define ROAD_TABLE_SERVER_H

#include "lib/table/results.h"
#include "lib/table/settings.h"
#include "lib/table/sql.h"
#include "lib/table/type.h"

/* The question that a table asks: a statement with placeholders, and what is bound to them. */
struct question_form {
	const char *statement;		/* NULL: the arguments are all */
	size_t count;
	const struct template *arguments;
	quote_value *quote;		/* for all arguments; NULL: as they are */
	bool keys_are_utf8;		/* the server takes no others, so it has none */
};

/* What is special about a type. */
struct server_kind {
	const char *type;
	const char *const *parameters;	/* besides the common ones; ends with NULL */
	const char *host_parameter, *default_host;
	int64_t default_timeout;	/* seconds */
	/* Makes the question from the parameters. -EINVAL with words. */
	int (*form)(const struct settings *s, struct question_form *ret_form, struct buf *why);
	bool hosts_are_one;		/* the library chooses among them itself */
};

extern const struct server_kind pgsql_kind, mysql_kind, sqlite_kind, ldap_kind, redis_kind;

#endif
