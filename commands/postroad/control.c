/* SPDX-License-Identifier: ISC */
/*
 * postroad stop, abort, reload and flush. Each returns when it is done, or says what it waited for
 * in vain.
 */
#include "commands/postroad/postroad.h"

#include <errno.h>
#include <poll.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/ipc/channel.h"

enum { RELOAD_MS = 90000, UNKNOWN_MS = 10000, FLUSH_MS = 10000, LOOK_MS = 10 };

/*
 * The descriptor names one process for good: should it die between the look at its lock and the
 * signal, the signal finds nobody instead of whoever has its number by then.
 */
static int open_process(struct work *w, struct instance_state *ret)
{
	struct instance_state again;
	int fd;

	if (!find_running(w, ret, false))
		return -ESRCH;
	fd = (int) syscall(SYS_pidfd_open, ret->pid, 0);
	if (fd < 0)
		return -errno;
	if (find_running(w, &again, true) && again.pid == ret->pid)
		return fd;
	close(fd);
	return -ESRCH;
}

static void send_signal(struct work *w, int fd, int number)
{
	if (syscall(SYS_pidfd_send_signal, fd, number, NULL, 0) < 0)
		die(EX_NOPERM, "cannot signal the %s mail system: %s", w->world.common.mail_name,
		    error_text(errno));
}

static int end_master(struct work *w, int number)
{
	struct instance_state master;
	const int64_t most = w->daemon.stop_time_limit + STOP_LONGER_MS;
	struct pollfd p;
	int fd = open_process(w, &master);

	if (fd < 0)
		return 1;
	send_signal(w, fd, number);
	p = (struct pollfd){ .fd = fd, .events = POLLIN };
	if (poll(&p, 1, (int) most) == 1)
		return 0;
	die(EX_TEMPFAIL, "the %s mail system has not ended within %lld seconds (PID %d)",
	    w->world.common.mail_name, (long long) most / 1000, (int) master.pid);
}

int do_stop(struct work *w)
{
	return end_master(w, SIGTERM);
}

int do_abort(struct work *w)
{
	return end_master(w, SIGQUIT);
}

/* What the daemons said of the new configuration: why it was refused, or warnings. */
static int say_outcome(struct work *w, bool failed)
{
	AUTO(buf) words = BUF(16384);
	struct str rest, line;

	instance_reload_words(&w->world.common, &words);
	rest = buf_str(&words);
	while (str_token(&rest, "\n", &line))
		if (failed)
			log_error("%.*s", PSTR(line));
		else
			log_warning("%.*s", PSTR(line));
	if (failed)
		die(EX_CONFIG, "reload failed, the former configuration stays in force%s",
		    words.len > 0 ? "" : ": see the log");
	return 0;
}

int do_reload(struct work *w)
{
	struct instance_state before, now;
	const int64_t began = mono_ms();
	int fd = open_process(w, &before);

	if (fd < 0)
		return 1;
	send_signal(w, fd, SIGHUP);
	close(fd);
	while (find_running(w, &now, false) && now.pid == before.pid) {
		/* the last one could not be written down; perhaps this one can */
		if (now.reloads == RELOADS_UNKNOWN
		    && (before.reloads != RELOADS_UNKNOWN || mono_ms() - began >= UNKNOWN_MS))
			die(EX_TEMPFAIL, "the %s mail system was told to reload, but cannot say here what comes of it: see the log",
			    w->world.common.mail_name);
		if (now.reloads != before.reloads)
			return say_outcome(w, now.last_failed);
		if (mono_ms() - began >= RELOAD_MS)
			die(EX_TEMPFAIL, "the %s mail system has not answered within %d seconds",
			    w->world.common.mail_name, RELOAD_MS / 1000);
		co_sleep(in(LOOK_MS));
	}
	return 1;
}

int do_flush(struct work *w)
{
	struct arena *a = arena_new("flush", NULL, 32 << 20);
	const struct qmgr_command request = { .command = STR("flush") };
	struct qmgr_command_reply reply = { 0 };
	struct instance_state running;
	AUTO(buf) path = BUF(4096);
	struct client *qmgr;
	int result;

	if (!find_running(w, &running, false))
		return 1;
	buf_addf(&path, "%s/public/qmgr", w->world.common.queue_directory);
	qmgr = client_new(buf_text(&path));
	result = CALL(qmgr, qmgr_command, &request, a, qmgr_command_reply, &reply, in(FLUSH_MS));
	if (result >= 0 && reply.code != 0)
		result = -(int) reply.code;
	client_free(qmgr);
	if (result < 0)
		die(EX_UNAVAILABLE, "cannot reach the queue manager at %s: %s", buf_text(&path),
		    error_text(result));
	arena_free(a);
	return 0;
}
