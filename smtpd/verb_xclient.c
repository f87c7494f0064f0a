/* SPDX-License-Identifier: ISC */
/*
 * XCLIENT: a trusted client says on whose behalf it speaks (filters, proxies, tests). Attributes
 * take effect one by one, as they are read; afterwards the session begins anew with the greeting,
 * so that what is asked about clients is asked about this one.
 */
#include <errno.h>

#include "lib/mail/dsn.h"
#include "lib/mail/mail_address.h"
#include "smtpd/sasl.h"
#include "smtpd/smtpd.h"
#include "smtpd/transaction.h"
#include "smtpd/verbs.h"

static bool is_unavailable(struct str value)
{
	return str_is_nocase(value, STR("[UNAVAILABLE]"));
}

static bool is_unknown_for_now(struct str value)
{
	return str_is_nocase(value, STR("[TEMPUNAVAIL]"));
}

/* A verified or a reverse name. */
static bool set_name(struct buf *name, enum peer_status *status, struct str value)
{
	bool known = !is_unavailable(value) && !is_unknown_for_now(value);

	if (known && !hostname_is_valid(value, false))
		return false;
	buf_clear(name);
	buf_add_lower(name, known ? value : STR("unknown"));
	*status = known ? PEER_OK : is_unavailable(value) ? PEER_NO_NAME : PEER_CANNOT_TELL;
	return true;
}

static bool set_reverse_name(struct session *s, struct str value)
{
	return set_name(&s->peer.reverse_name, &s->peer.reverse_status, value);
}

/* A name that was verified is the reverse name too. */
static bool set_client_name(struct session *s, struct str value)
{
	return set_name(&s->peer.name, &s->peer.status, value)
	       && (s->peer.status != PEER_OK || set_reverse_name(s, value));
}

static bool parse_ip(struct str value, struct address_ip *ip)
{
	uint16_t port = ip->port;

	if (is_unavailable(value)) {
		*ip = (struct address_ip){ .port = port };
		return true;
	}
	if (str_starts_nocase(value, STR("IPV6:")))
		value = str_skip(value, 5);
	if (ip_parse(value, ip) < 0)
		return false;
	ip->port = port;
	return true;
}

static bool parse_port(struct str value, uint16_t *ret)
{
	int64_t port = 0;

	if (!is_unavailable(value) && str_to_int(value, 0, 65535, &port) < 0)
		return false;
	*ret = (uint16_t) port;
	return true;
}

static bool set_address(struct session *s, struct str value)
{
	if (!parse_ip(value, &s->peer.ip))
		return false;
	if (s->peer.ip.family == 0)
		snprintf(s->peer.address, sizeof(s->peer.address), "unknown");
	else
		ip_print(&s->peer.ip, s->peer.address);
	return true;
}

static bool set_port(struct session *s, struct str value)
{
	if (!parse_port(value, &s->peer.ip.port))
		return false;
	if (is_unavailable(value))
		snprintf(s->peer.port, sizeof(s->peer.port), "unknown");
	else
		snprintf(s->peer.port, sizeof(s->peer.port), "%u", s->peer.ip.port);
	return true;
}

static bool set_hello(struct session *s, struct str value)
{
	set_helo(s, is_unavailable(value) ? STR_NONE : value);
	return true;
}

/* Who forwards connections tells of logins whether anybody here asks for them or not. */
static bool set_login(struct session *s, struct str value)
{
	if (the_smtpd->sasl != NULL)
		sasl_set_user(s, STR("XCLIENT"), is_unavailable(value) ? STR_NONE : value);
	return true;
}

static bool set_protocol(struct session *s, struct str value)
{
	s->esmtp = str_is_nocase(value, STR("ESMTP"));
	return s->esmtp || str_is_nocase(value, STR("SMTP"));
}

static bool set_server_address(struct session *s, struct str value)
{
	return parse_ip(value, &s->local);
}

static bool set_server_port(struct session *s, struct str value)
{
	return parse_port(value, &s->local.port);
}

static const struct attribute {
	struct str name;
	bool (*set)(struct session *s, struct str value);
	/* what it is when a command that succeeds does not say it; empty: what it was */
	struct str unsaid;
} attributes[] = {
	{ STR_INIT("NAME"), set_client_name, STR_INIT("") },
	{ STR_INIT("REVERSE_NAME"), set_reverse_name, STR_INIT("") },
	{ STR_INIT("ADDR"), set_address, STR_INIT("") }, { STR_INIT("PORT"), set_port, STR_INIT("") },
	{ STR_INIT("HELO"), set_hello, STR_INIT("[UNAVAILABLE]") },
	{ STR_INIT("PROTO"), set_protocol, STR_INIT("SMTP") },
	{ STR_INIT("LOGIN"), set_login, STR_INIT("[UNAVAILABLE]") },
	{ STR_INIT("DESTADDR"), set_server_address, STR_INIT("") },
	{ STR_INIT("DESTPORT"), set_server_port, STR_INIT("") },
};

static const struct attribute *find_attribute(struct str name)
{
	for (size_t i = 0; i < COUNT_OF(attributes); i++)
		if (str_is_nocase(name, attributes[i].name))
			return &attributes[i];
	return NULL;
}

/* said: a bit for each attribute. */
static enum next set_attribute(struct session *s, struct str word, unsigned *said)
{
	struct str name, value = word, decoded;
	const struct attribute *a;

	if (!str_cut(&value, '=', &name))
		return reply(s, 501, "5.5.4", "Error: attribute=value expected");
	if (value.len > 255)
		return reply(s, 501, "5.5.4", "Error: attribute value too long");
	a = find_attribute(name);
	if (a == NULL)
		return reply(s, 501, "5.5.4", "Bad XCLIENT attribute name: %.*s", PSTR(name));
	if (xtext_decode(value, s->step, &decoded) < 0 || !str_is_utf8(decoded) || decoded.len == 0
	    || !a->set(s, decoded))
		return reply(s, 501, "5.5.4", "Bad %.*s syntax: %.*s", PSTR(a->name), PSTR(value));
	*said |= 1u << (a - attributes);
	return DONE;
}

static void forget_unsaid(struct session *s, unsigned said)
{
	for (size_t i = 0; i < COUNT_OF(attributes); i++)
		if ((said & 1u << i) == 0 && attributes[i].unsaid.len > 0)
			attributes[i].set(s, attributes[i].unsaid);
}

enum next verb_xclient(struct session *s, const struct command *c)
{
	struct str args = c->args, word;
	enum next next = DONE;
	unsigned said = 0;

	if (s->tx != NULL)
		return reply(s, 503, "5.5.1", "Error: MAIL transaction in progress");
	if (!s->may_xclient)
		return reply(s, 550, "5.7.0", "Error: insufficient authorization");
	if (args.len == 0)
		return reply(s, 501, "5.5.4", "Syntax: XCLIENT attribute=value...");
	while (next == DONE && command_word(&args, &word))
		next = set_attribute(s, word, &said);
	peer_renamed(&s->peer);
	if (next != DONE)
		return next;
	forget_unsaid(s, said);
	identity_changed(s);
	greet(s);
	return NEITHER;
}
