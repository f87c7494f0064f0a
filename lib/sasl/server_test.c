/* SPDX-License-Identifier: ISC */
/*
 * Lines of the protocol; and exchanges with a server that is a coroutine of the same test, and does
 * what the test wants.
 */
#include "tests/unit.h"

#include <errno.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/io/stream.h"
#include "lib/sasl/server_private.h"

static struct arena *arena;

/* ---- lines ---- */

static int parses(const char *line, struct auth_line *ret)
{
	size_t len = strlen(line);
	char *exact = malloc(len + 1);		/* so that a sanitizer sees a read beyond the end */
	int r;

	memcpy(exact, line, len);
	r = auth_line_parse(arena, arena_copy(arena, str_make(exact, len)), ret);
	free(exact);
	return r;
}

static void test_lines_are_read_as_the_protocol_defines_them(void **state)
{
	struct auth_line l;

	(void) state;
	assert_int_equal(parses("VERSION\t1\t2", &l), 0);
	assert_true(l.word == AUTH_VERSION && l.version == 1);
	assert_int_equal(parses("MECH\tSCRAM-SHA-256\tmutual-auth\tnew-thing\tactive", &l), 0);
	assert_int_equal(l.word, AUTH_MECH);
	assert_str(l.name, "SCRAM-SHA-256");
	assert_int_equal(l.options,
			 SASL_MUTUAL_AUTH | SASL_NOPLAINTEXT | SASL_NODICTIONARY | SASL_NOANONYMOUS);
	assert_int_equal(parses("MECH\tPLAIN\tplaintext\tprivate", &l), 0);
	assert_int_equal(l.options, SASL_NOACTIVE | SASL_NODICTIONARY | SASL_NOANONYMOUS);
	assert_true(l.is_private);
	assert_int_equal(parses("DONE", &l), 0);
	assert_int_equal(l.word, AUTH_DONE);
	assert_int_equal(parses("COOKIE\tabc", &l), 0);
	assert_int_equal(l.word, AUTH_OTHER);
	assert_int_equal(parses("OK\t7\tuser=jane doe\tx=y", &l), 0);
	assert_true(l.word == AUTH_OK && l.id == 7);
	assert_str(l.user, "jane doe");
	assert_int_equal(parses("CONT\t4294967295\tYWI=", &l), 0);
	assert_true(l.word == AUTH_CONT && l.id == UINT32_MAX);
	assert_str(l.challenge, "YWI=");
	assert_int_equal(parses("CONT\t1\t", &l), 0);
	assert_str(l.challenge, "");
	assert_int_equal(parses("FAIL\t2\tuser=a\001tb\001n\0011\treason=no\001\twhy=x\ttemp", &l), 0);
	assert_true(l.word == AUTH_FAIL && l.is_temporary);
	assert_str(l.user, "a?b??");
	assert_str(l.reason, "no?");
	assert_int_equal(parses("FAIL\t3", &l), 0);
	assert_true(!l.is_temporary && l.user.len == 0 && l.reason.len == 0);
	assert_int_equal(parses("FAIL\t3\tcode=temp_fail", &l), 0);
	assert_true(l.is_temporary);
}

static void test_lines_that_are_not_of_the_protocol_are_refused(void **state)
{
	static const char *const bad[] = {
		"VERSION", "VERSION\tx\t1", "MECH", "MECH\t", "MECH\tPLA IN", "MECH\tABCDEFGHIJKLMNOPQRSTU",
		"OK", "OK\t0\tuser=x", "OK\tx\tuser=x",
		"OK\t4294967296\tuser=x", "OK\t-1\tuser=x", "CONT\t1\t!", "CONT\t1\tabc", "CONT\t1\ta===",
		"CONT\t1\tab=c", "CONT\t\tYWI=", "FAIL\t",
	};
	struct auth_line l;

	(void) state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		if (parses(bad[i], &l) != -EBADMSG)
			fail_msg("\"%s\" was taken for good", bad[i]);
	assert_int_equal(auth_line_parse(arena, STR("DONE\0\t"), &l), -EBADMSG);
}

static void test_a_success_without_a_usable_name_is_none(void **state)
{
	char line[AUTH_LONGEST_USER + 100];
	struct auth_line l;

	(void) state;
	assert_int_equal(parses("OK\t1", &l), 0);
	assert_true(l.word == AUTH_FAIL && l.is_temporary);
	snprintf(line, sizeof(line), "OK\t1\tuser=%0*d", AUTH_LONGEST_USER, 1);
	assert_int_equal(parses(line, &l), 0);
	assert_true(l.word == AUTH_OK && l.user.len == AUTH_LONGEST_USER);
	snprintf(line, sizeof(line), "OK\t1\tuser=%0*d", AUTH_LONGEST_USER + 1, 1);
	assert_int_equal(parses(line, &l), 0);
	assert_true(l.word == AUTH_FAIL && l.is_temporary);
}

static void test_values_are_escaped(void **state)
{
	AUTO(buf) b = BUF(100);

	(void) state;
	auth_add_value(&b, STR("a\tb\nc\rd\0e\001f\xc3\xbc"));
	assert_str(buf_str(&b), "a\001tb\001nc\001rd\0010e\0011f\xc3\xbc");
}

static void test_base64_is_told_by_its_form(void **state)
{
	static const char *const good[] = { "", "YQ==", "YWI=", "YWJj", "+/+/" };
	static const char *const bad[] = { "=", "Y", "YQ=", "YQ===", "Y===", "====", "YQ==YQ==", "YW I",
					   "YWJj\t", "*" };

	(void) state;
	for (size_t i = 0; i < COUNT_OF(good); i++)
		assert_true(is_base64(str_of(good[i])));
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		if (is_base64(str_of(bad[i])))
			fail_msg("\"%s\" was taken for good", bad[i]);
}

/* ---- a server ---- */

#define GREETING "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t1\nDONE\n"

static char directory[64], path[100];
static struct {
	const char *greeting;		/* NULL: none */
	/* to the lines behind the handshake, "%u" is the id; NULL: none, "": hang up */
	const char *answers[8];
	int answered, connections;
	bool repeat;			/* the first answer is for every line */
	int pause_ms;
	struct buf heard;
	struct scope *scope;
	int listener;
} fake;

static unsigned id_of(struct str line)
{
	struct str word;
	int64_t id = 0;

	str_token(&line, "\t", &word);
	str_token(&line, "\t", &word);
	str_to_int(word, 0, UINT32_MAX, &id);
	return (unsigned) id;
}

static void serve_line(struct stream *s, struct str line)
{
	const char *answer;

	buf_add(&fake.heard, line);
	buf_add_byte(&fake.heard, '\n');
	if (str_starts(line, STR("CANCEL")))
		return;
	answer = fake.answers[fake.repeat ? 0 : fake.answered++];
	if (answer == NULL)
		return;
	if (answer[0] == 0) {
		stream_fail(s, -EPIPE);
		return;
	}
	if (fake.pause_ms > 0)
		co_sleep(in(fake.pause_ms));
	for (const char *id; (id = strstr(answer, "%u")) != NULL; answer = id + 2) {
		write_str(s, str_make(answer, (size_t) (id - answer)));
		writef(s, "%u", id_of(line));
	}
	write_str(s, str_of(answer));
	flush(s);
}

static void serve_connection(void *arg)
{
	struct stream *s = stream_new((int) (intptr_t) arg);
	struct str line;

	stream_deadline(s, in(20000));
	if (fake.greeting != NULL)
		write_str(s, str_of(fake.greeting));
	while (stream_error(s) == 0 && read_line(s, 100000, &line, NULL))
		if (!str_starts(line, STR("VERSION")) && !str_starts(line, STR("CPID")))
			serve_line(s, line);
	stream_free(s);
}

static void serve_all(void *arg)
{
	int fd;

	(void) arg;
	while ((fd = accept_one(fake.listener, NEVER, NULL)) >= 0) {
		fake.connections++;
		scope_start(fake.scope, "connection", serve_connection, (void *) (intptr_t) fd);
	}
}

static struct auth_server *server;

static void begin(const char *greeting, const struct sasl_settings *more)
{
	struct sasl_settings settings = { .where = str_of(path), .connect_ms = 10000, .answer_ms = 10000 };
	AUTO(buf) why = BUF_WORDS;

	if (more != NULL)
		settings = *more;
	settings.where = str_of(path);
	memset(&fake, 0, sizeof(fake));
	fake.greeting = greeting;
	fake.heard = BUF(1 << 20);
	fake.listener = listen_unix(path, 0600, 10);
	assert_true(fake.listener >= 0);
	fake.scope = scope_open("server");
	scope_start(fake.scope, "accept", serve_all, NULL);
	assert_int_equal(auth_server_new(&settings, &server, &why), 0);
}

static void end(void)
{
	auth_server_free(server);
	scope_close(fake.scope);
	co_forget_fd(fake.listener);
	close(fake.listener);
	unlink(path);
	buf_free(&fake.heard);
}

static const struct address_ip here = { .family = AF_INET, .bytes = { 192, 0, 2, 1 }, .port = 25 };
static const struct address_ip there = { .family = AF_INET, .bytes = { 192, 0, 2, 2 }, .port = 1025 };

static struct sasl_request request(const char *mechanism, const char *response)
{
	return (struct sasl_request){ .mechanism = str_of(mechanism), .service = STR("smtp"),
				      .realm = STR_NONE, .local = &here, .remote = &there,
				      .has_response = response != NULL, .response = str_of(response) };
}

static void test_a_password_in_one_go(void **state)
{
	struct sasl_request q = request("PLAIN", "AGphbmUAc2VjcmV0");
	struct sasl_exchange e = { .id = 0 };
	const struct sasl_offer *m;

	(void) state;
	begin(GREETING, NULL);
	fake.answers[0] = "OK\t%u\tuser=jane\n";
	assert_int_equal(auth_server_offers(server, &m), 2);
	assert_string_equal(m[1].name, "LOGIN");
	q.is_secured = true;
	assert_int_equal(sasl_begin(&e, server, &q), SASL_DONE);
	assert_str(buf_str(&e.user), "jane");
	sasl_end(&e);
	assert_str(buf_str(&fake.heard),
		   "AUTH\t1\tPLAIN\tservice=smtp\tnologin\tlip=192.0.2.1\tlport=25\trip=192.0.2.2\trport=1025\tsecured\t"
					 "resp=AGphbmUAc2VjcmV0\n");
	assert_int_equal(fake.connections, 1);
	end();
}

static void test_challenges_go_back_and_forth(void **state)
{
	struct sasl_request q = request("LOGIN", NULL);
	struct sasl_exchange e = { .id = 0 };

	(void) state;
	begin(GREETING, NULL);
	fake.answers[0] = "CONT\t%u\tVXNlcm5hbWU6\n";
	fake.answers[1] = "CONT\t%u\tUGFzc3dvcmQ6\n";
	fake.answers[2] = "FAIL\t%u\tuser=jane\treason=no\n";
	assert_int_equal(sasl_begin(&e, server, &q), SASL_MORE);
	assert_str(buf_str(&e.challenge), "VXNlcm5hbWU6");
	assert_int_equal(sasl_continue(&e, STR("amFuZQ==")), SASL_MORE);
	assert_str(buf_str(&e.challenge), "UGFzc3dvcmQ6");
	assert_int_equal(sasl_continue(&e, STR("YmFk")), SASL_REFUSED);
	assert_str(buf_str(&e.user), "jane");
	assert_str(buf_str(&e.reason), "no");
	sasl_end(&e);
	assert_true(str_ends(buf_str(&fake.heard), STR("CONT\t1\tamFuZQ==\nCONT\t1\tYmFk\n")));
	end();
}

static void wait_for_heard(const char *text)
{
	for (int i = 0; i < 1000 && !str_ends(buf_str(&fake.heard), str_of(text)); i++)
		co_sleep(in(10));
	assert_true(str_ends(buf_str(&fake.heard), str_of(text)));
}

static void test_what_is_given_up_is_cancelled(void **state)
{
	struct sasl_request q = request("LOGIN", NULL);
	struct sasl_exchange e = { .id = 0 };

	(void) state;
	begin(GREETING, NULL);
	fake.answers[0] = "CONT\t%u\t\n";
	assert_int_equal(sasl_begin(&e, server, &q), SASL_MORE);
	sasl_end(&e);
	wait_for_heard("CANCEL\t1\n");
	fake.answered = 0;
	assert_int_equal(sasl_begin(&e, server, &q), SASL_MORE);
	assert_int_equal(sasl_continue(&e, STR("no\tbase64")), SASL_REFUSED);
	assert_str(buf_str(&e.reason), "Invalid base64 data in continued response");
	sasl_end(&e);
	wait_for_heard("CANCEL\t2\n");
	assert_int_equal(fake.connections, 1);
	end();
}

static void test_what_the_client_says_cannot_add_words(void **state)
{
	struct sasl_request q = request("PLAIN", "YQ==\tuser=root");
	struct sasl_exchange e = { .id = 0 };

	(void) state;
	begin(GREETING, NULL);
	assert_int_equal(sasl_begin(&e, server, &q), SASL_REFUSED);
	assert_str(buf_str(&e.reason), "Invalid base64 data in initial response");
	sasl_end(&e);
	q = request("PLAIN", "");
	q.service = STR("a\tb");
	fake.answers[0] = "FAIL\t%u\n";
	assert_int_equal(sasl_begin(&e, server, &q), SASL_REFUSED);
	sasl_end(&e);
	assert_true(str_starts(buf_str(&fake.heard), STR("AUTH\t1\tPLAIN\tservice=a\001tb\tnologin\t")));
	assert_true(str_ends(buf_str(&fake.heard), STR("\tresp==\n")));
	end();
}

static int done_together;

static void ask_one(void *arg)
{
	struct sasl_request q = request("PLAIN", "YQ==");
	struct sasl_exchange e = { .id = 0 };

	(void) arg;
	if (sasl_begin(&e, server, &q) == SASL_DONE)
		done_together++;
	sasl_end(&e);
}

static void test_many_attempts_share_one_connection(void **state)
{
	struct scope *s = scope_open("askers");

	(void) state;
	begin(GREETING, NULL);
	fake.repeat = true;
	fake.answers[0] = "OK\t%u\tuser=u\n";
	done_together = 0;
	for (int i = 0; i < 200; i++)
		assert_int_equal(scope_start(s, "asker", ask_one, NULL), 0);
	assert_int_equal(scope_wait(s, in(20000)), 0);
	scope_close(s);
	assert_int_equal(done_together, 200);
	assert_int_equal(fake.connections, 1);
	end();
}

static void test_a_server_that_was_restarted_is_asked_again_only_at_the_beginning(void **state)
{
	struct sasl_request q = request("LOGIN", NULL);
	struct sasl_exchange e = { .id = 0 };

	(void) state;
	begin(GREETING, NULL);
	fake.answers[0] = "";
	fake.answers[1] = "CONT\t%u\t\n";
	fake.answers[2] = "";
	assert_int_equal(sasl_begin(&e, server, &q), SASL_MORE);
	assert_int_equal(fake.connections, 2);
	assert_int_equal(sasl_continue(&e, STR("YQ==")), SASL_UNAVAILABLE);
	assert_str(buf_str(&e.reason), "Connection lost to authentication server");
	sasl_end(&e);
	end();
}

static void test_a_server_that_always_hangs_up_is_asked_twice(void **state)
{
	struct sasl_request q = request("LOGIN", NULL);
	struct sasl_exchange e = { .id = 0 };

	(void) state;
	begin(GREETING, NULL);
	fake.repeat = true;
	fake.answers[0] = "";
	assert_int_equal(sasl_begin(&e, server, &q), SASL_UNAVAILABLE);
	sasl_end(&e);
	assert_int_equal(fake.connections, 2);
	end();
}

static void test_a_challenge_of_before_is_not_answered_on_a_new_connection(void **state)
{
	struct sasl_request q = request("LOGIN", NULL);
	struct sasl_exchange e = { .id = 0 }, other = { .id = 0 };

	(void) state;
	begin(GREETING, NULL);
	fake.answers[0] = "CONT\t%u\t\n";
	fake.answers[1] = "";
	fake.answers[2] = "CONT\t%u\t\n";
	assert_int_equal(sasl_begin(&e, server, &q), SASL_MORE);
	assert_int_equal(sasl_begin(&other, server, &q), SASL_MORE);
	assert_int_equal(fake.connections, 2);
	assert_int_equal(sasl_continue(&e, STR("YQ==")), SASL_UNAVAILABLE);
	sasl_end(&e);
	sasl_end(&other);
	end();
}

static void test_silence_is_no_answer(void **state)
{
	const struct sasl_settings hasty = { .connect_ms = 10000, .answer_ms = 50 };
	struct sasl_request q = request("PLAIN", "YQ==");
	struct sasl_exchange e = { .id = 0 };

	(void) state;
	begin(GREETING, &hasty);
	assert_int_equal(sasl_begin(&e, server, &q), SASL_UNAVAILABLE);
	assert_str(buf_str(&e.reason), "Authentication server does not answer");
	sasl_end(&e);
	fake.answered = 0;
	fake.answers[0] = "OK\t%u\tuser=u\n";
	/* on a new connection: the old one was silent */
	assert_int_equal(sasl_begin(&e, server, &q), SASL_DONE);
	sasl_end(&e);
	assert_int_equal(fake.connections, 2);
	end();
}

static void test_a_late_answer_finds_nobody(void **state)
{
	const struct sasl_settings hasty = { .connect_ms = 10000, .answer_ms = 50 };
	struct sasl_request q = request("PLAIN", "YQ==");
	struct sasl_exchange e = { .id = 0 };

	(void) state;
	begin(GREETING, &hasty);
	fake.pause_ms = 100;
	fake.repeat = true;
	fake.answers[0] = "OK\t%u\tuser=late\n";
	assert_int_equal(sasl_begin(&e, server, &q), SASL_UNAVAILABLE);
	sasl_end(&e);
	co_sleep(in(200));
	fake.pause_ms = 0;
	fake.answers[0] = "FAIL\t%u\n";
	assert_int_equal(sasl_begin(&e, server, &q), SASL_REFUSED);
	sasl_end(&e);
	end();
}

static void test_who_is_no_such_server_is_not_believed(void **state)
{
	static const char *const greetings[] = {
		"220 hello\r\nDONE\n", "VERSION\t2\t0\nDONE\n", "MECH\tPLAIN\nDONE\n",
		"VERSION\t1\t1\nMECH\t\nDONE\n",
		"VERSION\t1\t1\nVERSION\t1\t1\nDONE\n",
	};
	struct sasl_request q = request("PLAIN", "YQ==");
	const struct sasl_offer *m;

	(void) state;
	for (size_t i = 0; i < COUNT_OF(greetings); i++) {
		struct sasl_exchange e = { .id = 0 };

		begin(greetings[i], NULL);
		assert_true(auth_server_offers(server, &m) < 0);
		assert_true(strlen(auth_server_why(server)) > 0);
		assert_int_equal(sasl_begin(&e, server, &q), SASL_UNAVAILABLE);
		sasl_end(&e);
		assert_int_equal(fake.connections, 1);		/* it rests before the next attempt */
		end();
	}
}

static void test_nonsense_among_the_answers_ends_the_connection(void **state)
{
	static const char *const answers[] = { "OK\tx%u\n", "CONT\t%u\t???\n", "OK%u\tuser\nOK\t0\n" };
	struct sasl_request q = request("PLAIN", "YQ==");

	(void) state;
	for (size_t i = 0; i < COUNT_OF(answers); i++) {
		struct sasl_exchange e = { .id = 0 };

		begin(GREETING, NULL);
		fake.repeat = true;
		fake.answers[0] = answers[i];
		assert_int_equal(sasl_begin(&e, server, &q), SASL_UNAVAILABLE);
		assert_non_null(strstr(auth_server_why(server), "does not speak Dovecot's protocol"));
		sasl_end(&e);
		end();
	}
}

static void test_a_line_without_end_ends_the_connection(void **state)
{
	struct sasl_request q = request("PLAIN", "YQ==");
	struct sasl_exchange e = { .id = 0 };
	char *line = malloc(100001);

	(void) state;
	memset(line, 'x', 100000);
	line[100000] = 0;
	begin(GREETING, NULL);
	fake.repeat = true;
	fake.answers[0] = line;
	assert_int_equal(sasl_begin(&e, server, &q), SASL_UNAVAILABLE);
	sasl_end(&e);
	end();
	free(line);
}

static void test_a_server_that_is_not_there(void **state)
{
	const struct sasl_settings settings = { .where = STR("/nonexistent/auth"), .connect_ms = 1000,
						.answer_ms = 1000 };
	struct sasl_request q = request("PLAIN", "YQ==");
	struct sasl_exchange e = { .id = 0 };
	const struct sasl_offer *m;
	AUTO(buf) why = BUF_WORDS;

	(void) state;
	assert_int_equal(auth_server_new(&settings, &server, &why), 0);
	assert_true(auth_server_offers(server, &m) < 0);
	assert_string_equal(auth_server_why(server),
			    "connect to /nonexistent/auth: No such file or directory");
	assert_int_equal(sasl_begin(&e, server, &q), SASL_UNAVAILABLE);
	sasl_end(&e);
	auth_server_free(server);
}

static void test_what_it_could_do_is_remembered_when_it_is_gone(void **state)
{
	struct sasl_request q = request("PLAIN", "YQ==");
	struct sasl_exchange e = { .id = 0 };
	const struct sasl_offer *m;

	(void) state;
	begin(GREETING, NULL);
	assert_int_equal(auth_server_offers(server, &m), 2);
	fake.greeting = "nonsense\n";
	fake.answers[0] = "";
	assert_int_equal(sasl_begin(&e, server, &q), SASL_UNAVAILABLE);
	sasl_end(&e);
	assert_int_equal(auth_server_offers(server, &m), 2);
	end();
}

static void test_one_exchange_for_each_connection(void **state)
{
	const struct sasl_settings settings = { .connect_ms = 10000, .answer_ms = 10000,
						.one_exchange = true };
	struct sasl_request q = request("LOGIN", NULL);
	struct sasl_exchange e = { .id = 0 }, other = { .id = 0 };
	const struct sasl_offer *m;

	(void) state;
	begin(GREETING, &settings);
	fake.repeat = true;
	fake.answers[0] = "CONT\t%u\t\n";
	assert_int_equal(auth_server_offers(server, &m), 2);
	assert_int_equal(auth_server_offers(server, &m), 2);
	assert_int_equal(fake.connections, 1);
	assert_int_equal(sasl_begin(&e, server, &q), SASL_MORE);
	assert_int_equal(sasl_begin(&other, server, &q), SASL_MORE);
	assert_int_equal(sasl_continue(&e, STR("")), SASL_MORE);
	assert_int_equal(fake.connections, 3);
	sasl_end(&e);
	sasl_end(&other);
	end();
}

static void test_where_a_server_may_be(void **state)
{
	static const char *const good[] = { "private/auth", "unix:/run/auth", "inet:127.0.0.1:12345",
					    "inet:[::1]:12345", "inet:host.example:smtp" };
	static const char *const bad[] = { "", "unix:", "inet:", "inet:host", "inet::25", "inet:host:0",
					   "inet:host:99999", "a\nb" };
	AUTO(buf) why = BUF_WORDS;

	(void) state;
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		const struct sasl_settings settings = { .where = str_of(good[i]) };

		assert_int_equal(auth_server_new(&settings, &server, &why), 0);
		assert_int_equal(auth_server_is_inet(server), str_starts(str_of(good[i]), STR("inet:")));
		auth_server_free(server);
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		const struct sasl_settings settings = { .where = str_of(bad[i]) };

		assert_int_equal(auth_server_new(&settings, &server, &why), -EINVAL);
	}
}

static int set_up(void **state)
{
	(void) state;
	arena = arena_new("test", NULL, 8 << 20);
	snprintf(directory, sizeof(directory), "/tmp/sasl_server_test.XXXXXX");
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/auth", directory);
	return 0;
}

static int tear_down(void **state)
{
	(void) state;
	arena_free(arena);
	return rmdir(directory);
}

static void run_all(void *arg)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_are_read_as_the_protocol_defines_them),
		cmocka_unit_test(test_lines_that_are_not_of_the_protocol_are_refused),
		cmocka_unit_test(test_a_success_without_a_usable_name_is_none),
		cmocka_unit_test(test_values_are_escaped),
		cmocka_unit_test(test_base64_is_told_by_its_form),
		cmocka_unit_test(test_a_password_in_one_go),
		cmocka_unit_test(test_challenges_go_back_and_forth),
		cmocka_unit_test(test_what_is_given_up_is_cancelled),
		cmocka_unit_test(test_what_the_client_says_cannot_add_words),
		cmocka_unit_test(test_many_attempts_share_one_connection),
		cmocka_unit_test(test_a_server_that_was_restarted_is_asked_again_only_at_the_beginning),
		cmocka_unit_test(test_a_server_that_always_hangs_up_is_asked_twice),
		cmocka_unit_test(test_a_challenge_of_before_is_not_answered_on_a_new_connection),
		cmocka_unit_test(test_silence_is_no_answer),
		cmocka_unit_test(test_a_late_answer_finds_nobody),
		cmocka_unit_test(test_who_is_no_such_server_is_not_believed),
		cmocka_unit_test(test_nonsense_among_the_answers_ends_the_connection),
		cmocka_unit_test(test_a_line_without_end_ends_the_connection),
		cmocka_unit_test(test_a_server_that_is_not_there),
		cmocka_unit_test(test_what_it_could_do_is_remembered_when_it_is_gone),
		cmocka_unit_test(test_one_exchange_for_each_connection),
		cmocka_unit_test(test_where_a_server_may_be),
	};

	*(int *) arg = cmocka_run_group_tests(tests, set_up, tear_down);
	loop_stop();
}

int main(void)
{
	int failed = 1;

	loop_run(run_all, &failed);
	return failed;
}
