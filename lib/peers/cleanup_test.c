/* SPDX-License-Identifier: ISC */
/* The client side of cleanup against a stand-in that keeps what it gets, or misbehaves. */
#include "tests/unit.h"

#include <errno.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/io/net.h"
#include "lib/peers/cleanup.h"

static char path[64];
static struct scope *connections;
static enum { ANSWER, DIE, NONSENSE, STALL } manner;
static int requests, streams, aborted;
static size_t got_bytes;
static uint32_t got_crc;
static char got_id[40], got_sender[100];

static void reply(struct server_call *call)
{
	struct cleanup_reply r = { .code = 250, .dsn = STR("2.0.0"), .text = STR("Ok: queued as X"),
				   .size = got_bytes };

	REPLY(call, cleanup_reply, &r);
}

static void note(struct server_call *call, struct str id, struct str envelope)
{
	struct envelope e;

	assert_int_equal(envelope_unpack(envelope, call->arena, &e), 0);
	snprintf(got_sender, sizeof(got_sender), "%.*s", PSTR(e.sender));
	snprintf(got_id, sizeof(got_id), "%.*s", PSTR(id));
}

static bool misbehave(struct server_call *call)
{
	struct qmgr_command_reply nonsense = { .text = STR("what?") };

	if (manner == NONSENSE)
		REPLY(call, qmgr_command_reply, &nonsense);
	if (manner == STALL)
		co_sleep(NEVER);
	return manner != ANSWER;
}

static void serve_request(struct server_call *call)
{
	struct cleanup_request r;

	requests++;
	if (misbehave(call))
		return;
	assert_int_equal(get_cleanup_request(call->frame, &r, NULL), 0);
	note(call, r.queue_id, r.envelope);
	got_bytes = r.content.len;
	got_crc = crc32c(0, r.content.at, r.content.len);
	reply(call);
}

static void serve_stream(struct server_call *call)
{
	struct cleanup_stream begin;
	struct cleanup_content c = { .last = 0 };
	uint32_t number = call->frame->call;
	struct frame f;

	streams++;
	assert_int_equal(get_cleanup_stream(call->frame, &begin, NULL), 0);
	note(call, begin.queue_id, begin.envelope);
	got_bytes = got_crc = 0;
	while (!c.last) {
		if (channel_receive(call->ch, &f, in(5000)) <= 0) {
			aborted++;
			return;
		}
		assert_int_equal(get_cleanup_content(&f, &c, NULL), 0);
		got_bytes += c.content.len;
		got_crc = crc32c(got_crc, c.content.at, c.content.len);
		frame_close(&f);
		if (manner != ANSWER && got_bytes > 100000)
			return;
	}
	call->frame->call = number;
	reply(call);
}

static const struct server_row rows[] = {
	{ "cleanup_request", true, serve_request }, { "cleanup_stream", false, serve_stream },
	{ NULL, false, NULL },
};

/* One connection each: a stand-in that dies closes it after the first call. */
static void serve_connection(void *arg)
{
	struct channel *ch = channel_new((int) (intptr_t) arg);
	struct frame f;

	if (manner == DIE) {
		channel_receive(ch, &f, in(5000));
		requests++;
	} else {
		serve_channel(ch, rows, NULL, 10);
		channel_drain(ch, 0, in(1000));
	}
	channel_free(ch);
}

static void accept_loop(void *arg)
{
	int fd;

	while ((fd = accept_one((int) (intptr_t) arg, NEVER, NULL)) >= 0)
		scope_start(connections, "connection", serve_connection, (void *) (intptr_t) fd);
}

static void (*the_test)(void);

static void run_with_server(void *arg)
{
	struct scope *server = scope_open("server");
	int listener = listen_unix(path, 0600, 50);

	(void) arg;
	assert_true(listener >= 0);
	connections = scope_open("connections");
	scope_start(server, "accept", accept_loop, (void *) (intptr_t) listener);
	mail_out_use(path);
	the_test();
	scope_close(connections);
	scope_close(server);
	co_forget_fd(listener);
	close(listener);
	unlink(path);
	loop_stop();
}

static void in_loop(void (*test)(void))
{
	the_test = test;
	manner = ANSWER;
	requests = streams = aborted = 0;
	got_bytes = 0;
	loop_run(run_with_server, NULL);
}

/* ---- sending ---- */

static struct mail_verdict send_bytes(struct arena *a, size_t bytes, size_t piece,
				      uint32_t *ret_crc, when_t until)
{
	struct recipient to = { .address = STR("bob@example.net") };
	struct envelope e = { .queue_id = STR("MYQUEUEID"), .sender = STR("alice@example.org"),
			      .recipient_count = 1, .recipients = &to };
	struct mail_out *m = mail_out_begin(a, "smtpd", 0, &e);
	struct mail_verdict v;
	char *text = get_memory(bytes + 1);

	for (size_t i = 0; i < bytes; i++)
		text[i] = (char) (i * 7 + i / 1000);
	*ret_crc = crc32c(0, text, bytes);
	for (size_t at = 0; at < bytes; at += piece)
		mail_out_write(m, str_make(text + at, MIN(piece, bytes - at)), until);
	mail_out_end(m, &v, until);
	free(text);
	return v;
}

static void check_sizes(void)
{
	static const size_t sizes[] = { 0, 1, SMALL_MESSAGE - 1, SMALL_MESSAGE, SMALL_MESSAGE + 1,
					1000000, 5000000 };

	for (size_t i = 0; i < COUNT_OF(sizes); i++)
		for (size_t piece = 700; piece < 3000000; piece *= 40) {
			struct arena *a = arena_new("test", NULL, 1 << 20);
			int streams_before = streams;
			uint32_t crc;
			struct mail_verdict v = send_bytes(a, sizes[i], piece, &crc, in(20000));

			assert_int_equal(v.code, 250);
			assert_str(v.text, "Ok: queued as X");
			assert_int_equal(v.size, sizes[i]);
			assert_int_equal(got_bytes, sizes[i]);
			assert_int_equal(got_crc, crc);
			assert_string_equal(got_id, "MYQUEUEID");
			assert_string_equal(got_sender, "alice@example.org");
			assert_int_equal(streams - streams_before, sizes[i] > SMALL_MESSAGE);
			arena_free(a);
		}
}

static void assert_temporary(size_t bytes, when_t until)
{
	struct arena *a = arena_new("test", NULL, 1 << 20);
	uint32_t crc;
	struct mail_verdict v = send_bytes(a, bytes, 10000, &crc, until);

	assert_int_equal(v.code, 451);
	assert_str(v.dsn, "4.3.0");
	arena_free(a);
}

static void check_dying(void)
{
	manner = DIE;
	assert_temporary(1000, in(5000));
	assert_temporary(3000000, in(5000));
	assert_int_equal(requests, 2);
}

static void check_nonsense(void)
{
	manner = NONSENSE;
	assert_temporary(1000, in(5000));
	assert_temporary(3000000, in(5000));
}

static void check_stalling(void)
{
	manner = STALL;
	assert_temporary(1000, in(100));
}

static void check_absence(void)
{
	mail_out_use("/nonexistent/socket");
	assert_temporary(1000, in(1000));
	assert_temporary(100000, in(1000));
}

static void check_abort(void)
{
	struct envelope e = { .sender = STR_NONE };
	struct arena *a = arena_new("test", NULL, 1 << 20);
	static char big[200000];
	struct mail_out *m = mail_out_begin(a, "smtpd", 0, &e);

	mail_out_write(m, str_make(big, 100), in(1000));
	mail_out_abort(m);
	mail_out_abort(NULL);
	m = mail_out_begin(a, "smtpd", 0, &e);
	mail_out_write(m, str_make(big, sizeof(big)), in(1000));
	for (int i = 0; i < 2000 && got_bytes == 0; i++)
		co_sleep(in(2));
	mail_out_abort(m);
	assert_int_equal(requests, 0);
	/* the stand-in waits for the last frame, which never comes */
	for (int i = 0; i < 2000 && aborted == 0; i++)
		co_sleep(in(2));
	assert_int_equal(aborted, 1);
	arena_free(a);
}

static void check_bad_envelope(void)
{
	struct envelope e = { .sender = STR("a\nb") };
	struct arena *a = arena_new("test", NULL, 1 << 20);
	struct mail_out *m = mail_out_begin(a, "smtpd", 0, &e);
	struct mail_verdict v;

	mail_out_end(m, &v, in(1000));
	assert_int_equal(v.code, 554);
	assert_int_equal(requests, 0);
	arena_free(a);
}

static void messages_of_any_size_arrive_whole(void **state) { (void) state; in_loop(check_sizes); }
static void a_cleanup_that_dies_is_a_temporary_error(void **state) { (void) state; in_loop(check_dying); }
static void a_cleanup_that_talks_nonsense_is_a_temporary_error(void **state) {
	(void) state; in_loop(check_nonsense); }
static void a_cleanup_that_stalls_is_a_temporary_error(void **state) {
	(void) state; in_loop(check_stalling); }
static void a_cleanup_that_is_away_is_a_temporary_error(void **state) {
	(void) state; in_loop(check_absence); }
static void an_aborted_message_is_never_complete(void **state) { (void) state; in_loop(check_abort); }
static void an_envelope_with_control_characters_goes_nowhere(void **state) {
	(void) state; in_loop(check_bad_envelope); }

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_of_any_size_arrive_whole),
		cmocka_unit_test(a_cleanup_that_dies_is_a_temporary_error),
		cmocka_unit_test(a_cleanup_that_talks_nonsense_is_a_temporary_error),
		cmocka_unit_test(a_cleanup_that_stalls_is_a_temporary_error),
		cmocka_unit_test(a_cleanup_that_is_away_is_a_temporary_error),
		cmocka_unit_test(an_aborted_message_is_never_complete),
		cmocka_unit_test(an_envelope_with_control_characters_goes_nowhere),
	};

	snprintf(path, sizeof(path), "/tmp/cleanup-peer-test.%d", (int) getpid());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
