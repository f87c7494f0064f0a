/* SPDX-License-Identifier: ISC */
/*
 * A command that gets the message on its standard input: as the recipient, in a session of its own, with an
 * environment made here, descriptors 0 to 2 only, and a time limit. Its exit status decides (sysexits(3)),
 * its output is what people get to read.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/io/net.h"
#include "lib/mail/dsn.h"
#include "local/local.h"

enum { MOST_OUTPUT = 4096, MOST_ARGUMENTS = 256, MOST_ENVIRONMENT = 64, GRACE_MS = 200 };
static const char default_path[] = "/usr/local/bin:/usr/bin:/bin";

/* ---- what it is started with ---- */

struct start {
	const char *argv[MOST_ARGUMENTS + 1];
	const char *envp[MOST_ENVIRONMENT + 1];
	size_t argc, envc;
	const char *home;		/* NULL: "/" */
};

/* Values that come with the mail must not mean anything to a shell. */
static void add_variable(struct errand *e, struct start *s, const char *name, struct str value, bool trusted)
{
	const char *filter = the_local.conf.command_expansion_filter;
	AUTO(buf) text = BUF(16 << 10);

	if (value.len == 0 || s->envc == MOST_ENVIRONMENT)
		return;
	buf_addf(&text, "%s=", name);
	for (size_t i = 0; i < value.len; i++) {
		char c = value.at[i];
		bool passes = trusted || (c != 0 && strchr(filter, c) != NULL);

		buf_add_byte(&text, passes ? c : '_');
	}
	s->envp[s->envc++] = str_c(e->task->arena, buf_str(&text));
}

/* export_environment: "NAME" of our own, or "NAME=value". */
static void add_exported(struct errand *e, struct start *s)
{
	struct str rest = str_of(the_world->common->export_environment), word;

	while (str_token(&rest, ", \t\r\n", &word)) {
		struct str value = word, name;

		if (str_cut(&value, '=', &name))
			add_variable(e, s, str_c(e->task->arena, name), value, true);
		else
			add_variable(e, s, str_c(e->task->arena, name),
				     str_of(getenv(str_c(e->task->arena, name))), true);
	}
}

static void make_environment(struct errand *e, struct start *s)
{
	const struct task *t = e->task;
	const struct envelope *env = &t->d->env;
	const struct account *who = &e->rights.account;
	const struct { const char *name; struct str value; bool trusted; } rows[] = {
		{ "PATH", str_of(default_path), true },
		{ "SHELL", who->shell.len > 0 ? who->shell : STR("/bin/sh"), true },
		{ "HOME", who->home, true },
		{ "LOGNAME", who->name, true },
		{ "USER", who->name.len > 0 ? who->name : t->user, false },
		{ "LOCAL", t->name, false },
		{ "EXTENSION", t->extension, false },
		{ "DOMAIN", t->domain, false },
		{ "RECIPIENT", t->r->address, false },
		{ "ORIGINAL_RECIPIENT", t->original, false },
		{ "SENDER", t->sender, false },
		{ "ENVID", env->envid, false },
		{ "CLIENT_ADDRESS", env->client_address, false },
		{ "CLIENT_HELO", env->client_helo, false },
		{ "CLIENT_HOSTNAME", env->client_name, false },
		{ "CLIENT_PROTOCOL", env->client_protocol, false },
		{ "SASL_METHOD", env->sasl_method, false },
		{ "SASL_SENDER", env->sasl_sender, false },
		{ "SASL_USERNAME", env->sasl_username, false },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++)
		add_variable(e, s, rows[i].name, rows[i].value, rows[i].trusted);
	add_exported(e, s);
	s->home = who->home.len > 0 ? str_c(t->arena, who->home) : NULL;
}

/* Without a character that a shell would look at, the words are the arguments. */
static void make_arguments(struct errand *e, struct start *s, const char *command)
{
	struct arena *a = e->task->arena;
	struct str rest = str_of(command), word;
	const char *shell = the_local.conf.local_command_shell;

	if (*shell == 0 && str_find_any(rest, "!\"#$&'()*;<>?[\\]^`{|}~\n=") < 0) {
		while (str_token(&rest, " \t\r", &word) && s->argc < MOST_ARGUMENTS)
			s->argv[s->argc++] = str_c(a, word);
		if (s->argc > 0 && s->argc < MOST_ARGUMENTS)
			return;
	}
	s->argc = 0;
	for (rest = str_of(*shell == 0 ? "/bin/sh" : shell); str_token(&rest, " \t", &word)
	     && s->argc < MOST_ARGUMENTS - 3;)
		s->argv[s->argc++] = str_c(a, word);
	s->argv[s->argc++] = "-c";
	s->argv[s->argc++] = command;
	s->argv[s->argc] = NULL;
}

__attribute__((noreturn)) static void start_command(const struct start *s, int in, int out)
{
	sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
	sigaction(SIGXFSZ, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
	setsid();
	if (hand_forget_spool_group() < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0
	    || close_range(3, ~0U, 0) < 0)
		_exit(EX_OSERR);
	if (s->home == NULL || chdir(s->home) < 0)
		if (chdir("/") < 0)
			_exit(EX_OSERR);
	execvpe(s->argv[0], (char *const *) (uintptr_t) s->argv, (char *const *) (uintptr_t) s->envp);
	dprintf(2, "cannot execute %s: %s", s->argv[0], error_text(errno));
	_exit(errno == ENOENT || errno == EACCES || errno == ENOEXEC ? EX_UNAVAILABLE : EX_TEMPFAIL);
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

/* Waits for something to happen. wants_write: also for room in the pipe. 0, -ETIMEDOUT, -ECANCELED: nobody wants to know any more. */
static int wait_for_command(struct running *c, bool wants_write)
{
	struct pollfd p[4] = { { .fd = c->ended, .events = POLLIN }, { .fd = c->out, .events = POLLIN },
			       { .fd = wants_write ? c->in : -1, .events = POLLOUT }, { .fd = hand_socket(), .events = POLLRDHUP } };
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

static int run_to_end(struct errand *e, struct running *c)
{
	struct letter l = letter_of(e->task);
	unsigned front = LETTER_FROM | LETTER_RETURN_PATH | LETTER_ORIGINAL_TO;
	int r;

	if (list_has(the_local.conf.prepend_delivered_header, "command"))
		front |= LETTER_DELIVERED_TO;
	r = letter_copy(&l, front, feed, c);

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

static void say_ended(struct errand *e, const char *command, int status, struct str output,
		      struct mailbox_result *ret)
{
	struct exit_meaning m = { status, "5.3.0", NULL };
	struct str dsn = STR_NONE, rest;
	const char *label = output.len > 0 ? ". Command output: " : "";

	for (size_t i = 0; i < COUNT_OF(meanings); i++)
		if (meanings[i].status == status)
			m = meanings[i];
	dsn = str_of(m.dsn);
	/* "2.x.x" does not go with a failure */
	if (dsn_split(output, &dsn, &rest) >= 0 && dsn.at[0] == '2')
		dsn = str_of(m.dsn);
	ret->status = dsn.at[0] == '4' ? MAILBOX_DEFERRED : MAILBOX_BOUNCED;
	if (m.text != NULL)
		mailbox_say(ret, ret->status, str_c(e->task->arena, dsn), "%s%s%.*s", m.text, label,
			    PSTR(output));
	else
		mailbox_say(ret, ret->status, str_c(e->task->arena, dsn),
			    "Command died with status %d: \"%s\"%s%.*s", status, command, label,
			    PSTR(output));
}

static void say_result(struct errand *e, const char *command, struct running *c, int r, int status,
		       struct mailbox_result *ret)
{
	struct str output = str_trim(buf_str(&c->output));

	for (size_t i = 0; i < c->output.len; i++)
		if (c->output.at[i] == '\n')
			c->output.at[i] = ' ';
	if (r == -ETIMEDOUT)
		mailbox_say(ret, MAILBOX_DEFERRED, "4.3.0", "Command time limit exceeded: \"%s\"", command);
	else if (r < 0)
		mailbox_say_error(ret, r, "cannot give the message to the command \"%s\"", command);
	else if (WIFSIGNALED(status))
		mailbox_say(ret, MAILBOX_DEFERRED, "4.3.0", "Command died with signal %d: \"%s\"%s%.*s",
			    WTERMSIG(status), command,
			    output.len > 0 ? ". Command output: " : "", PSTR(output));
	else if (WEXITSTATUS(status) == 0)
		mailbox_say(ret, MAILBOX_SENT, "2.0.0", "delivered to command: %s", command);
	else
		say_ended(e, command, WEXITSTATUS(status), output, ret);
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

void run_command(struct errand *e, const char *command, struct mailbox_result *ret)
{
	struct running c = { .output = BUF(MOST_OUTPUT),
			     .deadline = mono_ms() + the_local.conf.command_time_limit };
	struct start *s = ARENA_NEW(e->task->arena, struct start);
	int in[2], out[2], status = 0, r;

	make_environment(e, s);
	make_arguments(e, s, command);
	r = start_pipes(in, out);
	c.pid = r < 0 ? -1 : fork();
	if (c.pid < 0) {
		mailbox_say_error(ret, r < 0 ? r : -errno, "cannot start the command \"%s\"", command);
		return;
	}
	if (c.pid == 0)
		start_command(s, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	c.in = in[1];
	c.out = out[0];
	c.ended = (int) syscall(SYS_pidfd_open, c.pid, 0);
	r = c.ended < 0 ? -errno : run_to_end(e, &c);
	if (r < 0) {
		kill(-c.pid, SIGKILL);
		kill(c.pid, SIGKILL);
	}
	while (waitpid(c.pid, &status, 0) < 0 && errno == EINTR)
		;
	say_result(e, command, &c, r, status, ret);
	fd_auto(&c.in);
	fd_auto(&c.out);
	fd_auto(&c.ended);
	buf_free(&c.output);
}
