/* SPDX-License-Identifier: ISC */
/*
 * The mail log. Lines gather in one buffer per process and are written once per loop turn, in order
 * (and before a process ends). Line shapes are Postfix's (see ARCHITECTURE.md): severity words are
 * part of the text.
 *
 * Library rooms do not log above ROAD_DEBUG; programs do.
 */
#ifndef ROAD_LOG_LOG_H
#define ROAD_LOG_LOG_H

#include <stdbool.h>

#include "lib/base/str.h"

enum log_level { ROAD_DEBUG, ROAD_INFO, ROAD_WARNING, ROAD_ERROR, ROAD_FATAL, ROAD_PANIC };

enum log_sink {
	LOG_TO_STDERR,		/* "name: text" for commands */
	LOG_TO_STDOUT,		/* whole lines with date, for maillog_file=/dev/stdout */
	LOG_TO_SYSLOG,		/* /dev/log, facility mail */
	LOG_TO_POSTLOG,		/* datagrams to public/postlog (postlogd writes maillog_file) */
};

/*
 * `tag` is "$syslog_name/program" (copied). The sink's socket is opened now, so that a jailed
 * process can log. path: of the postlog socket, or instead of /dev/log (NULL). Never fails: falls
 * back to stderr with one line. To postlog go datagrams of one or more whole lines, each with date,
 * host, tag and line end as they belong in the file. When the log is stuck or gone, lines beyond
 * 256 KiB are dropped and counted, and the count is logged later.
 */
void log_open(const char *tag, enum log_sink sink, const char *path);
/* of syslog lines, "mail" when never called; NULL changes nothing; -EINVAL: there is no such */
int log_facility(const char *name);
void log_also_stderr(bool on);		/* commands on a terminal; daemons with -v in the foreground */
void log_verbose(int level);		/* -v count: > 0 lets ROAD_DEBUG through */
bool log_is_verbose(void);

/* queue_id may be empty. "QID: text". Control characters in the text become '?'. Lines are cut at 8 KiB. */
void log_mail(enum log_level level, struct str queue_id, const char *format,
	      ...) __attribute__((format(printf, 3, 4)));
void log_mail_text(enum log_level level, struct str queue_id, struct str text);
/*
 * log_warning("x") is log_mail(ROAD_WARNING, STR_NONE, "x"): adds "warning: ". log_info, log_error
 * likewise.
 */
#define log_info(...) log_mail(ROAD_INFO, STR_NONE, __VA_ARGS__)
#define log_warning(...) log_mail(ROAD_WARNING, STR_NONE, __VA_ARGS__)
#define log_error(...) log_mail(ROAD_ERROR, STR_NONE, __VA_ARGS__)
#define log_debug(...) do { if (log_is_verbose()) log_mail(ROAD_DEBUG, STR_NONE, __VA_ARGS__); } while (0)
/* At most one such line per interval and call site; how many were left out is said by the next one. */
#define log_warning_rarely(seconds, ...) do { \
	static struct log_rate rate_; \
	if (log_rate_ok(&rate_, (seconds))) \
		log_warning(__VA_ARGS__); \
} while (0)
struct log_rate { int64_t next_ms; unsigned left_out; };
bool log_rate_ok(struct log_rate *rate, int seconds);

/* writes what gathered; outside the loop, what a stuck receiver does not take is lost */
void log_flush(void);

/* "Nov 22 00:18:10 host tag[pid]: " for maillog files; local time. */
struct buf;
void log_add_prefix(struct buf *b, int64_t at_s, struct str host, struct str tag, int pid);

#endif
