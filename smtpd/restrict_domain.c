/* SPDX-License-Identifier: ISC */
/* Restrictions about the domains of sender and recipient. */
#include "lib/mail/mail_address.h"
#include "smtpd/mail_host.h"
#include "smtpd/restrict_rows.h"
#include "smtpd/session.h"
#include "smtpd/smtpd.h"

/* About whom: the texts and codes of senders and recipients differ. */
struct side {
	const char *class;
	const char *not_found, *null_mx;	/* enhanced codes */
	int null_mx_code;
};
static const struct side sender_side = { "Sender address", "5.1.8", "5.7.27", 550 };
static const struct side recipient_side = { "Recipient address", "5.1.2", "5.1.10", 556 };

static struct verdict non_fqdn(struct question *q, struct str address, const struct side *side)
{
	struct str local, domain;

	if (address.len == 0 || (address_split(address, &local, &domain) && is_fqdn(domain)))
		return dunno();
	if (side == &recipient_side && is_bare_postmaster(address))
		return dunno();
	return reject(q->arena, (int) the_smtpd->conf.non_fqdn_reject_code, STR("5.5.2"),
		      "<%.*s>: %s rejected: need fully-qualified address", PSTR(address), side->class);
}

struct verdict ask_non_fqdn_sender(struct question *q, const struct rule *r)
{
	(void) r;
	return non_fqdn(q, q->sender, &sender_side);
}

struct verdict ask_non_fqdn_recipient(struct question *q, const struct rule *r)
{
	(void) r;
	return non_fqdn(q, q->recipient, &recipient_side);
}

static struct verdict no_such_domain(struct question *q, int64_t code, struct str address,
				     const struct side *side)
{
	return reject(q->arena, (int) code, str_of(side->not_found), "<%.*s>: %s rejected: Domain not found",
		      PSTR(address), side->class);
}

/* Domains that are delivered here need no DNS. */
static struct verdict unknown_domain(struct question *q, struct str address, struct way *way,
				     const struct side *side)
{
	struct str local, domain;
	struct verdict v;

	if (way->error < 0)
		return verdict_cannot_tell(q->arena, address);
	if ((way->to.class & (CLASS_LOCAL | CLASS_VIRTUAL_ALIAS | CLASS_VIRTUAL_MAILBOX)) != 0 ||
	    !address_split(way->to.recipient, &local, &domain) || str_starts(domain, STR("[")))
		return dunno();
	switch (find_mail_host(q->arena, domain)) {
	case MAIL_HOST_YES:
		return dunno();
	case MAIL_HOST_NULL_MX:
		return reject(q->arena, side->null_mx_code, str_of(side->null_mx),
			      "<%.*s>: %s rejected: Domain %.*s does not accept mail (nullMX)",
			      PSTR(address), side->class, PSTR(domain));
	case MAIL_HOST_CANNOT_TELL:
		v = no_such_domain(q, 450, address, side);
		return the_smtpd->defer_unknown_address ? v : defer_if_permit(q, v);
	default:
		return no_such_domain(q, the_smtpd->conf.unknown_address_reject_code, address, side);
	}
}

struct verdict ask_unknown_sender_domain(struct question *q, const struct rule *r)
{
	(void) r;
	if (q->sender.len == 0)
		return dunno();
	return unknown_domain(q, q->sender, way_of_sender(q), &sender_side);
}

struct verdict ask_unknown_recipient_domain(struct question *q, const struct rule *r)
{
	(void) r;
	return unknown_domain(q, q->recipient, way_of_recipient(q), &recipient_side);
}
