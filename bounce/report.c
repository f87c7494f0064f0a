/* SPDX-License-Identifier: ISC */
/* message/delivery-status (RFC 3464) and message/global-delivery-status (RFC 6533). */
#include "bounce/notice.h"

#include "lib/mail/dsn.h"
#include "lib/mail/header.h"
#include "lib/mail/mail_address.h"

enum { WIDTH = 78, LONGEST = 990 };

static void add_bytes(const struct notice *n, struct buf *b, struct str bytes)
{
	size_t start = b->len;

	if (buf_add_printable(b, bytes) < 0 || n->is_utf8)
		return;
	for (size_t i = start; i < b->len; i++)
		if ((unsigned char) b->at[i] >= 0x80)
			b->at[i] = '?';
}

void add_field(const struct notice *n, struct buf *b, const char *name, struct str value)
{
	size_t column = strlen(name) + 1;
	struct str word;

	buf_addf(b, "%s:", name);
	while (str_token(&value, " ", &word)) {
		if (column + 1 + word.len > WIDTH && column > strlen(name) + 1) {
			buf_add_text(b, "\n   ");
			column = 3;
		}
		buf_add_byte(b, ' ');
		add_bytes(n, b, str_head(word, LONGEST - 10));
		column += 1 + word.len;
	}
	buf_add_byte(b, '\n');
}

/* "rfc822; user@example" or, when it is not ASCII, "utf-8; ..." (RFC 6533 3). */
static void add_address_field(const struct notice *n, struct buf *b, const char *name, struct str address)
{
	AUTO(buf) text = BUF(8 << 10);

	buf_add_text(&text, str_is_ascii(address) ? "rfc822; " : "utf-8; ");
	address_quote_821(&text, address);
	add_field(n, b, name, buf_str(&text));
}

static void add_date_field(const struct notice *n, struct buf *b, const char *name, int64_t at_s)
{
	char date[64];

	date_print(at_s, date);
	add_field(n, b, name, str_of(date));
}

static void add_message_fields(const struct notice *n, struct buf *b)
{
	char name[128];

	add_field(n, b, "Reporting-MTA", arena_fmt(n->arena, "dns; %s", n->common->myhostname));
	if (n->e.envid.len > 0)
		add_field(n, b, "Original-Envelope-Id", n->e.envid);
	snprintf(name, sizeof(name), "X-%s-Queue-ID", n->common->mail_name);
	add_field(n, b, name, n->e.queue_id);
	snprintf(name, sizeof(name), "X-%s-Sender", n->common->mail_name);
	add_address_field(n, b, name, n->e.sender);
	add_date_field(n, b, "Arrival-Date", n->e.arrival_us / 1000000);
}

static const char *action(const struct notice *n, const struct outcome *o)
{
	if ((n->e.flags & ENVELOPE_VERIFY) != 0)
		return o->status == OUTCOME_BOUNCED
		       || o->status == OUTCOME_DEFERRED ? "undeliverable" : "deliverable";
	switch (o->status) {
	case OUTCOME_DELIVERED:
		return "delivered";
	case OUTCOME_RELAYED:
	case OUTCOME_HANDED_ON:
		return "relayed";
	case OUTCOME_EXPANDED:
		return "expanded";
	case OUTCOME_BOUNCED:
		return "failed";
	case OUTCOME_DEFERRED:
	case OUTCOME_PENDING:
		return n->kind == BOUNCE_FAILURE ? "failed" : "delayed";
	}
	return "failed";
}

static void add_original_recipient(const struct notice *n, struct buf *b, const struct recipient *r)
{
	struct str type, address = r->orcpt;

	if (r->orcpt.len > 0 && str_cut(&address, ';', &type))
		add_field(n, b, "Original-Recipient", r->orcpt);
	else if (r->original.len > 0)
		add_address_field(n, b, "Original-Recipient", r->original);
}

/* "dns; host.example". Not in the arena: there may be tens of thousands of recipients. */
static void add_typed_field(const struct notice *n, struct buf *b, const char *name, const char *prefix,
			    const char *type, struct str value)
{
	AUTO(buf) text = BUF(16 << 10);

	buf_addf(&text, "%s%s; %.*s", prefix, type, PSTR(str_head(value, 8 << 10)));
	add_field(n, b, name, buf_str(&text));
}

static void add_diagnostic(const struct notice *n, struct buf *b, const struct outcome *o)
{
	if (o->diagnostic.len > 0)
		add_field(n, b, "Diagnostic-Code", o->diagnostic);
	else if (o->text.len > 0)
		add_typed_field(n, b, "Diagnostic-Code", "X-", n->common->mail_name, o->text);
}

static struct str status_of(const struct notice *n, const struct outcome *o)
{
	if (dsn_is_valid(o->dsn))
		return o->dsn;
	return o->status == OUTCOME_BOUNCED || n->kind == BOUNCE_FAILURE
	       ? STR("5.0.0") : o->status == OUTCOME_DEFERRED ? STR("4.0.0") : STR("2.0.0");
}

static void add_recipient_fields(const struct notice *n, struct buf *b, const struct recipient *r,
				 const struct outcome *o)
{
	buf_add_byte(b, '\n');
	add_original_recipient(n, b, r);
	add_address_field(n, b, "Final-Recipient", r->address);
	add_field(n, b, "Action", str_of(action(n, o)));
	add_field(n, b, "Status", status_of(n, o));
	if (o->remote_mta.len > 0)
		add_typed_field(n, b, "Remote-MTA", "", "dns", o->remote_mta);
	add_diagnostic(n, b, o);
	if (o->at_us > 0)
		add_date_field(n, b, "Last-Attempt-Date", o->at_us / 1000000);
	if (n->kind == BOUNCE_DELAY && n->retry_until_s > 0)
		add_date_field(n, b, "Will-Retry-Until", n->retry_until_s);
}

void add_report(const struct notice *n, struct buf *b)
{
	add_message_fields(n, b);
	for (size_t i = 0; i < n->e.recipient_count; i++)
		add_recipient_fields(n, b, &n->e.recipients[i], &n->outcomes[i]);
}
