/* SPDX-License-Identifier: ISC */
/*
 * postroad logrotate: gives the log file another name. postlogd sees that the name has gone and
 * begins a new file; nothing is lost, because it writes to the old one until then.
 */
#include "commands/postroad/postroad.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"

enum { NEW_FILE_MS = 15000, LOOK_MS = 20 };

extern char **environ;

static void add_suffix(struct buf *name, const char *format)
{
	char suffix[200];
	time_t now = (time_t) wall_s();
	struct tm tm;

	localtime_r(&now, &tm);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"	/* the administrator's own, checked by what it makes */
	if (strftime(suffix, sizeof(suffix), format, &tm) == 0 || strchr(suffix, '/') != NULL)
		die(EX_CONFIG, "maillog_file_rotate_suffix = %s makes no file name", format);
#pragma GCC diagnostic pop
	buf_addf(name, ".%s", suffix);
}

static int compress(const char *program, const char *file)
{
	char *const argv[] = { (char *) (uintptr_t) program, (char *) (uintptr_t) file, NULL };
	int status, result;
	pid_t pid;

	result = posix_spawnp(&pid, program, NULL, NULL, argv, environ);
	if (result != 0)
		die(EX_UNAVAILABLE, "maillog_file_compressor %s: %s", program, error_text(result));
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		die(EX_UNAVAILABLE, "maillog_file_compressor %s failed; the finished log is %s",
		    program, file);
	return 0;
}

/* Writing to the old file must be over before it is compressed. */
static void wait_for_new_file(struct work *w)
{
	int64_t until = mono_ms() + NEW_FILE_MS;

	log_info("log file begins");	/* so that there is something to write */
	log_flush();
	while (access(w->world.common.maillog_file, F_OK) < 0) {
		if (mono_ms() >= until)
			die(EX_TEMPFAIL, "postlogd has not begun a new %s within %d seconds",
			    w->world.common.maillog_file, NEW_FILE_MS / 1000);
		co_sleep(in(LOOK_MS));
	}
}

/*
 * Never over a log of before, somebody else's that rotates at this moment too. Where the file system
 * cannot promise that, a look before has to do.
 */
static int move_aside(const char *file, const char *finished)
{
	if (renameat2(AT_FDCWD, file, AT_FDCWD, finished, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (access(finished, F_OK) == 0)
		return -EEXIST;
	return rename(file, finished) < 0 ? -errno : 0;
}

int do_logrotate(struct work *w)
{
	const char *file = w->world.common.maillog_file;
	struct instance_state running;
	AUTO(buf) finished = BUF(4096);
	struct stat st;
	int r;

	if (file[0] == 0)
		die(EX_USAGE, "there is nothing to rotate: maillog_file is not set, the log goes to syslog");
	if (lstat(file, &st) < 0 || !S_ISREG(st.st_mode))
		die(EX_USAGE, "maillog_file %s is not a regular file", file);
	buf_add_text(&finished, file);
	add_suffix(&finished, w->log.maillog_file_rotate_suffix);
	r = move_aside(file, buf_text(&finished));
	if (r < 0)
		die(EX_CANTCREAT, "cannot rename %s to %s: %s", file, buf_text(&finished), error_text(r));
	if (find_running(w, &running, true))
		wait_for_new_file(w);
	return w->log.maillog_file_compressor[0] == 0 ? 0 : compress(w->log.maillog_file_compressor,
								     buf_text(&finished));
}
