/* SPDX-License-Identifier: ISC */
/* Enhanced status codes (RFC 3463) and xtext (RFC 3461 4). */
#ifndef ROAD_MAIL_DSN_H
#define ROAD_MAIL_DSN_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"

/*
 * "5.1.1 text" -> code view and text behind it; 0, or -EINVAL when it does not start with a valid code
 * (then nothing is set). Never reads beyond s.
 */
int dsn_split(struct str s, struct str *ret_code, struct str *ret_text);
bool dsn_is_valid(struct str code);
/*
 * Like dsn_split, with a fallback code, and the class digit forced to fit an SMTP reply code (250 -> 2,
 * 450 -> 4, 550 -> 5).
 */
void dsn_of_reply(int reply_code, struct str text, struct str fallback, struct arena *a, struct str *ret_code,
		  struct str *ret_text);

/*
 * -EINVAL: bad digits, or the result would have control characters or be no UTF-8. Raw UTF-8 is let
 * through (RFC 6533 utf-8-addr).
 */
int xtext_decode(struct str x, struct arena *a, struct str *ret);
int xtext_encode(struct buf *b, struct str s);
/*
 * utf-8-addr-xtext (RFC 6533 3), which is ASCII, so that also a server may be told that does not know
 * SMTPUTF8. What is encoded already stays as it is.
 */
int utf8_xtext_encode(struct buf *b, struct str s);

#endif
