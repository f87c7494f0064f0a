/* SPDX-License-Identifier: ISC */
#include "tests/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/io/net.h"
#include "lib/io/stream.h"

static void test_addresses_are_read_and_printed(void **unused)
{
	static const struct { const char *in, *out; int family; } cases[] = {
		{ "192.0.2.1", "192.0.2.1", AF_INET },
		{ "0.9.10.99", "0.9.10.99", AF_INET },
		{ "100.109.200.255", "100.109.200.255", AF_INET },
		{ "2001:DB8::0:1", "2001:db8::1", AF_INET6 },
		{ "::1", "::1", AF_INET6 },
		{ "::ffff:192.0.2.7", "192.0.2.7", AF_INET },
	};
	static const char *const bad[] = { "", "192.0.2", "192.0.2.256", "1.2.3.4 ", "[::1]", "::1%",
					   "fe80::1%nosuch0",
		"1.2.3.4%lo", "12345::", "2001:db8::1:2:3:4:5:6:7:8", "host.example",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc" };
	struct address_ip ip;
	char text[64];

	(void) unused;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_int_equal(ip_parse(str_of(cases[i].in), &ip), 0);
		assert_int_equal(ip.family, cases[i].family);
		ip_print(&ip, text);
		assert_string_equal(text, cases[i].out);
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(ip_parse(str_of(bad[i]), &ip), -EINVAL);
	assert_int_equal(ip_parse(str_make("1.2.3.4\0x", 9), &ip), -EINVAL);
	assert_int_equal(ip_parse(STR("fe80::1%lo"), &ip), 0);
	assert_int_not_equal(ip.scope, 0);
}

static void test_address_literals_need_the_tag_for_ipv6(void **unused)
{
	struct address_ip ip, same;

	(void) unused;
	assert_int_equal(ip_parse_literal(STR("192.0.2.1"), &ip), 0);
	assert_int_equal(ip_parse_literal(STR("IPv6:::1"), &ip), 0);
	assert_int_equal(ip_parse_literal(STR("ipv6:2001:db8::1"), &ip), 0);
	assert_int_equal(ip_parse(STR("2001:db8::1"), &same), 0);
	same.port = 25;
	assert_true(ip_is_same(&ip, &same));
	assert_int_equal(ip_parse_literal(STR("2001:db8::1"), &ip), -EINVAL);
	assert_int_equal(ip_parse_literal(STR("IPv6:192.0.2.1"), &ip), -EINVAL);
	assert_int_equal(ip_parse_literal(STR("x400:abc"), &ip), -EINVAL);
}

static void test_sockaddr_and_back(void **unused)
{
	static const char *const texts[] = { "127.0.0.1", "2001:db8::5" };
	struct sockaddr_storage sa;
	struct address_ip ip, back;

	(void) unused;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		assert_int_equal(ip_parse(str_of(texts[i]), &ip), 0);
		ip.port = 2525;
		ip_to_sockaddr(&ip, &sa);
		ip_from_sockaddr((struct sockaddr *) &sa, &back);
		assert_true(ip_is_same(&ip, &back));
		assert_int_equal(back.port, 2525);
	}
	ip_parse(STR("127.0.0.1"), &ip);
	ip_parse(STR("127.0.0.2"), &back);
	assert_false(ip_is_same(&ip, &back));
}

static void test_host_and_port(void **unused)
{
	static const struct { const char *in, *host, *port; } good[] = {
		{ "host", "host", "" }, { "host:25", "host", "25" }, { "[host]", "host", "" },
		{ "[::1]:2525", "::1", "2525" }, { "[2001:db8::1]", "2001:db8::1", "" }, { ":25", "", "25" },
		{ "[192.0.2.1]:smtp", "192.0.2.1", "smtp" }, { "", "", "" },
	};
	static const char *const bad[] = { "[host", "host]", "[a]b", "[a]:", "a:", "::1", "a:b:c", "[a]]:1",
					   "[[a]]", "a b", "h:2 5" };
	struct str host, port;
	uint16_t number;

	(void) unused;
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		assert_int_equal(host_port_split(str_of(good[i].in), &host, &port), 0);
		assert_str(host, good[i].host);
		assert_str(port, good[i].port);
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(host_port_split(str_of(bad[i]), &host, &port), -EINVAL);
	assert_int_equal(port_parse(STR("smtp"), &number), 0);
	assert_int_equal(number, 25);
	assert_int_equal(port_parse(STR("submissions"), &number), 0);
	assert_int_equal(number, 465);
	assert_int_equal(port_parse(STR("2525"), &number), 0);
	assert_int_equal(number, 2525);
	assert_int_equal(port_parse(STR("0"), &number), -EINVAL);
	assert_int_equal(port_parse(STR("65536"), &number), -EINVAL);
	assert_int_equal(port_parse(STR("no-such-service"), &number), -EINVAL);
	assert_int_equal(port_parse(STR(""), &number), -EINVAL);
}

/* ---- sockets ---- */

static char directory[] = "/tmp/net-test-XXXXXX";

static void tcp(void *unused)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct address_ip at, from, peer;
	int listener, client, server;

	(void) unused;
	ip_parse(STR("127.0.0.1"), &at);
	ip_parse(STR("127.0.0.9"), &from);
	listener = listen_tcp(&at, 10);
	assert_true(listener >= 0);
	getsockname(listener, (struct sockaddr *) &sa, &len);
	ip_from_sockaddr((struct sockaddr *) &sa, &at);
	assert_int_equal(accept_one(listener, in(5), NULL), -ETIMEDOUT);
	client = connect_tcp(&at, &from, in(5000));
	assert_true(client >= 0);
	server = accept_one(listener, in(5000), &peer);
	assert_true(server >= 0);
	assert_true(ip_is_same(&peer, &from));
	assert_true(fcntl(server, F_GETFL) & O_NONBLOCK);
	assert_int_equal(fcntl(server, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(client, F_GETFD), FD_CLOEXEC);
	assert_int_equal(listen_tcp(&at, 10), -EADDRINUSE);
	co_forget_fd(listener);
	close(listener);
	close(server);
	co_forget_fd(client);
	close(client);
	assert_int_equal(connect_tcp(&at, NULL, in(5000)), -ECONNREFUSED);
	loop_stop();
}

static void test_tcp_connects_and_accepts(void **unused)
{
	(void) unused;
	tcp(NULL);
	assert_int_equal(loop_run(tcp, NULL), 0);
}

static void last_words(void *unused)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct address_ip at;
	char said[10];
	int listener, client;
	int64_t before;
	ssize_t early;
	struct stream *s;

	(void) unused;
	ip_parse(STR("127.0.0.1"), &at);
	listener = listen_tcp(&at, 10);
	getsockname(listener, (struct sockaddr *) &sa, &len);
	ip_from_sockaddr((struct sockaddr *) &sa, &at);
	client = connect_tcp(&at, NULL, in(5000));
	s = stream_new(accept_one(listener, in(5000), NULL));
	write_str(s, STR("before\n"));
	flush(s);
	assert_int_equal(co_wait_fd(client, POLLIN, in(5000)), POLLIN);
	assert_int_equal(recv(client, said, sizeof(said), 0), 7);
	before = mono_ms();
	write_str(s, STR("bye\n"));
	flush_last(s);
	assert_int_equal(stream_unsent(s), 0);
	/* the kernel has it, and waits for more: for 200 ms */
	early = recv(client, said, sizeof(said), MSG_DONTWAIT | MSG_PEEK);
	assert_true(early < 0 || mono_ms() - before >= 200);
	stream_free(s);
	assert_int_equal(recv(client, said, sizeof(said), MSG_WAITALL), 4);
	assert_memory_equal(said, "bye\n", 4);
	co_forget_fd(listener);
	close(listener);
	co_forget_fd(client);
	close(client);
	loop_stop();
}

static void test_the_last_words_come_with_the_end_of_the_connection(void **unused)
{
	(void) unused;
	assert_int_equal(loop_run(last_words, NULL), 0);
}

/*
 * Whoever may write to the directory could put a link in the place of a name whose mode is still to
 * be changed.
 */
static void test_a_socket_has_its_mode_from_the_beginning(void **unused)
{
	const mode_t usual = umask(077);
	char place[] = "/tmp/net-test-XXXXXX", path[200];
	union { struct inotify_event first; char bytes[2048]; } seen;
	struct stat st;
	ssize_t n;
	int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), listener;

	(void) unused;
	assert_non_null(mkdtemp(place));
	snprintf(path, sizeof(path), "%s/open_to_all", place);
	assert_true(inotify_add_watch(watch, place, IN_CREATE | IN_ATTRIB) >= 0);
	listener = listen_unix(path, 0666, 10);
	assert_true(listener >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0666);
	assert_int_equal(umask(usual), 077);
	n = read(watch, &seen, sizeof(seen));
	/* one event: nothing was changed afterwards */
	assert_int_equal(n, sizeof(seen.first) + seen.first.len);
	assert_int_equal(seen.first.mask, IN_CREATE);
	close(watch);
	close(listener);
	unlink(path);
	rmdir(place);
}

static void unix_sockets(void *unused)
{
	char path[200], file[200], data[10];
	struct stat st;
	int listener, client, server, passed, fd, pipe_ends[2];
	uid_t uid;
	gid_t gid;

	(void) unused;
	snprintf(path, sizeof(path), "%s/socket", directory);
	snprintf(file, sizeof(file), "%s/file", directory);
	assert_int_equal(connect_unix(path, in(100)), -ENOENT);
	listener = listen_unix(path, 0600, 10);
	assert_true(listener >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(listen_unix(path, 0600, 10), -EADDRINUSE);
	/* that was its look whether somebody listens */
	close(accept_one(listener, in(1000), NULL));
	client = connect_unix(path, in(1000));
	assert_true(client >= 0);
	server = accept_one(listener, in(1000), NULL);
	assert_true(server >= 0);
	assert_int_equal(peer_credentials(server, &uid, &gid), 0);
	assert_int_equal(uid, getuid());
	assert_int_equal(gid, getgid());

	assert_int_equal(pipe2(pipe_ends, O_CLOEXEC), 0);
	assert_int_equal(recv_fd(server, &passed, data, sizeof(data), in(2)), -ETIMEDOUT);
	assert_int_equal(send_fd(client, pipe_ends[1], "hello", 5), 0);
	assert_int_equal(recv_fd(server, &passed, data, sizeof(data), in(1000)), 5);
	assert_memory_equal(data, "hello", 5);
	assert_true(passed >= 0);
	assert_int_equal(fcntl(passed, F_GETFD), FD_CLOEXEC);
	assert_int_equal(write(passed, "x", 1), 1);
	assert_int_equal(read(pipe_ends[0], data, 1), 1);
	assert_int_equal(send_fd(client, -1, "no", 2), 0);
	assert_int_equal(recv_fd(server, &fd, data, sizeof(data), in(1000)), 2);
	assert_int_equal(fd, -1);
	close(passed);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
	co_forget_fd(listener);
	co_forget_fd(server);
	close(listener);
	close(server);
	close(client);

	assert_int_equal(connect_unix(path, in(100)), -ECONNREFUSED);
	listener = listen_unix(path, 0600, 10);			/* the stale one is replaced */
	assert_true(listener >= 0);
	close(listener);
	unlink(path);
	close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(listen_unix(file, 0600, 10), -EEXIST);	/* not anybody's file */
	unlink(file);
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = 0;
	assert_int_equal(connect_unix(path, in(100)), -ENAMETOOLONG);
	loop_stop();
}

static void test_unix_sockets_replace_stale_ones_and_pass_descriptors(void **unused)
{
	(void) unused;
	assert_non_null(mkdtemp(directory));
	unix_sockets(NULL);
	assert_int_equal(loop_run(unix_sockets, NULL), 0);
	rmdir(directory);
}

static void full_backlog(void *unused)
{
	char dir[] = "/tmp/net-test-XXXXXX", path[100];
	int listener, clients[64], n = 0;

	(void) unused;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/socket", dir);
	listener = listen_unix(path, 0600, 1);
	assert_true(listener >= 0);
	while (n < 64 && (clients[n] = connect_unix(path, in(20))) >= 0)
		n++;
	assert_true(n < 64);
	assert_int_equal(clients[n], -ETIMEDOUT);
	while (n > 0)
		close(clients[--n]);
	close(listener);
	unlink(path);
	rmdir(dir);
	loop_stop();
}

static void test_a_full_backlog_is_waited_for_until_the_deadline(void **unused)
{
	(void) unused;
	assert_int_equal(loop_run(full_backlog, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses_are_read_and_printed),
		cmocka_unit_test(test_address_literals_need_the_tag_for_ipv6),
		cmocka_unit_test(test_sockaddr_and_back),
		cmocka_unit_test(test_host_and_port),
		cmocka_unit_test(test_tcp_connects_and_accepts),
		cmocka_unit_test(test_the_last_words_come_with_the_end_of_the_connection),
		cmocka_unit_test(test_a_socket_has_its_mode_from_the_beginning),
		cmocka_unit_test(test_unix_sockets_replace_stale_ones_and_pass_descriptors),
		cmocka_unit_test(test_a_full_backlog_is_waited_for_until_the_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
