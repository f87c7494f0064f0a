/* SPDX-License-Identifier: ISC */
/*
 * A message with any content and any sender for an mbox file, read in pieces as the first byte
 * says: one line "From " at the start and no other, so that no message can pretend to be several.
 */
#include "lib/base/die.h"
#include "lib/mailbox/mailbox.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct content {
	struct str bytes;
	size_t piece;
};

static ssize_t read_content(void *arg, uint64_t at, void *to, size_t n)
{
	const struct content *c = arg;
	struct str rest = str_head(str_skip(c->bytes, MIN((size_t) at, c->bytes.len)), MIN(n, c->piece));

	if (rest.len > 0)
		memcpy(to, rest.at, rest.len);
	return (ssize_t) rest.len;
}

static int gather(void *arg, struct str bytes)
{
	return buf_add(arg, bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct content c;
	struct letter l = { .read = read_content, .arg = &c };
	AUTO(buf) out = BUF(4 << 20);
	struct str all, sender, rest;
	ssize_t at;

	if (size < 2 || size > 1 << 16)
		return 0;
	all = str_make((const char *) data + 1, size - 1);
	str_cut(&all, '\n', &sender);
	if (str_has_control(sender))
		return 0;		/* never in an envelope */
	c = (struct content){ .bytes = all, .piece = 1 + data[0] % 32 };
	l.sender = l.original_to = l.delivered_to = str_head(sender, 500);
	l.size = all.len;
	BUG_UNLESS(letter_copy(&l, LETTER_FROM | LETTER_QUOTE_FROM | LETTER_EMPTY_LINE | LETTER_HEADERS,
			       gather, &out) >= 0);
	BUG_UNLESS(str_starts(buf_str(&out), STR("From ")) && str_ends(buf_str(&out), STR("\n\n")));
	rest = str_skip(buf_str(&out), 5);
	BUG_UNLESS(str_find_str(rest, STR("\nFrom ")) < 0);
	at = str_find_str(rest, STR("\nDelivered-To: "));
	BUG_UNLESS(at >= 0);
	BUG_UNLESS(letter_was_delivered_to(&l, STR("a@b.example")) >= 0);
	return 0;
}
