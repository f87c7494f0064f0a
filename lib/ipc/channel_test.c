/* SPDX-License-Identifier: ISC */
/* Channels, clients and servers over real sockets, in one process: the server is a coroutine. */
#include "tests/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/arena.h"
#include "lib/io/net.h"
#include "lib/ipc/channel.h"

static char socket_path[48];
static int listener = -1;
static int server_calls;

/* ---- a service that doubles the size; "die" closes the connection, "sleep" never answers ---- */

static void serve_command(struct server_call *call)
{
	struct qmgr_command q;
	struct qmgr_command_reply r = { 0 };

	if (get_qmgr_command(call->frame, &q, NULL) < 0)
		return;
	server_calls++;
	if (str_is(q.command, STR("sleep")))
		co_sleep(in(60000));
	if (str_is(q.command, STR("slow")))
		co_sleep(in(30));
	r.count = q.argument.len;
	r.text = q.command;
	REPLY(call, qmgr_command_reply, &r);
}

/* Reads the first byte of the file that came along. */
static void serve_deliver(struct server_call *call)
{
	struct deliver_request q;
	struct deliver_reply r = { 0 };
	char byte = '?';

	if (get_deliver_request(call->frame, &q, NULL) < 0)
		return;
	if (pread(q.message, &byte, 1, 0) < 0)
		byte = '!';
	close(q.message);
	r.outcomes = str_make(&byte, 1);
	REPLY(call, deliver_reply, &r);
}

static const struct server_row rows[] = {
	{ "qmgr_command", true, serve_command },
	{ "deliver_request", false, serve_deliver },
	{ NULL, false, NULL },
};

static int served_fd, served_connections, ended_connections;

static void serve_connection(void *arg)
{
	struct channel *ch = channel_new((int) (intptr_t) arg);

	served_fd = (int) (intptr_t) arg;
	served_connections++;
	serve_channel(ch, rows, NULL, 100);
	channel_free(ch);
	ended_connections++;
}

static struct scope *connections;

static void accept_loop(void *arg)
{
	int fd;

	(void) arg;
	while ((fd = accept_one(listener, NEVER, NULL)) >= 0)
		scope_start(connections, "connection", serve_connection, (void *) (intptr_t) fd);
}

/* ---- running a test inside the loop ---- */

static void (*the_test)(void);

static void run_the_test(void *arg)
{
	struct scope *server = scope_open("server");

	(void) arg;
	connections = scope_open("connections");
	scope_start(server, "accept", accept_loop, NULL);
	the_test();
	scope_close(connections);
	scope_close(server);
	for (int i = 0; i < 10; i++)
		co_pass();		/* reply readers of freed clients leave */
	loop_stop();
}

static void in_loop(void (*test)(void))
{
	snprintf(socket_path, sizeof(socket_path), "/tmp/ipc_test.%d", (int) getpid());
	listener = listen_unix(socket_path, 0600, 50);
	assert_true(listener >= 0);
	the_test = test;
	loop_run(run_the_test, NULL);
	co_forget_fd(listener);
	close(listener);
	unlink(socket_path);
}

static int ask(struct client *cl, struct str command, struct str argument, when_t until)
{
	struct arena *a = arena_new("ask", NULL, 1 << 25);
	struct qmgr_command q = { .command = command, .argument = argument };
	struct qmgr_command_reply r = { 0 };
	int result = CALL(cl, qmgr_command, &q, a, qmgr_command_reply, &r, until);

	if (result >= 0 && (!str_is(r.text, command) || r.count != argument.len))
		result = -EPROTO;
	arena_free(a);
	return result;
}

static struct client *shared;
static int answered;

static void one_of_many(void *arg)
{
	(void) arg;
	if (ask(shared, STR("slow"), STR("abc"), in(5000)) == 0)
		answered++;
}

static void many_calls(void)
{
	struct scope *callers = scope_open("callers");

	shared = client_new(socket_path);
	answered = 0;
	for (int i = 0; i < 300; i++)
		assert_int_equal(scope_start(callers, "caller", one_of_many, NULL), 0);
	assert_int_equal(scope_wait(callers, in(10000)), 0);
	scope_close(callers);
	assert_int_equal(answered, 300);
	client_free(shared);
}

static void a_timeout(void)
{
	struct client *cl = client_new(socket_path);

	assert_int_equal(ask(cl, STR("sleep"), STR_NONE, in(50)), -ETIMEDOUT);
	assert_int_equal(ask(cl, STR("flush"), STR("xy"), in(5000)), 0);
	client_free(cl);
}

static void a_big_frame(void)
{
	struct client *cl = client_new(socket_path);
	size_t len = 10 << 20;
	char *big = malloc(len);

	memset(big, 'x', len);
	assert_int_equal(ask(cl, STR("flush"), str_make(big, len), in(20000)), 0);
	free(big);
	client_free(cl);
}

/* The service would end the connection, and with it the calls of all others. */
static void too_long_a_field(void)
{
	struct client *cl = client_new(socket_path);

	assert_int_equal(ask(cl, STR("flush"), STR("xy"), in(5000)), 0);
	served_connections = 0;
	assert_int_equal(ask(cl, STR("a command of more than thirty-two bytes"), STR_NONE, in(5000)),
			 -EMSGSIZE);
	assert_int_equal(ask(cl, STR("flush"), STR("xy"), in(5000)), 0);
	assert_int_equal(served_connections, 0);		/* still the first one */
	client_free(cl);
}

/*
 * A service that has lost its mind, or is somebody else's by now, costs the call and not the
 * process that asked.
 */
static void gone_before_it_read(void)
{
	struct str word = STR("a name that is longer than thirty-two characters");
	struct client *cl = client_new(socket_path);

	assert_int_equal(ask(cl, word, STR_NONE, in(5000)), -EMSGSIZE);
	client_free(cl);			/* its reader has not run yet */
	cl = client_new(socket_path);
	assert_int_equal(ask(cl, STR("flush"), STR("xy"), in(5000)), 0);
	client_free(cl);
}

static void too_much(void)
{
	struct client *cl = client_new(socket_path);
	struct arena *a = arena_new("ask", NULL, 100);
	char command[32];
	struct qmgr_command q = { .argument = STR_NONE };
	struct qmgr_command_reply r;

	memset(command, 'x', sizeof(command));
	q.command = str_make(command, sizeof(command));
	assert_int_equal(CALL(cl, qmgr_command, &q, a, qmgr_command_reply, &r, in(5000)), -EMSGSIZE);
	arena_free(a);
	assert_int_equal(ask(cl, STR("flush"), STR("xy"), in(5000)), 0);
	client_free(cl);
}

static void descriptors(void)
{
	struct client *cl = client_new(socket_path);
	struct arena *a = arena_new("test", NULL, 1 << 20);
	char name[64];

	snprintf(name, sizeof(name), "%s.file", socket_path);
	for (int i = 0; i < 200; i++) {
		struct deliver_request q = { .message = -1 };
		struct deliver_reply r;
		char letter = (char) ('a' + i % 26);
		int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		assert_int_equal(write(fd, &letter, 1), 1);
		q.message = fd;
		assert_int_equal(CALL(cl, deliver_request, &q, a, deliver_reply, &r, in(5000)), 0);
		assert_int_equal(r.outcomes.len, 1);
		assert_int_equal(r.outcomes.at[0], letter);
		assert_int_equal(fcntl(fd, F_GETFD), -1);	/* given away */
	}
	unlink(name);
	arena_free(a);
	client_free(cl);
}

static void nobody_there(void)
{
	struct client *cl = client_new("/tmp/ipc_test.nobody.is.here");

	assert_int_equal(ask(cl, STR("flush"), STR_NONE, in(500)), -ENOENT);
	client_free(cl);
}

static void garbage(void)
{
	struct client *cl = client_new(socket_path);
	int fd = connect_unix(socket_path, in(1000));
	char byte;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "\0\0\0\4garbage that is no frame", 28) > 0, 1);
	assert_true(co_wait_fd(fd, POLLIN, in(5000)) > 0);
	assert_true(read(fd, &byte, 1) <= 0);
	co_forget_fd(fd);
	close(fd);
	assert_int_equal(ask(cl, STR("flush"), STR("ok"), in(5000)), 0);
	client_free(cl);
}

static void a_server_that_ends(void)
{
	struct client *cl = client_new(socket_path);

	assert_int_equal(ask(cl, STR("flush"), STR("ok"), in(5000)), 0);
	scope_close(connections);
	connections = scope_open("connections");
	co_sleep(in(20));
	assert_int_equal(ask(cl, STR("flush"), STR("again"), in(5000)), 0);
	client_free(cl);
}

/*
 * Goodbye amid calls: all are answered, the next one goes to the successor (here a new connection),
 * and the old connection is closed by the client.
 */
static void a_server_that_leaves(void)
{
	struct scope *callers = scope_open("callers");

	shared = client_new(socket_path);
	answered = served_connections = ended_connections = 0;
	for (int i = 0; i < 20; i++)
		assert_int_equal(scope_start(callers, "caller", one_of_many, NULL), 0);
	co_sleep(in(10));
	assert_int_equal(served_connections, 1);
	assert_true(serve_channel_goodbye(served_fd));
	assert_false(serve_channel_goodbye(listener));
	co_sleep(in(5));		/* the goodbye has arrived, the answers have not */
	assert_int_equal(answered, 0);
	for (int i = 0; i < 20; i++)
		assert_int_equal(scope_start(callers, "caller", one_of_many, NULL), 0);
	assert_int_equal(scope_wait(callers, in(10000)), 0);
	assert_int_equal(answered, 40);
	assert_true(served_connections >= 2);
	co_sleep(in(10));
	/* "leaving" holds for the process: the later connections were told too, and all have gone */
	assert_int_equal(ended_connections, served_connections);
	scope_close(callers);
	client_free(shared);
}

/*
 * Says something and goes without having read what was sent to it: for the other side both is one
 * event, and an error.
 */
static void say_and_go(void *arg)
{
	int fd = *(int *) arg;
	struct qmgr_command_reply r = { .text = STR("farewell") };
	AUTO(buf) b = BUF(1000);
	struct frame_out out;

	assert_true(put_qmgr_command_reply(&b, 1, &r, &out) >= 0);
	assert_int_equal(write(fd, b.at, b.len), b.len);
	close(fd);
}

static void a_last_word(void)
{
	struct scope *peer = scope_open("peer");
	struct channel *ch;
	struct frame f;
	int ends[2], result;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(write(ends[0], "unread", 6), 6);
	ch = channel_new(ends[0]);
	scope_start(peer, "peer", say_and_go, &ends[1]);
	assert_int_equal(channel_receive(ch, &f, in(20000)), 1);
	frame_close(&f);
	result = channel_receive(ch, &f, in(20000));
	assert_true(result < 0 && result != -ETIMEDOUT);
	channel_free(ch);
	scope_close(peer);
}

static void test_a_peer_that_dies_after_its_last_word_is_noticed(void **state) {
	(void) state; in_loop(a_last_word); }
static void test_many_calls_share_a_connection(void **state) { (void) state; in_loop(many_calls); }
static void test_a_call_that_times_out_does_not_disturb_the_next(void **state) {
	(void) state; in_loop(a_timeout); }
static void test_a_frame_larger_than_the_socket_buffer_arrives(void **state) {
	(void) state; in_loop(a_big_frame); }
static void test_a_request_with_too_long_a_field_is_not_sent(void **state) {
	(void) state; in_loop(too_long_a_field); }
static void test_a_client_may_go_right_after_it_has_connected(void **state) {
	(void) state; in_loop(gone_before_it_read);
}
static void test_an_answer_larger_than_the_asker_has_room_for_is_an_error(void **state) {
	(void) state; in_loop(too_much); }
static void test_descriptors_arrive_with_their_message_and_are_given_away(void **state) {
	(void) state; in_loop(descriptors); }
static void test_a_service_that_is_not_there_is_an_error(void **state) {
	(void) state; in_loop(nobody_there); }
static void test_garbage_ends_its_connection_only(void **state) { (void) state; in_loop(garbage); }
static void test_the_next_call_connects_again_when_the_server_closed(void **state) {
	(void) state; in_loop(a_server_that_ends); }

/*
 * On a clock that stands still as long as anybody has something to do: the answers come after the
 * goodbye, however busy the machine.
 */
static void test_a_server_that_leaves_answers_everybody(void **state)
{
	(void) state;
	loop_use_virtual_time(1000000000000000);
	in_loop(a_server_that_leaves);
	loop_use_virtual_time(-1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_calls_share_a_connection),
		cmocka_unit_test(test_a_call_that_times_out_does_not_disturb_the_next),
		cmocka_unit_test(test_a_frame_larger_than_the_socket_buffer_arrives),
		cmocka_unit_test(test_a_request_with_too_long_a_field_is_not_sent),
		cmocka_unit_test(test_a_client_may_go_right_after_it_has_connected),
		cmocka_unit_test(test_an_answer_larger_than_the_asker_has_room_for_is_an_error),
		cmocka_unit_test(test_descriptors_arrive_with_their_message_and_are_given_away),
		cmocka_unit_test(test_a_service_that_is_not_there_is_an_error),
		cmocka_unit_test(test_garbage_ends_its_connection_only),
		cmocka_unit_test(test_the_next_call_connects_again_when_the_server_closed),
		cmocka_unit_test(test_a_peer_that_dies_after_its_last_word_is_noticed),
		cmocka_unit_test(test_a_server_that_leaves_answers_everybody),	/* for good: the last one */
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
