/* SPDX-License-Identifier: ISC */
/*
 * For `postroad explain` (local -R ... explain LOCALPART ...): what a name of this machine comes to,
 * through aliases, :include: and .forward files. Nothing is delivered. Files of users are read with
 * the rights of who asks, so not everybody is told everything.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/mail/mail_address.h"
#include "lib/table/source.h"
#include "local/expand.h"
#include "local/explain.h"

enum { MOST_DEPTH = 20, INDENT = 2 };

static void tell_name(struct task *t, struct str name, int depth, bool final);

static void tell(int depth, const char *what, struct str text, const char *more)
{
	AUTO(buf) plain = BUF(INCLUDE_LIMIT);

	buf_add_printable(&plain, text);
	printf("    %*s%s%s%s\n", depth * INDENT, "", what, buf_text(&plain), more);
}

/* From now on it was. */
static bool is_told(struct task *t, const char *kind, struct str name)
{
	return map_put(t->known, arena_fmt(t->arena, "%s %.*s", kind, PSTR(name)), t) != NULL;
}

/* A list that comes from a file or a table. */
static void tell_list(struct task *t, struct str text, int depth);

/* 1 read, 0 not there, < 0 said. */
static int tell_file(struct task *t, struct str path, int depth)
{
	const int fd = open(str_c(t->arena, path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	AUTO(buf) text = BUF(INCLUDE_LIMIT);
	struct stat st;
	int r = fd < 0 ? -errno : 0;

	if (r == 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)))
		r = -EINVAL;
	if (r == 0)
		r = source_read_file(fd, INCLUDE_LIMIT - 1, &text);
	if (fd >= 0)
		close(fd);
	if (r == -ENOENT)
		return 0;
	if (r < 0) {
		tell(depth, "", path, arena_fmt(t->arena, ": cannot be read from here: %s", error_text(r)).at);
		return r;
	}
	tell(depth, "", path, " says");
	tell_list(t, arena_copy(t->arena, buf_str(&text)), depth + 1);
	return 1;
}

static void tell_destination(struct task *t, const struct destination *to, int depth)
{
	struct str local, recipient;
	int r;

	switch (to->kind) {
	case TO_COMMAND: tell(depth, "command    |", to->what, ""); break;
	case TO_FILE: tell(depth, ends_with_slash(str_c(t->arena, to->what)) ? "maildir    " : "file       ",
			   to->what, ""); break;
	case TO_HOME_FILE: tell(depth, "file       ~", to->what, ""); break;
	case TO_USER: tell_name(t, to->what, depth, true); break;
	case TO_INCLUDE:
		if (tell_file(t, to->what, depth) == 0)
			tell(depth, "include    ", to->what, ": there is no such file: mail is deferred");
		break;
	case TO_ADDRESS:
		r = is_local_name(t, to->what, &recipient, &local);
		if (r > 0)
			tell_name(t, arena_lower(t->arena, local), depth, false);
		else if (r == 0)
			tell(depth, "forwarded to <", to->what, ">");
		else
			tell(depth, "cannot tell where <", to->what, "> leads: mail is deferred");
	}
}

static void tell_list(struct task *t, struct str text, int depth)
{
	struct destinations list;
	struct str bad;

	if (depth > MOST_DEPTH) {
		tell(depth, "...", STR_NONE, "");
		return;
	}
	if (read_list(t, text, MOST_DESTINATIONS, &list, &bad) < 0) {
		tell(depth, "cannot be understood: ", str_head(bad, 100), "");
		return;
	}
	for (size_t i = 0; i < list.count; i++)
		tell_destination(t, &list.at[i], depth);
}

/* The first file of forward_path that is there decides; one that leads back to itself means the mailbox. */
static bool tell_forward(struct task *t, const struct account *account, int depth)
{
	struct str rest = str_of(the_local.conf.forward_path), one;

	while (str_token_braced(&rest, ", \t\r\n", &one) > 0) {
		AUTO(buf) path = BUF(4096);

		if (expand_for(t, account, one, the_local.conf.forward_expansion_filter, &path) != 0
		    || path.len == 0 || path.at[0] != '/' || is_told(t, "forward", buf_str(&path)))
			continue;
		if (tell_file(t, buf_str(&path), depth) != 0)
			return true;
	}
	return false;
}

static void tell_user(struct task *t, const struct account *account, int depth, bool final)
{
	const struct { const char *what; struct tables *maps; const char *fallback; } others[] = {
		{ "transport  ", the_local.mailbox_transport, the_local.conf.mailbox_transport },
		{ "command    ", the_local.mailbox_command, the_local.conf.mailbox_command },
	};
	struct str value;

	tell(depth, "user       ", t->name, "");
	if (!final && tell_forward(t, account, depth + 1))
		return;
	for (size_t i = 0; i < COUNT_OF(others); i++) {
		if (tables_get(others[i].maps, t->arena, t->user, &value) <= 0)
			value = str_of(others[i].fallback);
		if (value.len == 0)
			continue;
		tell(depth + 1, others[i].what, value, "");
		return;
	}
	tell(depth + 1, "mailbox    ", str_of(mailbox_path(t->arena, account)), "");
}

static void tell_account(struct task *t, struct str name, int depth, bool final)
{
	struct account account;
	struct str user = name, extension = STR_NONE;
	int r = account_by_name(t->arena, name, &account);

	if (r == 0 && local_part_split_at(name, the_local.delimiter, the_local.route.owner_request_special,
					  &user, &extension))
		r = account_by_name(t->arena, user, &account);
	t->name = name;
	t->user = user;
	t->extension = extension;
	if (r > 0)
		tell_user(t, &account, depth, final);
	else
		tell(depth, "user       ", name,
		     r < 0 ? ": cannot tell whether there is one" : ": there is none");
}

static void tell_name(struct task *t, struct str name, int depth, bool final)
{
	struct alias alias;
	const struct str outer = t->delivered;		/* the alias whose list names it */
	int r = final ? 0 : find_alias(t, name, &alias);

	if (r < 0)
		tell(depth, "alias      ", name, arena_fmt(t->arena, ": cannot tell: %s",
							   tables_why(the_local.aliases)).at);
	else if (r == 0 || str_is(alias.name, outer))	/* "joe: joe" is the user */
		tell_account(t, name, depth, final);
	else if (is_told(t, "alias", alias.name))
		tell(depth, "alias      ", alias.name, ": see above");
	else {
		tell(depth, "alias      ", alias.name,
		     arena_fmt(t->arena, " (%s)", tables_answered_by(the_local.aliases)).at);
		t->delivered = alias.name;
		tell_list(t, alias.value, depth + 1);
		t->delivered = outer;
	}
}

static void with_task(struct arena *a, struct str name, void (*use)(struct task *t))
{
	struct delivery d = { .arena = a, .queue_id = STR_NONE, .env = { .sender = STR_NONE } };
	struct recipient r = { .address = name, .original = STR_NONE };
	struct task t = { .d = &d, .r = &r, .arena = a, .address = name,
			  .domain = str_of(the_world->common->myhostname),
			  .delivered = STR_NONE, .result = { .text = BUF(4096) }, .known = map_new() };

	use(&t);
	map_free(t.known, NULL);
	buf_free(&t.result.text);
}

static void tell_recipient(struct task *t)
{
	tell_name(t, arena_lower(t->arena, t->r->address), 0, false);
}

int explain(void)
{
	struct arena *a = arena_new("explanation", NULL, 256 << 20);
	const bool is_lint = str_is(the_world->arguments[0], STR("lint"));
	int status = is_lint || str_is(the_world->arguments[0], STR("explain")) ? 0 : EX_USAGE;

	if (is_lint)
		with_task(a, STR("postmaster"), lint_aliases);
	for (size_t i = 1; i < the_world->argument_count && !is_lint; i++)
		with_task(a, the_world->arguments[i], tell_recipient);
	fflush(stdout);
	arena_free(a);
	return status;
}
