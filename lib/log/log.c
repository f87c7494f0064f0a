/* SPDX-License-Identifier: ISC */
/*
 * Makes lines, gathers them, and hands them to the sink at the end of the turn, or at once where no
 * loop runs.
 */
#include "lib/log/log.h"

#include <errno.h>
#include <stdarg.h>
#include <syslog.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/format.h"
#include "lib/co/co.h"
#include "lib/log/sink.h"

enum {
	MOST_GATHERED = 256 << 10,
	LONGEST_LINE = 8 << 10,
	RETRY_MS = 5,			/* a receiver that is slow for the moment */
	PLAIN_WAIT_MS = 1000,		/* outside the loop, where one may wait for it */
};

static const struct level {
	const char *word;
	int priority;
} levels[] = {
	[ROAD_DEBUG] = { "", LOG_DEBUG },
	[ROAD_INFO] = { "", LOG_INFO },
	[ROAD_WARNING] = { "warning: ", LOG_WARNING },
	[ROAD_ERROR] = { "error: ", LOG_ERR },
	[ROAD_FATAL] = { "fatal: ", LOG_CRIT },
	[ROAD_PANIC] = { "panic: ", LOG_CRIT },
};

static struct buf gathered = BUF(MOST_GATHERED);
static struct buf line = BUF(LONGEST_LINE + 512);
static enum log_sink sink = LOG_TO_STDERR;
static char tag[128] = "postroad", host[256];
static int facility = LOG_MAIL;
static bool also_stderr;
static int verbose;
static unsigned dropped;		/* lines, since the last one that was kept */
/* of `prefix`: what precedes the text of a line made in this second */
static size_t prefix_len;
static char prefix[512];
static int64_t prefix_second = -1;

static void turn_ended(struct turn *t);
static void retry(struct timer *t);
static struct turn at_end = { .run = turn_ended };
static struct timer retry_timer = { .run = retry };

/* ---- prefixes ---- */

void log_add_prefix(struct buf *b, int64_t at_s, struct str host_name, struct str tag_text, int pid)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t at = (time_t) at_s;
	struct tm tm;

	localtime_r(&at, &tm);
	buf_addf(b, "%.3s %2d %02d:%02d:%02d ", months + tm.tm_mon * 3, tm.tm_mday, tm.tm_hour,
		 tm.tm_min, tm.tm_sec);
	if (host_name.len > 0)
		buf_addf(b, "%.*s ", PSTR(host_name));
	buf_addf(b, "%.*s[%d]: ", PSTR(tag_text), pid);
}

static struct str program(void)
{
	struct str name = str_of(tag);
	ssize_t slash = str_find_last(name, '/');

	return slash < 0 ? name : str_skip(name, (size_t) slash + 1);
}

/* The sink's prefix without syslog's priority; made once per second. */
static struct str prefix_now(void)
{
	int64_t now = wall_s();
	AUTO(buf) b = BUF(sizeof(prefix) - 1);

	if (now != prefix_second) {
		if (sink == LOG_TO_STDERR)
			buf_addf(&b, "%.*s: ", PSTR(program()));
		else		/* what reads /dev/log adds the host itself */
			log_add_prefix(&b, now, sink == LOG_TO_SYSLOG ? STR_NONE : str_of(host), str_of(tag),
				       (int) getpid());
		memcpy(prefix, b.at, b.len + 1);
		prefix_len = b.len;
		prefix_second = now;
	}
	return str_make(prefix, prefix_len);
}

/* ---- gathering ---- */

static void turn_ended(struct turn *t)
{
	(void) t;
	if (!sink_send(&gathered, 0))
		timer_set(&retry_timer, in(RETRY_MS));
}

static void retry(struct timer *t)
{
	(void) t;
	at_turn_end(&at_end);
}

/*
 * Outside the loop nobody tries again later, so a receiver that is stuck loses these lines; the
 * next one says how many.
 */
void log_flush(void)
{
	static when_t stuck_until;
	const char *lf;

	if (sink_send(&gathered, mono_ms() < stuck_until ? 0 : PLAIN_WAIT_MS) || loop_is_running())
		return;
	stuck_until = in(10 * PLAIN_WAIT_MS);
	while (gathered.len > 0 && (lf = memchr(gathered.at, '\n', gathered.len)) != NULL) {
		buf_cut_front(&gathered, (size_t) (lf - gathered.at) + 1);
		dropped++;
	}
}

static void gather(enum log_level level, struct str text)
{
	struct str start = prefix_now();

	if (gathered.len + start.len + text.len + 16 > MOST_GATHERED) {
		dropped++;
		return;
	}
	if (sink == LOG_TO_SYSLOG)
		buf_addf(&gathered, "<%d>", facility | levels[level].priority);
	buf_add(&gathered, start);
	buf_add(&gathered, text);
	buf_add_byte(&gathered, '\n');
}

static void emit(enum log_level level, struct str text)
{
	if (also_stderr && sink != LOG_TO_STDERR)
		dprintf(STDERR_FILENO, "%.*s: %.*s\n", PSTR(program()), PSTR(text));
	if (dropped > 0 && gathered.len < MOST_GATHERED / 2) {
		char words[80];
		int n = snprintf(words, sizeof(words), "warning: %u log lines were dropped", dropped);

		dropped = 0;
		gather(ROAD_WARNING, str_make(words, (size_t) n));
	}
	gather(level, text);
	if (loop_is_running())
		at_turn_end(&at_end);
	else
		log_flush();
}

static void begin_line(enum log_level level, struct str queue_id)
{
	buf_clear(&line);
	buf_add_text(&line, levels[level].word);
	if (queue_id.len > 0) {
		buf_add_printable(&line, queue_id);
		buf_add_text(&line, ": ");
	}
}

void log_mail_text(enum log_level level, struct str queue_id, struct str text)
{
	if (level == ROAD_DEBUG && verbose == 0)
		return;
	begin_line(level, queue_id);
	buf_add_printable(&line, str_head(text, LONGEST_LINE));
	emit(level, str_head(buf_str(&line), LONGEST_LINE));
}

void log_mail(enum log_level level, struct str queue_id, const char *format, ...)
{
	char raw[LONGEST_LINE / 4];
	va_list arguments;
	int n;

	if (level == ROAD_DEBUG && verbose == 0)
		return;
	begin_line(level, queue_id);
	va_start(arguments, format);
	n = format_textv(raw, sizeof(raw), format, arguments);
	va_end(arguments);
	if (n >= (int) sizeof(raw)) {
		AUTO_PTR char *big = resize_memory(NULL, LONGEST_LINE + 1);

		va_start(arguments, format);
		format_textv(big, LONGEST_LINE + 1, format, arguments);
		va_end(arguments);
		buf_add_printable(&line, str_of(big));
	} else {
		buf_add_printable(&line, str_make(raw, (size_t) MAX(n, 0)));
	}
	emit(level, str_head(buf_str(&line), LONGEST_LINE));
}

/* ---- how a process ends ---- */

static void last_words(const char *words)
{
	buf_clear(&line);
	buf_add_printable(&line, str_of(words));
	emit(ROAD_FATAL, buf_str(&line));
	log_flush();
}

static char crash_priority[8];		/* "<18>", made beforehand */

static char *append(char *at, const char *end, const char *text, size_t len)
{
	len = MIN(len, (size_t) (end - at));
	memcpy(at, text, len);
	return at + len;
}

/* In a signal handler, on the alternate stack. */
static void crash_line(const char *words)
{
	char text[1024], *at = text;
	const char *end = text + sizeof(text) - 1;

	if (sink == LOG_TO_SYSLOG)
		at = append(at, end, crash_priority, strlen(crash_priority));
	at = append(at, end, prefix, prefix_len);
	at = append(at, end, words, strlen(words));
	*at++ = '\n';
	sink_send_now(text, (size_t) (at - text));
}

/* ---- set-up ---- */

void log_open(const char *new_tag, enum log_sink new_sink, const char *postlog_path)
{
	static bool once;
	int result;
	char *dot;

	log_flush();
	snprintf(tag, sizeof(tag), "%s", new_tag);
	if (gethostname(host, sizeof(host) - 1) < 0)
		snprintf(host, sizeof(host), "localhost");
	dot = strchr(host, '.');
	if (dot != NULL)
		*dot = 0;
	tzset();
	sink = new_sink;
	prefix_second = -1;
	result = sink_open(sink, postlog_path);
	if (result < 0) {
		sink_open(LOG_TO_STDERR, NULL);
		sink = LOG_TO_STDERR;
		log_warning("no log at %s: %s", postlog_path == NULL ? "/dev/log" : postlog_path,
			    error_text(result));
	}
	prefix_now();		/* both for crash_line() */
	snprintf(crash_priority, sizeof(crash_priority), "<%d>", facility | LOG_CRIT);
	die_set_sink(last_words);
	co_report_overflow(crash_line);
	if (!once)
		atexit(log_flush);
	once = true;
}

int log_facility(const char *name)
{
	static const struct { const char *name; int facility;
	} known[] = {
		{ "auth", LOG_AUTH },	  { "authpriv", LOG_AUTHPRIV }, { "cron", LOG_CRON },
		{ "daemon", LOG_DAEMON }, { "ftp", LOG_FTP },		{ "kern", LOG_KERN },
		{ "lpr", LOG_LPR },	  { "mail", LOG_MAIL },		{ "news", LOG_NEWS },
		{ "syslog", LOG_SYSLOG }, { "user", LOG_USER },		{ "uucp", LOG_UUCP },
		{ "local0", LOG_LOCAL0 }, { "local1", LOG_LOCAL1 },	{ "local2", LOG_LOCAL2 },
		{ "local3", LOG_LOCAL3 }, { "local4", LOG_LOCAL4 },	{ "local5", LOG_LOCAL5 },
		{ "local6", LOG_LOCAL6 }, { "local7", LOG_LOCAL7 },
	};

	for (size_t i = 0; name != NULL && i < COUNT_OF(known); i++) {
		if (strcmp(name, known[i].name) == 0) {
			facility = known[i].facility;
			return 0;
		}
	}
	return name == NULL ? 0 : -EINVAL;
}

void log_also_stderr(bool on)
{
	also_stderr = on;
}

void log_verbose(int level)
{
	verbose = level;
}

bool log_is_verbose(void)
{
	return verbose > 0;
}

bool log_rate_ok(struct log_rate *rate, int seconds)
{
	int64_t now = mono_ms();

	if (now < rate->next_ms) {
		rate->left_out++;
		return false;
	}
	if (rate->left_out > 0)
		log_warning("the next warning was left out %u times", rate->left_out);
	rate->left_out = 0;
	rate->next_ms = now + (int64_t) seconds * 1000;
	return true;
}
