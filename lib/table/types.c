/* SPDX-License-Identifier: ISC */
/*
 * The table types there are. Linking this file makes a program load modules: no setgid program
 * refers to it.
 */
#include "lib/table/type.h"

static const struct table_type *const types[] = {
	&hash_type,	&btree_type,   &lmdb_type,	&cdb_type,    &texthash_type, &inline_type,
	&static_type,	&fail_type,    &cidr_type,	&regexp_type, &pcre_type,     &proxy_type,
	&unix_type,	&environ_type, &internal_type,	&random_type, &union_type,    &pipe_type,
	&debug_type,	&pgsql_type,   &mysql_type,	&sqlite_type, &ldap_type,     &redis_type,
	&memcache_type, &tcp_type,     &socketmap_type,
};

const struct table_type *table_type_find(struct str name)
{
	for (size_t i = 0; i < COUNT_OF(types); i++)
		if (str_is(name, str_of(types[i]->name)))
			return types[i];
	return NULL;
}

const struct table_type *table_type_at(size_t n)
{
	return n < COUNT_OF(types) ? types[n] : NULL;
}
