/* SPDX-License-Identifier: ISC */
/*
 * What is asked about a client that has authenticated, and whether the sender address is its own
 * (smtpd_sender_login_maps).
 */
#include "lib/log/log.h"
#include "lib/route/route.h"
#include "smtpd/access_search.h"
#include "smtpd/restrict_rows.h"
#include "smtpd/sasl.h"
#include "smtpd/smtpd.h"

/*
 * permit_sasl_authenticated: a user with a name; ANONYMOUS has none. While nobody can tell who the
 * users are, what refuses this client because it is a stranger does so for now only.
 */
struct verdict ask_authenticated(struct question *q, const struct rule *r)
{
	const struct session *s = q->s;

	(void) r;
	if (is_authenticated(s) && !str_is_nocase(buf_str(&s->sasl_method), STR("ANONYMOUS")))
		return permit();
	if (s->sasl_is_down && q->instead.act != REJECT)
		q->instead = reject(q->arena, 454, STR("4.7.0"),
				    "Temporary authentication failure: Connection lost to authentication server");
	return dunno();
}

struct verdict ask_login_access(struct question *q, const struct rule *r)
{
	struct str user = buf_str(&q->s->sasl_username);
	struct search f;

	if (!is_authenticated(q->s))
		return dunno();
	f = search_begin(q, r, user, "SASL login name");
	search_key(&f, user, true);
	return search_end(&f);
}

/* ---- whose address is it? ---- */

/* 1: *ret are the logins that may use the sender's address; 0: nobody has claimed it; < 0: cannot tell. */
static int find_owners(struct question *q, struct str *ret)
{
	struct way *way = way_of_sender(q);
	int r;

	if (way->error < 0)
		return way->error;
	r = route_lookup_address(the_smtpd->route, the_smtpd->sender_logins, q->arena,
				 way->to.recipient, ret, NULL);
	if (r < 0)
		log_warning("smtpd_sender_login_maps: %s", tables_why(the_smtpd->sender_logins));
	return r;
}

/* The null sender belongs to everybody. Where no tables say whose addresses are, none is anybody's. */
static bool has_sender(const struct question *q)
{
	return q->sender.len > 0 && the_smtpd->sasl != NULL;
}

static struct verdict refuse_sender(struct question *q, struct str why)
{
	return reject(q->arena, 553, STR("5.7.1"), "<%.*s>: Sender address rejected: %.*s",
		      PSTR(q->sender), PSTR(why));
}

/*
 * A client that has authenticated and does not own the address. only_known: an address that nobody
 * owns is everybody's.
 */
static struct verdict check_user(struct question *q, bool only_known)
{
	struct str user = buf_str(&q->s->sasl_username), owners;
	int r;

	if (!has_sender(q) || !is_authenticated(q->s))
		return dunno();
	r = find_owners(q, &owners);
	if (r < 0)
		return verdict_cannot_tell(q->arena, q->sender);
	if ((r == 0 && only_known) || (r > 0 && str_lists_nocase(owners, user)))
		return dunno();
	return refuse_sender(q, arena_fmt(q->arena, "not owned by user %.*s", PSTR(user)));
}

/* A client that has not, and uses an address that has an owner. */
static struct verdict check_stranger(struct question *q)
{
	struct str owners;
	int r;

	if (!has_sender(q) || is_authenticated(q->s))
		return dunno();
	r = find_owners(q, &owners);
	if (r < 0)
		return verdict_cannot_tell(q->arena, q->sender);
	return r == 0 ? dunno() : refuse_sender(q, STR("not logged in"));
}

struct verdict ask_users_sender(struct question *q, const struct rule *r)
{
	(void) r;
	return check_user(q, false);
}

struct verdict ask_strangers_sender(struct question *q, const struct rule *r)
{
	(void) r;
	return check_stranger(q);
}

struct verdict ask_senders_login(struct question *q, const struct rule *r)
{
	(void) r;
	return is_authenticated(q->s) ? check_user(q, false) : check_stranger(q);
}

struct verdict ask_known_senders_login(struct question *q, const struct rule *r)
{
	(void) r;
	return is_authenticated(q->s) ? check_user(q, true) : check_stranger(q);
}
