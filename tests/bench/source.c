/* SPDX-License-Identifier: ISC */
/*
 * Load source: some sessions at once, each sending messages one after the other, on new connections or on one.
 *
 *   source -p PORT [-s SESSIONS] [-n MESSAGES] [-b BYTES] [-r] [-R RECIPIENTS] [-t TO]
 *
 * -r reuses connections; TO may contain one %d, which counts up to ten. Talks to 127.0.0.1 only. Prints one line of JSON.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/io/net.h"
#include "lib/io/stream.h"

static struct {
	uint16_t port;
	int sessions, messages, bytes, recipients;
	bool reuse;
	const char *to;
} opt = { .sessions = 20, .messages = 1000, .bytes = 4096, .recipients = 1, .to = "user@example.com" };

static int taken, acknowledged, failed;
static int64_t *latencies;		/* end of data to 250, us */
static struct str content;

static bool expect(struct stream *s, char digit)
{
	struct str line;

	do
		if (!read_line(s, 4096, &line, NULL))
			return false;
	while (line.len > 3 && line.at[3] == '-');
	return line.len > 0 && line.at[0] == digit;
}

static bool say_hello(struct stream *s)
{
	if (!expect(s, '2'))
		return false;
	write_str(s, STR("EHLO bench.example.net\r\n"));
	return expect(s, '2');
}

/* Envelope in one write, as a pipelining client does. */
static bool send_message(struct stream *s, int number)
{
	bool good = true;
	int64_t start;

	write_str(s, STR("MAIL FROM:<sender@example.net>\r\n"));
	for (int i = 0; i < opt.recipients; i++) {
		AUTO(buf) to = BUF(1000);
		const char *digit = strchr(opt.to, '%');

		if (digit == NULL)
			buf_add_text(&to, opt.to);
		else
			buf_addf(&to, "%.*s%d%s", (int) (digit - opt.to), opt.to, (number + i) % 10, digit + 2);
		if (opt.recipients > 1 && digit == NULL)
			writef(s, "RCPT TO:<r%d.%s>\r\n", i, buf_text(&to));
		else
			writef(s, "RCPT TO:<%s>\r\n", buf_text(&to));
	}
	write_str(s, STR("DATA\r\n"));
	for (int i = 0; i <= opt.recipients; i++)
		good = expect(s, '2') && good;
	if (!expect(s, '3') || !good)
		return false;
	start = mono_us();
	write_str(s, content);
	good = expect(s, '2');
	latencies[number] = mono_us() - start;
	return good;
}

static struct stream *connect_to_server(void)
{
	struct address_ip at = { .family = AF_INET, .bytes = { 127, 0, 0, 1 }, .port = opt.port };
	int fd = connect_tcp(&at, NULL, in(60000));
	struct stream *s;

	if (fd < 0)
		return NULL;
	s = stream_new(fd);
	stream_deadline(s, in(300000));
	if (say_hello(s))
		return s;
	stream_free(s);
	return NULL;
}

static void run_session(void *arg)
{
	struct stream *s = NULL;

	(void) arg;
	while (taken < opt.messages) {
		int number = taken++;

		if (s == NULL)
			s = connect_to_server();
		if (s != NULL && send_message(s, number)) {
			acknowledged++;
		} else {
			failed++;
			stream_free(s);
			s = NULL;
			continue;
		}
		if (!opt.reuse) {
			write_str(s, STR("QUIT\r\n"));
			expect(s, '2');
			stream_free(s);
			s = NULL;
		}
	}
	if (s != NULL) {
		write_str(s, STR("QUIT\r\n"));
		flush(s);
	}
	stream_free(s);
}

static void run_all(void *arg)
{
	struct scope *sessions = scope_open("sessions");

	(void) arg;
	for (int i = 0; i < opt.sessions; i++)
		if (scope_start(sessions, "session", run_session, NULL) < 0)
			die(EX_OSERR, "cannot start session %d", i);
	scope_wait(sessions, NEVER);
	scope_close(sessions);
	loop_stop();
}

static struct str make_content(void)
{
	struct buf b = BUF((size_t) 1 << 30);

	buf_add_text(&b, "From: <sender@example.net>\r\nTo: <user@example.com>\r\nSubject: benchmark\r\n"
			 "Date: Sun, 22 Nov 2026 00:00:00 +0000\r\nMessage-Id: <bench@example.net>\r\n\r\n");
	while ((int) b.len < opt.bytes)
		buf_add_text(&b, "The quick brown fox jumps over the lazy dog and runs away from it at once.\r\n");
	buf_add_text(&b, ".\r\n");
	return buf_str(&b);
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	int64_t start;
	int c;

	while ((c = getopt(argc, argv, "p:s:n:b:rR:t:")) != -1) {
		int64_t n = 0;

		if (strchr("psnbR", c) != NULL && str_to_int(str_of(optarg), 1, 1 << 30, &n) < 0)
			die(EX_USAGE, "-%c %s is no number", c, optarg);
		if (c == 'p')
			opt.port = (uint16_t) n;
		else if (c == 's')
			opt.sessions = (int) n;
		else if (c == 'n')
			opt.messages = (int) n;
		else if (c == 'b')
			opt.bytes = (int) n;
		else if (c == 'R')
			opt.recipients = (int) n;
		else if (c == 'r')
			opt.reuse = true;
		else if (c == 't')
			opt.to = optarg;
		else
			return EX_USAGE;
	}
	content = make_content();
	latencies = get_memory((size_t) opt.messages * sizeof(*latencies));
	start = mono_us();
	loop_run(run_all, NULL);
	start = mono_us() - start;
	qsort(latencies, (size_t) opt.messages, sizeof(*latencies), compare);
	printf("{\"acknowledged\": %d, \"failed\": %d, \"seconds\": %.6f, \"p50_us\": %lld, \"p99_us\": %lld}\n", acknowledged, failed,
	       (double) start / 1e6, (long long) latencies[opt.messages / 2], (long long) latencies[opt.messages * 99LL / 100]);
	return failed > 0;
}
