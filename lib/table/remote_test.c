/* SPDX-License-Identifier: ISC */
#include "tests/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/table/remote.h"

static const char *const addresses[] = { "127.0.0.1", "127.0.0.2" };

/* Port 0: any. */
static int listen_at(const char *address, uint16_t *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(*port) };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(inet_pton(AF_INET, address, &at.sin_addr), 1);
	if (bind(fd, (struct sockaddr *) &at, sizeof(at)) < 0) {
		close(fd);
		return -1;
	}
	assert_int_equal(listen(fd, 0), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *) &at, &len), 0);
	*port = ntohs(at.sin_port);
	return fd;
}

/* Takes the one connection that it has room for: the next one hears nothing. */
static void fill(const char *address, uint16_t port, int *ret_fds, size_t count)
{
	struct address_ip to;

	ip_parse(str_of(address), &to);
	to.port = port;
	for (size_t i = 0; i < count; i++)
		ret_fds[i] = connect_tcp(&to, NULL, in(50));
}

static int find_both(const char *host, struct address_ip *ret, int most)
{
	(void) host;
	assert_true(most >= 2);
	for (int i = 0; i < 2; i++)
		ip_parse(str_of(addresses[i]), &ret[i]);
	return 2;
}

static int talk_in_time(struct stream *s, void *arg, struct buf *why)
{
	const when_t *until = arg;

	(void) s;
	(void) why;
	return mono_ms() < *until ? 7 : -ETIMEDOUT;
}

static void test_an_address_that_says_nothing_leaves_time_for_the_next(void **state)
{
	const struct remote_limits limits = { .connections = 1, .find = find_both };
	AUTO(buf) why = BUF_WORDS;
	struct remote *r;
	uint16_t port = 0;
	when_t until;
	int fds[4], silent = listen_at(addresses[0], &port), good = listen_at(addresses[1], &port);
	char where[40];

	(void) state;
	if (good < 0)
		skip();				/* somebody else has that port there */
	fill(addresses[0], port, fds, 4);
	snprintf(where, sizeof(where), "inet:host:%u", port);
	assert_int_equal(remote_new(str_of(where), &limits, &r, &why), 0);
	until = in(4000);	/* half of it passes; a busy machine may take some of the rest */
	assert_int_equal(remote_ask(r, talk_in_time, &until, until, &why), 7);
	remote_free(r);
	for (size_t i = 0; i < COUNT_OF(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	close(silent);
	close(good);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_address_that_says_nothing_leaves_time_for_the_next),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
