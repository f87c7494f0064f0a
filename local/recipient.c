/* SPDX-License-Identifier: ISC */
/*
 * One recipient: aliases of aliases to their end, then a user, then whatever is left for names that nobody
 * has.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/mail/mail_address.h"
#include "local/expand.h"

enum { MOST_TEXT = 1000 };

/* ---- results ---- */

void add_result(struct task *t, enum mailbox_status status, const char *dsn, const char *format, ...)
{
	bool joins = t->has_result && status == MAILBOX_SENT && t->result.status == MAILBOX_SENT;
	va_list arguments;

	if (t->has_result && !joins && status <= t->result.status)
		return;
	if (joins && t->result.text.len > MOST_TEXT)
		return;
	if (joins)
		buf_add_text(&t->result.text, "; ");
	else
		buf_clear(&t->result.text);
	va_start(arguments, format);
	buf_addv(&t->result.text, format, arguments);
	va_end(arguments);
	t->result.status = status;
	snprintf(t->result.dsn, sizeof(t->result.dsn), "%s", dsn);
	t->has_result = true;
}

/* If the owner cannot be told just now the sender is: trying all of it again would be worse. */
static void report_failure(struct task *t, const struct result *how)
{
	const char *text = buf_text(&t->result.text);
	const struct outcome o = { .index = t->r->index, .status = OUTCOME_BOUNCED,
				   .dsn = str_of(how->dsn), .relay = how->relay,
				   .text = buf_str(&t->result.text), .at_us = wall_us() };

	if (!has_other_sender(t) || !is_final(t->d) || tell_owner(t, &o) < 0)
		bounced(t->d, t->r, how, "%s", text);
	else
		bounced_and_told(t->d, t->r, how, "%s", text);
}

static void report(struct task *t, bool is_expansion)
{
	struct result how = { .dsn = t->result.dsn, .relay = STR("local"),
			      .became = is_expansion ? STR_NONE : t->address };
	const char *text = buf_text(&t->result.text);

	if (co_is_cancelled())		/* nobody is there to hear it, and what came of it is not known */
		return;
	if (t->result.status == MAILBOX_DEFERRED)
		deferred(t->d, t->r, &how, "%s", text);
	else if (t->result.status == MAILBOX_BOUNCED)
		report_failure(t, &how);
	else if (is_expansion && (t->r->notify & NOTIFY_SUCCESS) && !has_other_sender(t))
		expanded(t->d, t->r, &how, "%s", text);
	else
		delivered(t->d, t->r, &how, "%s", text);
}

static bool has_forwards(const struct task *t)
{
	return t->forward.len + t->names.len > 0;
}

static void take_passed(struct task *t)
{
	add_result(t, status_of_passed(t->passed), str_c(t->arena, t->passed->dsn), "%.*s", PSTR(t->passed->text));
}

/* All there is of it is another agent's, who has logged it. As in report_failure(). */
static void hand_on(struct task *t)
{
	struct outcome o = *t->passed;

	if (o.status == OUTCOME_BOUNCED && has_other_sender(t) && tell_owner(t, &o) >= 0)
		o.status = OUTCOME_HANDED_ON;
	passed_on(t->d, t->r, &o);
}

bool is_circle(const struct task *t)
{
	return t->came_back && !t->has_empty_list;
}

/* What is tried again is tried as a whole, so nothing is forwarded before the rest is settled. */
static void finish(struct task *t)
{
	const bool only_forwards = !t->has_result && t->passed == NULL;
	const bool only_passed = !t->has_result && !has_forwards(t);

	if (t->passed != NULL && only_passed) {
		hand_on(t);
		return;
	}
	if (t->passed != NULL)
		take_passed(t);
	if (has_forwards(t) && (!t->has_result || t->result.status != MAILBOX_DEFERRED))
		forward_all(t);
	if (!t->has_result && is_circle(t))
		add_result(t, MAILBOX_BOUNCED, "5.4.6", "alias database loop for %.*s", PSTR(t->r->address));
	if (!t->has_result)
		add_result(t, MAILBOX_DEFERRED, "4.3.0", "delivery ended without a result");
	report(t, only_forwards);
}

static ssize_t read_message(void *arg, uint64_t at, void *to, size_t n)
{
	return content_pread(&((struct delivery *) arg)->content, at, to, n);
}

struct letter letter_of(struct task *t)
{
	return (struct letter) { .sender = t->sender, .original_to = original_to(t->original),
				 .delivered_to = t->delivered, .size = t->d->content.parts.size,
				 .read = read_message, .arg = t->d };
}

void is_about(struct task *t, struct str address)
{
	struct str local;

	address_split(address, &local, &t->domain);
	t->address = address;
	t->domain = arena_lower(t->arena, t->domain);
	t->name = arena_lower(t->arena, local);
	local_part_split_at(t->name, the_local.delimiter, the_local.route.owner_request_special, &t->user,
			    &t->extension);
	if (!the_local.conf.frozen_delivered_to)
		t->delivered = address;
}

/* ---- names that nobody has ---- */

static int ask_map(struct task *t, struct tables *ts, const char *fallback, const char *parameter,
		   struct str *ret)
{
	int r = tables_get(ts, t->arena, t->user, ret);

	if (r < 0) {
		add_result(t, MAILBOX_DEFERRED, "4.3.0", "%s lookup failure", parameter);
		return r;
	}
	if (r == 0)
		*ret = str_trim(str_of(fallback));
	return ret->len > 0;
}

/*
 * These have to be accepted everywhere; where nobody cares, they end here rather than in a loop of
 * notices.
 */
static bool is_role(struct str name)
{
	return str_is(name, STR("postmaster")) || str_is(name, STR("mailer-daemon"))
	       || str_is(name, STR("double-bounce"));
}

/* The transport of users without an account. 1, 0 there is none, < 0 (a result has been added). */
static int find_transport(struct task *t, struct str *ret)
{
	int r = ask_map(t, the_local.mailbox_transport, the_local.conf.mailbox_transport,
			"mailbox_transport_maps", ret);

	return r != 0 ? r : ask_map(t, the_local.fallback_transport, the_local.conf.fallback_transport,
				    "fallback_transport_maps", ret);
}

/* ---- users ---- */

bool is_name_of(struct str name, struct str account)
{
	struct str user, extension;

	local_part_split_at(name, the_local.delimiter, the_local.route.owner_request_special, &user,
			    &extension);
	return str_is_nocase(user, account) || str_is_nocase(name, account);
}

/* The account of a name with its extension, or else without. 1, 0, < 0. Sets t->user and t->extension. */
static int find_account(struct task *t, struct str name, struct account *ret)
{
	int r = account_by_name(t->arena, name, ret);
	struct str user, extension;

	t->name = t->user = name;
	t->extension = STR_NONE;
	if (local_part_split_at(name, the_local.delimiter, the_local.route.owner_request_special, &user,
				&extension) && r == 0) {
		t->user = user;
		t->extension = extension;
		r = account_by_name(t->arena, user, ret);
	}
	if (str_find(t->extension, '/') >= 0) {	/* it would become part of a path */
		log_mail(ROAD_WARNING, t->d->queue_id, "address with illegal extension: %.*s", PSTR(name));
		t->name = t->user;
		t->extension = STR_NONE;
	}
	return r;
}

/* An alias, an account, or another agent's. 1, 0, < 0 cannot tell (a result may have been added). */
static int find_somebody(struct task *t)
{
	struct str transport;
	struct account account;
	struct alias alias;
	int r = find_alias(t, t->name, &alias);

	if (r == 0)
		r = find_account(t, t->name, &account);
	return r == 0 ? find_transport(t, &transport) : r;
}

/*
 * Is it one more name of this machine that nobody has, as when $local grows by each round? Each would be a new
 * message, until there are too many hops. Maps may lead that message elsewhere.
 */
static bool is_nobody(struct task *t, struct str address)
{
	const struct str himself = t->address;
	struct str recipient, local;
	int r;

	if (have_maps() || is_local_name(t, standard_form(t, address), &recipient, &local) <= 0)
		return false;
	is_about(t, recipient);
	r = find_somebody(t);
	is_about(t, himself);
	return r == 0;
}

/* What comes with the mail is part of an address, whatever it looks like, and no list. */
static void relay_unknown(struct task *t)
{
	AUTO(buf) text = BUF(4096);
	struct str address = STR_NONE;

	if (expand_for(t, NULL, str_of(the_local.conf.luser_relay), NULL, &text) >= 0)
		address = arena_copy(t->arena, str_trim(buf_str(&text)));
	if (address.len == 0 || str_has_control(address)) {
		add_result(t, MAILBOX_DEFERRED, "4.3.5", "luser_relay is no address: %s",
			   the_local.conf.luser_relay);
		return;
	}
	if (!is_nobody(t, address))
		*vec_add(t->arena, &t->forward) = address;
	else
		add_result(t, MAILBOX_BOUNCED, "5.4.6", "luser_relay: nobody is %.*s either", PSTR(address));
}

static void deliver_unknown(struct task *t)
{
	struct str transport;
	int r = find_transport(t, &transport);

	if (r < 0)
		return;
	if (r > 0) {
		pass_to(t, transport);
	} else if (*the_local.conf.luser_relay != 0) {
		relay_unknown(t);
	} else if (is_role(t->user)) {
		log_mail(ROAD_WARNING, t->d->queue_id,
			 "nobody reads mail for \"%.*s\": make an alias for it; message discarded",
			 PSTR(t->user));
		add_result(t, MAILBOX_SENT, "2.0.0", "discarded: no alias for %.*s", PSTR(t->user));
	} else {
		add_result(t, MAILBOX_BOUNCED, "5.1.1", "unknown user: \"%.*s\"", PSTR(t->user));
	}
}

/*
 * The group that may write into the mail spool, when it takes one: a hand keeps it for opening the
 * mailbox there.
 */
gid_t spool_group(void)
{
	struct stat st;

	if (!the_local.privileged || stat(the_local.conf.mail_spool_directory, &st) < 0)
		return (gid_t) NO_GROUP;
	return st.st_uid == 0 && st.st_gid != 0 && (st.st_mode & S_IWGRP) ? st.st_gid : (gid_t) NO_GROUP;
}

/* 1: may be delivered to; 0: a result says why not. */
static int may_become(struct task *t, const struct account *account)
{
	if (the_local.privileged && account->uid == 0) {
		add_result(t, MAILBOX_DEFERRED, "4.3.5",
			   "no delivery with root's rights: make an alias for %.*s", PSTR(t->user));
		return 0;
	}
	if (!the_local.privileged && account->uid != the_local.own_uid) {
		add_result(t, MAILBOX_DEFERRED, "4.3.5",
			   "this system runs without privileges and cannot deliver as %.*s", PSTR(t->user));
		return 0;
	}
	return 1;
}

void deliver_to_user(struct task *t, struct str address, enum forward_files files)
{
	struct errand e = { .kind = ERRAND_USER, .task = t, .files = files };
	struct str transport = STR_NONE, command = STR_NONE;
	const size_t before = t->forward.len;
	enum errand_wish wish;
	int r;

	is_about(t, address);
	r = find_account(t, t->name, &e.rights.account);
	if (r < 0) {
		add_result(t, MAILBOX_DEFERRED, "4.3.0", "user lookup error for \"%.*s\": %s", PSTR(t->name),
			   error_text(r));
		return;
	}
	if (r == 0) {
		deliver_unknown(t);
		return;
	}
	if (!may_become(t, &e.rights.account)
	    || ask_map(t, the_local.mailbox_transport, the_local.conf.mailbox_transport,
		       "mailbox_transport_maps", &transport) < 0
	    || ask_map(t, the_local.mailbox_command, the_local.conf.mailbox_command, "mailbox_command_maps",
		       &command) < 0)
		return;
	e.rights.uid = e.rights.account.uid;
	e.rights.gid = e.rights.account.gid;
	e.has_transport = transport.len > 0;
	if (command.len > 0)
		e.mailbox_command = str_c(t->arena, command);
	t->is_unmatched = false;
	wish = run_errand(&e);
	if (wish == WANTS_TRANSPORT)
		pass_to(t, transport);
	else if (files != NO_FORWARD && (wish == WANTS_MAILBOX || t->forward.len > before))
		deliver_forwarded(t, &e.rights.account, before, wish == WANTS_MAILBOX);
}

/* ---- aliases ---- */

bool have_maps(void)
{
	const struct route_conf *c = &the_local.route;

	return *c->virtual_alias_maps != 0 || *c->canonical_maps != 0 || *c->recipient_canonical_maps != 0;
}

struct str standard_form(struct task *t, struct str address)
{
	struct str local, domain;

	address = rewrite_address(the_local.routing, t->arena, address, true);
	if (address.len == 0 || address_split(address, &local, &domain))
		return address;
	return arena_fmt(t->arena, "%.*s@%s", PSTR(address), the_world->common->myhostname);
}

int read_list(struct task *t, struct str text, size_t most, struct destinations *ret, struct str *ret_bad)
{
	int r = destinations_parse(text, most, t->arena, ret, ret_bad);

	for (size_t i = 0; r >= 0 && i < ret->count; i++)
		if (ret->at[i].kind == TO_ADDRESS)
			ret->at[i].what = standard_form(t, ret->at[i].what);
	return r;
}

int is_local_name(struct task *t, struct str address, struct str *ret_recipient, struct str *ret_local)
{
	struct resolution to;
	struct str domain;
	int r = resolve_address(the_local.routing, t->arena, t->sender, address, &to);

	if (r < 0) {
		log_mail(ROAD_WARNING, t->d->queue_id, "cannot resolve <%.*s>: %s", PSTR(address),
			 route_why(the_local.routing));
		add_result(t, MAILBOX_DEFERRED, "4.3.0", "address resolver failure");
		return r;
	}
	if (to.is_error || !str_is(to.transport, str_of(the_world->service)))
		return 0;
	*ret_recipient = to.recipient;
	return address_split(to.recipient, ret_local, &domain);
}

/*
 * An alias for one name of this machine leads straight to it, without a new message. 1, 0, < 0 (a
 * result has been added).
 */
static int leads_to_name(struct task *t, const struct alias *alias, const struct destinations *list,
			 struct str *ret_address)
{
	struct str local;
	int r;

	if (list->count != 1 || list->at[0].kind != TO_ADDRESS)
		return 0;
	r = is_local_name(t, list->at[0].what, ret_address, &local);
	if (r <= 0)
		return r;
	if (alias->extension.len > 0
	    && str_lists(str_of(the_local.route.propagate_unmatched_extensions), STR("alias")))
		*ret_address = arena_fmt(t->arena, "%.*s%.*s%.*s", PSTR(local), PSTR(alias->extension),
					 PSTR(str_skip(*ret_address, local.len)));
	return 1;
}

int read_alias(struct task *t, const struct alias *alias, struct destinations *ret)
{
	struct str bad;
	int r = read_list(t, alias->value, MOST_DESTINATIONS, ret, &bad);

	if (r < 0)
		add_result(t, MAILBOX_DEFERRED, "4.3.5", "alias \"%.*s\": cannot read \"%.*s\"",
			   PSTR(alias->name), PSTR(str_head(bad, 100)));
	return r;
}

static void deliver_name(struct task *t)
{
	for (int depth = 0; depth < MOST_ALIAS_DEPTH; depth++) {
		const struct str name = t->name;
		struct destinations list;
		struct alias alias;
		struct str next;
		int r = find_alias(t, name, &alias), owner;

		if (r < 0)
			return;
		if (r == 0) {
			deliver_to_user(t, t->address, ALL_FORWARDS);
			return;
		}
		owner = find_owner(t, &alias, &t->sender);
		if (owner < 0 || read_alias(t, &alias, &list) < 0)
			return;
		t->has_owner = owner > 0;
		r = owner > 0 ? 0 : leads_to_name(t, &alias, &list, &next);
		if (r < 0)
			return;
		if (r == 0) {
			deliver_list(t, &alias, &list);
			return;
		}
		is_about(t, next);
		if (str_is(t->name, name) || str_is(t->name, alias.name)) {	/* "joe: joe" is the user */
			deliver_to_user(t, next, ALL_FORWARDS);
			return;
		}
	}
	add_result(t, MAILBOX_BOUNCED, "5.4.6", "alias database loop for %.*s", PSTR(t->r->address));
}

/* Is there somebody? 1, 0, < 0 cannot tell (a result may have been added). */
static int is_somebody(struct task *t)
{
	int r = find_somebody(t);

	return r == 0 ? is_role(t->user) || *the_local.conf.luser_relay != 0 : r;
}

/* Address verification: nothing is delivered. */
static void probe(struct task *t)
{
	int r = is_somebody(t);

	if (r < 0 && !t->has_result)
		add_result(t, MAILBOX_DEFERRED, "4.3.0", "user lookup error");
	else if (r > 0)
		add_result(t, MAILBOX_SENT, "2.0.0", "delivers to mailbox");
	else if (r == 0)
		add_result(t, MAILBOX_BOUNCED, "5.1.1", "unknown user: \"%.*s\"", PSTR(t->user));
	report(t, false);
}

void deliver_recipient(struct delivery *d, struct recipient *r)
{
	struct task t = { .d = d, .r = r, .arena = d->arena, .sender = d->env.sender,
			  .result = { .text = BUF_WORDS } };

	t.delivered = r->address;
	t.original = r->original.len > 0 ? r->original : r->address;
	list_init(&t.begun_lists);
	is_about(&t, r->address);
	if (d->flags & DELIVER_PROBE) {
		probe(&t);
	} else {
		deliver_name(&t);
		finish(&t);
	}
	buf_free(&t.result.text);
	map_free(t.known, NULL);
}
