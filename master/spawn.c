/* SPDX-License-Identifier: ISC */
/*
 * From master's process to a worker's: descriptors in their agreed places, signals as a program
 * expects them, exec.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "master/master.h"

enum { ABOVE_ALL = FIRST_LISTENER_FD + MOST_LISTENERS + 2 };

static void place(int from, int to)
{
	if (dup2(from, to) < 0)
		_exit(EX_OSERR);
}

/* Sources may lie where targets shall be: they move out of the way first. */
static void place_descriptors(const struct service *s, int line)
{
	int moved[MOST_LISTENERS + 3], n = 0, null;

	moved[n++] = fcntl(line, F_DUPFD_CLOEXEC, ABOVE_ALL);
	for (int i = 0; i < s->listener_count; i++)
		if (s->listeners[i].fd >= 0)
			moved[n++] = fcntl(s->listeners[i].fd, F_DUPFD_CLOEXEC, ABOVE_ALL);
	if (program_is_ours(s->program))
		moved[n++] = fcntl(settings->main_cf, F_DUPFD_CLOEXEC, ABOVE_ALL);
	if (s->keepsake >= 0)
		moved[n++] = fcntl(s->keepsake, F_DUPFD_CLOEXEC, ABOVE_ALL);
	for (int i = 0; i < n; i++)
		place(moved[i], LIFELINE_FD + i);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0)
		place(null, STDIN_FILENO);
}

static void reset_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		sigaction(i, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* -n name -t type -s N ... and then the row's own arguments. */
static char **command_line(struct arena *a, const struct service *s, int session_limit)
{
	const struct service_entry *e = s->entry;
	VEC(const char *) argv = { 0 };

	*vec_add(a, &argv) = str_c(a, e->command);
	*vec_add(a, &argv) = "-n";
	*vec_add(a, &argv) = s->name;
	*vec_add(a, &argv) = "-t";
	*vec_add(a, &argv) = service_type_text(s->type);
	*vec_add(a, &argv) = arena_fmt(a, "-s%d", open_listeners(s)).at;
	if (program_is_ours(s->program))
		*vec_add(a, &argv) = arena_fmt(a, "-i%d", FIRST_LISTENER_FD + open_listeners(s)).at;
	if (s->keepsake >= 0)
		*vec_add(a, &argv) = arena_fmt(a, "-k%d", FIRST_LISTENER_FD + open_listeners(s) + 1).at;
	if (session_limit > 0)
		*vec_add(a, &argv) = arena_fmt(a, "-m%d", session_limit).at;
	if (program_is_ours(s->program) && s->most_workers > 0)
		*vec_add(a, &argv) = arena_fmt(a, "-w%d", s->most_workers).at;
	if (e->unprivileged)
		*vec_add(a, &argv) = "-u";
	if (e->chroot)
		*vec_add(a, &argv) = "-r";
	for (size_t i = 0; i < e->argc; i++)
		*vec_add(a, &argv) = str_c(a, e->argv[i]);
	*vec_add(a, &argv) = NULL;
	return (char **) argv.at;
}

pid_t spawn_worker(const struct service *s, int session_limit, int line)
{
	struct arena *a = arena_new("command line", NULL, 1 << 20);
	char **argv = command_line(a, s, session_limit);
	pid_t pid = fork();

	if (pid == 0) {
		place_descriptors(s, line);
		reset_signals();
		execv(s->file, argv);
		_exit(errno == ENOENT ? EX_UNAVAILABLE : EX_OSERR);
	}
	arena_free(a);
	return pid < 0 ? -errno : pid;
}
