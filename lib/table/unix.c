/* SPDX-License-Identifier: ISC */
/*
 * unix:passwd.byname and unix:group.byname. The account database may block for long, so only
 * proxymap opens this type in process; lib/daemon's way to the accounts (on the pool, "no such
 * user" told from "cannot tell") is given with table_set_accounts().
 */
#include <errno.h>

#include "lib/table/setup.h"
#include "lib/table/type.h"

static int unix_open(struct table *t, struct str name, void **ret_content, struct buf *why)
{
	if (!str_is(name, STR("passwd.byname")) && !str_is(name, STR("group.byname"))) {
		buf_addf(why, "unknown table: unix:%.*s", PSTR(str_head(name, 60)));
		return -EINVAL;
	}
	*ret_content = t;
	return 0;
}

static int unix_get(struct table *t, void *content, struct arena *a, struct str key, struct str *ret_value,
		    struct buf *why)
{
	table_account *ask = table_accounts(t->name.at[0] == 'g');
	struct arena *own = arena_new("account", NULL, 4 << 20);
	struct str line;
	int r;

	(void) content;
	if (ask == NULL)
		r = -ENOSYS;
	else if (key.len == 0 || key.len > 255 || memchr(key.at, 0, key.len) != NULL)
		r = 0;
	else
		r = ask(own, key, &line);
	if (r < 0)
		buf_add_text(why, ask == NULL ? "the account database is asked by proxymap only"
			     : "account database failure");
	else if (r > 0)
		r = table_value(a, line, ret_value, why);
	arena_free(own);
	return r;
}

const struct table_type unix_type = {
	.name = "unix", .traits = TYPE_FIXED_KEYS | TYPE_BLOCKS, .open = unix_open, .get = unix_get,
};
