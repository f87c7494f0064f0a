/* SPDX-License-Identifier: ISC */
/*
 * Names, types and default texts of all parameters, without their documentation: small enough to be
 * in every program, so that $name means the same everywhere, whichever groups a program fills.
 */
#include "lib/conf/conf_private.h"

const struct param_default param_defaults[] = {
#define PARAM(type, name, text, min, max, programs, doc) { #name, PARAM_##type, text },
#define PARAM_AS(type, field, name, text, min, max, programs, doc) { name, PARAM_##type, text },
#include "lib/conf/params/every.def"
#undef PARAM
#undef PARAM_AS
};
const size_t param_default_count = COUNT_OF(param_defaults);

/* Made when first asked: about a thousand entries. */
static struct map *by_name;

const struct param_default *param_default_by_name(struct str name)
{
	if (by_name == NULL) {
		by_name = map_new();
		for (size_t i = 0; i < COUNT_OF(param_defaults); i++)
			map_put(by_name, str_of(param_defaults[i].name),
				(void *) (uintptr_t) &param_defaults[i]);
	}
	return map_get(by_name, name);
}

bool param_is_raw(struct str name)
{
	const struct param_default *d = param_default_by_name(name);

	return d != NULL && d->type == PARAM_RAW;
}
