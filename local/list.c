/* SPDX-License-Identifier: ISC */
/*
 * What the list of an alias comes to. Commands, files and \users are dealt with first; all other names and
 * addresses get one new message, and only when nothing has to be tried again. So a mailbox that is full
 * does not make everybody else on the list get the mail again and again, and each of them has a fate of his
 * own.
 */
#include <errno.h>

#include "lib/mail/mail_address.h"
#include "local/local.h"

struct source {				/* where a list stands */
	const char *where;		/* "alias", "include" */
	struct str extension;
	struct rights rights;
	int depth;
};

static void deliver_items(struct task *t, const struct source *from, const struct destinations *list);

static void deliver_outside(struct task *t, const struct source *from, const struct destination *to)
{
	bool is_command = to->kind == TO_COMMAND;
	struct errand e = { .kind = ERRAND_DESTINATION, .task = t, .rights = from->rights, .destination = to->kind, .what = to->what };

	if (!list_has(is_command ? the_local.conf.allow_mail_to_commands : the_local.conf.allow_mail_to_files,
		      from->where)) {
		add_result(t, MAILBOX_BOUNCED, "5.7.1", "mail to %s is restricted",
			   is_command ? "command" : "file");
		return;
	}
	run_errand(&e);
}

static void deliver_include(struct task *t, const struct source *from, struct str path)
{
	struct source inner = { .where = "include", .extension = from->extension, .depth = from->depth + 1 };
	struct destinations list;
	struct str text, bad;
	int r;

	if (from->depth >= MOST_INCLUDE_DEPTH) {
		add_result(t, MAILBOX_BOUNCED, "5.4.6", "include file nesting too deep: %.*s", PSTR(path));
		return;
	}
	if (!may_include(t)) {
		add_result(t, MAILBOX_BOUNCED, "5.4.6", "too many or too large include files");
		return;
	}
	if (read_include(t, path, &from->rights, &text, &inner.rights) < 0)
		return;
	has_included(t, text.len);	/* the next one may be refused */
	r = destinations_parse(text, MOST_DESTINATIONS, t->arena, &list, &bad);
	if (r < 0)
		add_result(t, MAILBOX_DEFERRED, "4.3.5", "include file %.*s: cannot read \"%.*s\"",
			   PSTR(path), PSTR(str_head(bad, 100)));
	else
		deliver_items(t, &inner, &list);
}

static void add_address(struct task *t, const struct source *from, struct str address)
{
	struct str local, domain;

	if (from->extension.len > 0 && list_has(the_local.route.propagate_unmatched_extensions,
						from->where)) {
		if (address_split(address, &local, &domain))
			address = arena_fmt(t->arena, "%.*s%.*s@%.*s", PSTR(local), PSTR(from->extension),
					    PSTR(domain));
		else
			address = arena_fmt(t->arena, "%.*s%.*s", PSTR(address), PSTR(from->extension));
	}
	*vec_add(t->arena, &t->forward) = address;
}

static void deliver_item(struct task *t, const struct source *from, const struct destination *to)
{
	switch (to->kind) {
	case TO_COMMAND:
	case TO_FILE:
		deliver_outside(t, from, to);
		return;
	case TO_INCLUDE:
		deliver_include(t, from, to->what);
		return;
	case TO_USER:
		deliver_to_user(t, arena_lower(t->arena, to->what), true);
		return;
	case TO_ADDRESS:
		add_address(t, from, to->what);
	}
}

static void deliver_items(struct task *t, const struct source *from, const struct destinations *list)
{
	t->destination_count += list->count;
	if (t->destination_count > MOST_DESTINATIONS) {
		add_result(t, MAILBOX_BOUNCED, "5.4.6", "alias expands to more than %d destinations",
			   MOST_DESTINATIONS);
		return;
	}
	for (size_t i = 0; i < list->count && !t->passed; i++)
		deliver_item(t, from, &list->at[i]);
}

void deliver_list(struct task *t, const struct alias *alias, const struct destinations *list)
{
	struct source from = { .where = "alias", .extension = alias->extension, .rights = alias->rights };

	deliver_items(t, &from, list);
	if (!t->has_result && t->forward.len == 0)
		add_result(t, MAILBOX_DEFERRED, "4.3.5", "alias \"%.*s\" has no destinations",
			   PSTR(alias->name));
}
