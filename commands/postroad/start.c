/* SPDX-License-Identifier: ISC */
/*
 * postroad start and start-fg: master is started only on what passed the check, and start answers
 * when it can be connected to.
 */
#include "commands/postroad/postroad.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/conf/master_cf.h"
#include "lib/daemon/rehearsal.h"
#include "lib/daemon/startup.h"

enum { MOST_START_MS = 60000, MOST_END_MS = 5000, MOST_DOORS_MS = 10000 };

static void insist_on_start(struct work *w)
{
	struct instance_state running;

	if (find_running(w, &running, true))
		die(EX_UNAVAILABLE, "the %s mail system is already running: PID: %d",
		    w->world.common.mail_name, (int) running.pid);
	if (find_obstacles(w, false, say_problem, NULL) > 0)
		die(EX_CONFIG, "cannot start: see above");
	tell_of_values(w);		/* as with Postfix, who does not read them starts */
	tell_of_names(w);
}

__attribute__((noreturn)) static void become_master(struct work *w, const char *how, const char *argument)
{
	AUTO(buf) path = BUF(4096);
	const char *argv[8], **at = argv;

	buf_addf(&path, "%s/master", w->world.common.daemon_directory);
	*at++ = "master";
	*at++ = "-c";
	*at++ = conf_dir(w->world.conf);
	*at++ = how;
	if (argument != NULL)
		*at++ = argument;
	if (w->verbose)
		*at++ = "-v";
	*at = NULL;
	if (w->notify_socket != NULL)
		setenv("NOTIFY_SOCKET", w->notify_socket, 1);
	log_flush();
	execv(buf_text(&path), (char **) argv);
	die(EX_OSERR, "%s: %s", buf_text(&path), error_text(errno));
}

int do_start_fg(struct work *w)
{
	insist_on_start(w);
	become_master(w, "-f", NULL);
}

/*
 * It has closed its end without a word: it dies, and has said why. What it does not get to, nobody
 * waits for.
 */
static int status_of_death(pid_t pid)
{
	int64_t until = mono_ms() + MOST_END_MS;
	int status;

	while (waitpid(pid, &status, WNOHANG) != pid) {
		if (mono_ms() >= until)
			die(EX_TEMPFAIL, "master does not say whether it has started; it goes on (PID %d)",
			    (int) pid);
		co_sleep(in(10));
	}
	if (WIFSIGNALED(status))
		die(EX_SOFTWARE, "master was killed by signal %d while starting", WTERMSIG(status));
	return WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : EX_SOFTWARE;
}

/* One byte: every listener is open. */
static int wait_for_ready(int fd, pid_t pid)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int64_t until = mono_ms() + MOST_START_MS;
	char byte;
	int n;

	do
		n = poll(&p, 1, (int) MAX(until - mono_ms(), (int64_t) 0));
	while (n < 0 && errno == EINTR);
	if (n == 0)
		die(EX_TEMPFAIL, "master has been starting for %d seconds; it goes on (PID %d)",
		    MOST_START_MS / 1000, (int) pid);
	return read(fd, &byte, 1) == 1 ? 0 : status_of_death(pid);
}

/* Several rows stumble over one thing. Of what is merely odd they will warn when they start. */
static void say_missing(void *arg, bool fatal, struct str line)
{
	struct buf *said = arg;

	if (!fatal || str_find_str(buf_str(said), line) >= 0)
		return;
	buf_addf(said, "%.*s\n", PSTR(line));
	log_warning("%.*s", PSTR(line));
}

/*
 * Who serves the network is started by its first client, perhaps in the night: what it stumbles over
 * is said now. The system runs meanwhile, as with Postfix, whatever is wrong with one of them.
 */
static void try_doors(struct work *w)
{
	struct arena *a = arena_new("master.cf", NULL, 64 << 20);
	struct master_cf table, doors = { 0 };
	AUTO(buf) why = BUF_WORDS, said = BUF(64 << 10);

	if (master_cf_load(w->world.conf, a, &table, &why) >= 0) {
		doors.services = arena_get(a, (table.count + 1) * sizeof(*doors.services));
		for (size_t i = 0; i < table.count; i++)
			if (table.services[i].type == SERVICE_INET)
				doors.services[doors.count++] = table.services[i];
		rehearse_services(w->world.conf, &w->world.common, &doors, MOST_DOORS_MS, NULL, say_missing,
				  &said, &why);
	}
	arena_free(a);
}

int do_start(struct work *w)
{
	char number[16];
	int ready[2], status;
	pid_t pid;

	insist_on_start(w);
	if (pipe2(ready, O_CLOEXEC) < 0)
		die(EX_OSERR, "pipe: %s", error_text(errno));
	log_flush();
	pid = fork();
	if (pid < 0)
		die(EX_OSERR, "fork: %s", error_text(errno));
	if (pid == 0) {
		setsid();
		fcntl(ready[1], F_SETFD, 0);
		snprintf(number, sizeof(number), "%d", ready[1]);
		become_master(w, "-w", number);
	}
	close(ready[1]);
	status = wait_for_ready(ready[0], pid);
	if (status == 0) {
		open_command_log(&w->world.common, "postroad");		/* now there is one */
		log_info("starting the %s mail system", w->world.common.mail_name);
		try_doors(w);
	}
	return status;
}
