/* SPDX-License-Identifier: ISC */
/*
 * The body goes into the queue file byte for byte; only when checks are configured is it looked at
 * line by line.
 */
#include "cleanup/message.h"

#include "lib/base/die.h"

enum { MOST_LINE = 2048 };		/* of a line that checks see; the rest of it passes unseen */

/* What came of the line under way. A line longer than MOST_LINE is judged by its beginning. */
struct check_line {
	struct buf text;
	bool judged, keep;		/* the long line's beginning was judged */
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

static enum check_class class_of_line(struct message *m, struct str line, struct check_line *c)
{
	switch (m->mime == NULL ? MIME_BODY : mime_feed(m->mime, line)) {
	case MIME_PART_HEADER:
		c->looked_at = 0;
		return CHECK_MIME_HEADER;
	case MIME_NESTED_HEADER:
		c->looked_at = 0;
		return CHECK_NESTED_HEADER;
	default:
		return CHECK_BODY;
	}
}

/* A header of a part is judged line by line too: folded ones by their first line. */
static bool judge(struct message *m, struct check_line *c, struct str line, struct str *ret)
{
	enum check_class class = class_of_line(m, line, c);

	*ret = line;
	if (checks_for(m, class) == NULL || line.len == 0)
		return true;
	c->looked_at += line.len + 1;
	if (class == CHECK_BODY && c->looked_at > (uint64_t) the_cleanup.conf.body_checks_size_limit)
		return true;
	return check_text(m, class, line, ret);
}

static void end_line(struct message *m, struct check_line *c, struct str line, bool has_lf)
{
	struct str out = line;

	if (c->judged ? c->keep : judge(m, c, line, &out)) {
		store(m, out);
		if (has_lf)
			store(m, STR("\n"));
	}
	c->judged = false;
	buf_clear(&c->text);
}

static void add_to_line(struct message *m, struct check_line *c, struct str piece)
{
	struct str out;
	size_t room;

	if (c->judged) {
		if (c->keep)
			store(m, piece);
		return;
	}
	if (buf_add(&c->text, piece) >= 0)
		return;
	/* Longer than checks look at: judged now, and the rest is passed on as it comes. */
	room = MOST_LINE - c->text.len;
	buf_add(&c->text, str_head(piece, room));
	c->keep = judge(m, c, buf_str(&c->text), &out);
	c->judged = true;
	if (c->keep) {
		store(m, out);
		store(m, str_skip(piece, room));
	}
}

static void take_lines(struct message *m, struct str bytes)
{
	struct check_line *c = m->check_line;
	struct str line;

	while (bytes.len > 0 && m->refused.code == 0) {
		bool whole = str_cut(&bytes, '\n', &line);

		if (whole && c->text.len == 0 && !c->judged && line.len <= MOST_LINE) {
			end_line(m, c, line, true);
			continue;
		}
		add_to_line(m, c, line);
		if (whole)
			end_line(m, c, c->judged ? STR_NONE : buf_str(&c->text), true);
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
		end_line(m, c, c->judged ? STR_NONE : buf_str(&c->text), false);
	if (m->writer != NULL && queue_written(m->writer) > 0 && m->last_byte != '\n')
		store(m, STR("\n"));
}

void begin_body(struct message *m)
{
	if (checks_for(m, CHECK_BODY) == NULL && checks_for(m, CHECK_MIME_HEADER) == NULL
	    && checks_for(m, CHECK_NESTED_HEADER) == NULL)
		return;
	m->check_line = ARENA_NEW(m->arena, struct check_line);
	m->check_line->text = BUF(MOST_LINE);
}

void free_body(struct message *m)
{
	if (m->check_line != NULL)
		buf_free(&m->check_line->text);
}
