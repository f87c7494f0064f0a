/* SPDX-License-Identifier: ISC */
/* Replies: always one whole line each, printable, at most 512 bytes or so, gathered in the stream. */
#include <stdarg.h>

#include "lib/log/log.h"
#include "smtpd/session.h"
#include "smtpd/smtpd.h"

enum { USUAL_REPLY = 127, LONGEST_REPLY = 4000 };

/* A client that makes many mistakes waits for its answers. */
static void hold_back(struct session *s)
{
	if (s->errors < the_smtpd->conf.smtpd_soft_error_limit || the_smtpd->conf.smtpd_error_sleep_time == 0)
		return;
	flush(s->stream);
	co_sleep(in(the_smtpd->conf.smtpd_error_sleep_time));
}

__attribute__((format(printf, 5, 0)))
static void put_line(struct session *s, int code, char separator, const char *dsn, const char *format, va_list arguments)
{
	const char start[] = { (char) ('0' + code / 100), (char) ('0' + code / 10 % 10), (char) ('0' + code % 10), separator };
	AUTO(buf) line = BUF(LONGEST_REPLY);
	size_t text_at;

	buf_room(&line, USUAL_REPLY);
	buf_add(&line, str_make(start, sizeof(start)));
	if (dsn != NULL) {
		buf_add_byte(&line, start[0]);
		buf_add_text(&line, dsn + 1);
		buf_add_byte(&line, ' ');
	}
	text_at = line.len;
	if (buf_addv(&line, format, arguments) < 0)
		buf_add_text(&line, "Error: unspeakable");
	buf_make_printable(&line, text_at);
	log_debug("> %s: %s", buf_text(&s->peer.shown), buf_text(&line));
	write_str(s->stream, buf_str(&line));
	write_str(s->stream, STR("\r\n"));
}

enum next reply(struct session *s, int code, const char *dsn, const char *format, ...)
{
	va_list arguments;

	if (the_smtpd->soft_bounce && code >= 500)
		code -= 100;
	hold_back(s);
	va_start(arguments, format);
	put_line(s, code, ' ', dsn, format, arguments);
	va_end(arguments);
	if (code == 421 || code == 521)
		s->hang_up = true;
	return code < 400 ? DONE : FAILED;
}

void reply_more(struct session *s, int code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	put_line(s, code, '-', NULL, format, arguments);
	va_end(arguments);
}

enum next reply_verdict(struct session *s, const struct verdict *v)
{
	return reply(s, v->code, v->dsn.len > 0 ? str_c(s->step, v->dsn) : NULL, "%.*s", PSTR(v->text));
}
