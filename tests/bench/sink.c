/* SPDX-License-Identifier: ISC */
/*
 * Load sink: an SMTP server that counts messages and throws them away.
 *
 *   sink PORT COUNTERFILE
 *
 * COUNTERFILE holds three 64-bit numbers in host order: messages, recipients, bytes; whoever measures maps or reads it. Listens on 127.0.0.1.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/io/net.h"
#include "lib/io/stream.h"

static volatile uint64_t *counters;
static struct scope *sessions;

/* Reads to CRLF.CRLF; the bytes before it. Looks at whole lines only, since nothing is kept. */
static bool swallow_content(struct stream *s)
{
	struct str line;

	while (read_line(s, 1 << 16, &line, NULL)) {
		if (line.len == 1 && line.at[0] == '.')
			return true;
		counters[2] += line.len + 2;
	}
	return false;
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
			write_str(s, STR("250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-DSN\r\n250 SIZE 0\r\n"));
		} else if (str_starts_nocase(line, STR("RCPT"))) {
			recipients++;
			write_str(s, STR("250 2.1.5 Ok\r\n"));
		} else if (str_starts_nocase(line, STR("DATA"))) {
			write_str(s, STR("354 go on\r\n"));
			if (!swallow_content(s))
				break;
			counters[1] += recipients;
			counters[0]++;
			recipients = 0;
			write_str(s, STR("250 2.0.0 Ok\r\n"));
		} else if (str_starts_nocase(line, STR("QUIT"))) {
			write_str(s, STR("221 Bye\r\n"));
			flush(s);
			break;
		} else {
			write_str(s, STR("250 2.0.0 Ok\r\n"));
		}
	}
	stream_free(s);
}

static void listen_and_serve(void *arg)
{
	struct address_ip at = { .family = AF_INET, .bytes = { 127, 0, 0, 1 }, .port = *(uint16_t *) arg };
	int listener = listen_tcp(&at, 1000);
	int fd;

	if (listener < 0)
		die(EX_OSERR, "cannot listen on port %u: %s", at.port, error_text(listener));
	sessions = scope_open("sessions");
	for (;;) {
		fd = accept_one(listener, NEVER, NULL);
		if (fd >= 0 && scope_start(sessions, "session", serve, (void *) (intptr_t) fd) < 0)
			close(fd);
		else if (fd < 0)
			co_sleep(in(10));
	}
}

int main(int argc, char **argv)
{
	uint16_t port;
	int fd;

	if (argc != 3 || port_parse(str_of(argv[1]), &port) < 0)
		die(EX_USAGE, "usage: sink PORT COUNTERFILE");
	fd = open(argv[2], O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || ftruncate(fd, 3 * sizeof(uint64_t)) < 0)
		die(EX_CANTCREAT, "%s: %s", argv[2], error_text(errno));
	counters = mmap(NULL, 3 * sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (counters == MAP_FAILED)
		die(EX_OSERR, "%s: %s", argv[2], error_text(errno));
	loop_run(listen_and_serve, &port);
	return 0;
}
