/* SPDX-License-Identifier: ISC */
/* Restrictions about the name in HELO or EHLO. */
#include "lib/mail/mail_address.h"
#include "smtpd/mail_host.h"
#include "smtpd/restrict_rows.h"
#include "smtpd/session.h"
#include "smtpd/smtpd.h"

static struct str helo_of(const struct question *q)
{
	return buf_str(&q->s->helo);
}

/* "host.example." is a name too, and says that it is complete. */
static struct str name_of(const struct question *q)
{
	struct str name = helo_of(q);

	return name.len > 1 && str_ends(name, STR(".")) ? str_head(name, name.len - 1) : name;
}

static bool is_literal(struct str name)
{
	return name.len > 0 && name.at[0] == '[';
}

bool is_fqdn(struct str name)
{
	if (is_literal(name))
		return true;
	if (str_ends(name, STR(".")))
		name.len--;
	return str_find(name, '.') > 0;
}

static struct verdict refuse_helo(struct question *q, int64_t code, const char *text)
{
	return reject(q->arena, (int) code, STR("5.5.2"), "<%.*s>: Helo command rejected: %s",
		      PSTR(helo_of(q)), text);
}

static bool is_valid(struct str name)
{
	return is_literal(name) ? domain_literal_is_valid(name)
	       : hostname_is_valid(name, the_smtpd->conf.smtputf8_enable);
}

/* An address without brackets is wrong, and so usual that Postfix has always let it pass here. */
struct verdict ask_invalid_helo(struct question *q, const struct rule *r)
{
	struct str name = name_of(q);
	struct address_ip ip;

	(void) r;
	if (is_valid(name) || ip_parse(name, &ip) >= 0)
		return dunno();
	return refuse_helo(q, the_smtpd->conf.invalid_hostname_reject_code,
			   is_literal(name) ? "invalid ip address" : "Invalid name");
}

struct verdict ask_non_fqdn_helo(struct question *q, const struct rule *r)
{
	struct str name = name_of(q);

	if (is_literal(name))
		return ask_invalid_helo(q, r);
	if (is_valid(name) && is_fqdn(name))
		return dunno();
	return refuse_helo(q, the_smtpd->conf.non_fqdn_reject_code, "need fully-qualified hostname");
}

struct verdict ask_unknown_helo(struct question *q, const struct rule *r)
{
	struct str name = name_of(q);
	struct verdict v;

	if (is_literal(name))
		return ask_invalid_helo(q, r);
	switch (find_mail_host(q->arena, name)) {
	case MAIL_HOST_YES:
	case MAIL_HOST_NULL_MX:
		return dunno();
	case MAIL_HOST_CANNOT_TELL:
		v = reject(q->arena, 450, STR("4.7.1"), "<%.*s>: Helo command rejected: Host not found",
			   PSTR(helo_of(q)));
		return the_smtpd->defer_unknown_helo ? v : defer_if_permit(q, v);
	default:
		return reject(q->arena, (int) the_smtpd->conf.unknown_hostname_reject_code, STR("5.7.1"),
			      "<%.*s>: Helo command rejected: Host not found", PSTR(helo_of(q)));
	}
}
