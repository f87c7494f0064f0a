/* SPDX-License-Identifier: ISC */
/* See child.h. */
#include "lib/mailbox/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/disk/disk.h"
#include "lib/jail/jail.h"
#include "lib/log/log.h"

enum { EXIT_NOT_USER = 77, REPLY_FD = 3, KEPT_FD = 4, REPLY_LIMIT = 4 << 20 };

/* ---- in the child ---- */

static gid_t own_gid, spool_gid = (gid_t) NO_GROUP;

int child_use_spool_group(bool on)
{
	if (spool_gid == (gid_t) NO_GROUP)
		return 0;
	return setegid(on ? spool_gid : own_gid) < 0 ? -errno : 0;
}

int child_forget_spool_group(void)
{
	if (spool_gid == (gid_t) NO_GROUP)
		return 0;
	return setresgid(own_gid, own_gid, own_gid) < 0 ? -errno : 0;
}

static int become(const struct child_work *w)
{
	own_gid = w->gid;
	if (w->spool_gid == (gid_t) NO_GROUP || w->spool_gid == w->gid || geteuid() != 0)
		return become_user(w->uid, w->gid);
	spool_gid = w->spool_gid;
	return become_user_of_spool(w->uid, w->gid, w->spool_gid);
}

static void reset_signals(void)
{
	static const int signals[] = { SIGPIPE, SIGXFSZ, SIGHUP, SIGTERM, SIGINT, SIGCHLD };
	sigset_t none;

	for (size_t i = 0; i < COUNT_OF(signals); i++)
		sigaction(signals[i], &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
	sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	sigaction(SIGXFSZ, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Only the reply and the message stay open, under numbers that the closing can spare. */
static int keep_descriptors(const struct child_work *w, int reply_fd)
{
	int reply = fcntl(reply_fd, F_DUPFD_CLOEXEC, KEPT_FD + 1);
	int kept = w->keep_fd == NULL ? -1 : fcntl(*w->keep_fd, F_DUPFD_CLOEXEC, KEPT_FD + 1);

	if (reply < 0 || (w->keep_fd != NULL && kept < 0))
		return -errno;
	if (dup3(reply, REPLY_FD, O_CLOEXEC) < 0 || (kept >= 0 && dup3(kept, KEPT_FD, O_CLOEXEC) < 0))
		return -errno;
	if (w->keep_fd != NULL)
		*w->keep_fd = KEPT_FD;
	return close_range(w->keep_fd != NULL ? KEPT_FD + 1 : REPLY_FD + 1, ~0U, 0) < 0 ? -errno : 0;
}

/*
 * What die() and BUG() say in the child goes to the parent's ears only through the exit status: the log is
 * not ours here.
 */
static void say_nothing(const char *line)
{
	(void) line;
}

__attribute__((noreturn)) static void run_in_child(const struct child_work *w, int reply_fd)
{
	struct buf reply = BUF(REPLY_LIMIT);

	die_set_sink(say_nothing);
	reset_signals();
	setpgid(0, 0);
	if (keep_descriptors(w, reply_fd) < 0)
		_exit(EX_OSERR);
	if (become(w) < 0)
		_exit(EXIT_NOT_USER);
	w->run(w->arg, &reply);
	_exit(write_all(REPLY_FD, reply.at, reply.len) < 0 ? EX_IOERR : 0);
}

/* ---- in the parent ---- */

/* Reads until the child closes its end. 0, -ETIMEDOUT, -EMSGSIZE, -errno. */
static int read_reply(int fd, int64_t deadline, struct buf *reply)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = deadline - mono_ms();
		char piece[2048];
		ssize_t n;

		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int) MIN(left, 3600000)) < 0 && errno != EINTR)
			return -errno;
		if (p.revents == 0)
			continue;
		n = read(fd, piece, sizeof(piece));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		if (buf_add(reply, str_make(piece, (size_t) n)) < 0)
			return -EMSGSIZE;
	}
}

static int wait_for_end(pid_t pid)
{
	int status;
	pid_t r;

	do
		r = waitpid(pid, &status, 0);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NOT_USER ? -EPERM : -ECHILD;
}

int child_run(const struct child_work *w, struct buf *ret_reply)
{
	int64_t deadline = mono_ms() + w->time_limit_ms;
	int ends[2], r, end;
	pid_t pid;

	log_flush();			/* or its lines would be in the child's memory too */
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		run_in_child(w, ends[1]);
	r = pid < 0 ? -errno : 0;
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return r;
	}
	r = read_reply(ends[0], deadline, ret_reply);
	close(ends[0]);
	if (r < 0) {
		kill(-pid, SIGKILL);
		kill(pid, SIGKILL);	/* it may not have got as far as having a group */
	}
	end = wait_for_end(pid);
	if (r == 0)
		r = end;
	return r == -EMSGSIZE ? -ECHILD : r;
}
