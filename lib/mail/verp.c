/* SPDX-License-Identifier: ISC */
/*
 * Variable envelope return paths: owner-list@origin sends to user@domain as
 * owner-list+user=domain@origin, so that a bounce says by its recipient whose address it is about.
 */
#include "lib/mail/mail_address.h"

bool verp_delimiters_are_valid(struct str delimiters, const char *allowed)
{
	for (size_t i = 0; i < delimiters.len; i++)
		if (str_find(str_of(allowed), delimiters.at[i]) < 0)
			return false;
	return delimiters.len == 2;
}

struct str verp_sender(struct arena *a, struct str sender, struct str delimiters, struct str recipient)
{
	struct str list, origin, user, domain;
	bool has_origin = address_split(sender, &list, &origin);

	if (sender.len == 0 || delimiters.len != 2)
		return sender;
	if (address_split(recipient, &user, &domain))
		user = arena_fmt(a, "%.*s%c%.*s", PSTR(user), delimiters.at[1], PSTR(domain));
	return arena_fmt(a, "%.*s%c%.*s%s%.*s", PSTR(list), delimiters.at[0], PSTR(user),
			 has_origin ? "@" : "", PSTR(origin));
}
