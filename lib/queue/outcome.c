/* SPDX-License-Identifier: ISC */
/* The packed form of outcomes: one line each, ten fields separated by TAB. */
#include "lib/queue/outcome.h"

#include <errno.h>

static const struct str words[] = {
	[OUTCOME_PENDING] = STR_INIT("pending"), [OUTCOME_DELIVERED] = STR_INIT("delivered"),
	[OUTCOME_DEFERRED] = STR_INIT("deferred"), [OUTCOME_BOUNCED] = STR_INIT("bounced"),
	[OUTCOME_EXPANDED] = STR_INIT("expanded"), [OUTCOME_RELAYED] = STR_INIT("relayed"),
	[OUTCOME_HANDED_ON] = STR_INIT("handed_on"),
};

struct str outcome_status_text(enum outcome_status s)
{
	return words[s];
}

bool outcome_counts_after(enum outcome_status before, enum outcome_status next)
{
	if (before == OUTCOME_PENDING || before == OUTCOME_DEFERRED)
		return true;
	return next != OUTCOME_PENDING && next != OUTCOME_DEFERRED
	       && (before == OUTCOME_BOUNCED || next != OUTCOME_BOUNCED);
}

int outcome_pack(const struct outcome *o, struct buf *b)
{
	const struct str fields[] = { o->dsn, o->relay, o->remote_mta, o->diagnostic, o->text, o->address,
				      o->original };
	size_t start = b->len;
	int r = buf_add_u64(b, o->index);

	if (r >= 0)
		r = buf_add_byte(b, '\t');
	if (r >= 0)
		r = buf_add(b, words[o->status]);
	if (r >= 0)
		r = buf_add_byte(b, '\t');
	if (r >= 0)
		r = buf_add_u64(b, (uint64_t) MAX(o->at_us, 0));
	for (size_t i = 0; i < COUNT_OF(fields) && r >= 0; i++) {
		r = buf_add_byte(b, '\t');
		if (r >= 0)
			r = buf_add_printable(b, fields[i]);
	}
	if (r >= 0)
		r = buf_add_byte(b, '\n');
	if (r < 0 && b->len > start) {
		b->len = start;
		b->at[start] = '\0';
	}
	return r < 0 ? r : 0;
}

static int get_status(struct str word, enum outcome_status *ret)
{
	for (size_t i = 0; i < COUNT_OF(words); i++)
		if (str_is(word, words[i])) {
			*ret = (enum outcome_status) i;
			return 0;
		}
	return -EBADMSG;
}

int outcome_unpack(struct str *packed, struct outcome *ret)
{
	struct outcome o = { 0 };
	struct str *const fields[] = { &o.dsn, &o.relay, &o.remote_mta, &o.diagnostic, &o.text, &o.address };
	struct str line, word;
	int64_t number;

	if (packed->len == 0)
		return 0;
	str_cut(packed, '\n', &line);
	if (!str_cut(&line, '\t', &word) || str_to_int(word, 0, UINT32_MAX, &number) < 0)
		return -EBADMSG;
	o.index = (uint32_t) number;
	if (!str_cut(&line, '\t', &word) || get_status(word, &o.status) < 0
	    || !str_cut(&line, '\t', &word) || str_to_int(word, 0, INT64_MAX, &o.at_us) < 0)
		return -EBADMSG;
	for (size_t i = 0; i < COUNT_OF(fields); i++)
		if (!str_cut(&line, '\t', fields[i]) || str_has_control(*fields[i]))
			return -EBADMSG;
	if (str_has_control(line))
		return -EBADMSG;
	o.original = line;
	*ret = o;
	return 1;
}
