/* SPDX-License-Identifier: ISC */
/*
 * 8-bit content made fit for a peer that takes 7 bits only (RFC 6152 3, RFC 2045 6.7).
 *
 * Works on lines as they come; of a line only its first LINE_KEEP bytes are held, the rest passes through
 * in the mode that they decided. A Content-Transfer-Encoding header is held back until the end of its
 * header block tells what it belongs to.
 */
#include "lib/mail/mime.h"

#include "lib/mail/header.h"
#include "lib/mail/mime_header.h"

enum { LINE_KEEP = 4096, HELD_MAX = 1024, NESTING = 100 };

static const struct str cte_name = STR_INIT("Content-Transfer-Encoding");

struct mime_downgrade {
	struct mime_walker *walker;
	void (*out)(void *arg, struct str bytes);
	void *arg;
	char line[LINE_KEEP];
	size_t len;
	bool in_long_line;		/* its beginning has been dealt with; the rest goes the same way */
	bool in_headers;
	enum { CTE_NONE, CTE_READING, CTE_HELD } cte;
	char held[HELD_MAX];		/* the header as it came, line ends included */
	size_t held_len;
	bool encode;			/* the current body is being made quoted-printable */
	size_t column;
	/* a blank or tab that is written when it is known not to end the line; 0: none */
	char blank;
};

struct mime_downgrade *mime_downgrade_new(struct arena *a, void (*out)(void *arg, struct str bytes),
					  void *arg)
{
	struct mime_downgrade *d = ARENA_NEW(a, struct mime_downgrade);

	d->walker = mime_walker_new(a, NESTING);
	d->out = out;
	d->arg = arg;
	d->in_headers = true;
	return d;
}

static void put(struct mime_downgrade *d, struct str bytes)
{
	if (bytes.len > 0)
		d->out(d->arg, bytes);
}

/* ---- quoted-printable ---- */

struct qp_out {
	char text[256];
	size_t len;
};

static void qp_token(struct mime_downgrade *d, struct qp_out *o, char c, bool literal)
{
	static const char hex[] = "0123456789ABCDEF";

	if (o->len + 8 > sizeof(o->text)) {
		put(d, str_make(o->text, o->len));
		o->len = 0;
	}
	if (d->column + (literal ? 1 : 3) > 75) {
		o->text[o->len++] = '=';
		o->text[o->len++] = '\n';
		d->column = 0;
	}
	if (literal) {
		o->text[o->len++] = c;
		d->column++;
		return;
	}
	o->text[o->len++] = '=';
	o->text[o->len++] = hex[(unsigned char) c >> 4];
	o->text[o->len++] = hex[(unsigned char) c & 15];
	d->column += 3;
}

static void qp_blank(struct mime_downgrade *d, struct qp_out *o, bool literal)
{
	if (d->blank != 0)
		qp_token(d, o, d->blank, literal);
	d->blank = 0;
}

static void qp_encode(struct mime_downgrade *d, struct str bytes)
{
	struct qp_out o = { .len = 0 };

	for (size_t i = 0; i < bytes.len; i++) {
		char c = bytes.at[i];

		qp_blank(d, &o, true);
		if (is_blank(c))
			d->blank = c;
		else
			qp_token(d, &o, c, is_print(c) && c != '=');
	}
	put(d, str_make(o.text, o.len));
}

static void qp_end_line(struct mime_downgrade *d)
{
	struct qp_out o = { .len = 0 };

	qp_blank(d, &o, false);
	put(d, str_make(o.text, o.len));
	d->column = 0;
}

/* ---- the header ---- */

static bool is_eight_bit(enum mime_encoding e)
{
	return e == MIME_8BIT || e == MIME_BINARY;
}

static void release_held(struct mime_downgrade *d)
{
	put(d, str_make(d->held, d->held_len));
	d->held_len = 0;
	d->cte = CTE_NONE;
}

/* The header being read is complete: it is held only when it may have to be replaced. */
static void settle_header(struct mime_downgrade *d)
{
	struct str value = str_make(d->held, d->held_len), name;

	if (d->cte != CTE_READING)
		return;
	str_cut(&value, ':', &name);
	if (is_eight_bit(mime_encoding_parse(value)))
		d->cte = CTE_HELD;
	else
		release_held(d);
}

static void hold(struct mime_downgrade *d, struct str bytes)
{
	if (d->held_len + bytes.len > HELD_MAX) {	/* absurd; left as it is, and the part with it */
		release_held(d);
		put(d, bytes);
		return;
	}
	memcpy(d->held + d->held_len, bytes.at, bytes.len);
	d->held_len += bytes.len;
}

/* A header block has ended; the walker tells what part it described, unless a boundary followed at once. */
static void end_headers(struct mime_downgrade *d, enum mime_line kind)
{
	d->in_headers = false;
	d->encode = false;
	settle_header(d);
	if (d->cte != CTE_HELD)
		return;
	if (kind == MIME_BOUNDARY || !is_eight_bit(mime_encoding_here(d->walker))) {
		release_held(d);
	} else if (mime_is_leaf(d->walker)) {
		put(d, STR("Content-Transfer-Encoding: quoted-printable\n"));
		d->encode = true;
	} else if (mime_is_composite(d->walker)) {
		put(d, STR("Content-Transfer-Encoding: 7bit\n"));
	} else {
		release_held(d);
	}
	d->held_len = 0;
	d->cte = CTE_NONE;
}

static void header_line(struct mime_downgrade *d, struct str line)
{
	bool continues = line.len > 0 && is_blank(line.at[0]);
	struct str rest = line, name;

	if (!continues) {
		settle_header(d);
		if (str_cut(&rest, ':', &name) && str_is_nocase(str_trim_end(name), cte_name)) {
			if (d->cte == CTE_HELD)		/* a second one: the last one counts */
				release_held(d);
			d->cte = CTE_READING;
		}
	}
	if (d->cte == CTE_READING)
		hold(d, line);
	else
		put(d, line);
}

/* ---- lines ---- */

static void put_body(struct mime_downgrade *d, struct str bytes)
{
	bool has_end = bytes.len > 0 && bytes.at[bytes.len - 1] == '\n';

	if (!d->encode) {
		put(d, bytes);
		return;
	}
	qp_encode(d, str_head(bytes, bytes.len - has_end));
	if (has_end) {
		qp_end_line(d);
		put(d, STR("\n"));
	}
}

/* A line, or the first LINE_KEEP bytes of one; with its LF if that was read. */
static void start_line(struct mime_downgrade *d, struct str bytes)
{
	bool has_end = bytes.len > 0 && bytes.at[bytes.len - 1] == '\n';
	struct str line = str_head(bytes, bytes.len - has_end);
	enum mime_line kind = mime_feed(d->walker, line);

	if (kind == MIME_PRIMARY_HEADER || kind == MIME_PART_HEADER || kind == MIME_NESTED_HEADER) {
		d->in_headers = true;
		d->encode = false;
		header_line(d, bytes);
		return;
	}
	if (d->in_headers)
		end_headers(d, kind);
	if (kind == MIME_BOUNDARY) {
		d->encode = false;
		d->in_headers = true;
	}
	if (kind == MIME_BODY)
		put_body(d, bytes);
	else
		put(d, bytes);
}

static void continue_line(struct mime_downgrade *d, struct str bytes)
{
	if (d->in_headers && d->cte == CTE_READING)
		hold(d, bytes);
	else
		put_body(d, bytes);
}

static void take(struct mime_downgrade *d, struct str bytes)
{
	size_t n = MIN(bytes.len, LINE_KEEP - d->len);

	if (d->in_long_line) {
		continue_line(d, bytes);
		return;
	}
	if (d->len == 0 && bytes.at[bytes.len - 1] == '\n' && bytes.len <= LINE_KEEP) {
		start_line(d, bytes);		/* the usual case: a whole line, without copying */
		return;
	}
	memcpy(d->line + d->len, bytes.at, n);
	d->len += n;
	if (d->len == LINE_KEEP || d->line[d->len - 1] == '\n') {
		d->in_long_line = d->line[d->len - 1] != '\n';
		start_line(d, str_make(d->line, d->len));
		d->len = 0;
		if (n < bytes.len)
			continue_line(d, str_skip(bytes, n));
	}
}

int mime_downgrade_feed(struct mime_downgrade *d, struct str bytes)
{
	while (bytes.len > 0) {
		ssize_t end = str_find(bytes, '\n');
		size_t n = end < 0 ? bytes.len : (size_t) end + 1;

		take(d, str_head(bytes, n));
		if (end >= 0)
			d->in_long_line = false;
		bytes = str_skip(bytes, n);
	}
	return 0;
}

int mime_downgrade_end(struct mime_downgrade *d)
{
	if (d->len > 0)
		start_line(d, str_make(d->line, d->len));
	d->len = 0;
	if (d->encode)
		qp_end_line(d);
	if (d->in_headers)
		end_headers(d, MIME_BLANK);
	return 0;
}
