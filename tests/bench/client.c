/* SPDX-License-Identifier: ISC */
/* See client.h. */
#include <sys/resource.h>

#include "lib/base/die.h"
#include "lib/io/net.h"
#include "tests/bench/client.h"

bool expect(struct stream *s, char digit)
{
	struct str line;

	do
		if (!read_line(s, 4096, &line, NULL))
			return false;
	while (line.len > 3 && line.at[3] == '-');
	return line.len > 0 && line.at[0] == digit;
}

bool say_hello(struct stream *s)
{
	write_str(s, STR("EHLO bench.example.net\r\n"));
	return expect(s, '2');
}

struct stream *open_session(uint16_t port)
{
	struct address_ip at = { .family = AF_INET, .bytes = { 127, 0, 0, 1 }, .port = port };
	int fd = connect_tcp(&at, NULL, in(60000));
	struct stream *s;

	if (fd < 0)
		return NULL;
	s = stream_new(fd);
	stream_deadline(s, in(600000));
	if (expect(s, '2') && say_hello(s))
		return s;
	stream_free(s);
	return NULL;
}

void ask_for_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int64_t number_option(int option, const char *text)
{
	int64_t n;

	if (str_to_int(str_of(text), 1, 1 << 30, &n) < 0)
		die(EX_USAGE, "-%c %s is no number", option, text);
	return n;
}

void samples_add(struct samples *s, int64_t us)
{
	if (s->count == s->room) {
		s->room = s->room * 2 + 1000;
		s->at = resize_memory(s->at, (size_t) s->room * sizeof(*s->at));
	}
	s->at[s->count++] = us;
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

	return x < y ? -1 : x > y;
}

void samples_print(const char *name, struct samples *s)
{
	int64_t p50 = 0, p99 = 0, most = 0;

	if (s->count > 0) {
		qsort(s->at, (size_t) s->count, sizeof(*s->at), compare);
		p50 = s->at[s->count / 2];
		p99 = s->at[s->count * 99LL / 100];
		most = s->at[s->count - 1];
	}
	printf("\"%s\": {\"n\": %d, \"p50_us\": %lld, \"p99_us\": %lld, \"max_us\": %lld}", name, s->count,
	       (long long) p50, (long long) p99, (long long) most);
}
