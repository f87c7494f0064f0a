/* SPDX-License-Identifier: ISC */
/* Starting daemons with -R and listening to what they say. For master's reload and `postroad lint`. */
#include "lib/daemon/rehearsal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/map.h"
#include "lib/conf/programs.h"

extern char **environ;

enum { MOST_OUTPUT = 64 << 10 };

/* The daemon's working directory is another one. */
static const char *absolute(struct arena *a, const char *config_dir)
{
	char *real = realpath(config_dir, NULL);
	const char *kept = str_c(a, str_of(real != NULL ? real : config_dir));

	free(real);
	return kept;
}

char **rehearsal_command(struct arena *a, const struct common_conf *common, const char *config_dir,
			 const struct service_entry *s, const char *const *more, const char **ret_path)
{
	const struct program *p = program_find(s->command);
	VEC(const char *) argv = { 0 };

	*ret_path = arena_fmt(a, "%s/%.*s", common->daemon_directory,
			      PSTR(p->file != NULL ? str_of(p->file) : s->command)).at;
	*vec_add(a, &argv) = str_c(a, s->command);
	*vec_add(a, &argv) = more == NULL ? "-RR" : "-R";
	*vec_add(a, &argv) = "-c";
	*vec_add(a, &argv) = absolute(a, config_dir);
	*vec_add(a, &argv) = "-n";
	*vec_add(a, &argv) = str_c(a, s->name);
	for (size_t i = 0; i < s->argc; i++)
		*vec_add(a, &argv) = str_c(a, s->argv[i]);
	for (; more != NULL && *more != NULL; more++)
		*vec_add(a, &argv) = *more;
	*vec_add(a, &argv) = NULL;
	return (char **) (uintptr_t) argv.at;
}

/* Standard error goes into our pipe, all else to nowhere. */
static int spawn(const char *path, char **argv, int to, pid_t *ret)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, to, STDERR_FILENO);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	r = posix_spawn(ret, path, &actions, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

/* Until the last writer has closed. False: time is up. */
static bool read_all(int fd, struct buf *b, int64_t until)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		char piece[1024];
		ssize_t n;
		int ready = poll(&p, 1, (int) MAX(until - mono_ms(), (int64_t) 0));

		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0)
			return false;
		n = read(fd, piece, sizeof(piece));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return true;
		buf_add(b, str_make(piece, (size_t) n));
	}
}

struct rehearsal {
	struct conf *conf;
	rehearsal_fn *say;
	void *arg;
	const struct service_entry *service;
	bool failed, gave_reason;
};

/* ---- what is said, and where that is written ---- */

/* Do words begin with a parameter that the row sets? */
static bool is_of_row(const struct service_entry *s, struct str words)
{
	AUTO(buf) ignored = BUF_WORDS;
	struct str assignment, name, value;

	for (size_t at = 0; service_override(s, &at, &assignment);)
		if (conf_split_assignment(assignment, &name, &value, &ignored) == 0
		    && str_starts(words, name))
			return true;
	return false;
}

static void say(struct rehearsal *r, bool fatal, struct str words)
{
	static const struct str row = STR_INIT("master.cf: service ");
	AUTO(buf) line = BUF(MOST_OUTPUT);
	const struct service_entry *s = r->service;
	const char *file;
	int number;

	r->gave_reason |= fatal;
	if (str_starts(words, row))	/* of its arguments: it knows its name, and not the line */
		words = str_skip(words, row.len + s->name.len + 2);
	if (!is_of_row(s, words) && conf_where_words(r->conf, words, &file, &number))
		buf_addf(&line, "%s, line %d: ", file, number);
	else if (words.len > 0 && words.at[0] != '/' && s->line > 0)
		buf_addf(&line, "%s/master.cf, line %d: service %.*s: ", conf_dir(r->conf), s->line,
			 PSTR(s->name));
	else if (words.len > 0 && words.at[0] != '/')
		buf_addf(&line, "service %.*s: ", PSTR(s->name));
	buf_add(&line, words);
	r->say(r->arg, fatal, buf_str(&line));
}

/* "postfix/smtpd: fatal: words" */
static void hear(struct rehearsal *r, struct str output)
{
	static const struct { struct str mark; bool fatal; } levels[] = {
		{ STR_INIT(": fatal: "), true }, { STR_INIT(": panic: "), true },
		{ STR_INIT(": error: "), true }, { STR_INIT(": warning: "), false },
	};
	struct str line;

	while (str_cut(&output, '\n', &line) || line.len > 0)
		for (size_t i = 0; i < COUNT_OF(levels); i++) {
			const ssize_t at = str_find_str(line, levels[i].mark);

			if (at < 0)
				continue;
			say(r, levels[i].fatal, str_skip(line, (size_t) at + levels[i].mark.len));
			break;
		}
}

static void judge(struct rehearsal *r, bool in_time, int status)
{
	AUTO(buf) words = BUF_WORDS;

	r->failed = !in_time || !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	if (!r->failed || r->gave_reason)
		return;
	if (!in_time)
		buf_addf(&words, "it was not through with its configuration in time");
	else if (WIFSIGNALED(status))
		buf_addf(&words, "killed by signal %d", WTERMSIG(status));
	else
		buf_addf(&words, "exit status %d", WEXITSTATUS(status));
	say(r, true, buf_str(&words));
}

static int rehearse(struct rehearsal *r, const char *path, char **argv, int64_t until, struct buf *why)
{
	AUTO(buf) output = BUF(MOST_OUTPUT);
	int ends[2], status = 0, e;
	bool in_time;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0) {
		e = -errno;
		buf_addf(why, "pipe: %s", error_text(e));
		return e;
	}
	e = spawn(path, argv, ends[1], &pid);
	close(ends[1]);
	if (e < 0) {
		close(ends[0]);
		buf_addf(why, "%s: %s", path, error_text(e));
		return e;
	}
	in_time = read_all(ends[0], &output, until);
	close(ends[0]);
	if (!in_time)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	hear(r, buf_str(&output));
	judge(r, in_time, status);
	return 0;
}

/*
 * Does this row run a program of which something can be learnt? The log's writer has nothing to do
 * when there is no log file.
 */
static bool has_program(const struct common_conf *common, const struct service_entry *s)
{
	const struct program *p = program_find(s->command);
	AUTO(buf) path = BUF(4096);

	buf_addf(&path, "%s/%.*s", common->daemon_directory,
		 PSTR(p->file != NULL ? str_of(p->file) : s->command));
	return program_is_ours(p) && (!p->ends_last || common->maillog_file[0] != 0)
	       && access(buf_text(&path), X_OK) == 0;
}

/* The same program with the same arguments says the same. */
static bool is_repeated(struct arena *a, struct map *seen, const struct service_entry *s)
{
	AUTO(buf) key = BUF(1 << 20);

	buf_add(&key, s->command);
	for (size_t i = 0; i < s->argc; i++) {
		buf_add_byte(&key, '\n');
		buf_add(&key, s->argv[i]);
	}
	return map_put(seen, arena_copy(a, buf_str(&key)), seen) != NULL;
}

int rehearse_services(struct conf *c, const struct common_conf *common, const struct master_cf *table,
		      int64_t most_ms, const char *const *(*more)(const struct service_entry *s),
		      rehearsal_fn *say_it, void *arg, struct buf *why)
{
	struct arena *a = arena_new("rehearsal", NULL, 64 << 20);
	struct map *seen = map_new();
	const int64_t until = mono_ms() + most_ms;
	struct str disabled = STR_NONE;
	int failed = 0, e = 0;

	conf_get(c, a, STR("master_service_disable"), &disabled);
	for (size_t i = 0; i < table->count && e >= 0; i++) {
		const struct service_entry *s = &table->services[i];
		struct rehearsal r = { .conf = c, .say = say_it, .arg = arg, .service = s };
		const char *path;
		char **argv;

		if (master_cf_is_disabled(disabled, s) || !has_program(common, s) || is_repeated(a, seen, s))
			continue;
		argv = rehearsal_command(a, common, conf_dir(c), s, more == NULL ? NULL : more(s), &path);
		e = rehearse(&r, path, argv, until, why);
		failed += r.failed;
	}
	map_free(seen, NULL);
	arena_free(a);
	return e < 0 ? e : failed;
}
