/* SPDX-License-Identifier: ISC */
/*
 * The message's own headers: found, counted, checked, completed, some dropped, and everything else
 * kept byte for byte.
 */
#include "cleanup/message.h"

#include "lib/base/die.h"
#include "lib/log/log.h"
#include "lib/mail/mail_address.h"

enum header_use {
	RESENT = 1,			/* of a Resent- block */
	RECIPIENTS = 2,			/* names recipients (sendmail -t) */
};

enum { PASS_AFTER = 5000 };

static const struct header_row {
	struct str name;
	enum header_kind kind;
	unsigned use;
} rows[] = {
	{ STR_INIT("received"), HEADER_RECEIVED, 0 },
	{ STR_INIT("message-id"), HEADER_MESSAGE_ID, 0 },
	{ STR_INIT("date"), HEADER_DATE, 0 },
	{ STR_INIT("from"), HEADER_FROM, 0 },
	{ STR_INIT("sender"), HEADER_SENDER, 0 },
	{ STR_INIT("reply-to"), HEADER_REPLY_TO, 0 },
	{ STR_INIT("to"), HEADER_TO, RECIPIENTS },
	{ STR_INIT("cc"), HEADER_CC, RECIPIENTS },
	{ STR_INIT("bcc"), HEADER_BCC, RECIPIENTS },
	{ STR_INIT("resent-message-id"), HEADER_RESENT_MESSAGE_ID, RESENT },
	{ STR_INIT("resent-date"), HEADER_RESENT_DATE, RESENT },
	{ STR_INIT("resent-from"), HEADER_RESENT_FROM, RESENT },
	{ STR_INIT("resent-sender"), HEADER_RESENT_SENDER, RESENT },
	{ STR_INIT("resent-reply-to"), HEADER_RESENT_REPLY_TO, RESENT },
	{ STR_INIT("resent-to"), HEADER_RESENT_TO, RESENT | RECIPIENTS },
	{ STR_INIT("resent-cc"), HEADER_RESENT_CC, RESENT | RECIPIENTS },
	{ STR_INIT("resent-bcc"), HEADER_RESENT_BCC, RESENT | RECIPIENTS },
	{ STR_INIT("return-path"), HEADER_RETURN_PATH, 0 },
	{ STR_INIT("errors-to"), HEADER_ERRORS_TO, 0 },
	{ STR_INIT("tls-required"), HEADER_TLS_REQUIRED, 0 },
	{ STR_INIT("require-tls-esmtp"), HEADER_REQUIRE_TLS_ESMTP, 0 },
};

static const struct header_row *find_row(struct str name)
{
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (str_is_nocase(name, rows[i].name))
			return &rows[i];
	return NULL;
}

/* Those that say how to read the message. Content-Language and the like are headers as any other, as in Postfix. */
static bool is_of_mime(struct str name)
{
	static const struct str names[] = {
		STR_INIT("content-description"), STR_INIT("content-disposition"), STR_INIT("content-id"),
		STR_INIT("content-transfer-encoding"), STR_INIT("content-type"), STR_INIT("mime-version"),
	};

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (str_is_nocase(name, names[i]))
			return true;
	return false;
}

enum header_kind header_kind_of(struct str name)
{
	const struct header_row *row = find_row(name);

	if (row != NULL)
		return row->kind;
	return is_of_mime(name) ? HEADER_OF_MIME : HEADER_OTHER;
}

/* ---- where they end ---- */

enum { SURELY_A_NAME = 4096 };		/* who has not come to the colon by then writes no header */

static bool is_mbox_line(struct str line)
{
	while (str_starts(line, STR(">")))
		line = str_skip(line, 1);
	return str_starts(line, STR("From "));
}

/* Nothing but lines of mailboxes so far: what comes next is the first line of the headers. */
static bool are_mbox_lines(struct str text)
{
	struct str line;

	while (text.len > 0) {
		str_cut(&text, '\n', &line);
		if (!is_mbox_line(line))
			return false;
	}
	return true;
}

bool find_end_of_headers(struct str text, bool is_all, size_t *scanned, size_t *ret_len, size_t *ret_body_at)
{
	bool is_first = are_mbox_lines(str_head(text, *scanned));

	while (*scanned < text.len) {
		struct str rest = str_skip(text, *scanned), line;
		bool whole = str_cut(&rest, '\n', &line);

		if (!whole && !is_all && line.len < SURELY_A_NAME)
			return false;
		*ret_len = *scanned;
		*ret_body_at = *scanned;
		if (whole && line.len == 0) {
			*ret_body_at = *scanned + 1;
			return true;
		}
		if (is_first ? !is_header_start(line) && !is_mbox_line(line)
			     : !is_blank(line.at[0]) && !is_header_start(line))
			return true;
		if (!whole && !is_all)
			return false;
		is_first = is_first && is_mbox_line(line);
		*scanned += line.len + whole;
	}
	*ret_len = *ret_body_at = text.len;
	return is_all;
}

/* ---- each of them ---- */

void add_header(struct message *m, struct str whole)
{
	if (buf_add(&m->headers, whole) < 0 || buf_add_byte(&m->headers, '\n') < 0)
		refuse_loudly(m, 552, "5.3.4", "Error: message headers too big");
}

static bool is_dropped(struct str name)
{
	for (size_t i = 0; i < the_cleanup.drop_count; i++)
		if (str_is_nocase(name, the_cleanup.drop_headers[i]))
			return true;
	return false;
}

static void extract_recipients(struct message *m, struct str value, bool resent)
{
	int64_t left = the_cleanup.conf.header_address_token_limit;
	struct address_list list = { .rest = value, .is_lenient = true };
	struct str address;
	int r;

	while ((r = address_list_next(&list, m->arena, &address)) != 0) {
		if (left-- <= 0) {
			refuse_loudly(m, 552, "5.5.3", "Error: too many recipients in the message headers");
			return;
		}
		if (r < 0 || address.len == 0)
			continue;	/* what cannot be parsed is nobody's address, and "<>" is nobody */
		if (resent ? !HAS_ROOM(m, &m->extracted_resent) : !HAS_ROOM(m, &m->extracted))
			return;
		if (resent)
			*vec_add(m->arena, &m->extracted_resent) = address;
		else
			*vec_add(m->arena, &m->extracted) = address;
	}
}

static void note_message_id(struct message *m, const struct header *h, enum header_kind kind)
{
	m->e.message_id = header_unfold(m->arena, h->value, 1000);
	log_mail(ROAD_INFO, str_of(m->id), "%smessage-id=%.*s",
		 kind == HEADER_RESENT_MESSAGE_ID ? "resent-" : "", PSTR(m->e.message_id));
	if (str_has_control(m->e.message_id))
		m->e.message_id = STR_NONE;	/* not fit for an attribute */
}

/* Ours, which it will get, is one too. */
static void count_hop(struct message *m)
{
	if (++m->hops + 1 < the_cleanup.conf.hopcount_limit || m->refused.code != 0)
		return;
	log_warning("%s: message rejected: hopcount exceeded", m->id);
	refuse(m, 554, "5.4.0", "Error: too many hops");
}

/* REQUIRETLS weighs more (RFC 8689 4.1). */
static void note_tls_required(struct message *m, struct str value)
{
	if (the_cleanup.common->tls_required_enable && str_is_nocase(str_trim(value), STR("no"))
	    && (m->e.flags & ENVELOPE_REQUIRETLS) == 0)
		m->e.flags |= ENVELOPE_TLS_OPTIONAL;
}

static bool records_requiretls(void)
{
	return the_cleanup.common->requiretls_enable && the_cleanup.conf.requiretls_esmtp_header;
}

/*
 * REQUIRETLS has come through something that does not know it. True: the header need not be kept,
 * since ours says the same.
 */
static bool is_known_requiretls(struct message *m, struct str value)
{
	bool known = (m->e.flags & ENVELOPE_REQUIRETLS) != 0;

	if (!records_requiretls() || !str_is_nocase(str_trim(value), STR("yes")))
		return false;
	m->e.flags |= ENVELOPE_REQUIRETLS;
	return known;
}

static void note_header(struct message *m, const struct header *h, const struct header_row *row)
{
	const bool is_first = (m->seen & 1u << row->kind) == 0;

	m->seen |= 1u << row->kind;
	if (row->use & RESENT)
		m->is_resent = true;
	if (row->kind == HEADER_RECEIVED)
		count_hop(m);
	/* the first one: a hundred thousand would leave no room in the log for anybody else's lines */
	if (is_first && (row->kind == HEADER_MESSAGE_ID || row->kind == HEADER_RESENT_MESSAGE_ID))
		note_message_id(m, h, row->kind);
	if (row->kind == HEADER_TLS_REQUIRED)
		note_tls_required(m, h->value);
}

struct str header_without_blanks(struct message *m, struct str whole)
{
	ssize_t colon = str_find(whole, ':');
	struct str name = str_trim_end(str_head(whole, colon < 0 ? whole.len : (size_t) colon));

	if (colon < 0 || name.len == (size_t) colon || !has_memory(m, whole.len))
		return whole;
	return arena_fmt(m->arena, "%.*s%.*s", PSTR(name), PSTR(str_skip(whole, (size_t) colon)));
}

static struct str with_our_addresses(struct message *m, const struct header *h)
{
	enum header_role role = rewrites_headers(m) ? header_role(h->name) : NO_ADDRESSES;

	return role == NO_ADDRESSES ? h->whole : header_with_our_addresses(m, h, role);
}

/* What header_size_limit allows of it. A line end at its end would leave an empty line, which ends the headers. */
static struct str cut_to_size(struct str whole)
{
	struct str head = str_head(whole, (size_t) the_cleanup.conf.header_size_limit);

	if (str_ends(head, STR("\n")))
		head.len--;
	return head;
}

/* sendmail -t: as the sender wrote it, whatever checks make of it. Nobody is left out because of a cut. */
static void take_recipients(struct message *m, const struct header *h, const struct header_row *row)
{
	if ((row->use & RECIPIENTS) == 0)
		return;
	m->goes_to_resent = m->goes_to_resent || (row->use & RESENT) != 0;
	if (h->whole.len > (size_t) the_cleanup.conf.header_size_limit)
		refuse_loudly(m, 552, "5.3.4", "Error: a header with recipients is too long");
	else
		extract_recipients(m, h->value, (row->use & RESENT) != 0);
}

/*
 * Checks come first: a header that they leave out was never there, so that another takes its place
 * if it must, and what they put in its stead counts as what it is.
 */
static void take_header(struct message *m, const struct header *found)
{
	struct str whole = header_without_blanks(m, cut_to_size(found->whole));
	const struct header_row *row = find_row(found->name);
	enum check_class class = row == NULL && is_of_mime(found->name) ? CHECK_MIME_HEADER : CHECK_HEADER;
	struct header h;

	if (row != NULL && (m->flags & CLEANUP_EXTRACT) != 0)
		take_recipients(m, found, row);
	if (checks_for(m, class) != NULL && !check_text(m, class, whole, &whole))
		return;
	if (header_next(&(struct str){ whole.at, whole.len }, &h) <= 0 || h.whole.len != whole.len) {
		add_header(m, whole);		/* the administrator's words */
		return;
	}
	row = find_row(h.name);
	if (row != NULL)
		note_header(m, &h, row);
	if (is_dropped(h.name) || (row != NULL && row->kind == HEADER_REQUIRE_TLS_ESMTP
				   && is_known_requiretls(m, h.value)))
		return;
	add_header(m, with_our_addresses(m, &h));
}

/* "From ..." of a mailbox that was handed in as it was: the line keeps its information, and is a header. */
static void take_mbox_lines(struct message *m, struct str *block)
{
	struct str line;

	while (m->refused.code == 0 && is_mbox_line(*block) && has_memory(m, 0)) {
		str_cut(block, '\n', &line);
		add_header(m, arena_fmt(m->arena, "X-Mailbox-Line: %.*s", PSTR(line)));
	}
}

void take_headers(struct message *m, struct str block)
{
	struct header h;
	int n = 0;

	m->e.sender = envelope_address(m, USE_ENVELOPE_SENDER, m->e.sender);
	if (m->flags & CLEANUP_ADD_RECEIVED)
		add_received(m);
	if ((m->e.flags & ENVELOPE_REQUIRETLS) != 0 && records_requiretls())
		add_header(m, STR("Require-TLS-ESMTP: yes"));
	take_mbox_lines(m, &block);
	while (m->refused.code == 0 && block.len > 0 && has_memory(m, 0) && header_next(&block, &h) > 0) {
		take_header(m, &h);
		if (++n % PASS_AFTER == 0)
			co_pass();	/* others need not wait for somebody's hundred thousand headers */
	}
	if (m->refused.code == 0)
		add_missing_headers(m);
	if (m->refused.code == 0 && (m->seen & 1u << HEADER_MESSAGE_ID) == 0)
		log_mail(ROAD_INFO, str_of(m->id), "message-id=<>");
}
