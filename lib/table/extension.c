/* SPDX-License-Identifier: ISC */
#include "lib/table/extension.h"

/* Local parts that contain a delimiter as part of a name. */
static bool is_never_split(struct str local, struct str delimiters, bool keeps_lists)
{
	if (str_is_nocase(local, STR("postmaster")) || str_is_nocase(local, STR("mailer-daemon"))
	    || str_is_nocase(local, STR("double-bounce")))
		return true;
	return keeps_lists && str_find(delimiters, '-') >= 0
	       && (str_starts_nocase(local, STR("owner-")) || str_ends_nocase(local, STR("-request")));
}

size_t extension_at(struct str local, struct str delimiters, bool keeps_lists)
{
	size_t i = 0;

	while (i < local.len && str_find(delimiters, local.at[i]) < 0)
		i++;
	return i == local.len || is_never_split(local, delimiters, keeps_lists) ? 0 : i;
}
