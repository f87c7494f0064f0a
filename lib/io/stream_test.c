/* SPDX-License-Identifier: ISC */
/*
 * Streams against a peer on the other end of a socket pair, which is a coroutine of the same test
 * or a bare descriptor.
 */
#include "tests/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/io/net.h"
#include "lib/io/stream_private.h"

static struct stream *s;
static int peer;

static void connect_pair(void)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	s = stream_new(pair[0]);
	stream_deadline(s, in(10000));
	peer = pair[1];
}

static void disconnect(void)
{
	stream_free(s);
	s = NULL;
	if (peer >= 0) {
		co_forget_fd(peer);
		close(peer);
	}
	peer = -1;
}

static void say(const char *text)
{
	assert_int_equal(write(peer, text, strlen(text)), (ssize_t) strlen(text));
}

static void expect_sent(const char *text)
{
	char got[1024];
	ssize_t n = read(peer, got, sizeof(got));

	assert_true(n >= 0);
	assert_str(str_make(got, (size_t) n), text);
}

static void expect_line(size_t max, const char *text, bool bare)
{
	struct str line;
	bool bare_lf = !bare;

	assert_true(read_line(s, max, &line, &bare_lf));
	assert_str(line, text);
	assert_int_equal(bare_lf, bare);
}

static void (*body)(void);

static void run_body(void *unused)
{
	(void) unused;
	connect_pair();
	body();
	disconnect();
	loop_stop();
}

static void in_loop(void (*what)(void))
{
	body = what;
	alarm(60);
	assert_int_equal(loop_run(run_body, NULL), 0);
	alarm(0);
}

/* Most bodies hold both ways: in a coroutine and, blocking, outside of one. */
static void both_ways(void (*what)(void))
{
	in_loop(what);
	connect_pair();
	what();
	disconnect();
}

/* ---- lines ---- */

static void lines(void)
{
	struct str line;

	say("EHLO x\r\nbare\n\r\n\na\rb\r\r\nrest");
	expect_line(100, "EHLO x", false);
	assert_true(stream_more(s));
	expect_line(100, "bare", true);
	expect_line(100, "", false);
	expect_line(100, "", true);
	expect_line(100, "a\rb\r", false);
	shutdown(peer, SHUT_WR);
	assert_false(read_line(s, 100, &line, NULL));
	assert_int_equal(stream_error(s), -EPIPE);
	assert_true(stream_more(s));
	assert_false(read_line(s, 100, &line, NULL));
}

static void test_lines_end_at_lf_and_a_part_at_the_end_is_none(void **unused)
{
	(void) unused;
	both_ways(lines);
}

static void long_lines(void)
{
	struct str line;
	char big[3001];

	memset(big, 'x', 3000);
	big[3000] = 0;
	say("12345\r\n123456\r\n12345\n");
	expect_line(5, "12345", false);
	assert_false(read_line(s, 5, &line, NULL));
	assert_int_equal(stream_error(s), -EMSGSIZE);
	assert_false(read_line(s, 5, &line, NULL));
	stream_clear_error(s);
	expect_line(5, "12345", true);
	say(big);
	assert_false(read_line(s, 1000, &line, NULL));
	assert_int_equal(stream_error(s), -EMSGSIZE);
	stream_clear_error(s);
	say(big);
	say("\r\nafter\r\n");
	expect_line(1000, "after", false);
	/* exactly max, its CR and LF apart */
	say("1234\r");
	assert_false(stream_poll_input(s) && read_line(s, 3, &line, NULL));
	stream_clear_error(s);
	say("\n1234\r");
	say("\n");
	expect_line(4, "1234", false);
}

static void test_a_line_that_is_too_long_is_an_error_and_is_skipped_as_a_whole(void **unused)
{
	(void) unused;
	both_ways(long_lines);
}

/* Nobody sends a megabyte before the next line end by mistake. */
static void endless_line(void)
{
	struct str line;
	char piece[1025];

	memset(piece, 'x', 1024);
	piece[1024] = 0;
	for (int i = 0; i < 1024; i++) {
		say(piece);
		assert_false(read_line(s, 1000, &line, NULL));
		if (i == 0)
			stream_clear_error(s);
		stream_deadline(s, in(0));
		if (stream_error(s) == -ETIMEDOUT)
			stream_clear_error(s);
		assert_int_equal(stream_error(s), 0);
	}
	say(piece);
	say(piece);
	assert_false(read_line(s, 1000, &line, NULL));
	assert_int_equal(stream_error(s), -E2BIG);
}

static void test_a_line_that_goes_on_for_ever_ends_the_stream(void **unused)
{
	(void) unused;
	both_ways(endless_line);
}

static void dribble_line(void *arg)
{
	for (const char *at = arg; *at != 0; at++) {
		assert_int_equal(write(peer, at, 1), 1);
		co_sleep(in(1));
	}
}

static void dribbled(void)
{
	struct scope *scope = scope_open("dribble");

	scope_start(scope, "dribble", dribble_line, (void *) (uintptr_t) "MAIL FROM:<a@b>\r\nx\r\n");
	expect_line(100, "MAIL FROM:<a@b>", false);
	expect_line(100, "x", false);
	scope_wait(scope, NEVER);
	scope_close(scope);
}

static void test_a_line_may_come_byte_by_byte(void **unused)
{
	(void) unused;
	in_loop(dribbled);
}

static void line_beyond_buffer(void)
{
	static char big[100000], got[100000];
	struct scope *scope = scope_open("none");
	struct str line;

	memset(big, 'y', sizeof(big) - 1);
	big[sizeof(big) - 2] = '\n';
	big[sizeof(big) - 1] = 0;
	assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_SNDBUF, &(int){ 400000 }, sizeof(int)), 0);
	say(big);
	assert_true(read_line(s, 100000, &line, NULL));
	assert_int_equal(line.len, sizeof(big) - 2);
	memcpy(got, line.at, line.len);
	assert_memory_equal(got, big, line.len);
	scope_close(scope);
}

static void test_a_line_may_be_longer_than_the_buffer_if_so_allowed(void **unused)
{
	(void) unused;
	in_loop(line_beyond_buffer);
}

/* ---- bytes ---- */

static void bytes(void)
{
	char got[8] = "";
	struct str all;

	say("abcdefghij");
	assert_true(read_exact(s, got, 3));
	assert_string_equal(got, "abc");
	assert_str(stream_peek(s), "defghij");
	stream_skip(s, 2);
	say("KL");
	assert_true(stream_peek_more(s, &all));
	assert_str(all, "fghijKL");
	shutdown(peer, SHUT_WR);
	assert_false(stream_peek_more(s, &all));
	assert_int_equal(stream_error(s), 0);		/* there is still something to read */
	assert_int_equal(read_some(s, got, 5), 5);
	assert_str(stream_peek(s), "KL");
	stream_drop_input(s);
	assert_int_equal(read_some(s, got, 5), 0);
	assert_int_equal(stream_error(s), -EPIPE);
	assert_str(stream_peek(s), "");
}

static void test_bytes_at_hand_can_be_read_after_the_end_has_come(void **unused)
{
	(void) unused;
	both_ways(bytes);
}

static void full_buffer(void)
{
	static char big[STREAM_BUFFER + 1000];
	struct str all;

	assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_SNDBUF, &(int){ 400000 }, sizeof(int)), 0);
	assert_int_equal(write(peer, big, sizeof(big)), sizeof(big));
	stream_peek(s);
	while (stream_peek_more(s, &all))
		;
	assert_int_equal(stream_error(s), 0);
	assert_int_equal(stream_peek(s).len, STREAM_BUFFER);
	stream_skip(s, STREAM_BUFFER - 10);
	assert_true(stream_peek_more(s, &all));
	assert_int_equal(all.len, 1010);
}

static void test_peeking_stops_at_a_full_buffer(void **unused)
{
	(void) unused;
	both_ways(full_buffer);
}

/* ---- when is what sent ---- */

static void flush_before_wait(void)
{
	struct str line;

	say("one\r\ntwo\r\n");
	expect_line(100, "one", false);
	write_str(s, STR("250 1\r\n"));
	expect_line(100, "two", false);
	writef(s, "250 %d\r\n", 2);
	assert_int_equal(stream_unsent(s), 14);			/* pipelining: replies gather */
	stream_deadline(s, in(5));
	assert_false(read_line(s, 100, &line, NULL));
	assert_int_equal(stream_error(s), -ETIMEDOUT);
	expect_sent("250 1\r\n250 2\r\n");
	write_str(s, STR("too late"));
	flush(s);
	assert_int_equal(stream_unsent(s), 0);
}

static void test_replies_gather_and_go_out_before_a_read_that_waits(void **unused)
{
	(void) unused;
	both_ways(flush_before_wait);
}

static void idle_holds_nothing(void)
{
	struct str line;

	say("x\r\n");
	expect_line(100, "x", false);
	write_str(s, STR("y\r\n"));
	stream_deadline(s, in(5));
	assert_false(read_line(s, 100, &line, NULL));
	assert_null(s->in);
	assert_null(s->out);
}

static void test_an_idle_stream_holds_no_buffer(void **unused)
{
	(void) unused;
	both_ways(idle_holds_nothing);
}

/* The peer's last words and its end come together: after the answer nothing more must be waited for. */
static void end_behind_words(void)
{
	struct str line;
	int64_t before = mono_ms();

	co_wait_fd(stream_fd(s), POLLIN, in(2));		/* registers */
	say("QUIT\r\n");
	shutdown(peer, SHUT_WR);
	expect_line(100, "QUIT", false);
	write_str(s, STR("221 Bye\r\n"));
	stream_deadline(s, in(3000));
	assert_false(read_line(s, 100, &line, NULL));
	assert_int_equal(stream_error(s), -EPIPE);
	assert_true(mono_ms() - before < 2000);
	expect_sent("221 Bye\r\n");
}

static void test_an_end_that_came_with_the_last_words_is_noticed(void **unused)
{
	(void) unused;
	both_ways(end_behind_words);
}

static void peer_is_gone(void)
{
	struct str line;

	close(peer);
	peer = -1;
	write_str(s, STR("hello\r\n"));
	flush(s);						/* no SIGPIPE */
	assert_true(stream_error(s) == -EPIPE || stream_error(s) == -ECONNRESET);
	assert_false(read_line(s, 10, &line, NULL));
}

static void test_writing_to_who_is_gone_is_an_error_and_no_signal(void **unused)
{
	(void) unused;
	both_ways(peer_is_gone);
}

static void poll_input(void)
{
	assert_false(stream_poll_input(s));
	assert_int_equal(stream_error(s), 0);
	say("421 bye\r\n");
	assert_true(stream_poll_input(s));
	assert_true(stream_poll_input(s));
	expect_line(100, "421 bye", false);
	write_str(s, STR("x"));
	flush(s);
	close(peer);
	peer = -1;
	assert_false(stream_poll_input(s));
	assert_true(stream_error(s) < 0);
}

static void test_polling_sees_input_and_the_end_without_waiting(void **unused)
{
	(void) unused;
	both_ways(poll_input);
}

/* ---- much ---- */

enum { MUCH = 3000000 };

static void read_much(void *arg)
{
	struct stream *from = stream_new(peer);
	uint32_t *crc = arg;
	size_t total = 0;

	stream_deadline(from, in(20000));
	for (;;) {
		struct str part = stream_peek(from);
		size_t n = MIN(part.len, (size_t) 10007);

		if (part.len == 0)
			break;
		*crc = crc32c(*crc, part.at, n);
		stream_skip(from, n);
		total += n;
	}
	assert_int_equal(stream_error(from), -EPIPE);
	assert_int_equal(total, MUCH);
	stream_free(from);
	peer = -1;
}

static void much(void)
{
	static char block[30000];
	struct scope *scope = scope_open("much");
	uint32_t sent = 0, received = 0;

	scope_start(scope, "reader", read_much, &received);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (char) (i * 7 + i / 251);
	for (size_t left = MUCH; left > 0;) {
		size_t a = MIN(left, (size_t) 13), b = MIN(left - a, sizeof(block));
		struct iovec pieces[3] = { { block + 5, 0 }, { block + 1, b }, { block, 0 } };

		pieces[1].iov_len = MIN(b, sizeof(block) - 1);
		write_str(s, str_make(block, a));
		write_pieces(s, pieces, 3);
		sent = crc32c(sent, block, a);
		sent = crc32c(sent, block + 1, pieces[1].iov_len);
		left -= a + pieces[1].iov_len;
	}
	flush(s);
	assert_int_equal(stream_error(s), 0);
	stream_free(s);
	s = NULL;
	assert_int_equal(scope_wait(scope, in(20000)), 0);
	scope_close(scope);
	assert_int_equal(sent, received);
}

static void test_megabytes_arrive_as_they_were_sent(void **unused)
{
	(void) unused;
	in_loop(much);
}

static void write_much(void *unused)
{
	static char block[5000];

	(void) unused;
	for (int i = 0; i < 200; i++) {
		memset(block, 'a' + i % 26, sizeof(block));
		write_str(s, str_make(block, sizeof(block)));
	}
	flush(s);
}

/*
 * One coroutine reads lines of s, which flushes, while another writes to it more than the peer
 * takes at once.
 */
static void duplex(void)
{
	struct scope *scope = scope_open("duplex");
	static char got[5000];
	struct str line;
	size_t total = 0;

	scope_start(scope, "writer", write_much, NULL);
	co_pass();
	say("one\ntwo\n");
	assert_true(read_line(s, 100, &line, NULL));
	assert_true(read_line(s, 100, &line, NULL));
	stream_deadline(s, in(20));
	assert_false(read_line(s, 100, &line, NULL));		/* flushes, then waits */
	assert_int_equal(stream_error(s), -ETIMEDOUT);
	scope_wait(scope, in(5));
	for (;;) {
		ssize_t n = read(peer, got, sizeof(got));

		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++, total++)
			assert_int_equal(got[i], 'a' + (int) (total / 5000 % 26));
	}
	assert_true(total > 50000);
	scope_close(scope);
}

static void test_a_reader_and_a_writer_may_share_a_stream(void **unused)
{
	(void) unused;
	in_loop(duplex);
}

static int others_ran;

static void count_runs(void *arg)
{
	(void) arg;
	for (;;) {
		if (co_is_cancelled())
			return;
		others_ran++;
		co_pass();
	}
}

static void greedy(void)
{
	static char many[60000];
	struct scope *scope = scope_open("others");
	struct str line;

	for (size_t i = 0; i < sizeof(many); i += 2)
		memcpy(many + i, "\r\n", 2);
	assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_SNDBUF, &(int){ 400000 }, sizeof(int)), 0);
	assert_int_equal(write(peer, many, sizeof(many)), sizeof(many));
	scope_start(scope, "other", count_runs, NULL);
	for (int i = 0; i < 30000; i++)
		assert_true(read_line(s, 10, &line, NULL));
	assert_true(others_ran >= 100);
	scope_close(scope);
}

static void test_a_stream_that_always_has_input_lets_others_run(void **unused)
{
	(void) unused;
	others_ran = 0;
	in_loop(greedy);
}

/* ---- deadlines, cancellation, other descriptors ---- */

static void read_until_cancelled(void *arg)
{
	struct str line;

	(void) arg;
	stream_deadline(s, NEVER);
	assert_false(read_line(s, 10, &line, NULL));
	assert_int_equal(stream_error(s), -ECANCELED);
}

static void cancelled(void)
{
	struct scope *scope = scope_open("cancel");

	scope_start(scope, "reader", read_until_cancelled, NULL);
	co_sleep(in(2));
	scope_close(scope);
}

static void test_a_cancelled_reader_sees_it_as_the_streams_error(void **unused)
{
	(void) unused;
	in_loop(cancelled);
}

static void stuck_writer(void)
{
	static char block[100000];

	stream_deadline(s, in(20));
	for (int i = 0; i < 100 && stream_error(s) == 0; i++)
		write_str(s, str_make(block, sizeof(block)));
	assert_int_equal(stream_error(s), -ETIMEDOUT);
}

static void test_a_peer_that_does_not_read_runs_into_the_deadline(void **unused)
{
	(void) unused;
	both_ways(stuck_writer);
}

static void pipes(void)
{
	int ends[2];
	struct stream *from, *to;
	struct str line;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	from = stream_new(ends[0]);
	to = stream_new(ends[1]);
	stream_deadline(from, in(20));
	write_str(to, STR("through a pipe\n"));
	flush(to);
	assert_true(read_line(from, 100, &line, NULL));
	assert_str(line, "through a pipe");
	assert_false(read_line(from, 100, &line, NULL));
	assert_int_equal(stream_error(from), -ETIMEDOUT);
	stream_free(to);
	stream_free(from);
}

static void test_a_stream_works_on_a_pipe(void **unused)
{
	const int before = fcntl(STDIN_FILENO, F_GETFL);	/* closed, or as whoever runs us has left it */

	(void) unused;
	both_ways(pipes);
	assert_int_equal(fcntl(STDIN_FILENO, F_GETFL), before);
}

static char shown[64];

static void show(void *arg, char direction, struct str text)
{
	size_t n = strlen(shown);

	assert_ptr_equal(arg, shown);
	snprintf(shown + n, sizeof(shown) - n, "%c%.*s", direction, PSTR(text));
}

static void transcript(void)
{
	int fd;

	shown[0] = 0;
	stream_transcript(s, show, shown);
	say("A\n");
	expect_line(10, "A", true);
	write_str(s, STR("B\n"));
	flush(s);
	assert_string_equal(shown, "<A\n>B\n");
	fd = stream_release(s);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	s = stream_new(fd);
}

static void test_a_transcript_shows_both_directions(void **unused)
{
	(void) unused;
	both_ways(transcript);
}

/* ---- a transport: every byte XORed ---- */

static ssize_t xor_receive(void *arg, void *at, size_t n, short *ret_wait)
{
	ssize_t got = recv(*(int *) arg, at, MIN(n, (size_t) 3), MSG_DONTWAIT);

	*ret_wait = POLLIN;
	for (ssize_t i = 0; i < got; i++)
		((char *) at)[i] ^= 1;
	return got < 0 ? -errno : got;
}

static ssize_t xor_send(void *arg, const struct iovec *pieces, int n, short *ret_wait)
{
	char c = *(char *) pieces[0].iov_base ^ 1;

	assert_true(n > 0);
	*ret_wait = POLLOUT;
	return send(*(int *) arg, &c, 1, MSG_NOSIGNAL);
}

static int xor_ended;

static void xor_end(void *arg)
{
	(void) arg;
	xor_ended++;
}

static void transported(void)
{
	static const struct stream_transport xor = { xor_receive, xor_send, xor_end };
	int fd = stream_fd(s);

	stream_set_transport(s, &xor, &fd);
	say("IDMMN\013");
	expect_line(100, "HELLO", true);
	write_str(s, STR("ABC"));
	flush(s);
	expect_sent("@CB");
	xor_ended = 0;
	stream_free(s);
	assert_int_equal(xor_ended, 1);
	s = stream_new(dup(peer));
}

static void test_a_transport_can_stand_between_stream_and_socket(void **unused)
{
	(void) unused;
	both_ways(transported);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_end_at_lf_and_a_part_at_the_end_is_none),
		cmocka_unit_test(test_a_line_that_is_too_long_is_an_error_and_is_skipped_as_a_whole),
		cmocka_unit_test(test_a_line_that_goes_on_for_ever_ends_the_stream),
		cmocka_unit_test(test_a_line_may_come_byte_by_byte),
		cmocka_unit_test(test_a_line_may_be_longer_than_the_buffer_if_so_allowed),
		cmocka_unit_test(test_bytes_at_hand_can_be_read_after_the_end_has_come),
		cmocka_unit_test(test_peeking_stops_at_a_full_buffer),
		cmocka_unit_test(test_replies_gather_and_go_out_before_a_read_that_waits),
		cmocka_unit_test(test_an_idle_stream_holds_no_buffer),
		cmocka_unit_test(test_an_end_that_came_with_the_last_words_is_noticed),
		cmocka_unit_test(test_writing_to_who_is_gone_is_an_error_and_no_signal),
		cmocka_unit_test(test_polling_sees_input_and_the_end_without_waiting),
		cmocka_unit_test(test_megabytes_arrive_as_they_were_sent),
		cmocka_unit_test(test_a_reader_and_a_writer_may_share_a_stream),
		cmocka_unit_test(test_a_stream_that_always_has_input_lets_others_run),
		cmocka_unit_test(test_a_cancelled_reader_sees_it_as_the_streams_error),
		cmocka_unit_test(test_a_peer_that_does_not_read_runs_into_the_deadline),
		cmocka_unit_test(test_a_stream_works_on_a_pipe),
		cmocka_unit_test(test_a_transcript_shows_both_directions),
		cmocka_unit_test(test_a_transport_can_stand_between_stream_and_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
