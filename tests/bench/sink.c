/* SPDX-License-Identifier: ISC */
/*
 * Load sink: an SMTP server that counts messages and throws them away.
 *
 *   sink [-T PEMFILE] PORT RESULTFILE [COUNT]
 *
 * RESULTFILE holds 64-bit numbers in host order, for whoever measures to read: messages,
 * recipients, bytes, when the last message came (mono_us), and then, in a ring, how long each
 * message took since its X-Sent header was written. Listens on 127.0.0.1; with COUNT on so many
 * addresses, 127.1.0.1 and following, 250 in each 127.1.x. -T offers STARTTLS, with key and
 * certificate of that file.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/io/net.h"
#include "lib/tls/tls.h"
#include "tests/bench/client.h"

#define RING 65536

struct results {
	uint64_t messages, recipients, bytes;
	int64_t last_us;
	int64_t took_us[RING];		/* of message number n at n % RING */
};

static volatile struct results *results;
static struct scope *sessions;
static uint16_t port;
static struct tls_context *tls;	/* NULL: not offered */

/* Reads to the final dot. Looks at whole lines only, since nothing is kept. */
static bool swallow_content(struct stream *s, int64_t *ret_sent)
{
	struct str line;

	*ret_sent = 0;
	while (read_line(s, 1 << 16, &line, NULL)) {
		if (line.len == 1 && line.at[0] == '.')
			return true;
		if (*ret_sent == 0 && str_starts(line, STR("X-Sent: ")))
			(void) str_to_int(str_skip(line, 8), 1, INT64_MAX, ret_sent);
		results->bytes += line.len + 2;
	}
	return false;
}

static bool take_message(struct stream *s, uint64_t recipients)
{
	int64_t sent;

	write_str(s, STR("354 go on\r\n"));
	if (!swallow_content(s, &sent))
		return false;
	results->last_us = mono_us();
	results->took_us[results->messages % RING] = sent == 0 ? 0 : results->last_us - sent;
	results->recipients += recipients;
	results->messages++;
	write_str(s, STR("250 2.0.0 Ok\r\n"));
	return true;
}

static bool start_tls(struct stream *s)
{
	AUTO(buf) why = BUF_WORDS;
	struct tls *t;

	if (tls == NULL) {
		write_str(s, STR("502 5.5.1 no\r\n"));
		return true;
	}
	write_str(s, STR("220 2.0.0 go on\r\n"));
	flush(s);
	return tls_begin(tls, s, &(struct tls_wish){ 0 }, false, in(60000), &t, &why) == 0;
}

static void serve(void *arg)
{
	struct stream *s = stream_new((int) (intptr_t) arg);
	uint64_t recipients = 0;
	struct str line;

	stream_deadline(s, NEVER);
	write_str(s, STR("220 sink.example ESMTP\r\n"));
	while (read_line(s, 4096, &line, NULL)) {
		if (str_starts_nocase(line, STR("EHLO"))) {
			write_str(s, STR("250-sink.example\r\n"));
			if (tls != NULL)
				write_str(s, STR("250-STARTTLS\r\n"));
			write_str(s, STR("250-PIPELINING\r\n250-8BITMIME\r\n250-DSN\r\n250 SIZE 0\r\n"));
		} else if (str_starts_nocase(line, STR("RCPT"))) {
			recipients++;
			write_str(s, STR("250 2.1.5 Ok\r\n"));
		} else if (str_starts_nocase(line, STR("DATA"))) {
			if (!take_message(s, recipients))
				break;
			recipients = 0;
		} else if (str_starts_nocase(line, STR("STARTTLS"))) {
			if (!start_tls(s))
				break;
		} else if (str_starts_nocase(line, STR("QUIT"))) {
			write_str(s, STR("221 Bye\r\n"));
			flush_last(s);
			break;
		} else {
			write_str(s, STR("250 2.0.0 Ok\r\n"));
		}
	}
	stream_free(s);
}

static void accept_all(void *arg)
{
	int listener = (int) (intptr_t) arg;

	for (;;) {
		int fd = accept_one(listener, NEVER, NULL);

		if (fd >= 0 && scope_start(sessions, "session", serve, (void *) (intptr_t) fd) < 0)
			close(fd);
		else if (fd < 0)
			co_sleep(in(10));
	}
}

static void listen_on(struct address_ip at)
{
	int listener = listen_tcp(&at, 1000);

	if (listener < 0)
		die(EX_OSERR, "cannot listen on port %u: %s", at.port, error_text(listener));
	if (scope_start(sessions, "listener", accept_all, (void *) (intptr_t) listener) < 0)
		die(EX_OSERR, "too many addresses");
}

static void listen_and_serve(void *arg)
{
	int count = *(int *) arg;

	sessions = scope_open("sessions");
	if (count == 0)
		listen_on((struct address_ip){ .family = AF_INET, .bytes = { 127, 0, 0, 1 }, .port = port });
	for (int i = 0; i < count; i++)
		listen_on((struct address_ip){ .family = AF_INET, .port = port,
			  .bytes = { 127, 1, (unsigned char) (i / 250), (unsigned char) (i % 250 + 1) } });
}

static void open_results(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0 || ftruncate(fd, sizeof(*results)) < 0)
		die(EX_CANTCREAT, "%s: %s", path, error_text(errno));
	results = mmap(NULL, sizeof(*results), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (results == MAP_FAILED)
		die(EX_OSERR, "%s: %s", path, error_text(errno));
}

static void open_tls(const char *pem)
{
	const struct tls_config conf = { .server = true, .name = "sink", .chain_files = pem,
					 .ciphers = "HIGH", .digest = "sha256", .session_s = 3600 };
	AUTO(buf) why = BUF_WORDS;

	if (tls_context_open(&conf, &tls, &why) != 0)
		die(EX_UNAVAILABLE, "TLS: %s", buf_text(&why));
}

int main(int argc, char **argv)
{
	const char *pem = NULL;
	int c, count = 0;

	while ((c = getopt(argc, argv, "T:")) == 'T')
		pem = optarg;
	argc -= optind;
	argv += optind;
	if (c != -1 || argc < 2 || argc > 3 || port_parse(str_of(argv[0]), &port) < 0)
		die(EX_USAGE, "usage: sink [-T PEMFILE] PORT RESULTFILE [COUNT]");
	if (argc == 3)
		count = (int) number_option('n', argv[2]);
	open_results(argv[1]);
	if (pem != NULL)
		open_tls(pem);
	ask_for_descriptors();
	loop_run(listen_and_serve, &count);
	return 0;
}
