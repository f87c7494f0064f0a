/* SPDX-License-Identifier: ISC */
/*
 * check_*_access: which keys of a client, a name, an address are looked up in an access(5) table,
 * in which order. The first that is found decides. Pattern tables see the whole key only.
 */
#include "lib/log/log.h"
#include "lib/mail/mail_address.h"
#include "smtpd/access_search.h"
#include "smtpd/restrict_rows.h"
#include "smtpd/session.h"
#include "smtpd/smtpd.h"

struct search search_begin(struct question *q, const struct rule *r, struct str subject, const char *class)
{
	struct search f = { .q = q, .r = r, .arena = q->arena, .verdict = dunno(),
			    .list_subject = q->subject, .list_class = q->subject_class };

	q->subject = subject;
	q->subject_class = class;
	return f;
}

struct verdict search_end(struct search *f)
{
	f->q->subject = f->list_subject;
	f->q->subject_class = f->list_class;
	return f->verdict;
}

struct verdict search_end_without_permission(struct search *f)
{
	struct question *q = f->q;

	if (f->verdict.act == PERMIT) {
		log_warning("%s: %s permits %.*s, which is not allowed, because strangers choose what is looked up; use DUNNO to make an exception",
			    f->r->row->name, table_spec(f->r->table), PSTR(q->subject));
		f->verdict = reject_subject(q, 451, "4.3.5", "Server configuration error");
	}
	return search_end(f);
}

bool search_key(struct search *f, struct str key, bool whole)
{
	struct str value;
	int found;

	if (f->ended || key.len == 0 || (!whole && !f->r->partial))
		return f->ended;
	found = table_get(f->r->table, f->arena, key, &value);
	if (found == 0)
		return false;
	f->ended = true;
	if (found > 0) {
		f->verdict = access_verdict(f->q, f->r, arena_copy(f->q->arena, value));
	} else {
		log_warning("%s lookup error for \"%.*s\": %s", table_spec(f->r->table), PSTR(key),
			    table_why(f->r->table));
		f->verdict = reject_subject(f->q, 451, "4.3.5", "Server configuration error");
	}
	return true;
}

void search_host(struct search *f, struct str name, bool whole)
{
	struct str rest = str_ends(name, STR(".")) ? str_head(name, name.len - 1) : name;
	struct address_ip ip;
	ssize_t dot;

	rest = arena_lower(f->arena, rest);
	search_key(f, rest, whole);
	if (ip_parse(rest, &ip) >= 0)
		return;
	while (!f->ended && (dot = str_find(str_skip(rest, 1), '.')) >= 0) {
		rest = str_skip(rest, (size_t) dot + (the_smtpd->access_parents ? 2 : 1));
		search_key(f, rest, false);
	}
}

void search_address(struct search *f, struct str address)
{
	char separator = str_find(address, ':') >= 0 ? ':' : '.';
	ssize_t at;

	search_key(f, address, true);
	while (!f->ended && (at = str_find_last(address, separator)) > 0) {
		address = str_head(address, (size_t) at);
		while (str_ends(address, STR(":")))
			address.len--;
		search_key(f, address, false);
	}
}

/*
 * user+ext@domain, user@domain, domain and its parents, user+ext@, user@. The address is in the
 * form that the queue would get.
 */
static void look_up_mail(struct search *f, struct str address)
{
	struct str local, domain, user, extension;
	struct arena *a = f->q->arena;
	bool extended;

	if (!address_split(address, &local, &domain)) {
		search_key(f, address, true);
		return;
	}
	extended = local_part_split(local, str_of(the_smtpd->common->recipient_delimiter), &user, &extension);
	search_key(f, address, true);
	if (extended)
		search_key(f, arena_fmt(a, "%.*s@%.*s", PSTR(user), PSTR(domain)), false);
	search_host(f, domain, false);
	search_key(f, arena_fmt(a, "%.*s@", PSTR(local)), false);
	if (extended)
		search_key(f, arena_fmt(a, "%.*s@", PSTR(user)), false);
}

struct verdict ask_client_access(struct question *q, const struct rule *r)
{
	const struct peer *p = &q->s->peer;
	struct search f = search_begin(q, r, buf_str(&p->shown), "Client host");

	search_host(&f, buf_str(&p->name), true);
	search_address(&f, str_of(p->address));
	return search_end(&f);
}

/* Whoever has an address writes its PTR record, and whatever name he likes into it. */
struct verdict ask_reverse_name_access(struct question *q, const struct rule *r)
{
	const struct peer *p = &q->s->peer;
	struct search f = search_begin(q, r, buf_str(&p->reverse_name), "Unverified Client host");

	search_host(&f, buf_str(&p->reverse_name), true);
	search_address(&f, str_of(p->address));
	return search_end_without_permission(&f);
}

struct verdict ask_helo_access(struct question *q, const struct rule *r)
{
	struct str helo = buf_str(&q->s->helo);
	struct search f = search_begin(q, r, helo, "Helo command");

	search_host(&f, helo, true);
	return search_end(&f);
}

struct verdict ask_etrn_access(struct question *q, const struct rule *r)
{
	struct search f = search_begin(q, r, q->etrn, "Etrn command");

	search_host(&f, q->etrn, true);
	return search_end(&f);
}

static struct verdict ask_mail(struct question *q, const struct rule *r, struct str address,
			       const char *what, struct way *way)
{
	struct search f;

	if (way != NULL && way->error < 0)
		return verdict_cannot_tell(q->arena, address);
	f = search_begin(q, r, address, what);
	if (way == NULL)
		search_key(&f, str_of(the_smtpd->conf.smtpd_null_access_lookup_key), true);
	else
		look_up_mail(&f, way->to.recipient);
	return search_end(&f);
}

struct verdict ask_sender_access(struct question *q, const struct rule *r)
{
	return ask_mail(q, r, q->sender, "Sender address", q->sender.len == 0 ? NULL : way_of_sender(q));
}

/* A recipient with source routing is never permitted here: it says where it goes in its own way. */
struct verdict ask_recipient_access(struct question *q, const struct rule *r)
{
	struct verdict v = ask_mail(q, r, q->recipient, "Recipient address", way_of_recipient(q));

	if (v.act == PERMIT && is_source_routed(q))
		return dunno();
	return v;
}
