/* SPDX-License-Identifier: ISC */
/*
 * Exchanging addresses in headers: cleanup (standard form, canonical_maps, masquerading) and the SMTP client
 * (smtp_generic_maps).
 *
 * What must stay true: every byte that is not part of an exchanged address stays as and where it is.
 */
#include "lib/mail/header.h"

#include <errno.h>

#include "lib/mail/mail_address.h"

static const struct role_row {
	struct str name;
	enum header_role role;
} rows[] = {
	{ STR_INIT("apparently-to"), NAMES_RECIPIENTS },
	{ STR_INIT("bcc"), NAMES_RECIPIENTS },
	{ STR_INIT("cc"), NAMES_RECIPIENTS },
	{ STR_INIT("disposition-notification-to"), NAMES_SENDER },
	{ STR_INIT("errors-to"), NAMES_SENDER },
	{ STR_INIT("from"), NAMES_SENDER },
	{ STR_INIT("mail-followup-to"), NAMES_SENDER },
	{ STR_INIT("reply-to"), NAMES_SENDER },
	{ STR_INIT("resent-bcc"), NAMES_RECIPIENTS },
	{ STR_INIT("resent-cc"), NAMES_RECIPIENTS },
	{ STR_INIT("resent-from"), NAMES_SENDER },
	{ STR_INIT("resent-reply-to"), NAMES_RECIPIENTS },
	{ STR_INIT("resent-sender"), NAMES_SENDER },
	{ STR_INIT("resent-to"), NAMES_RECIPIENTS },
	{ STR_INIT("return-path"), NAMES_SENDER },
	{ STR_INIT("return-receipt-to"), NAMES_SENDER },
	{ STR_INIT("sender"), NAMES_SENDER },
	{ STR_INIT("to"), NAMES_RECIPIENTS },
};

enum header_role header_role(struct str name)
{
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (str_is_nocase(name, rows[i].name))
			return rows[i].role;
	return NO_ADDRESSES;
}

/* Behind the comment that starts at text[at], which the parser found to be closed. */
static size_t behind_comment(struct str text, size_t at)
{
	size_t depth = 0;

	for (; at < text.len; at++) {
		if (text.at[at] == '\\')
			at++;
		else if (text.at[at] == '(')
			depth++;
		else if (text.at[at] == ')' && --depth == 0)
			return at + 1;
	}
	return text.len;
}

/* Comments between the words of an address that is exchanged move behind the new one. */
static int keep_comments(struct buf *b, struct str text)
{
	bool quoted = false;
	int r = 0;

	for (size_t i = 0; i < text.len && r >= 0; i++) {
		if (text.at[i] == '\\') {
			i++;
		} else if (text.at[i] == '"') {
			quoted = !quoted;
		} else if (text.at[i] == '(' && !quoted) {
			size_t end = behind_comment(text, i);

			r = buf_add_byte(b, ' ');
			if (r >= 0)
				r = buf_add(b, str_head(str_skip(text, i), end - i));
			i = end - 1;
		}
	}
	return r;
}

/* What stands for the address from now on: its old text completed, or a new text. -errno: leave it alone. */
static int print(struct buf *b, const struct header_mailbox *old, struct str address)
{
	bool is_completion = !old->has_route && old->address.len > 0 && str_find(old->address, '@') < 0
			     && str_starts(address, old->address) && address.at[old->address.len] == '@';
	int r;

	if (address.len == 0)
		return -EINVAL;
	if (is_completion) {
		struct str missing = str_skip(address, old->address.len);

		if (str_find(str_skip(missing, 1), '@') >= 0 || str_has_control(missing))
			return -EINVAL;
		r = buf_add(b, old->text);
		return r < 0 ? r : buf_add(b, missing);
	}
	r = address_quote_822(b, address);
	return r < 0 ? r : keep_comments(b, old->text);
}

int header_rewrite(const struct header *h, struct arena *a, int64_t most, header_rewriter *rewrite, void *arg,
		   struct str *ret_whole)
{
	AUTO(buf) out = BUF(8 << 20);
	AUTO(buf) one = BUF(8 << 20);
	const char *copied = h->whole.at;
	struct str rest = h->value;
	struct header_mailbox box;
	int r;

	while (most-- > 0 && (r = header_mailbox_next(&rest, a, &box)) != 0) {
		struct str address = box.address;

		if (r < 0 || (box.address.len == 0 && box.has_route))
			/* not for us to touch: unparsable, or "<@relay:>", which names nobody */
			continue;
		r = rewrite(arg, &box, &address);
		if (r < 0)
			return r;
		buf_clear(&one);
		if (r == 0 || print(&one, &box, address) < 0)
			continue;
		if (buf_add(&out, str_make(copied, (size_t) (box.text.at - copied))) < 0
		    || buf_add(&out, buf_str(&one)) < 0)
			return 0;
		copied = box.text.at + box.text.len;
	}
	if (copied == h->whole.at)
		return 0;
	if (buf_add(&out, str_make(copied, (size_t) (h->whole.at + h->whole.len - copied))) < 0)
		return 0;
	*ret_whole = arena_copy(a, buf_str(&out));
	return 1;
}
