/* SPDX-License-Identifier: ISC */
/* What may stand where in an address: shared by the parsers and printers of this room. */
#ifndef ROAD_MAIL_ATEXT_H
#define ROAD_MAIL_ATEXT_H

#include "lib/base/str.h"

enum {
	LOCAL_PART_MAX = 512,		/* RFC 5321 4.5.3.1.1 says 64; VERP, SRS and BATV make longer ones */
	DOMAIN_MAX = 257,		/* 255, and the brackets of a literal */
};

/* An octet of an atom (RFC 5322 3.2.3), or of a UTF-8 sequence (RFC 6532 3.2). */
static inline bool is_atext(char c)
{
	if ((unsigned char) c > 127 || is_alnum(c))
		return true;
	switch (c) {
	case '!': case '#': case '$': case '%': case '&': case '\'': case '*': case '+': case '-': case '/':
	case '=': case '?': case '^': case '_': case '`': case '{': case '|': case '}': case '~':
		return true;
	default:
		return false;
	}
}

static inline bool is_control(char c)
{
	return (unsigned char) c < 32 || c == 127;
}

/*
 * An octet between the brackets of a domain literal. RFC 5321 4.1.3 has more; of these none can be taken
 * for syntax of an address.
 */
static inline bool is_dtext(char c)
{
	return is_alnum(c) || c == '.' || c == ':' || c == '-' || c == '_' || c == '/' || c == '%';
}

#endif
