/* SPDX-License-Identifier: ISC */
/*
 * What the list of an alias comes to, or what a .forward file has left to be done. Names that are
 * aliases themselves take part with their own lists, each once however often it is named: a message
 * for each of them, with the lists of those in further messages, would double with every level of
 * aliases. Commands, files, \users and who means himself are dealt with first; all other names and
 * addresses get one new message (two when there are maps, which count for the addresses only), each
 * once, and only when nothing has to be tried again. So a mailbox that is full does not make
 * everybody else on the list get the mail again and again, and each of them has a fate of his own.
 *
 * Lists that a list names are gone through before the rest of it, but not by a function that calls
 * itself: hundreds of aliases and :include: files deep it would run out of a coroutine's stack.
 */
#include <errno.h>

#include "lib/mail/mail_address.h"
#include "local/local.h"

struct source {				/* where a list stands */
	const char *where;		/* "alias", "include", "forward" */
	struct str alias;		/* whose list it is, or includes it */
	struct str address;		/* by which it was found */
	struct str himself;		/* whose .forward file leads here: he means his mailbox */
	struct str extension;
	struct rights rights;
	int depth;			/* of :include: files */
	int level;			/* of aliases */
};

/* A destination, and what comes of it if it is an address. */
struct item {
	struct destination to;		/* with the extension of who names it */
	bool is_local;
	struct str recipient, local;	/* if it is */
};

struct begun_list {
	struct list link;		/* in the task's begun_lists, the innermost first */
	struct source from;
	size_t count;
	struct item *items;
	size_t done;			/* so many of them */
};

static struct str with_extension(struct task *t, const struct source *from, struct str address)
{
	struct str local, domain;

	if (from->extension.len == 0
	    || !str_lists(str_of(the_local.route.propagate_unmatched_extensions), str_of(from->where)))
		return address;
	address_split(address, &local, &domain);
	return arena_fmt(t->arena, "%.*s%.*s%.*s", PSTR(local), PSTR(from->extension),
			 PSTR(str_skip(address, local.len)));
}

static int make_item(struct task *t, const struct source *from, const struct destination *to,
		     struct item *ret)
{
	int r;

	*ret = (struct item) { .to = *to };
	if (to->kind != TO_ADDRESS)
		return 0;
	ret->to.what = with_extension(t, from, to->what);
	r = is_local_name(t, ret->to.what, &ret->recipient, &ret->local);
	ret->is_local = r > 0;
	return r;
}

/*
 * False: a result says why nothing on the list is dealt with. Where its addresses lead is found out
 * first: who has his mail already gets it again when the rest of the list is tried again.
 */
static bool begin_list(struct task *t, const struct source *from, const struct destinations *destinations)
{
	struct begun_list *l = ARENA_NEW(t->arena, struct begun_list);

	t->destination_count += destinations->count;
	if (t->destination_count > MOST_DESTINATIONS) {
		add_result(t, MAILBOX_BOUNCED, "5.4.6", "alias expands to more than %d destinations",
			   MOST_DESTINATIONS);
		return false;
	}
	l->from = *from;
	l->count = destinations->count;
	t->has_empty_list = t->has_empty_list || l->count == 0;
	l->items = arena_get(t->arena, l->count * sizeof(*l->items));
	for (size_t i = 0; i < l->count; i++)
		if (make_item(t, from, &destinations->at[i], &l->items[i]) < 0)
			return false;
	list_prepend(&t->begun_lists, &l->link);
	return true;
}

static struct str key_of(struct task *t, const char *kind, uid_t uid, struct str what)
{
	if (t->known == NULL)
		t->known = map_new();
	return arena_fmt(t->arena, "%s %u %.*s", kind, (unsigned) uid, PSTR(what));
}

/* Was this destination, address or alias named before, for this recipient? From now on it was. */
static bool is_known(struct task *t, const char *kind, uid_t uid, struct str what)
{
	const struct str key = key_of(t, kind, uid, what);

	if (map_get(t->known, key) != NULL)
		return true;
	map_put(t->known, key, t);
	return false;
}

static void deliver_outside(struct task *t, const struct source *from, const struct destination *to)
{
	bool is_command = to->kind == TO_COMMAND;
	struct errand e = { .kind = ERRAND_DESTINATION, .task = t, .rights = from->rights,
			    .destination = is_command ? TO_COMMAND : TO_FILE,
			    .what = to->what };

	if (!str_lists(str_of(is_command ? the_local.conf.allow_mail_to_commands
					 : the_local.conf.allow_mail_to_files), str_of(from->where))) {
		add_result(t, MAILBOX_BOUNCED, "5.7.1", "mail to %s is restricted",
			   is_command ? "command" : "file");
		return;
	}
	if (to->kind == TO_HOME_FILE && !file_in_home(t->arena, &from->rights.account, to->what, &e.what)) {
		add_result(t, MAILBOX_BOUNCED, "5.3.5", "~%.*s: nobody's home", PSTR(to->what));
		return;
	}
	is_about(t, from->address);
	run_errand(&e);
}

static void deliver_include(struct task *t, const struct source *from, struct str path)
{
	struct source inner = { .where = "include", .alias = from->alias, .address = from->address,
				.himself = from->himself, .extension = from->extension,
				.depth = from->depth + 1 };
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
	r = read_list(t, text, MOST_DESTINATIONS, &list, &bad);
	if (r < 0)
		add_result(t, MAILBOX_DEFERRED, "4.3.5", "include file %.*s: cannot read \"%.*s\"",
			   PSTR(path), PSTR(str_head(bad, 100)));
	else
		begin_list(t, &inner, &list);
}

/*
 * An alias has the last word on names of this machine, as in Postfix: a virtual alias that leads to
 * it would lead those on its list back to it. Not so when it has an owner, whose mail it becomes.
 */
static bool is_beyond_maps(const struct task *t)
{
	return !t->has_owner && have_maps();
}

/*
 * The alias of this name, if its list can take part here: one with an owner is a list of its own.
 * 1; 0: none; 2: the alias that we are at, "joe: joe, others", which means the user; < 0 (a result
 * has been added).
 */
static int find_inner_alias(struct task *t, const struct source *from, struct str name, struct alias *ret)
{
	struct str sender;
	int r = find_alias(t, name, ret);

	if (r <= 0)
		return r;
	if (str_is(ret->name, from->alias))
		return 2;
	r = find_owner(t, ret, &sender);
	return r < 0 ? r : r == 0;
}

static void begin_alias(struct task *t, const struct source *from, struct str address,
			const struct alias *alias)
{
	struct source inner = { .where = "alias", .alias = alias->name, .address = address,
				.himself = from->himself, .extension = alias->extension,
				.rights = alias->rights, .level = from->level + 1 };
	struct destinations list;

	if (is_known(t, "alias", 0, alias->name))
		t->came_back = true;
	else if (read_alias(t, alias, &list) >= 0)
		begin_list(t, &inner, &list);
}

static void deliver_name(struct task *t, const struct source *from, struct str address, struct str name)
{
	struct alias alias;
	int r = from->level < MOST_ALIAS_DEPTH ? find_inner_alias(t, from, name, &alias) : 0;

	if (r < 0 || is_known(t, r == 2 ? "user" : "name", 0, name))
		return;
	if (r == 1)
		begin_alias(t, from, address, &alias);
	else if (r == 2)
		deliver_to_user(t, address, ALL_FORWARDS);
	else if (from->himself.len == 0 && is_beyond_maps(t))
		*vec_add(t->arena, &t->names) = address;
	else
		*vec_add(t->arena, &t->forward) = address;
}

/* Here, or by another agent. */
static bool is_put_off(const struct task *t)
{
	return (t->has_result && t->result.status == MAILBOX_DEFERRED)
	       || (t->passed != NULL && status_of_passed(t->passed) == MAILBOX_DEFERRED);
}

/*
 * Once, and as with what is forwarded, not while something else has to be tried again: he would get it at
 * every attempt.
 */
static void deliver_to_mailboxes(struct task *t)
{
	for (size_t i = 0; i < t->mailboxes.len; i++)
		if (!is_put_off(t))
			deliver_to_user(t, t->mailboxes.at[i], NO_FORWARD);
	t->mailboxes.len = 0;
}

static void put_mailbox_last(struct task *t, struct str himself, struct str address)
{
	if (!is_known(t, "mailbox", 0, himself))
		*vec_add(t->arena, &t->mailboxes) = address;
}

/* He, under this name, by a .forward file of his own: another one counts too, once, and then it is his mailbox. */
static void deliver_himself(struct task *t, struct str himself, struct str address, struct str name)
{
	bool has_been_read = map_get(t->known, key_of(t, "forward", 0, himself)) != NULL;

	if (is_known(t, "forward", 0, name))
		put_mailbox_last(t, himself, address);
	else
		deliver_to_user(t, address, has_been_read ? FORWARD_OF_EXTENSION : NEXT_FORWARDS);
}

static void deliver_address(struct task *t, const struct source *from, const struct item *item)
{
	const struct str address = item->to.what;
	struct str name;

	if (!item->is_local) {
		if (!is_known(t, "address", 0, arena_lower(t->arena, address)))
			*vec_add(t->arena, &t->forward) = address;
		return;
	}
	name = arena_lower(t->arena, item->local);
	if (from->himself.len == 0 || !is_name_of(name, from->himself))
		deliver_name(t, from, item->recipient, name);
	else
		deliver_himself(t, from->himself, item->recipient, name);
}

static void deliver_item(struct task *t, const struct source *from, const struct item *item)
{
	const struct destination *to = &item->to;

	switch (to->kind) {
	case TO_COMMAND:
	case TO_FILE:
	case TO_HOME_FILE:
		if (!is_known(t, to->kind == TO_COMMAND ? "command" : "file", from->rights.uid, to->what))
			deliver_outside(t, from, to);
		return;
	case TO_INCLUDE:
		if (is_known(t, "include", from->rights.uid, to->what))
			t->came_back = true;
		else
			deliver_include(t, from, to->what);
		return;
	case TO_USER:
		if (!is_known(t, "user", 0, arena_lower(t->arena, to->what)))
			deliver_to_user(t, standard_form(t, to->what), NO_FORWARD);
		return;
	case TO_ADDRESS:
		deliver_address(t, from, item);
	}
}

/* To the end of all that are begun; if somebody does that already, he goes on with these. */
static void go_through(struct task *t)
{
	const struct str address = t->address;
	struct begun_list *l;

	if (t->in_lists)
		return;
	t->in_lists = true;
	while ((l = LIST_FIRST(&t->begun_lists, struct begun_list, link)) != NULL) {
		if (l->done < l->count)
			deliver_item(t, &l->from, &l->items[l->done++]);
		else
			list_remove(&l->link);
	}
	deliver_to_mailboxes(t);
	t->in_lists = false;
	is_about(t, address);
}

void deliver_list(struct task *t, const struct alias *alias, const struct destinations *list)
{
	const struct source from = { .where = "alias", .alias = alias->name, .address = t->address,
				     .extension = alias->extension, .rights = alias->rights };

	is_known(t, "alias", 0, alias->name);
	begin_list(t, &from, list);
	go_through(t);
	if (!t->has_result && t->passed == NULL && t->forward.len + t->names.len == 0 && !is_circle(t))
		add_result(t, MAILBOX_DEFERRED, "4.3.5", "alias \"%.*s\" has no destinations",
			   PSTR(alias->name));
}

/* As he wrote it: another extension than the mail came for, or none. A hand may say anything, so only if it is his. */
static struct str name_of_himself(struct task *t, const struct account *who)
{
	const struct str address = standard_form(t, t->himself);
	struct str local, domain;

	address_split(address, &local, &domain);
	return is_name_of(local, who->name) ? address : t->address;
}

void deliver_forwarded(struct task *t, const struct account *who, size_t from, bool to_mailbox)
{
	const struct str himself = arena_lower(t->arena, who->name);
	const struct source source = { .where = "forward", .address = t->address, .himself = himself,
				       .extension = t->is_unmatched && t->extension.len > 0
						    ? str_skip(t->name, t->user.len) : STR_NONE };
	const size_t count = t->forward.len - from;
	struct destination *at = arena_get(t->arena, count * sizeof(*at));

	for (size_t i = 0; i < count; i++)
		at[i] = (struct destination) { TO_ADDRESS, standard_form(t, t->forward.at[from + i]) };
	is_known(t, "forward", 0, t->name);	/* what names it from here on means the mailbox */
	if (t->is_unmatched || str_is(t->name, t->user))		/* it was the one for all addresses */
		is_known(t, "forward", 0, himself);
	t->forward.len = from;
	t->destination_count -= count;		/* begin_list() counts them */
	if (!begin_list(t, &source, &(struct destinations) { count, at }))
		return;
	if (to_mailbox)
		put_mailbox_last(t, himself, name_of_himself(t, who));
	go_through(t);
}
