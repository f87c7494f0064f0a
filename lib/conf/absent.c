/* SPDX-License-Identifier: ISC */
/*
 * Parameters of Postfix that are not here: params/planned.def by what they wait for,
 * params/never.def with the reason.
 */
#include "lib/conf/conf_private.h"
#include "lib/conf/families.h"

const char *conf_absence(struct str name)
{
	static const struct { struct str name; const char *text; } absent[] = {
#define PLANNED_FOR(what) { STR_INIT(""), "a Postfix parameter that is not supported yet: it waits for " what },
#define PLANNED(name) { STR_INIT(#name), NULL },	/* as above it */
#include "lib/conf/params/planned.def"
#undef PLANNED
#undef PLANNED_FOR
#define NEVER(name, reason) { STR_INIT(#name), "a Postfix parameter that has no effect here: " reason },
#include "lib/conf/params/never.def"
#undef NEVER
	};

	/* What Postfix has once for each service has a default by this name. */
	static const struct { struct str suffix; struct str in_place_of; } families[] = {
		{ STR_INIT("_extra_recipient_limit"), STR_INIT("default_extra_recipient_limit") },
		{ STR_INIT("_recipient_refill_delay"), STR_INIT("default_recipient_refill_delay") },
		{ STR_INIT("_recipient_refill_limit"), STR_INIT("default_recipient_refill_limit") },
		{ STR_INIT("_recipient_limit"), STR_INIT("default_recipient_limit") },
	};

	if (param_default_by_name(name) != NULL || param_family_of(name, NULL) != NULL)
		return NULL;
	for (size_t i = 0; i < COUNT_OF(families); i++)
		if (str_ends(name, families[i].suffix))
			name = families[i].in_place_of;
	for (size_t i = 0, heading = 0; i < COUNT_OF(absent); i++) {
		if (absent[i].text != NULL)
			heading = i;
		if (str_is(name, absent[i].name))
			return absent[heading].text;
	}
	return NULL;
}
