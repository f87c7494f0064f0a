/* SPDX-License-Identifier: ISC */
/*
 * The headers that cleanup makes: Received (RFC 5321 4.4), and what RFC 5322 3.6 demands and a
 * local program left out.
 */
#include "cleanup/message.h"

#include "lib/daemon/daemon.h"
#include "lib/mail/mail_address.h"

/* "with" of RFC 3848 and RFC 6531: ESMTPSA becomes UTF8SMTPSA. */
static struct str protocol_name(struct message *m)
{
	struct str p = m->e.client_protocol;

	if ((m->e.flags & ENVELOPE_SMTPUTF8) == 0 || !str_starts(p, STR("ESMTP")))
		return p;
	return arena_fmt(m->arena, "UTF8%.*s", PSTR(str_skip(p, 1)));
}

static struct str address_literal(struct message *m)
{
	struct str address = m->e.client_address;

	return str_find(address, ':') < 0 ? address : arena_fmt(m->arena, "IPv6:%.*s", PSTR(address));
}

/* smtpd has made it fit for comments; here it is folded. */
static void add_tls_clause(struct message *m, struct buf *b)
{
	struct str rest = m->e.client_tls, connection, exchange;
	ssize_t client;

	if (rest.len == 0 || !str_cut(&rest, ';', &connection) || !str_cut(&rest, ';', &exchange))
		return;
	buf_addf(b, "(%.*s", PSTR(connection));
	client = str_find_str(exchange, STR(" client-signature "));
	if (exchange.len > 0)
		buf_addf(b, "\n\t %.*s", PSTR(client < 0 ? exchange : str_head(exchange, (size_t) client)));
	if (client >= 0)
		buf_addf(b, "\n\t%.*s", PSTR(str_skip(exchange, (size_t) client)));
	buf_addf(b, ")\n\t(%.*s)\n\t", PSTR(rest));
}

/* A name that somebody else's database holds must not end the comment that it stands in. */
static void add_comment_text(struct buf *b, struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		buf_add_byte(b, strchr("()\\", text.at[i]) != NULL ? '?' : text.at[i]);
}

static void add_from_clause(struct message *m, struct buf *b)
{
	struct str name = m->e.client_name.len > 0 ? m->e.client_name : STR("unknown");
	struct str helo = m->e.client_helo.len > 0 ? m->e.client_helo : name;

	buf_addf(b, "from %.*s (%.*s [%.*s])\n\t", PSTR(helo), PSTR(name), PSTR(address_literal(m)));
	add_tls_clause(m, b);
	if (m->e.sasl_username.len > 0 && (m->flags & CLEANUP_SHOW_LOGIN) != 0) {
		buf_add_text(b, "(Authenticated sender: ");
		add_comment_text(b, m->e.sasl_username);
		buf_add_text(b, ")\n\t");
	}
}

/* Only when there is exactly one: a list would tell each recipient about the others. */
static void add_for_clause(struct message *m, struct buf *b)
{
	const struct recipient *r = &m->e.recipients[0];

	if (m->e.recipient_count != 1)
		return;
	buf_add_text(b, "\n\tfor <");
	address_quote_821(b, r->original.len > 0 ? r->original : r->address);
	buf_add_byte(b, '>');
}

void add_received(struct message *m)
{
	const struct common_conf *c = the_cleanup.common;
	AUTO(buf) b = BUF(16 << 10);
	struct str whole;
	char date[64];

	date_print(m->e.arrival_us / 1000000, date);
	buf_add_text(&b, "Received: ");
	if (str_is(str_of(m->origin), STR("smtpd")) && m->e.client_address.len > 0) {
		add_from_clause(m, &b);
		buf_addf(&b, "by %s (%s) with %.*s id %s", c->myhostname, c->mail_name,
			 PSTR(protocol_name(m)), m->id);
		add_for_clause(m, &b);
	} else if (str_is(str_of(m->origin), STR("pickup"))) {
		buf_addf(&b, "by %s (%s, from userid %llu)\n\tid %s", c->myhostname, c->mail_name,
			 (unsigned long long) m->e.uid, m->id);
	} else {
		buf_addf(&b, "by %s (%s)\n\tid %s", c->myhostname, c->mail_name, m->id);
	}
	buf_addf(&b, "; %s", date);
	whole = arena_copy(m->arena, buf_str(&b));
	/* It tells of the client: header_checks may take that out, as they may with Postfix. */
	if (checks_for(m, CHECK_HEADER) == NULL || check_text(m, CHECK_HEADER, whole, &whole))
		add_header(m, whole);
}

/* ---- missing headers ---- */

static bool has(const struct message *m, enum header_kind plain, enum header_kind resent)
{
	return (m->seen & (1u << (m->is_resent ? resent : plain))) != 0;
}

static void add_message_id(struct message *m, const char *prefix)
{
	time_t now = m->e.arrival_us / 1000000;
	char stamp[32];
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%d%H%M%S", &tm);
	m->e.message_id = arena_fmt(m->arena, "<%s.%s@%s>", stamp, m->id, the_cleanup.common->myhostname);
	add_header(m, arena_fmt(m->arena, "%sMessage-Id: %.*s", prefix, PSTR(m->e.message_id)));
	m->seen |= 1u << (m->is_resent ? HEADER_RESENT_MESSAGE_ID : HEADER_MESSAGE_ID);
	log_mail(ROAD_INFO, str_of(m->id), "%smessage-id=%.*s", m->is_resent ? "resent-" : "",
		 PSTR(m->e.message_id));
}

/* A display name as a quoted-string unless it is made of atoms (RFC 5322 3.2.4). */
static void add_phrase(struct buf *b, struct str name)
{
	bool atoms = true;

	for (size_t i = 0; i < name.len; i++)
		if (!is_alnum(name.at[i]) && strchr("!#$%&'*+-/=?^_`{|}~ ", name.at[i]) == NULL
		    && (unsigned char) name.at[i] < 0x80)
			atoms = false;
	if (atoms) {
		buf_add(b, name);
		return;
	}
	buf_add_byte(b, '"');
	for (size_t i = 0; i < name.len; i++) {
		if (name.at[i] == '"' || name.at[i] == '\\')
			buf_add_byte(b, '\\');
		buf_add_byte(b, name.at[i]);
	}
	buf_add_byte(b, '"');
}

static void add_from(struct message *m, const char *prefix)
{
	struct str sender = m->e.sender.len > 0 ? m->e.sender
			    : rewrite_address(the_cleanup.route, m->arena, STR("MAILER-DAEMON"), true);
	AUTO(buf) b = BUF(8 << 10);

	buf_addf(&b, "%sFrom: ", prefix);
	if (m->e.full_name.len > 0 && m->e.full_name.len < 1000) {
		add_phrase(&b, m->e.full_name);
		buf_add_text(&b, " <");
	}
	address_quote_822(&b, sender);
	if (m->e.full_name.len > 0 && m->e.full_name.len < 1000)
		buf_add_byte(&b, '>');
	add_header(m, buf_str(&b));
}

enum { VISIBLE_RECIPIENTS = 1 << HEADER_TO | 1 << HEADER_CC | 1 << HEADER_RESENT_TO | 1 << HEADER_RESENT_CC };

void add_missing_headers(struct message *m)
{
	const char *prefix = m->is_resent ? "Resent-" : "";
	const char *undisclosed = the_cleanup.conf.undisclosed_recipients_header;
	char date[64];

	if ((m->flags & CLEANUP_EXTERNAL) != 0 && !the_cleanup.conf.always_add_missing_headers
	    && the_cleanup.route_conf.remote_header_rewrite_domain[0] == '\0')
		return;
	if (!has(m, HEADER_MESSAGE_ID, HEADER_RESENT_MESSAGE_ID))
		add_message_id(m, prefix);
	if (!has(m, HEADER_DATE, HEADER_RESENT_DATE)) {
		date_print(m->e.arrival_us / 1000000, date);
		add_header(m, arena_fmt(m->arena, "%sDate: %s", prefix, date));
	}
	if (!has(m, HEADER_FROM, HEADER_RESENT_FROM))
		add_from(m, prefix);
	if (undisclosed[0] == '\0' || (m->seen & VISIBLE_RECIPIENTS) != 0)
		return;
	if (is_header_start(str_of(undisclosed)))
		add_header(m, str_of(undisclosed));
	else		/* it would end the headers */
		log_warning_rarely(60, "undisclosed_recipients_header: \"%s\" is not a header", undisclosed);
}
