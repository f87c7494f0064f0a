/* SPDX-License-Identifier: ISC */
/* Replies: always one whole line each, printable, at most 512 bytes or so, gathered in the stream. */
#include <stdarg.h>

#include "lib/log/log.h"
#include "smtpd/session.h"
#include "smtpd/smtpd.h"

enum { USUAL_REPLY = 127 };

/* A client that makes many mistakes waits for its answers. */
static void hold_back(struct session *s)
{
	if (s->errors < the_smtpd->conf.smtpd_soft_error_limit || the_smtpd->conf.smtpd_error_sleep_time == 0)
		return;
	flush(s->stream);
	co_sleep(in(the_smtpd->conf.smtpd_error_sleep_time));
}

/* The line is the session's, so that not each of its replies takes memory and gives it back. */
static void begin_line(struct session *s, int code, char separator)
{
	const char start[] = { (char) ('0' + code / 100), (char) ('0' + code / 10 % 10),
			       (char) ('0' + code % 10), separator };

	buf_clear(&s->reply);
	buf_room(&s->reply, USUAL_REPLY);
	buf_add(&s->reply, str_make(start, sizeof(start)));
}

static void end_line(struct session *s, size_t text_at)
{
	buf_make_printable(&s->reply, text_at);
	log_debug("> %s: %s", buf_text(&s->peer.shown), buf_text(&s->reply));
	write_str(s->stream, buf_str(&s->reply));
	write_str(s->stream, STR("\r\n"));
}

enum next reply(struct session *s, int code, const char *dsn, const char *format, ...)
{
	va_list arguments;
	size_t text_at;

	if (the_smtpd->soft_bounce && code >= 500)
		code -= 100;
	hold_back(s);
	begin_line(s, code, ' ');
	if (dsn != NULL) {
		buf_add_byte(&s->reply, s->reply.at[0]);
		buf_add_text(&s->reply, dsn + 1);
		buf_add_byte(&s->reply, ' ');
	}
	text_at = s->reply.len;
	va_start(arguments, format);
	if (buf_addv(&s->reply, format, arguments) < 0)
		buf_add_text(&s->reply, "Error: unspeakable");
	va_end(arguments);
	end_line(s, text_at);
	if (code == 421 || code == 521)
		s->hang_up = true;
	return code < 400 ? DONE : FAILED;
}

void reply_more(struct session *s, int code, struct str text)
{
	begin_line(s, code, '-');
	buf_add(&s->reply, text);
	end_line(s, 4);
}

enum next reply_verdict(struct session *s, const struct verdict *v)
{
	return reply(s, v->code, v->dsn.len > 0 ? str_c(s->step, v->dsn) : NULL, "%.*s", PSTR(v->text));
}
