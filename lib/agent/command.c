/* SPDX-License-Identifier: ISC */
/*
 * A command that gets a message on its standard input. It runs in a session of its own, with
 * descriptors 0 to 2 only and a time limit. Its exit status decides (sysexits(3)), its output is
 * what people get to read.
 */
#include "lib/agent/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/agent/hands.h"
#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/daemon/startup.h"
#include "lib/io/net.h"
#include "lib/mail/dsn.h"

enum { MOST_OUTPUT = 4096 };

/* ---- whose it is ---- */

static int refuse(struct buf *why, const char *words, struct str what)
{
	buf_addf(why, "%s: \"%.*s\"", words, PSTR(what));
	return -EINVAL;
}

int command_identity(struct arena *a, struct str user, struct str group, struct identity *ret,
		     struct buf *why)
{
	struct account account = { 0 }, owner = { 0 };
	int r = account_by_name(a, user, &account);

	if (r <= 0)
		return refuse(why, r == 0 ? "no such user" : "the account database cannot be read", user);
	*ret = (struct identity){ .uid = account.uid, .gid = account.gid, .spool_gid = (gid_t) NO_GROUP };
	if (group.len > 0 && (r = group_by_name(group, &ret->gid)) <= 0)
		return refuse(why, r == 0 ? "no such group" : "the group database cannot be read", group);
	if (geteuid() != 0)
		return ret->uid == geteuid() ? 0 : refuse(why,
							  "this system runs without privileges and cannot run commands as",
							  user);
	if (ret->uid == 0 || ret->gid == 0)
		return refuse(why, "commands are not run with root's rights", user);
	if (account_by_name(a, str_of(the_world->common->mail_owner), &owner) <= 0 || owner.uid == ret->uid
	    || owner.gid == ret->gid)
		return refuse(why, "commands are not run with the mail system's own rights", user);
	return 0;
}

/* ---- its environment ---- */

void command_add_variable(struct command *c, struct arena *a, const char *name, struct str value,
			  const char *filter)
{
	AUTO(buf) text = BUF(16 << 10);

	buf_addf(&text, "%s=", name);
	for (size_t i = 0; i < c->envc; i++)
		if (str_starts(str_of(c->envp[i]), buf_str(&text)))
			return;
	if (c->envc == MOST_ENVIRONMENT)
		return;
	for (size_t i = 0; i < value.len; i++) {
		char one = value.at[i];
		bool passes = filter == NULL || (one != 0 && strchr(filter, one) != NULL);

		buf_add_byte(&text, passes ? one : '_');
	}
	c->envp[c->envc++] = str_c(a, buf_str(&text));
}

void command_add_exported(struct command *c, struct arena *a)
{
	struct str rest = str_of(the_world->common->export_environment), name;
	const char *value;

	while (next_variable(&rest, a, &name, &value))
		if (value != NULL)		/* not set here: "TZ=" would mean UTC, "MAIL_CONFIG=" no configuration */
			command_add_variable(c, a, str_c(a, name), str_of(value), NULL);
}

static int limit_files(int64_t bytes)
{
	struct rlimit limit;

	if (bytes == 0)
		return 0;
	if (getrlimit(RLIMIT_FSIZE, &limit) < 0)
		return -errno;
	limit.rlim_cur = MIN((rlim_t) bytes, limit.rlim_max);
	return setrlimit(RLIMIT_FSIZE, &limit) < 0 ? -errno : 0;
}

__attribute__((noreturn)) static void start_command(const struct command *c, int in, int out)
{
	sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
	sigaction(SIGXFSZ, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
	setsid();
	if (hand_forget_spool_group() < 0 || limit_files(c->file_limit) < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0
	    || close_range(3, ~0U, 0) < 0)
		_exit(EX_OSERR);
	if (c->directory != NULL && chdir(c->directory) < 0) {
		if (c->directory_must_be) {
			dprintf(2, "cannot change directory to %s: %s", c->directory, error_text(errno));
			_exit(EX_TEMPFAIL);
		}
		if (chdir("/") < 0)
			_exit(EX_OSERR);
	}
	execvpe(c->argv[0], (char *const *) (uintptr_t) c->argv, (char *const *) (uintptr_t) c->envp);
	dprintf(2, "cannot execute %s: %s", c->argv[0], error_text(errno));
	_exit(EX_TEMPFAIL);		/* a program that is missing may be on its way: its package is replaced, say */
}

/* ---- feeding it and listening to it ---- */

struct running {
	pid_t pid;
	int in, out, ended;		/* pipe to it, pipe from it, pidfd */
	int64_t deadline;
	struct buf output;
	bool has_ended;
};

static void listen_to(struct running *c)
{
	char piece[1024];
	ssize_t n;

	while (c->out >= 0 && (n = read(c->out, piece, sizeof(piece))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return;
		buf_add(&c->output, str_head(str_make(piece, (size_t) n), MOST_OUTPUT - c->output.len));
	}
	fd_auto(&c->out);
	c->out = -1;
}

/*
 * Waits for something to happen. wants_write: also for room in the pipe. 0, -ETIMEDOUT, -ECANCELED:
 * nobody wants to know any more.
 */
static int wait_for_command(struct running *c, bool wants_write)
{
	struct pollfd p[4] = { { .fd = c->ended, .events = POLLIN }, { .fd = c->out, .events = POLLIN },
			       { .fd = wants_write ? c->in : -1, .events = POLLOUT },
			       { .fd = hand_socket(), .events = POLLRDHUP } };
	int64_t left = c->deadline - mono_ms();

	if (left <= 0)
		return -ETIMEDOUT;
	if (poll(p, 4, (int) MIN(left, 1000000)) > 0) {
		if (p[3].revents != 0)
			return -ECANCELED;
		if (p[1].revents != 0)
			listen_to(c);
		c->has_ended = p[0].revents != 0;
	}
	return 0;
}

/* -EPIPE: it does not want more, which is its right. */
static int feed(void *arg, struct str bytes)
{
	struct running *c = arg;

	while (bytes.len > 0) {
		ssize_t n = write(c->in, bytes.at, bytes.len);
		int r = 0;

		if (n >= 0)
			bytes = str_skip(bytes, (size_t) n);
		else if (errno == EAGAIN)
			r = wait_for_command(c, true);
		else if (errno != EINTR)
			return -errno;
		if (r < 0)
			return r;
		if (n < 0 && c->has_ended)
			return -EPIPE;
	}
	return 0;
}

/* Until it has ended. What it left in the background may keep its output open: that is not waited for. */
static int await_end(struct running *c)
{
	while (!c->has_ended) {
		int r = wait_for_command(c, false);

		if (r < 0)
			return r;
	}
	listen_to(c);
	return 0;
}

static int run_to_end(struct running *c, command_input *input, void *arg)
{
	int r = input(arg, feed, c);

	fd_auto(&c->in);
	c->in = -1;
	if (r >= 0 || r == -EPIPE)
		r = await_end(c);
	return r;
}

/* ---- what came of it ---- */

struct exit_meaning { int status; const char *dsn; const char *text; };
static const struct exit_meaning meanings[] = {
	{ EX_USAGE, "5.3.0", "command line usage error" },
	{ EX_DATAERR, "5.6.0", "data format error" },
	{ EX_NOINPUT, "5.3.0", "cannot open input" },
	{ EX_NOUSER, "5.1.1", "user unknown" },
	{ EX_NOHOST, "5.1.2", "host name unknown" },
	{ EX_UNAVAILABLE, "5.3.0", "service unavailable" },
	{ EX_SOFTWARE, "5.3.0", "internal software error" },
	{ EX_OSERR, "4.3.0", "system resource problem" },
	{ EX_OSFILE, "5.3.0", "critical system file missing" },
	{ EX_CANTCREAT, "5.2.0", "cannot create user output file" },
	{ EX_IOERR, "5.3.0", "input/output error" },
	{ EX_TEMPFAIL, "4.3.0", "temporary failure" },
	{ EX_PROTOCOL, "5.5.0", "remote error in protocol" },
	{ EX_NOPERM, "5.7.0", "permission denied" },
	{ EX_CONFIG, "5.3.5", "local configuration error" },
};

static enum mailbox_status status_of(const char *dsn)
{
	return dsn[0] == '4' ? MAILBOX_DEFERRED : MAILBOX_BOUNCED;
}

static void say_ended(const struct command *c, int status, struct str output, struct mailbox_result *ret)
{
	struct exit_meaning m = { status, "5.3.0", NULL };
	const char *label = output.len > 0 ? ". Command output: " : "";
	struct str dsn, text;
	char code[12];

	/* "4.2.2 words" is all of the answer; "2.x.x" does not go with a failure */
	if (dsn_split(output, &dsn, &text) >= 0 && dsn.at[0] != '2') {
		snprintf(code, sizeof(code), "%.*s", PSTR(dsn));
		mailbox_say(ret, status_of(code), code, "%.*s", PSTR(text));
		return;
	}
	for (size_t i = 0; i < COUNT_OF(meanings); i++)
		if (meanings[i].status == status)
			m = meanings[i];
	if (m.text != NULL)
		mailbox_say(ret, status_of(m.dsn), m.dsn, "%s%s%.*s", m.text, label, PSTR(output));
	else
		mailbox_say(ret, status_of(m.dsn), m.dsn, "Command died with status %d: \"%s\"%s%.*s",
			    status, c->name, label, PSTR(output));
}

static void say_delivered(const struct command *c, struct str output, struct mailbox_result *ret)
{
	if (output.len > 0)
		mailbox_say(ret, MAILBOX_SENT, "2.0.0", "delivered via %s service (%.*s)", c->service,
			    PSTR(output));
	else
		mailbox_say(ret, MAILBOX_SENT, "2.0.0", "delivered via %s service", c->service);
}

static void say_result(const struct command *c, struct running *p, int r, int status,
		       struct mailbox_result *ret)
{
	struct str output = str_trim(buf_str(&p->output));

	for (size_t i = 0; i < p->output.len; i++)
		if (p->output.at[i] == '\n')
			p->output.at[i] = ' ';
	if (r == -ETIMEDOUT)
		mailbox_say(ret, MAILBOX_DEFERRED, "4.3.0", "Command time limit exceeded: \"%s\"", c->name);
	else if (r < 0)
		mailbox_say_error(ret, r, "cannot give the message to the command \"%s\"", c->name);
	else if (WIFSIGNALED(status))
		mailbox_say(ret, MAILBOX_DEFERRED, "4.3.0", "Command died with signal %d: \"%s\"%s%.*s",
			    WTERMSIG(status), c->name, output.len > 0 ? ". Command output: " : "",
			    PSTR(output));
	else if (WEXITSTATUS(status) == 0 && c->service != NULL)
		say_delivered(c, output, ret);
	else if (WEXITSTATUS(status) == 0)
		mailbox_say(ret, MAILBOX_SENT, "2.0.0", "delivered to command: %s", c->name);
	else
		say_ended(c, WEXITSTATUS(status), output, ret);
}

static int start_pipes(int in[2], int out[2])
{
	if (pipe2(in, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(out, O_CLOEXEC) < 0) {
		int r = -errno;

		close(in[0]);
		close(in[1]);
		return r;
	}
	set_nonblocking(in[1]);
	set_nonblocking(out[0]);
	return 0;
}

static void close_pipes(const int in[2], const int out[2])
{
	for (int i = 0; i < 2; i++) {
		close(in[i]);
		close(out[i]);
	}
}

void command_run(const struct command *c, command_input *input, void *arg, struct mailbox_result *ret)
{
	struct running p = { .output = BUF(MOST_OUTPUT), .deadline = mono_ms() + c->time_limit_ms };
	int in[2], out[2], status = 0, r;
	pid_t ended;

	r = start_pipes(in, out);
	p.pid = r < 0 ? -1 : fork();
	if (p.pid < 0) {
		mailbox_say_error(ret, r < 0 ? r : -errno, "cannot start the command \"%s\"", c->name);
		if (r >= 0)
			close_pipes(in, out);
		return;
	}
	if (p.pid == 0)
		start_command(c, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	p.in = in[1];
	p.out = out[0];
	p.ended = (int) syscall(SYS_pidfd_open, p.pid, 0);
	r = p.ended < 0 ? -errno : run_to_end(&p, input, arg);
	if (r < 0) {
		kill(-p.pid, SIGKILL);
		kill(p.pid, SIGKILL);
	}
	while ((ended = waitpid(p.pid, &status, 0)) < 0 && errno == EINTR)
		;
	if (ended < 0)
		r = -errno;		/* nobody knows how it ended: that is no success */
	say_result(c, &p, r, status, ret);
	fd_auto(&p.in);
	fd_auto(&p.out);
	fd_auto(&p.ended);
	buf_free(&p.output);
}
