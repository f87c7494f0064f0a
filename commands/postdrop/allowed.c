/* SPDX-License-Identifier: ISC */
#include "commands/postdrop/allowed.h"

#include <errno.h>

#include "lib/mail/mail_address.h"
#include "lib/table/match.h"

int may_submit(struct arena *a, const char *authorized_submit_users, struct str user, struct buf *why)
{
	struct match_list *list;
	int r = match_list_open("authorized_submit_users", str_of(authorized_submit_users), 0, &list, why);

	if (r < 0)
		return r;
	r = match_text(list, a, user);
	if (r < 0)
		buf_addf(why, "authorized_submit_users: %s", match_why(list));
	match_list_free(list);
	return r;
}

/* The address without its extension: who may send as joe@example.com may send as joe+lists@example.com. */
static struct str without_extension(struct arena *a, struct str sender, struct str delimiter)
{
	struct str local, domain, user, extension;
	const bool has_domain = address_split(sender, &local, &domain);

	if (!has_domain)
		local = sender;
	if (!local_part_split(local, delimiter, &user, &extension))
		return sender;
	return has_domain ? arena_fmt(a, "%.*s@%.*s", PSTR(user), PSTR(domain)) : user;
}

/* One pattern: "*", what stands for the null sender, "@domain", or an address. */
static bool fits(struct str pattern, struct str sender, const struct sender_rules *rules)
{
	if (str_is(pattern, STR("*")))
		return true;
	if (sender.len == 0)
		return str_is_nocase(pattern, str_of(rules->null_pattern));
	return str_starts(pattern, STR("@")) ? str_ends_nocase(sender,
							       pattern) : str_is_nocase(pattern, sender);
}

int may_send_as(struct arena *a, const struct sender_rules *rules, struct str login, struct str sender,
		struct buf *why)
{
	struct str patterns, pattern;
	struct tables *maps;
	int found = tables_open(str_of(rules->maps), 0, &maps, why);

	if (found < 0)
		return found;
	found = tables_get(maps, a, login, &patterns);
	if (found < 0)
		buf_addf(why, "local_login_sender_maps: %s", tables_why(maps));
	tables_free(maps);
	if (found <= 0)
		return found;
	sender = without_extension(a, sender, rules->delimiter);
	while (str_token(&patterns, ", \t\r\n", &pattern))
		if (fits(pattern, sender, rules))
			return 1;
	return 0;
}
