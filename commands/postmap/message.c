/* SPDX-License-Identifier: ISC */
/*
 * postmap -h and -b: the message on standard input as lookup keys, header by header and line by
 * line, as header_checks and body_checks see it.
 */
#include <errno.h>

#include "commands/postmap/postmap.h"
#include "lib/base/die.h"
#include "lib/mail/mime.h"

enum { MOST_HEADER = 1 << 20, NESTING = 100 };

struct reading {
	const struct job *job;
	struct mime_walker *walker;
	struct buf header;		/* the logical header so far; empty: none */
	bool in_header;
	bool in_body;			/* without -m: everything behind the first header block is body */
	void (*look_up)(void *arg, struct str key);
	void *arg;
};

static void end_header(struct reading *r)
{
	if (r->header.len > 0)
		r->look_up(r->arg, buf_str(&r->header));
	buf_clear(&r->header);
}

static void header_line(struct reading *r, struct str line)
{
	if (!r->job->headers)
		return;
	if (!is_blank(line.at[0]))
		end_header(r);
	else if (r->header.len > 0)
		buf_add_byte(&r->header, '\n');
	if (buf_add(&r->header, line) < 0)
		die(EX_DATAERR, "a header of more than %d bytes", MOST_HEADER);
}

static void body_line(struct reading *r, struct str line)
{
	end_header(r);
	if (r->job->body)
		r->look_up(r->arg, line);
}

static void message_line(struct reading *r, struct str line)
{
	enum mime_line kind = mime_feed(r->walker, line);

	if (r->in_body) {
		body_line(r, line);
		return;
	}
	switch (kind) {
	case MIME_PRIMARY_HEADER:
	case MIME_PART_HEADER:
	case MIME_NESTED_HEADER:
		r->in_header = true;
		header_line(r, line);
		break;
	case MIME_BLANK:
	case MIME_BODY:
	case MIME_BOUNDARY:
		/*
		 * The empty line that is missing behind the header belongs to the body, as if it
		 * were there.
		 */
		if (r->in_header && kind != MIME_BLANK)
			body_line(r, STR_NONE);
		r->in_header = false;
		r->in_body = !r->job->mime;
		body_line(r, line);
		break;
	}
}

void each_line_of_message(const struct job *job, void (*look_up)(void *arg, struct str key), void *arg)
{
	struct arena *a = arena_new("message", NULL, 16 << 20);
	struct reading r = { .job = job, .walker = mime_walker_new(a, NESTING), .in_header = true,
			     .header = BUF(MOST_HEADER), .look_up = look_up, .arg = arg };
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	while ((len = getline(&line, &size, stdin)) >= 0) {
		struct str text = str_make(line, (size_t) len);

		if (text.len > 0 && text.at[text.len - 1] == '\n')
			text.len--;
		message_line(&r, text);
	}
	if (ferror(stdin))
		die(EX_IOERR, "read: %s", error_text(errno));
	end_header(&r);
	free(line);
	buf_free(&r.header);
	arena_free(a);
}
