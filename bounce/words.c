/* SPDX-License-Identifier: ISC */
/* What people read first. */
#include "bounce/notice.h"

#include "lib/mail/header.h"
#include "lib/mail/mail_address.h"

enum { WIDTH = 72, MOST_NAMED = 200 };

static void add_introduction(const struct notice *n, enum notice_audience who, struct buf *b)
{
	if (who == TO_SENDER)
		buf_add(b, n->template->text);
	else
		buf_addf(b, "This is the mail system at %s.\n\nMail to the recipients below %s.\n",
			 n->common->myhostname,
			 n->kind == BOUNCE_DELAY ? "is late" : "could not be delivered");
}

static const char *progress(const struct notice *n, const struct outcome *o)
{
	if (n->kind == BOUNCE_VERIFY)
		return "";
	switch (o->status) {
	case OUTCOME_DELIVERED:
		return "delivered: ";
	case OUTCOME_RELAYED:
		return "relayed: ";
	case OUTCOME_EXPANDED:
		return "expanded: ";
	default:
		return "";
	}
}

/* Breaks lines at blanks, as far as there are any. */
static void add_wrapped(struct buf *b, struct str text, size_t column)
{
	struct str word;

	while (str_token(&text, " ", &word)) {
		if (column > 4 && column + 1 + word.len > WIDTH) {
			buf_add_text(b, "\n   ");
			column = 3;
		}
		buf_add_byte(b, ' ');
		buf_add(b, word);
		column += 1 + word.len;
	}
	buf_add_byte(b, '\n');
}

/* As one writes it in a header. */
static void add_address(struct buf *b, struct str address)
{
	buf_add_byte(b, '<');
	if (address_quote_822(b, address) < 0)
		buf_add_printable(b, address);
	buf_add_byte(b, '>');
}

static void add_recipient_words(const struct notice *n, const struct recipient *r, const struct outcome *o,
				struct buf *b)
{
	size_t start;
	AUTO(buf) text = BUF(16 << 10);
	AUTO(buf) plain = BUF(16 << 10);

	buf_add_byte(b, '\n');
	start = b->len;
	add_address(b, r->address);
	if (r->original.len > 0 && !str_is(r->original, r->address)) {
		buf_add_text(b, " (expanded from ");
		add_address(b, r->original);
		buf_add_byte(b, ')');
	}
	buf_add_byte(b, ':');
	buf_add_text(&text, progress(n, o));
	buf_add(&text, o->text);
	buf_add_printable(&plain, buf_str(&text));
	if (!n->is_utf8)
		for (size_t i = 0; i < plain.len; i++)
			if ((unsigned char) plain.at[i] >= 0x80)
				plain.at[i] = '?';
	add_wrapped(b, buf_str(&plain), b->len - start);
}

static void add_why_it_is_missing(const struct notice *n, struct buf *b)
{
	if (n->original == IS_DAMAGED)
		buf_add_text(b, "\nThe message itself is damaged in this mail system's queue, so that it cannot be\n"
				"attached here.\n");
	else if (n->original == IS_REFUSED)
		buf_add_text(b, "\nThe message itself is not attached: with it, this mail system refused to send\n"
				"this notification.\n");
}

void add_words(const struct notice *n, enum notice_audience who, struct buf *b)
{
	add_introduction(n, who, b);
	for (size_t i = 0; i < MIN(n->e.recipient_count, (size_t) MOST_NAMED); i++)
		add_recipient_words(n, &n->e.recipients[i], &n->outcomes[i], b);
	if (n->e.recipient_count > MOST_NAMED)
		buf_addf(b, "\nand %zu more, which the attached report names.\n",
			 n->e.recipient_count - MOST_NAMED);
	add_why_it_is_missing(n, b);
}
