/* SPDX-License-Identifier: ISC */
/*
 * The body goes into the queue file byte for byte; only when checks are configured is it looked at
 * line by line.
 */
#include "cleanup/message.h"

#include "lib/base/die.h"

enum { MOST_LINE = 2048 };		/* checks see a longer line in pieces of this size */

struct check_line {
	struct buf text;		/* the piece of a line under way, not yet judged */
	struct buf header;		/* of a part, with its folded lines: judged when it is complete */
	enum check_class class;		/* of the line under way, and of header */
	bool inside;			/* a piece of the line was judged already */
	bool kept;			/* and something of it is stored: its line end belongs to it */
	uint64_t looked_at;		/* of this part of the message */
};

static bool any_8bit(struct str bytes)
{
	size_t i = 0;
	uint64_t words[4];

	for (; i + sizeof(words) <= bytes.len; i += sizeof(words)) {
		memcpy(words, bytes.at + i, sizeof(words));
		if (((words[0] | words[1] | words[2] | words[3]) & 0x8080808080808080u) != 0)
			return true;
	}
	for (; i < bytes.len; i++)
		if ((unsigned char) bytes.at[i] >= 0x80)
			return true;
	return false;
}

static void store(struct message *m, struct str bytes)
{
	int r;

	if (bytes.len == 0 || m->writer == NULL || m->refused.code != 0)
		return;
	m->last_byte = bytes.at[bytes.len - 1];
	r = queue_write_body(m->writer, bytes);
	if (r < 0)
		refuse_error(m, r, "write queue file");
}

/* ---- line by line ---- */

/* What is about MIME in the headers of an attached message is for mime_header_checks, as in our own. */
static enum check_class class_of_line(struct message *m, const struct check_line *c, struct str line)
{
	struct str rest = line, name;

	switch (mime_feed(m->mime, line)) {
	case MIME_PART_HEADER:
		return CHECK_MIME_HEADER;
	case MIME_NESTED_HEADER:
		if (is_blank(line.at[0]))
			return c->class;
		str_cut(&rest, ':', &name);
		return header_kind_of(str_trim_end(name)) == HEADER_OF_MIME ? CHECK_MIME_HEADER
		       : CHECK_NESTED_HEADER;
	default:
		return CHECK_BODY;
	}
}

/* A header that is held is complete. */
static void end_header(struct message *m, struct check_line *c)
{
	struct str text = buf_str(&c->header);

	if (str_ends(text, STR("\n")))		/* cut off there: an empty line would end the headers */
		text.len--;
	if (text.len > 0 && check_text(m, c->class, header_without_blanks(m, text), &text)) {
		store(m, text);
		store(m, STR("\n"));
	}
	buf_clear(&c->header);
}

/* As much of it as header_size_limit allows, like a header of the message itself. */
static void add_to_header(struct check_line *c, struct str text)
{
	buf_add(&c->header, str_head(text, c->header.limit - c->header.len));
}

static void begin_line(struct message *m, struct check_line *c, struct str piece)
{
	enum check_class class = class_of_line(m, c, piece);

	if (mime_is_too_deep(m->mime) && checks_look_at_body(m))
		refuse_nesting(m, piece);
	if (class != CHECK_BODY)
		c->looked_at = 0;
	if (c->header.len > 0 && class == c->class && piece.len > 0 && is_blank(piece.at[0]))
		add_to_header(c, STR("\n"));
	else
		end_header(m, c);
	c->class = class;
	c->kept = false;
}

/* Of the body, or of a header that nobody asks about. */
static void take_text(struct message *m, struct check_line *c, struct str piece)
{
	bool is_judged = checks_for(m, c->class) != NULL && piece.len > 0 && c->class == CHECK_BODY
			 && c->looked_at < (uint64_t) the_cleanup.conf.body_checks_size_limit;

	c->looked_at += piece.len + 1;
	if (is_judged && !check_text(m, c->class, piece, &piece))
		return;
	store(m, piece);
	c->kept = true;
}

/* A line, or MOST_LINE bytes of it. */
static void take_piece(struct message *m, struct check_line *c, struct str piece, bool has_lf)
{
	bool is_more = c->inside;

	if (is_more)
		mime_feed_more(m->mime, piece);
	else
		begin_line(m, c, piece);
	c->inside = !has_lf;
	if (c->class != CHECK_BODY && checks_for(m, c->class) != NULL) {
		add_to_header(c, piece);
		return;
	}
	if (!is_more || piece.len > 0)
		take_text(m, c, piece);
	if (has_lf && c->kept)
		store(m, STR("\n"));
}

static void take_lines(struct message *m, struct str bytes)
{
	struct check_line *c = m->check_line;

	while (bytes.len > 0 && m->refused.code == 0) {
		ssize_t lf = str_find(bytes, '\n');
		size_t len = lf < 0 ? bytes.len : (size_t) lf;
		size_t used = MIN(len, MOST_LINE - c->text.len);
		bool has_lf = lf >= 0 && used == len;

		if (c->text.len == 0 && has_lf) {
			take_piece(m, c, str_head(bytes, used), true);
		} else {
			buf_add(&c->text, str_head(bytes, used));
			if (has_lf || c->text.len == MOST_LINE) {
				take_piece(m, c, buf_str(&c->text), has_lf);
				buf_clear(&c->text);
			}
		}
		bytes = str_skip(bytes, used + has_lf);
	}
}

void take_body(struct message *m, struct str bytes)
{
	if (!m->has_8bit && any_8bit(bytes))
		m->has_8bit = true;
	if (m->check_line != NULL)
		take_lines(m, bytes);
	else
		store(m, bytes);
}

void end_body(struct message *m)
{
	struct check_line *c = m->check_line;

	if (c != NULL && c->text.len > 0)
		take_piece(m, c, buf_str(&c->text), false);
	if (c != NULL)
		end_header(m, c);
	if (m->writer != NULL && queue_written(m->writer) > 0 && m->last_byte != '\n')
		store(m, STR("\n"));
}

void begin_body(struct message *m)
{
	if (!checks_look_at_body(m))
		return;
	m->check_line = ARENA_NEW(m->arena, struct check_line);
	m->check_line->text = BUF(MOST_LINE);
	m->check_line->header = BUF((size_t) the_cleanup.conf.header_size_limit);
}

void free_body(struct message *m)
{
	if (m->check_line == NULL)
		return;
	buf_free(&m->check_line->text);
	buf_free(&m->check_line->header);
}
