/* SPDX-License-Identifier: ISC */
/*
 * Restrictions about where a recipient's mail would go, and whether there is such a recipient.
 * Relay control is here.
 */
#include "lib/log/log.h"
#include "lib/mail/dsn.h"
#include "lib/mail/mail_address.h"
#include "smtpd/restrict_rows.h"
#include "smtpd/session.h"
#include "smtpd/smtpd.h"

static struct way *find_way(struct question *q, struct way *way, struct str sender, struct str address)
{
	struct str full;

	if (way->known)
		return way;
	way->known = true;
	full = rewrite_address(the_smtpd->route, q->arena, address, true);
	way->error = resolve_address(the_smtpd->route, q->arena, sender, full, &way->to);
	if (way->error < 0)
		log_warning("cannot resolve <%.*s>: %s", PSTR(address), route_why(the_smtpd->route));
	return way;
}

struct way *way_of_sender(struct question *q)
{
	return find_way(q, &q->sender_way, q->recipient, q->sender);
}

struct way *way_of_recipient(struct question *q)
{
	return find_way(q, &q->recipient_way, q->sender, q->recipient);
}

/*
 * user%elsewhere@domain, elsewhere!user@domain: another host might take the local part for a route,
 * and then we would have relayed to anywhere. That host may be behind local_transport too.
 */
static bool is_routed(const struct resolution *to)
{
	return to->is_routed && !the_smtpd->conf.allow_untrusted_routing;
}

bool is_source_routed(struct question *q)
{
	struct way *way = way_of_recipient(q);

	return way->error >= 0 && is_routed(&way->to);
}

/* 1 yes, 0 no, < 0 cannot tell. */
static int is_authorised_destination(struct question *q)
{
	struct way *way = way_of_recipient(q);

	if (way->error < 0)
		return way->error;
	if (is_routed(&way->to))
		return 0;
	return way->to.class != CLASS_OTHER;
}

struct verdict ask_permit_auth_destination(struct question *q, const struct rule *r)
{
	int yes = is_authorised_destination(q);

	(void) r;
	if (yes < 0)
		return verdict_cannot_tell(q->arena, q->recipient);
	return yes ? permit() : dunno();
}

static struct verdict refuse_relaying(struct question *q, int64_t code)
{
	int yes = is_authorised_destination(q);

	if (yes < 0)
		return verdict_cannot_tell(q->arena, q->recipient);
	if (yes)
		return dunno();
	return reject(q->arena, (int) code, STR("5.7.1"), "<%.*s>: Relay access denied", PSTR(q->recipient));
}

struct verdict ask_reject_unauth_destination(struct question *q, const struct rule *r)
{
	(void) r;
	return refuse_relaying(q, the_smtpd->conf.relay_domains_reject_code);
}

struct verdict ask_defer_unauth_destination(struct question *q, const struct rule *r)
{
	int64_t code = the_smtpd->conf.relay_domains_reject_code;

	(void) r;
	return refuse_relaying(q, code >= 500 ? code - 100 : code);
}

/* ---- who does not exist ---- */

/*
 * An address that the tables send to the error or retry transport is refused for what they say, not
 * for being in no list.
 */
static int64_t unlisted_code(const struct resolution *to)
{
	const struct smtpd_conf *conf = &the_smtpd->conf;

	if (to->class == CLASS_VIRTUAL_ALIAS)
		return conf->unknown_virtual_alias_reject_code;
	if (str_is(to->transport, STR("error")))
		return 550;
	if (str_is(to->transport, STR("retry")))
		return 450;
	switch (to->class) {
	case CLASS_VIRTUAL_MAILBOX:
		return conf->unknown_virtual_mailbox_reject_code;
	case CLASS_RELAY:
		return conf->unknown_relay_recipient_reject_code;
	default:
		return conf->unknown_local_recipient_reject_code;
	}
}

static struct verdict check_exists(struct question *q, struct way *way, struct str address,
				   const char *class, const char *dsn)
{
	struct str text = STR_NONE, code = str_of(dsn);
	int yes;

	if (the_smtpd->receive.takes_unknown_recipients)	/* receive_override_options */
		return dunno();
	if (way->error < 0)
		return verdict_cannot_tell(q->arena, address);
	yes = recipient_exists(the_smtpd->route, q->arena, way->to.recipient, &way->to, &text);
	if (yes < 0) {
		log_warning("cannot look up <%.*s>: %s", PSTR(address), route_why(the_smtpd->route));
		return verdict_cannot_tell(q->arena, address);
	}
	if (yes)
		return dunno();
	if (dsn_split(text, &code, &text) >= 0)		/* resolution itself may have a code for it */
		code = fit_dsn(q->arena, class, code);
	return reject(q->arena, (int) unlisted_code(&way->to), code, "<%.*s>: %s rejected: %.*s",
		      PSTR(address), class, PSTR(text));
}

struct verdict check_recipient_exists(struct question *q)
{
	return check_exists(q, way_of_recipient(q), q->recipient, "Recipient address", "5.1.1");
}

struct verdict check_sender_exists(struct question *q)
{
	struct way *way;
	int mapped;

	if (q->sender.len == 0)
		return dunno();
	way = way_of_sender(q);
	if (way->error < 0)
		return verdict_cannot_tell(q->arena, q->sender);
	mapped = sender_is_mapped(the_smtpd->route, q->arena, way->to.recipient);
	if (mapped < 0) {
		log_warning("cannot look up <%.*s>: %s", PSTR(q->sender), route_why(the_smtpd->route));
		return verdict_cannot_tell(q->arena, q->sender);
	}
	return mapped ? dunno() : check_exists(q, way, q->sender, "Sender address", "5.1.0");
}

struct verdict ask_unlisted_recipient(struct question *q, const struct rule *r)
{
	(void) r;
	return check_recipient_exists(q);
}

struct verdict ask_unlisted_sender(struct question *q, const struct rule *r)
{
	(void) r;
	return check_sender_exists(q);
}
