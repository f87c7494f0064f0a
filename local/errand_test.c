/* SPDX-License-Identifier: ISC */
/* A user's mail as his hand sees it: which .forward file counts, and what comes of it. */
#include "tests/unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/mail/mail_address.h"
#include "local/local.h"
#include "tests/scratch.h"

struct local the_local;

static struct arena *arena;
static struct buf reply;
static char home[SCRATCH_PATH];
static int agent;			/* its end of the hand's socket */

/* ---- in place of what the rest of local does ---- */

static ssize_t read_message(void *arg, uint64_t at, void *to, size_t n)
{
	static const struct str message = STR_INIT("Subject: s\n\nhello\n");
	const struct str rest = str_head(str_skip(message, MIN(at, message.len)), n);

	(void) arg;
	memcpy(to, rest.at, rest.len);
	return (ssize_t) rest.len;
}

struct letter letter_of(struct task *t)
{
	return (struct letter) { .delivered_to = t->address, .read = read_message };
}

void add_result(struct task *t, enum mailbox_status status, const char *dsn, const char *format, ...)
{
	(void) t;
	(void) status;
	(void) dsn;
	(void) format;
}

bool is_name_of(struct str name, struct str account)
{
	return str_is(name, account);
}

bool may_include(struct task *t)
{
	(void) t;
	return true;
}

void has_included(struct task *t, size_t bytes)
{
	(void) t;
	(void) bytes;
}

bool ends_with_slash(const char *path)
{
	return *path != 0 && path[strlen(path) - 1] == '/';
}

const char *mailbox_path(struct arena *a, const struct account *who)
{
	(void) who;
	return str_c(a, arena_fmt(a, "%s/mailbox", home));
}

void run_command(struct errand *e, const char *command, struct mailbox_result *ret)
{
	(void) e;
	mailbox_say(ret, MAILBOX_SENT, "2.0.0", "delivered to command: %s", command);
}

void announce_new_mail(const struct errand *e, const struct mailbox_result *result)
{
	(void) e;
	(void) result;
}

/* ---- */

static const char *in_home(const char *name)
{
	return str_c(arena, arena_fmt(arena, "%s/%s", home, name));
}

static int set_up(void **state)
{
	int ends[2];

	(void) state;
	scratch_directory(home);
	arena = arena_new("test", NULL, 64 << 20);
	reply = BUF(10000);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	agent = fcntl(ends[1], F_DUPFD_CLOEXEC, hand_socket() + 10);
	close(ends[1]);
	if (ends[0] != hand_socket()) {
		assert_int_equal(dup3(ends[0], hand_socket(), O_CLOEXEC), hand_socket());
		close(ends[0]);
	}
	the_local = (struct local) { .delimiter = STR("+-"), .conf = {
		.forward_path = "$home/.forward${recipient_delimiter}${extension}, $home/.forward",
		.forward_expansion_filter = "abcdefghijklmnopqrstuvwxyz.@+-/", .prepend_delivered_header = "",
		.allow_mail_to_files = "forward", .allow_mail_to_commands = "forward", .home_mailbox = "mailbox" } };
	return 0;
}

static int tear_down(void **state)
{
	(void) state;
	close(hand_socket());
	close(agent);
	buf_free(&reply);
	arena_free(arena);
	scratch_remove(home);
	return 0;
}

/* Mail for this local part: what the hand answers. */
static struct str answer_for(const char *name, const char *home_of_user, enum forward_files files)
{
	struct hand_job job = { .alone = true, .arena = arena };
	struct task task = { .arena = arena, .name = str_of(name), .domain = STR("mail.example"),
			     .address = arena_fmt(arena, "%s@mail.example", name) };
	struct errand e = { .kind = ERRAND_USER, .task = &task, .files = files, .job = &job,
			    .rights.account = { .name = STR("joe"), .home = str_of(home_of_user) } };

	local_part_split_at(task.name, the_local.delimiter, false, &task.user, &task.extension);
	task.delivered = task.address;
	buf_clear(&reply);
	assert_int_equal(do_errand(&e, &reply), 0);
	return buf_str(&reply);
}

#define TO_MAILBOX "R\t0\t2.0.0\tdelivered to mailbox\n"

static void test_the_first_file_that_is_there_counts_and_says_whether_it_is_the_extensions(void **state)
{
	static const struct { const char *path, *name, *all, *of_extension; } rows[] = {
		{ "$home/f${recipient_delimiter}${extension}, $home/f", "joe", "F\tf\n", "M\tjoe@mail.example\n" },
		{ "$home/f${recipient_delimiter}${extension}, $home/f", "joe+own", "F\tf+own\n", "F\tf+own\n" },
		{ "$home/f${recipient_delimiter}${extension}, $home/f", "joe-own", "F\tf-own\n", "F\tf-own\n" },
		{ "$home/f${recipient_delimiter}${extension}, $home/f", "joe+none", "E\t\nF\tf\n", "M\tjoe+none@mail.example\n" },
		{ "$home/f$recipient_delimiter$extension, $home/f", "joe+", "E\t\nF\tf\n", "M\tjoe+@mail.example\n" },
		{ "$home/f,$home/f+$extension", "joe+own", "E\t\nF\tf\n", "M\tjoe+own@mail.example\n" },
		{ "$home/none $home/f+$extension $home/f", "joe+own", "F\tf+own\n", "F\tf+own\n" },
		{ "$home/f${extension?+$extension}", "joe+own", "F\tf+own\n", "F\tf+own\n" },
		{ "$home/f${extension?+$extension}", "joe", "F\tf\n", "M\tjoe@mail.example\n" },
		{ "$home/f${extension?+own}", "joe+x", "F\tf+own\n", "F\tf+own\n" },
		{ "$home/$recipient, $home/f", "joe+own", "F\trecipient\n", "F\trecipient\n" },
		{ "$home/$recipient, $home/f", "joe", "F\tf\n", "M\tjoe@mail.example\n" },
		{ "$home/${local}x $home/f", "joe+own", "F\tlocal\n", "F\tlocal\n" },
		{ "$home/$domain, $home/f", "joe+own", "E\t\nF\tdomain\n", "M\tjoe+own@mail.example\n" },
		{ "$nonsense $home/f", "joe", "W\tforward_path: cannot use $nonsense\nF\tf\n",
		  "W\tforward_path: cannot use $nonsense\nM\tjoe@mail.example\n" },
		{ "$shell/f, f, $home/empty, $home/f", "joe+own", "E\t\n" TO_MAILBOX, "M\tjoe+own@mail.example\n" },
		{ "", "joe+own", TO_MAILBOX, "M\tjoe+own@mail.example\n" },
	};

	(void) state;
	scratch_file(home, "f", "f\n");
	scratch_file(home, "f+", "\n");
	scratch_file(home, "f+own", "f+own\n");
	scratch_file(home, "f-own", "f-own\n");
	scratch_file(home, "joe+own@mail.example", "recipient\n");
	scratch_file(home, "joe+ownx", "local\n");
	scratch_file(home, "mail.example", "domain\n");
	scratch_file(home, "empty", "# nobody\n");
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		the_local.conf.forward_path = rows[i].path;
		assert_str(answer_for(rows[i].name, home, ALL_FORWARDS), rows[i].all);
		assert_str(answer_for(rows[i].name, home, FORWARD_OF_EXTENSION), rows[i].of_extension);
	}
	the_local.conf.forward_path = "$home/empty $home/none";
	assert_str(answer_for("joe", home, NEXT_FORWARDS), "M\tjoe@mail.example\n");
	the_local.conf.forward_path = "$home/f";
	assert_str(answer_for("joe", home, NEXT_FORWARDS), "F\tf\n");
	assert_str(answer_for("joe+own", home, NO_FORWARD), TO_MAILBOX);
}

static void test_who_nobody_hears_begins_nothing_of_a_list_and_takes_it_for_no_empty_one(void **state)
{
	(void) state;
	scratch_file(home, ".forward", "a@other.example, /dev/null, |command\n");
	assert_str(answer_for("joe", home, ALL_FORWARDS),
		   "F\ta@other.example\nR\t0\t2.0.0\tdelivered to file: /dev/null\nR\t0\t2.0.0\tdelivered to command: command\n");
	shutdown(agent, SHUT_WR);
	assert_str(answer_for("joe", home, ALL_FORWARDS), "");
	assert_int_equal(access(in_home("mailbox"), F_OK), -1);
}

static void test_a_file_in_the_home_of_who_has_none_is_no_destination(void **state)
{
	(void) state;
	the_local.conf.forward_path = in_home("joe");
	scratch_file(home, "joe", "~/file\n");
	assert_str(answer_for("joe", "", ALL_FORWARDS), "R\t1\t5.3.5\t~/file: nobody's home\n");
	assert_str(answer_for("joe", home, ALL_FORWARDS),
		   str_c(arena, arena_fmt(arena, "R\t0\t2.0.0\tdelivered to file: %s/file\n", home)));
	the_local.conf.allow_mail_to_files = "alias";
	assert_str(answer_for("joe", "", ALL_FORWARDS), "R\t1\t5.7.1\tmail to file is restricted\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_first_file_that_is_there_counts_and_says_whether_it_is_the_extensions,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_who_nobody_hears_begins_nothing_of_a_list_and_takes_it_for_no_empty_one,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_file_in_the_home_of_who_has_none_is_no_destination, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
