/* SPDX-License-Identifier: ISC */
/*
 * Alias tables: names, who owns the table (that is, with whose rights commands and files in it are used),
 * :include: files.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/disk/disk.h"
#include "lib/mail/mail_address.h"
#include "lib/mailbox/path.h"
#include "local/local.h"

/* ---- rights ---- */

struct rights default_rights(struct task *t)
{
	struct rights rights = { .uid = the_local.own_uid, .gid = the_local.own_gid };
	struct account account;

	if (!the_local.privileged)
		return rights;
	rights.uid = 0;			/* no hand takes it, should the account be missing */
	if (account_by_name(t->arena, str_of(the_world->common->default_privs), &account) > 0) {
		rights.uid = account.uid;
		rights.gid = account.gid;
	} else {
		log_warning_rarely(60, "default_privs: no such account: %s",
				   the_world->common->default_privs);
	}
	return rights;
}

/* Of the owner of a file with destinations: root's count as default_privs. < 0 cannot tell. */
static int rights_of_owner(struct task *t, uid_t uid, struct rights *ret)
{
	struct account account;
	int r;

	if (uid == 0 || !the_local.privileged) {
		*ret = default_rights(t);
		return 0;
	}
	r = account_by_uid(t->arena, uid, &account);
	if (r <= 0) {
		add_result(t, MAILBOX_DEFERRED, "4.3.5",
			   "cannot find the account of uid %u, which owns an alias file", (unsigned) uid);
		return r < 0 ? r : -ENOENT;
	}
	*ret = (struct rights) { .uid = account.uid, .gid = account.gid, .account = account };
	return 0;
}

/* ---- names ---- */

static int look_up(struct task *t, struct str name, struct str *ret_value)
{
	int r = tables_get(the_local.aliases, t->arena, name, ret_value);

	if (r < 0) {
		log_mail(ROAD_WARNING, t->d->queue_id, "alias_maps: lookup of \"%.*s\" failed: %s",
			 PSTR(name), tables_why(the_local.aliases));
		add_result(t, MAILBOX_DEFERRED, "4.3.0", "alias database unavailable");
	}
	return r;
}

int find_alias(struct task *t, struct str name, struct alias *ret)
{
	struct alias found = { .name = name };
	struct str user, extension;
	int r = look_up(t, name, &found.value);

	if (r == 0 && local_part_split_at(name, the_local.delimiter, the_local.route.owner_request_special,
					  &user, &extension)) {
		found.name = user;
		found.extension = str_skip(name, user.len);
		r = look_up(t, user, &found.value);
	}
	if (r <= 0)
		return r;
	/* Only tables in files have an owner; of others the administrator counts as such. */
	r = rights_of_owner(t, tables_owner(the_local.aliases), &found.rights);
	if (r < 0)
		return r;
	*ret = found;
	return 1;
}

/* The one address that owner-NAME stands for. */
static bool expand_owner(struct task *t, struct str value, struct str *ret_sender)
{
	struct destinations list;
	struct str bad;

	if (!the_local.conf.expand_owner_alias || read_list(t, value, 1, &list, &bad) < 0 || list.count != 1
	    || list.at[0].kind != TO_ADDRESS)
		return false;
	*ret_sender = list.at[0].what;
	return true;
}

int find_owner(struct task *t, const struct alias *alias, struct str *ret_sender)
{
	struct str owner, value;
	int r;

	if (!the_local.route.owner_request_special)
		return 0;
	owner = arena_fmt(t->arena, "owner-%.*s", PSTR(alias->name));
	r = look_up(t, owner, &value);
	/* A bounce stays one: it must not come back as mail from somebody. */
	if (r > 0 && t->d->env.sender.len > 0 && !expand_owner(t, value, ret_sender))
		*ret_sender = rewrite_address(the_local.routing, t->arena, owner, true);
	return r;
}

/* ---- :include: ---- */

bool may_include(struct task *t)
{
	return ++t->include_count <= MOST_INCLUDES && t->included <= MOST_INCLUDED;
}

void has_included(struct task *t, size_t bytes)
{
	t->included += bytes;
}

/*
 * Root's list may include a user's: what this one names is done with his rights, as he must not have
 * those of default_privs. A user's list that includes another user's keeps to its own: he would have
 * things done with the other's rights, just because that one has a file with paths in it.
 */
static bool is_nobodys(const struct rights *rights)
{
	return rights->account.name.len == 0;
}

/* The reply is the owner's uid in a line, then the content; or "!" and an error. */
int read_include(struct task *t, struct str path, const struct rights *rights, struct str *ret_text,
		 struct rights *ret_rights)
{
	struct errand e = { .kind = ERRAND_INCLUDE, .task = t, .rights = *rights, .what = path };
	struct str text = STR_NONE, line;
	int64_t uid;
	int r = run_job(&e, &text);

	if (r < 0 || text.len == 0 || text.at[0] == '!') {
		add_result(t, MAILBOX_DEFERRED, "4.2.0", "cannot open include file %.*s: %.*s", PSTR(path),
			   PSTR(r < 0 ? str_of(error_text(r)) : str_skip(text, 1)));
		return r < 0 ? r : -ENOENT;
	}
	str_cut(&text, '\n', &line);
	if (str_to_int(line, 0, INT32_MAX, &uid) < 0) {
		add_result(t, MAILBOX_DEFERRED, "4.3.0", "cannot read include file %.*s", PSTR(path));
		return -EBADMSG;
	}
	*ret_rights = *rights;
	if (is_nobodys(rights) && (r = rights_of_owner(t, (uid_t) uid, ret_rights)) < 0)
		return r;
	*ret_text = text;
	return 0;
}
