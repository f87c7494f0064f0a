/* SPDX-License-Identifier: ISC */
/* Errands for hands that are other users when this runs as root, and ourselves when not. */
#include "tests/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/agent/command.h"
#include "lib/agent/hands.h"
#include "lib/base/clock.h"

/* ---- in the hand ---- */

static unsigned batches_begun, jobs_of_batch;
static int *marks;			/* in memory that all processes share */

static void report_itself(struct hand_job *j)
{
	int open_fds = 0;
	char text[100];
	size_t n = 0;
	ssize_t piece;

	for (int fd = 3; fd < 100; fd++)
		open_fds += fcntl(fd, F_GETFD) >= 0;
	while ((piece = content_pread(&j->d->content, n, text + n, sizeof(text) - n)) > 0)
		n += (size_t) piece;
	buf_addf(&j->reply, "uid=%d open=%d to=%.*s content=%.*s", (int) getuid(), open_fds,
		 PSTR(j->d->env.recipients[0].address), (int) n, text);
}

enum { MEETING = 10 };

/* Comes to an end only if all of them are under way at once. */
static void meet(struct hand_job *j)
{
	static struct bell all_there;
	static int there;

	if (there++ == 0)
		bell_init(&all_there);
	while (there < MEETING)
		bell_wait(&all_there, NEVER);
	bell_ring(&all_there);
	buf_addf(&j->reply, "%d", (int) getpid());
}

static int give_nothing(void *arg, int (*out)(void *arg, struct str bytes), void *out_arg)
{
	(void) arg;
	(void) out;
	(void) out_arg;
	return 0;
}

/* A command that succeeds. Where ended children leave nothing behind, its status is not to be had. */
static void run_command(struct hand_job *j, bool leaves_status)
{
	const char *words[] = { "true", NULL };
	struct command c = { .name = "true", .argv = words, .time_limit_ms = 60000 };
	struct mailbox_result result = { .text = BUF_WORDS };

	signal(SIGCHLD, leaves_status ? SIG_DFL : SIG_IGN);
	command_run(&c, give_nothing, NULL, &result);
	mailbox_result_pack(&result, &j->reply);
	buf_free(&result.text);
}

static int run(struct hand_job *j)
{
	if (str_starts(j->what, STR("command")))
		run_command(j, str_is(j->what, STR("command")));
	if (str_is(j->what, STR("meet")))
		meet(j);
	else if (str_is(j->what, STR("report")))
		report_itself(j);
	else if (str_is(j->what, STR("mark")))
		++*marks;
	else if (str_is(j->what, STR("pid")))
		buf_addf(&j->reply, "%d", (int) getpid());
	else if (str_is(j->what, STR("sleep")) && j->alone)
		for (;;)
			pause();
	else if (str_is(j->what, STR("die")))
		raise(SIGKILL);
	else if (str_is(j->what, STR("refuse")))
		return -ENOENT;
	else if (str_is(j->what, STR("slow")) && j->alone)
		buf_addf(&j->reply, "%d alone", (int) getpid());
	else if (str_is(j->what, STR("slow")) || str_is(j->what, STR("sleep")))
		return -EAGAIN;
	else if (str_is(j->what, STR("wait")))
		usleep(50000);			/* the others gather behind it */
	jobs_of_batch++;
	return 0;
}

static void finish(struct hand_job *j)
{
	batches_begun += jobs_of_batch > 0;
	if (str_is(j->what, STR("count")))
		buf_addf(&j->reply, "%u", batches_begun);
	jobs_of_batch = 0;
}

static const struct trade trade = { .run = run, .finish = finish };

/* ---- in the agent ---- */

static struct arena *arena;

static struct hand_order order_for(const char *what)
{
	return (struct hand_order) {
		.as = { .uid = geteuid() == 0 ? 12345 : getuid(), .gid = geteuid() == 0 ? 12345 : getgid(),
			.spool_gid = (gid_t) NO_GROUP },
		.what = str_of(what), .time_limit_ms = 60000,
	};
}

static int ask(struct hand_order *o)
{
	hands_send(o, arena);
	return hands_wait(o);
}

static pid_t pid_of(struct hand_order *o)
{
	int64_t pid = 0;

	assert_int_equal(ask(o), 0);
	assert_int_equal(str_to_int(o->reply, 1, INT32_MAX, &pid), 0);
	return (pid_t) pid;
}

static void play_commands(void)
{
	struct hand_order known = order_for("command"), unknown = order_for("command without status");

	assert_int_equal(ask(&known), 0);
	assert_true(str_is(known.reply, STR("0\t2.0.0\tdelivered to command: true\n")));
	assert_int_equal(ask(&unknown), 0);
	assert_true(str_is(unknown.reply, STR("2\t4.2.0\tcannot give the message to the command \"true\": No child processes\n")));
}

static void play_message(void)
{
	static const char bytes[] = "HEADS: x\nbody\n";
	struct recipient r = { .index = 5, .address = STR("you@r.example") };
	struct delivery d = { .queue_id = STR("4jXBBBBBBBBz00HbYb"),
			      .env = { .sender = STR("s@x"), .recipients = &r, .recipient_count = 1 },
			      .content = { .parts = { .size = 11, .headers_at = 4, .headers_len = 5,
						      .body_at = 9, .body_len = 5 },
					   .file = memfd_create("message", MFD_CLOEXEC) } };
	struct hand_order o = order_for("report");
	char expected[100];

	assert_int_equal(write(d.content.file, bytes, sizeof(bytes) - 1), sizeof(bytes) - 1);
	o.d = &d;
	o.r = &r;
	assert_int_equal(ask(&o), 0);
	/* its socket and the message */
	snprintf(expected, sizeof(expected), "uid=%d open=2 to=you@r.example content=S: x\n\nbody\n",
		 (int) o.as.uid);
	assert_str(o.reply, expected);
	close(d.content.file);
}

static void play_again(void)
{
	struct hand_order first = order_for("pid"), second = order_for("pid"), other = order_for("pid");
	pid_t pid = pid_of(&first);

	assert_int_equal(pid_of(&second), pid);
	if (geteuid() != 0)
		return;
	other.as.uid = 12346;
	assert_int_not_equal(pid_of(&other), pid);
}

static void play_sharing(void)
{
	struct hand_order wait = order_for("wait"), shared[3], count = order_for("count");

	hands_send(&wait, arena);
	for (size_t i = 0; i < COUNT_OF(shared); i++) {
		shared[i] = order_for("share");
		hands_send(&shared[i], arena);
	}
	for (size_t i = 0; i < COUNT_OF(shared); i++)
		assert_int_equal(hands_wait(&shared[i]), 0);
	assert_int_equal(hands_wait(&wait), 0);
	assert_int_equal(ask(&count), 0);
	/* one for who came first, at most one for all behind it, and the counting one */
	assert_true(count.reply.len == 1 && count.reply.at[0] >= '1' && count.reply.at[0] <= '3');
}

static void play_slow(void)
{
	struct hand_order slow = order_for("slow"), sleeping = order_for("sleep"), pid = order_for("pid");

	assert_int_equal(ask(&slow), 0);
	assert_true(str_ends_nocase(slow.reply, STR(" alone")));
	/* one that never ends holds up nobody of the same user */
	sleeping.alone = true;
	sleeping.time_limit_ms = 300;
	hands_send(&sleeping, arena);
	assert_int_equal(ask(&pid), 0);
	assert_int_equal(hands_wait(&sleeping), -ETIMEDOUT);
	assert_int_equal(ask(&pid), 0);
}

static void play_multiplexing(void)
{
	struct hand_order orders[MEETING], other = order_for("pid");

	for (size_t i = 0; i < MEETING; i++) {
		orders[i] = order_for("meet");
		orders[i].as.multiplexes = true;
		hands_send(&orders[i], arena);
	}
	for (size_t i = 0; i < MEETING; i++) {
		assert_int_equal(hands_wait(&orders[i]), 0);
		assert_true(str_is(orders[i].reply, orders[0].reply));
	}
	/* who writes mailboxes is another one */
	assert_int_equal(ask(&other), 0);
	assert_false(str_is(other.reply, orders[0].reply));
}

static void play_limit(void)
{
	struct hand_order first = order_for("sleep"), second = order_for("slow"), other = order_for("slow");

	first.alone = second.alone = other.alone = true;
	first.most_alone = second.most_alone = other.most_alone = 1;
	first.whom = second.whom = STR("joe");
	other.whom = STR("ann");
	first.time_limit_ms = 2000;		/* more than it takes until the other one is served */
	hands_send(&first, arena);
	hands_send(&second, arena);
	hands_send(&other, arena);
	assert_int_equal(hands_wait(&other), 0);
	assert_null(second.hand);
	assert_int_equal(hands_wait(&first), -ETIMEDOUT);
	assert_int_equal(hands_wait(&second), 0);
}

static void play_failures(void)
{
	struct hand_order dies = order_for("die"), refused = order_for("refuse"), root = order_for("pid"),
		good = order_for("pid");

	assert_int_equal(ask(&dies), -ECHILD);
	assert_int_equal(ask(&refused), -ENOENT);
	root.as.uid = 0;
	assert_int_equal(ask(&root), -EPERM);
	root.as.uid = geteuid() == 0 ? (uid_t) -1 : getuid() + 1;
	assert_int_equal(ask(&root), -EPERM);
	assert_int_equal(ask(&good), 0);
}

static void have_marked(void *arg)
{
	struct hand_order first = order_for("mark"), second = order_for("mark");

	(void) arg;
	first.alone = true;
	assert_int_equal(ask(&first), -ECANCELED);
	assert_int_equal(ask(&second), -ECANCELED);
	assert_null(second.hand);
}

/* It has the errand, and has not looked at it yet when nobody waits for it any more. */
static void play_unheard(void)
{
	struct hand_order who = order_for("pid"), mark = order_for("mark");
	pid_t pid = pid_of(&who);
	struct scope *scope = scope_open("unheard");

	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_true(scope_start(scope, "have marked", have_marked, NULL) >= 0);
	co_sleep(in(50));
	scope_close(scope);
	assert_int_equal(kill(pid, SIGCONT), 0);
	while (kill(pid, 0) == 0)
		co_sleep(in(10));
	assert_int_equal(*marks, 0);
	assert_int_equal(ask(&mark), 0);
	assert_int_equal(*marks, 1);
}

static void (*play)(void);

static void run_play(void *arg)
{
	(void) arg;
	arena = arena_new("hands test", NULL, 1 << 20);
	play();
	arena_free(arena);
	loop_stop();
}

/* A process for each: the loop is one per process, and the spawner has to be made before it. */
static void in_process(void (*what)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		play = what;
		alarm(120);
		marks = mmap(NULL, sizeof(*marks), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		hands_begin(&trade);
		loop_run(run_play, NULL);
		exit(0);
	}
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	assert_int_equal(status, 0);
}

#define TEST(name, what) static void name(void **state) { (void) state; in_process(what); }
TEST(test_a_command_whose_end_nobody_knows_has_not_taken_the_message, play_commands)
TEST(test_a_hand_gets_the_message_and_nothing_else_and_is_who_it_should_be, play_message)
TEST(test_a_hand_lives_on_for_the_next_errand_of_its_user_only, play_again)
TEST(test_errands_that_gather_are_done_together, play_sharing)
TEST(test_who_takes_long_does_so_alone_and_not_for_ever, play_slow)
TEST(test_a_hand_that_multiplexes_has_all_its_errands_under_way_at_once, play_multiplexing)
TEST(test_what_is_slow_for_one_is_limited_for_him_alone, play_limit)
TEST(test_a_hand_that_dies_or_may_not_be_costs_its_errand_only, play_failures)
TEST(test_what_nobody_waits_for_any_more_is_not_begun, play_unheard)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_command_whose_end_nobody_knows_has_not_taken_the_message),
		cmocka_unit_test(test_a_hand_gets_the_message_and_nothing_else_and_is_who_it_should_be),
		cmocka_unit_test(test_a_hand_lives_on_for_the_next_errand_of_its_user_only),
		cmocka_unit_test(test_errands_that_gather_are_done_together),
		cmocka_unit_test(test_who_takes_long_does_so_alone_and_not_for_ever),
		cmocka_unit_test(test_a_hand_that_multiplexes_has_all_its_errands_under_way_at_once),
		cmocka_unit_test(test_what_is_slow_for_one_is_limited_for_him_alone),
		cmocka_unit_test(test_a_hand_that_dies_or_may_not_be_costs_its_errand_only),
		cmocka_unit_test(test_what_nobody_waits_for_any_more_is_not_begun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
