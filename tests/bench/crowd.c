/* SPDX-License-Identifier: ISC */
/*
 * Many SMTP sessions at once. Opens them, prints a line of JSON, waits for a line on its input,
 * then measures:
 *
 *   crowd -p PORT -s SESSIONS [-n NOOPS]           idle sessions: NOOP on one after the other, all over the crowd
 *   crowd -p PORT -s SESSIONS -T SECONDS           each trickles a message, a line a second, for so long, while a new client
 *                                                  asks to be greeted every 50 ms
 *
 * and prints a second line of JSON. The sessions stay open until then.
 */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/io/net.h"
#include "tests/bench/client.h"

#define OPENING 100			/* so many are being opened at once */

static struct {
	uint16_t port;
	int sessions, noops, seconds;
} opt = { .sessions = 1000, .noops = 2000 };

static struct stream **session;
static int next, open_ones, served;
static struct samples noops, greetings;
static bool over;

static void open_some(void *arg)
{
	(void) arg;
	while (next < opt.sessions) {
		int number = next++;

		session[number] = open_session(opt.port);
		if (session[number] != NULL)
			open_ones++;
	}
}

static void open_all(void)
{
	struct scope *openers = scope_open("openers");
	int64_t start = mono_us();

	for (int i = 0; i < OPENING; i++)
		scope_start(openers, "opener", open_some, NULL);
	scope_wait(openers, NEVER);
	scope_close(openers);
	printf("{\"open\": %d, \"seconds\": %.3f}\n", open_ones, (double) (mono_us() - start) / 1e6);
	fflush(stdout);
}

static void wait_for_a_line(void)
{
	char c;

	while (read(0, &c, 1) == 1 && c != '\n')
		;
}

static void measure_noops(void)
{
	for (int i = 0; i < opt.noops; i++) {
		struct stream *s = session[(i * 7919LL) % opt.sessions];
		int64_t start = mono_us();

		if (s == NULL)
			continue;
		write_str(s, STR("NOOP\r\n"));
		if (expect(s, '2'))
			samples_add(&noops, mono_us() - start);
	}
}

/* A message that takes all the time there is, a line a second. */
static void trickle(void *arg)
{
	struct stream *s = arg;

	co_sleep(in((int64_t) ((uintptr_t) s / 64 % 1000)));
	write_str(s, STR("MAIL FROM:<sender@example.net>\r\nRCPT TO:<user@example.com>\r\nDATA\r\n"));
	if (!expect(s, '2') || !expect(s, '2') || !expect(s, '3'))
		return;
	write_str(s, STR("Subject: slow\r\n\r\n"));
	while (!over) {
		write_str(s, STR("A line that comes in its own good time.\r\n"));
		flush(s);
		co_sleep(in(1000));
	}
	write_str(s, STR(".\r\n"));
	if (expect(s, '2'))
		served++;
}

static void measure_greetings(void)
{
	struct address_ip at = { .family = AF_INET, .bytes = { 127, 0, 0, 1 }, .port = opt.port };
	when_t end = in(opt.seconds * 1000L);

	while (mono_ms() < end) {
		int64_t start = mono_us();
		int fd = connect_tcp(&at, NULL, in(60000));
		struct stream *s = fd < 0 ? NULL : stream_new(fd);

		if (s != NULL) {
			stream_deadline(s, in(60000));
			if (expect(s, '2'))
				samples_add(&greetings, mono_us() - start);
			write_str(s, STR("QUIT\r\n"));
			expect(s, '2');
		}
		stream_free(s);
		co_sleep(in(50));
	}
}

static void measure_trickle(void)
{
	struct scope *tricklers = scope_open("tricklers");

	for (int i = 0; i < opt.sessions; i++)
		if (session[i] != NULL)
			scope_start(tricklers, "trickler", trickle, session[i]);
	co_sleep(in(2000));			/* all are in the middle of it */
	measure_greetings();
	over = true;
	scope_wait(tricklers, in(60000));
	scope_close(tricklers);
}

static void run_all(void *arg)
{
	(void) arg;
	open_all();
	wait_for_a_line();
	if (opt.seconds > 0)
		measure_trickle();
	else
		measure_noops();
	printf("{\"served\": %d, ", served);
	samples_print("noop", &noops);
	printf(", ");
	samples_print("greeting", &greetings);
	printf("}\n");
	fflush(stdout);
	for (int i = 0; i < opt.sessions; i++)
		stream_free(session[i]);
	loop_stop();
}

int main(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "p:s:n:T:")) != -1) {
		int64_t n = strchr("psnT", c) != NULL ? number_option(c, optarg) : 0;

		switch (c) {
		case 'p': opt.port = (uint16_t) n; break;
		case 's': opt.sessions = (int) n; break;
		case 'n': opt.noops = (int) n; break;
		case 'T': opt.seconds = (int) n; break;
		default: return EX_USAGE;
		}
	}
	ask_for_descriptors();
	session = get_memory((size_t) opt.sessions * sizeof(*session));
	loop_run(run_all, NULL);
	return open_ones < opt.sessions;
}
