/* SPDX-License-Identifier: ISC */
/*
 * The MIME walker: a stack of the multiparts and attached messages that the current line is inside of.
 *
 *   state        the next line is             left by
 *   IN_HEADERS   a header, its continuation   an empty line, a boundary, a line that is no header
 *   IN_BODY      body text                    a boundary of any level of the stack
 *
 * What must stay true: the stack never exceeds the limit given (what is nested deeper is one opaque body);
 * of a header at most HEADER_MAX bytes are kept.
 */
#include "lib/mail/mime.h"

#include "lib/mail/header.h"
#include "lib/mail/mime_header.h"

enum { HEADER_MAX = 128 << 10, HEADER_USUAL = 4096 };

struct level {
	char *boundary;			/* MIME_BOUNDARY_MAX bytes, made when the level is first used */
	size_t len;			/* 0: an attached message, which ends where a level around it ends */
	bool is_digest;
};

struct mime_walker {
	struct arena *arena;
	enum { IN_HEADERS, IN_BODY } state;
	enum mime_line header_kind;	/* what a header line here is */
	enum mime_type type;		/* of the current part */
	bool has_type;			/* its headers say so */
	enum mime_encoding encoding;
	bool too_deep;
	/* a header of this block was read: what starts with a blank continues it */
	bool in_header;
	bool enter_message;		/* the next line starts the headers of an attached message */
	char *header;			/* the Content-* header being read */
	size_t header_len, header_room;
	struct level *levels;
	int depth, limit;
	char boundary[MIME_BOUNDARY_MAX + 1];	/* of the current part, entered when its headers end */
	size_t boundary_len;
};

struct mime_walker *mime_walker_new(struct arena *a, int nesting_limit)
{
	struct mime_walker *m = ARENA_NEW(a, struct mime_walker);

	m->arena = a;
	m->limit = MAX(nesting_limit, 1);
	m->levels = arena_get(a, sizeof(struct level) * (size_t) m->limit);
	m->header = arena_get(a, HEADER_USUAL);
	m->header_room = HEADER_USUAL;
	m->header_kind = MIME_PRIMARY_HEADER;
	return m;
}

static void push(struct mime_walker *m, struct str boundary, bool is_digest)
{
	struct level *level = &m->levels[m->depth];

	if (m->depth == m->limit) {
		m->too_deep = true;
		m->type = TYPE_OPAQUE;
		return;
	}
	if (boundary.len > 0) {
		if (level->boundary == NULL)
			level->boundary = arena_get(m->arena, MIME_BOUNDARY_MAX);
		memcpy(level->boundary, boundary.at, boundary.len);
	}
	level->len = boundary.len;
	level->is_digest = is_digest;
	m->depth++;
}

/* ---- headers ---- */

static void start_headers(struct mime_walker *m, enum mime_line kind, enum mime_type default_type)
{
	m->state = IN_HEADERS;
	m->header_kind = kind;
	m->type = default_type;
	m->has_type = false;
	m->encoding = MIME_7BIT;
	m->in_header = false;
	m->header_len = 0;
	m->boundary_len = 0;
}

/* Of several, one with parts counts, and all boundaries do: readers differ in which one they believe. */
static void read_type(struct mime_walker *m, struct str value)
{
	AUTO(buf) boundary = BUF(MIME_BOUNDARY_MAX);
	enum mime_type type = mime_type_parse(value, &boundary);

	if (m->has_type && mime_is_composite(m) && (type == TYPE_LEAF || type == TYPE_OPAQUE))
		return;
	if (m->boundary_len > 0)
		push(m, str_make(m->boundary, m->boundary_len), m->type == TYPE_DIGEST);
	m->has_type = true;
	m->type = type;
	m->boundary_len = boundary.len;
	memcpy(m->boundary, boundary.at, boundary.len);
}

/* The kept header is complete. */
static void end_header(struct mime_walker *m)
{
	struct str whole = str_make(m->header, m->header_len), name;

	m->header_len = 0;
	if (whole.len == 0 || !str_cut(&whole, ':', &name))
		return;
	name = str_trim_end(name);
	if (str_is_nocase(name, STR("Content-Type")))
		read_type(m, whole);
	else if (str_is_nocase(name, STR("Content-Transfer-Encoding")))
		m->encoding = mime_encoding_parse(whole);
}

static void make_room(struct mime_walker *m, size_t size)
{
	char *more;

	if (size <= m->header_room)
		return;
	m->header_room = MIN(MAX(size, 2 * m->header_room), (size_t) HEADER_MAX);
	more = arena_get(m->arena, m->header_room);
	memcpy(more, m->header, m->header_len);
	m->header = more;
}

static void keep(struct mime_walker *m, struct str line)
{
	size_t n = MIN(line.len, HEADER_MAX - 1 - m->header_len);

	make_room(m, m->header_len + n + 1);
	memcpy(m->header + m->header_len, line.at, n);
	m->header_len += n;
	if (m->header_len < HEADER_MAX - 1)
		m->header[m->header_len++] = '\n';
}

/*
 * The headers of a part are through: go into its parts, if it has some. That it were encoded as a
 * whole would be against RFC 2045 6.4, and few readers believe it.
 */
static void end_headers(struct mime_walker *m)
{
	end_header(m);
	m->state = IN_BODY;
	if (m->type == TYPE_LEAF || m->type == TYPE_OPAQUE)
		return;
	if (m->type == TYPE_MESSAGE) {
		push(m, STR_NONE, false);
		m->enter_message = m->type == TYPE_MESSAGE;
	} else {
		push(m, str_make(m->boundary, m->boundary_len), m->type == TYPE_DIGEST);
	}
}

/* ---- lines ---- */

/* At a part's start, or at the text behind the last part. */
static void pass_boundary(struct mime_walker *m, int level, bool is_last)
{
	m->enter_message = false;
	if (!is_last) {
		m->depth = level + 1;
		start_headers(m, MIME_PART_HEADER, m->levels[level].is_digest ? TYPE_MESSAGE : TYPE_LEAF);
		return;
	}
	m->depth = level;
	m->state = IN_BODY;
	m->type = TYPE_OPAQUE;
	m->encoding = MIME_7BIT;
}

/*
 * Innermost first: an outer boundary may be the beginning of an inner one. RFC 2046 5.1.1: the beginning
 * of the line decides.
 */
static bool is_boundary(struct mime_walker *m, struct str line)
{
	if (line.len < 3 || line.at[0] != '-' || line.at[1] != '-')
		return false;
	line = str_skip(line, 2);
	for (int i = m->depth - 1; i >= 0; i--) {
		struct str boundary = str_make(m->levels[i].boundary, m->levels[i].len);

		if (boundary.len == 0 || !str_starts(line, boundary))
			continue;
		pass_boundary(m, i, str_starts(str_skip(line, boundary.len), STR("--")));
		return true;
	}
	return false;
}

static enum mime_line feed_header(struct mime_walker *m, struct str line)
{
	if (m->in_header && line.len > 0 && is_blank(line.at[0])) {
		if (m->header_len > 0)
			keep(m, line);
		return m->header_kind;
	}
	if (is_header_start(line)) {
		end_header(m);
		m->in_header = true;
		if (str_starts_nocase(line, STR("Content-")))
			keep(m, line);
		return m->header_kind;
	}
	end_headers(m);
	if (line.len == 0)
		return MIME_BLANK;
	if (m->enter_message) {		/* an attached message that starts with no header is none */
		m->enter_message = false;
		m->depth--;
		m->type = TYPE_OPAQUE;
	}
	/* of the parts whose headers these were: readers do not miss the empty line before it */
	return is_boundary(m, line) ? MIME_BOUNDARY : MIME_BODY;
}

enum mime_line mime_feed(struct mime_walker *m, struct str line)
{
	if (is_boundary(m, line))
		return MIME_BOUNDARY;
	if (m->enter_message) {
		m->enter_message = false;
		start_headers(m, MIME_NESTED_HEADER, TYPE_LEAF);
	}
	return m->state == IN_HEADERS ? feed_header(m, line) : MIME_BODY;
}

void mime_feed_more(struct mime_walker *m, struct str piece)
{
	if (m->state != IN_HEADERS || m->header_len == 0)
		return;
	m->header_len--;		/* the line end */
	keep(m, piece);
}

enum mime_encoding mime_encoding_here(const struct mime_walker *m)
{
	return m->encoding;
}

bool mime_is_leaf(const struct mime_walker *m)
{
	return m->type == TYPE_LEAF;
}

bool mime_is_composite(const struct mime_walker *m)
{
	return m->type != TYPE_LEAF && m->type != TYPE_OPAQUE;
}

bool mime_is_too_deep(const struct mime_walker *m)
{
	return m->too_deep;
}
