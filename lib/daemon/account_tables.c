/* SPDX-License-Identifier: ISC */
/*
 * The account database as lookup tables: lines as in /etc/passwd and /etc/group, whatever the C
 * library has them from.
 */
#include "lib/daemon/daemon.h"
#include "lib/table/table.h"

static int user_line(struct arena *a, struct str name, struct str *ret_line)
{
	struct account u;
	int r = account_by_name(a, name, &u);

	if (r > 0)
		*ret_line = arena_fmt(a, "%.*s:x:%ld:%ld:%.*s:%.*s:%.*s", PSTR(u.name), (long) u.uid,
				      (long) u.gid, PSTR(u.gecos), PSTR(u.home), PSTR(u.shell));
	return r;
}

/* Without the members: nobody who looks a group up in a mail system asks for them. */
static int group_line(struct arena *a, struct str name, struct str *ret_line)
{
	gid_t gid;
	int r = group_by_name(name, &gid);

	if (r > 0)
		*ret_line = arena_fmt(a, "%.*s:x:%ld:", PSTR(name), (long) gid);
	return r;
}

void accounts_for_tables(void)
{
	table_set_accounts(user_line, group_line);
}
