/* SPDX-License-Identifier: ISC */
/*
 * The packed form of envelopes, see envelope.h. Values are free of control characters, so TAB and
 * LF can separate them.
 */
#include "lib/queue/envelope.h"

#include <errno.h>

enum { USUAL = 500 };			/* bytes of one with a recipient or two */

struct text_attribute {
	struct str name;
	size_t offset;
};

#define TEXT(name) { STR_INIT(#name), offsetof(struct envelope, name) }
static const struct text_attribute texts[] = {
	TEXT(envid), TEXT(full_name), TEXT(client_name), TEXT(client_address), TEXT(client_port),
		TEXT(client_helo),
	TEXT(client_protocol), TEXT(client_tls), TEXT(reverse_name), TEXT(sasl_method), TEXT(sasl_username),
	TEXT(sasl_sender),
	TEXT(message_id), TEXT(filter_transport), TEXT(verp),
};
#undef TEXT

static struct str *text_of(struct envelope *e, const struct text_attribute *t)
{
	return (struct str *) (void *) ((char *) e + t->offset);
}

/* ---- packing; the first failure sticks ---- */

static void put(struct buf *b, struct str s, int *error)
{
	int r;

	if (*error < 0)
		return;
	if (str_has_control(s))
		*error = -EINVAL;
	else if ((r = buf_add(b, s)) < 0)
		*error = r;
}

static void put_byte(struct buf *b, char c, int *error)
{
	int r;

	if (*error == 0 && (r = buf_add_byte(b, c)) < 0)
		*error = r;
}

static void put_text(struct buf *b, struct str name, struct str value, int *error)
{
	put(b, name, error);
	put_byte(b, '\t', error);
	put(b, value, error);
	put_byte(b, '\n', error);
}

static void put_number(struct buf *b, const char *name, int64_t value, int *error)
{
	int r;

	if (*error == 0 && value != 0 && (r = buf_addf(b, "%s\t%lld\n", name, (long long) value)) < 0)
		*error = r;
}

/* TAB, digits, TAB: a message may have a hundred thousand of these lines. */
static void put_field(struct buf *b, uint64_t value, int *error)
{
	put_byte(b, '\t', error);
	if (*error == 0)
		*error = buf_add_u64(b, value);
	put_byte(b, '\t', error);
}

static void put_recipient(struct buf *b, const struct recipient *r, int *error)
{
	put(b, STR("to"), error);
	put_field(b, r->index, error);
	put(b, r->address, error);
	put_byte(b, '\t', error);
	put(b, r->original, error);
	put_field(b, r->notify, error);
	put(b, r->orcpt, error);
	put_byte(b, '\n', error);
}

static int undo_on_error(struct buf *b, size_t start, int error)
{
	if (error < 0 && b->len > start) {
		b->len = start;
		b->at[start] = '\0';
	}
	return error;
}

int envelope_pack(const struct envelope *e, struct buf *b)
{
	size_t start = b->len;
	int error = 0;

	buf_room(b, USUAL);
	put_text(b, STR("sender"), e->sender, &error);
	put_number(b, "arrival", e->arrival_us, &error);
	put_number(b, "flags", e->flags, &error);
	put_number(b, "ret", e->ret, &error);
	put_number(b, "notify", e->notify, &error);
	put_number(b, "uid", (int64_t) e->uid, &error);
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct str value = *text_of((struct envelope *) (uintptr_t) e, &texts[i]);

		if (value.len > 0)
			put_text(b, texts[i].name, value, &error);
	}
	for (size_t i = 0; i < e->recipient_count && error == 0; i++)
		put_recipient(b, &e->recipients[i], &error);
	return undo_on_error(b, start, error);
}

/* ---- unpacking ---- */

static int get_number(struct str text, int64_t max, int64_t *ret)
{
	return str_to_int(text, 0, max, ret) < 0 ? -EBADMSG : 0;
}

static int recipient_unpack(struct str line, struct recipient *ret)
{
	struct str word, address, original;
	int64_t index, notify;

	if (str_ends(line, STR("\n")))
		line.len--;
	if (!str_cut(&line, '\t', &word) || !str_is(word, STR("to")) || !str_cut(&line, '\t', &word)
	    || get_number(word, UINT32_MAX, &index) < 0 || !str_cut(&line, '\t', &address)
	    || !str_cut(&line, '\t', &original) || !str_cut(&line, '\t', &word)
	    || get_number(word, 15, &notify) < 0)
		return -EBADMSG;
	if (str_has_control(address) || str_has_control(original) || str_has_control(line))
		return -EBADMSG;
	*ret = (struct recipient){ .index = (uint32_t) index, .address = address, .original = original,
				   .notify = (unsigned) notify, .orcpt = line };
	return 0;
}

static int get_attribute(struct envelope *e, struct str name, struct str value)
{
	int64_t number;

	if (str_has_control(value))
		return -EBADMSG;
	for (size_t i = 0; i < COUNT_OF(texts); i++)
		if (str_is(name, texts[i].name)) {
			*text_of(e, &texts[i]) = value;
			return 0;
		}
	if (str_is(name, STR("sender"))) {
		e->sender = value;
		return 0;
	}
	if (get_number(value, INT64_MAX, &number) < 0)
		number = -1;
	if (str_is(name, STR("arrival")))
		e->arrival_us = number;
	else if (str_is(name, STR("flags")))
		e->flags = (unsigned) number;
	else if (str_is(name, STR("ret")))
		e->ret = number > RETURN_HEADERS ? RETURN_NOT_SAID : (enum dsn_return) number;
	else if (str_is(name, STR("notify")))
		e->notify = (unsigned) number & 15;
	else if (str_is(name, STR("uid")))
		e->uid = (uint64_t) number;
	else
		return 0;		/* of a later version: skipped */
	return number < 0 ? -EBADMSG : 0;
}

static size_t count_recipients(struct str packed)
{
	struct str line;
	size_t n = 0;

	while (packed.len > 0) {
		str_cut(&packed, '\n', &line);
		n += str_starts(line, STR("to\t"));
	}
	return n;
}

int envelope_unpack(struct str packed, struct arena *a, struct envelope *ret)
{
	size_t most = count_recipients(packed);
	struct envelope e = { .sender = STR_NONE, .queue_id = STR_NONE };
	bool have_sender = false;
	struct str line, name;

	for (size_t i = 0; i < COUNT_OF(texts); i++)
		*text_of(&e, &texts[i]) = STR_NONE;
	if (arena_left(a) < most * sizeof(struct recipient) + 4096)
		return -EMSGSIZE;
	e.recipients = arena_get(a, MAX(most, (size_t) 1) * sizeof(struct recipient));
	while (packed.len > 0) {
		if (!str_cut(&packed, '\n', &line))
			return -EBADMSG;	/* cut off in the middle */
		if (str_starts(line, STR("to\t"))) {
			if (recipient_unpack(line, &e.recipients[e.recipient_count++]) < 0)
				return -EBADMSG;
			continue;
		}
		if (!str_cut(&line, '\t', &name) || get_attribute(&e, name, line) < 0)
			return -EBADMSG;
		have_sender |= str_is(name, STR("sender"));
	}
	if (!have_sender)
		return -EBADMSG;
	*ret = e;
	return 0;
}

int envelope_position(const struct envelope *e, uint32_t index)
{
	if (index < e->recipient_count && e->recipients[index].index == index)
		return (int) index;		/* of every message in the queue */
	for (size_t i = 0; i < e->recipient_count; i++)
		if (e->recipients[i].index == index)
			return (int) i;
	return -ENOENT;
}
