/* SPDX-License-Identifier: ISC */
/*
 * A message on its way into a mailbox or to a command: lines of its envelope in front, then the content as
 * it is.
 */
#include <errno.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/disk/disk.h"
#include "lib/mail/header.h"
#include "lib/mail/mail_address.h"
#include "lib/mailbox/mailbox.h"

enum { PIECE = 64 << 10, MOST_HEADERS = 1 << 20 };

/* The sender in the From_ line must be one word. */
static void add_from_line(const struct letter *l, struct buf *b)
{
	time_t now = (time_t) wall_s();
	AUTO(buf) sender = BUF(4096);
	char date[40] = "";
	struct tm tm;

	address_quote_822(&sender, l->sender);
	for (size_t i = 0; i < sender.len; i++)
		if (is_space(sender.at[i]))
			sender.at[i] = '-';
	localtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a %b %e %H:%M:%S %Y", &tm);
	buf_addf(b, "From %s  %s\n", sender.len > 0 ? sender.at : "MAILER-DAEMON", date);
}

static void add_address(struct buf *b, const char *before, struct str address, const char *after)
{
	buf_add_text(b, before);
	address_quote_822(b, address);
	buf_add_text(b, after);
}

static void add_front(const struct letter *l, unsigned flags, struct buf *b)
{
	if (flags & LETTER_FROM)
		add_from_line(l, b);
	if (flags & LETTER_RETURN_PATH)
		add_address(b, "Return-Path: <", l->sender, ">\n");
	if ((flags & LETTER_ORIGINAL_TO) && l->original_to.len > 0)
		add_address(b, "X-Original-To: ", l->original_to, "\n");
	if (flags & LETTER_DELIVERED_TO)
		add_address(b, "Delivered-To: ", l->delivered_to, "\n");
}

/* Content passing through: where lines begin must be known across pieces. */
struct quoting {
	int (*out)(void *arg, struct str bytes);
	void *arg;
	bool quote;
	bool at_line_start;
	char held[4];			/* the beginning of a line that may become "From " */
	size_t held_len;
};

static const struct str from_word = STR_INIT("From ");

static int release(struct quoting *q)
{
	size_t n = q->held_len;

	q->held_len = 0;
	return n == 0 ? 0 : q->out(q->arg, str_make(q->held, n));
}

/*
 * At the start of a line: decides about "From ", holding back up to four bytes when the piece ends too
 * early.
 */
static int line_start(struct quoting *q, struct str *piece)
{
	int r = 0;

	while (piece->len > 0 && q->held_len < from_word.len) {
		if (piece->at[0] != from_word.at[q->held_len]) {
			q->at_line_start = false;
			return release(q);
		}
		if (q->held_len == from_word.len - 1) {		/* the whole word */
			q->at_line_start = false;
			r = q->out(q->arg, STR(">"));
			return r < 0 ? r : release(q);
		}
		q->held[q->held_len++] = piece->at[0];
		*piece = str_skip(*piece, 1);
	}
	return r;
}

static int pass(struct quoting *q, struct str piece)
{
	int r = 0;

	if (!q->quote)
		return q->out(q->arg, piece);
	while (r >= 0 && piece.len > 0) {
		ssize_t end;
		struct str line;

		if (q->at_line_start) {
			r = line_start(q, &piece);
			continue;
		}
		/* Up to the next line that starts with "F": usually all of the piece. */
		end = str_find_str(piece, STR("\nF"));
		if (end < 0 && piece.at[piece.len - 1] == '\n')
			end = (ssize_t) piece.len - 1;
		line = end < 0 ? piece : str_head(piece, (size_t) end + 1);
		q->at_line_start = end >= 0;
		piece = str_skip(piece, line.len);
		r = q->out(q->arg, line);
	}
	return r;
}

static int pass_content(const struct letter *l, struct quoting *q, char *last)
{
	AUTO_PTR char *piece = get_memory(PIECE);
	uint64_t at = 0;

	for (;;) {
		ssize_t n = l->read(l->arg, at, piece, PIECE);
		int r;

		if (n <= 0)
			return n < 0 ? (int) n : release(q);
		*last = piece[n - 1];
		r = pass(q, str_make(piece, (size_t) n));
		if (r < 0)
			return r;
		at += (uint64_t) n;
	}
}

int letter_copy(const struct letter *l, unsigned flags, int (*out)(void *arg, struct str bytes), void *arg)
{
	struct quoting q = { .out = out, .arg = arg, .quote = flags & LETTER_QUOTE_FROM,
			     .at_line_start = true };
	AUTO(buf) front = BUF(32 << 10);
	char last = '\n';
	int r;

	add_front(l, flags, &front);
	r = front.len > 0 ? out(arg, buf_str(&front)) : 0;
	if (r >= 0)
		r = pass_content(l, &q, &last);
	if (r >= 0 && last != '\n')
		r = out(arg, STR("\n"));
	if (r >= 0 && (flags & LETTER_EMPTY_LINE))
		r = out(arg, STR("\n"));
	return r;
}

/* ---- to a file ---- */

struct file_out { int fd; struct buf gathered; };

static int flush_file(struct file_out *f)
{
	int r = write_all(f->fd, f->gathered.at, f->gathered.len);

	buf_clear(&f->gathered);
	return r;
}

static int to_file(void *arg, struct str bytes)
{
	struct file_out *f = arg;
	int r;

	if (buf_add(&f->gathered, bytes) >= 0)
		return 0;
	r = flush_file(f);
	if (r < 0)
		return r;
	return bytes.len >= PIECE ? write_all(f->fd, bytes.at, bytes.len) : buf_add(&f->gathered, bytes);
}

int letter_write(const struct letter *l, unsigned flags, int fd)
{
	struct file_out f = { .fd = fd, .gathered = BUF(PIECE) };
	int r = letter_copy(l, flags, to_file, &f);

	if (r >= 0)
		r = flush_file(&f);
	buf_free(&f.gathered);
	return r;
}

/* ---- loops ---- */

static bool says_delivered_to(const struct header *h, struct str address)
{
	AUTO(buf) quoted = BUF(4096);

	if (!str_is_nocase(h->name, STR("Delivered-To")) || address_quote_822(&quoted, address) < 0)
		return false;
	return str_is_nocase(str_trim(h->value), buf_str(&quoted));
}

int letter_was_delivered_to(const struct letter *l, struct str address)
{
	AUTO(buf) headers = BUF(MOST_HEADERS);
	struct str rest;
	struct header h;
	ssize_t n;

	while (headers.len < MOST_HEADERS && str_find_str(buf_str(&headers), STR("\n\n")) < 0) {
		size_t want = MIN(PIECE, MOST_HEADERS - headers.len);
		char *room = buf_room(&headers, want);

		if (room == NULL)
			break;
		n = l->read(l->arg, headers.len, room, want);
		if (n < 0)
			return (int) n;
		if (n == 0)
			break;
		headers.len += (size_t) n;
	}
	rest = buf_str(&headers);
	while (header_next(&rest, &h) > 0)
		if (says_delivered_to(&h, address))
			return 1;
	return 0;
}
