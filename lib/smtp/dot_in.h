/* SPDX-License-Identifier: ISC */
/*
 * Message content as a client sends it, to the form that cleanup wants: lines that end in LF.
 *
 * DATA (RFC 5321 4.1.1.4, 4.5.2): the content ends at CR LF "." CR LF and nowhere else, whatever
 * stands around bare newlines or carriage returns: this is what SMTP smuggling lives on, so no
 * setting changes it. A leading dot of a line is taken away. BDAT (RFC 3030): the same without
 * dots; the chunk sizes say where the content ends.
 *
 * A bare LF is taken as a line end and noted in `bare_lf`: what to do about it is the caller's
 * policy. A CR that is not followed by LF is content and stays.
 */
#ifndef ROAD_SMTP_DOT_IN_H
#define ROAD_SMTP_DOT_IN_H

#include "lib/base/buf.h"

enum dot_in_state {
	DOT_IN_START,			/* at the start of a line */
	DOT_IN_DOT,			/* behind its leading dot, which is already dropped */
	DOT_IN_DOT_CR,			/* behind ". CR" */
	DOT_IN_TEXT,			/* inside a line */
	DOT_IN_TEXT_CR,			/* inside a line, behind a CR that is not yet written */
	DOT_IN_END,			/* the final dot was seen */
};

struct dot_in {
	enum dot_in_state state;
	bool dots;			/* DATA */
	/* in START, DOT, DOT_CR: the line before ended in CR LF (or there is none) */
	bool after_crlf;
	bool bare_lf;			/* a line ended in LF alone */
	uint64_t bytes, lines;		/* written so far; the size in SMTP's counting is bytes + lines */
};

/* dots: DATA; otherwise BDAT, where a dot is a dot and the end is the caller's to know */
void dot_in_begin(struct dot_in *d, bool dots);
/*
 * Decodes `in` onto the end of out, which must have room for in.len + 1 bytes. Returns how many
 * bytes were used: all, unless the end of data was met (dot_in_ended); what follows is the next
 * command.
 */
size_t dot_in_feed(struct dot_in *d, struct str in, struct buf *out);
static inline bool dot_in_ended(const struct dot_in *d) { return d->state == DOT_IN_END; }
/*
 * After the last chunk: a pending CR is written, and a last line without line end gets one. Room
 * for 2 bytes.
 */
void dot_in_finish(struct dot_in *d, struct buf *out);

#endif
