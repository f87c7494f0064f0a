/* SPDX-License-Identifier: ISC */
/*
 * The table types of a setgid program: those of text and those that are computed. No library is
 * loaded for them, and nobody else is asked. This file takes the place of lib/table/types.c.
 */
#include "lib/table/type.h"

static const struct table_type *const types[] = {
	&texthash_type, &inline_type, &static_type, &fail_type, &cidr_type, &regexp_type,
		&union_type, &pipe_type,
};

const struct table_type *table_type_find(struct str name)
{
	for (size_t i = 0; i < COUNT_OF(types); i++)
		if (str_is(name, str_of(types[i]->name)))
			return types[i];
	return NULL;
}
