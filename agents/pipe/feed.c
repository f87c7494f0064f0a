/* SPDX-License-Identifier: ISC */
#include "agents/pipe/feed.h"

#include "lib/mailbox/mailbox.h"

enum { GATHERED = 32 << 10 };

static ssize_t read_message(void *arg, uint64_t at, void *to, size_t n)
{
	const struct delivery *d = arg;

	return content_pread(&d->content, at, to, n);
}

static struct letter letter_of(const struct attributes *at, struct delivery *d)
{
	const struct recipient *r = d->env.recipients;

	return (struct letter) { .sender = d->env.sender.len > 0 ? d->env.sender : at->null_sender,
				 .original_to = original_to(r->original.len > 0 ? r->original : r->address),
				 .delivered_to = r->address,
				 .size = d->content.parts.size, .read = read_message, .arg = d };
}

/* Line ends and dots. */
struct filter {
	const struct attributes *at;
	int (*out)(void *arg, struct str bytes);
	void *out_arg;
	bool at_line_start;
	struct buf gathered;		/* lines are short, and each goes through a pipe */
};

static int flush_gathered(struct filter *f)
{
	int r = f->gathered.len == 0 ? 0 : f->out(f->out_arg, buf_str(&f->gathered));

	buf_clear(&f->gathered);
	return r;
}

static int put(struct filter *f, struct str bytes)
{
	int r = buf_add(&f->gathered, bytes) >= 0 ? 0 : flush_gathered(f);

	if (r < 0 || f->gathered.len > 0 || bytes.len == 0)
		return r;
	return bytes.len > GATHERED / 2 ? f->out(f->out_arg, bytes) : buf_add(&f->gathered, bytes);
}

static int put_line(struct filter *f, struct str line, bool ends)
{
	int r = 0;

	if (f->at_line_start && (f->at->flags & PIPE_DOTS) && str_starts(line, STR(".")))
		r = put(f, STR("."));
	if (r >= 0)
		r = put(f, line);
	if (r >= 0 && ends)
		r = put(f, f->at->eol);
	f->at_line_start = ends;
	return r;
}

static int filter_piece(void *arg, struct str bytes)
{
	struct filter *f = arg;
	struct str line;
	int r = 0;

	while (r >= 0 && bytes.len > 0) {
		bool ends = str_cut(&bytes, '\n', &line);

		r = put_line(f, line, ends);
		if (!ends)
			break;
	}
	return r;
}

int feed_message(const struct attributes *at, struct delivery *d, int (*out)(void *arg, struct str bytes),
		 void *out_arg)
{
	static const struct { unsigned flag, letter; } rows[] = {
		{ PIPE_EMPTY_LINE, LETTER_EMPTY_LINE }, { PIPE_DELIVERED_TO, LETTER_DELIVERED_TO },
		{ PIPE_FROM, LETTER_FROM },
		{ PIPE_ORIGINAL_TO, LETTER_ORIGINAL_TO }, { PIPE_RETURN_PATH, LETTER_RETURN_PATH },
		{ PIPE_QUOTE_FROM, LETTER_QUOTE_FROM },
	};
	struct filter f = { .at = at, .out = out, .out_arg = out_arg, .at_line_start = true,
			    .gathered = BUF(GATHERED) };
	struct letter l = letter_of(at, d);
	unsigned flags = 0;
	int r;

	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (at->flags & rows[i].flag)
			flags |= rows[i].letter;
	if (!(at->flags & PIPE_DOTS) && str_is(at->eol, STR("\n")))
		return letter_copy(&l, flags, out, out_arg);
	r = letter_copy(&l, flags, filter_piece, &f);
	if (r >= 0)
		r = flush_gathered(&f);
	buf_free(&f.gathered);
	return r;
}

int feed_was_delivered_to(struct delivery *d, struct str address)
{
	struct letter l = letter_of(&(struct attributes) { .null_sender = STR_NONE }, d);

	return letter_was_delivered_to(&l, address);
}
