/* SPDX-License-Identifier: ISC */
/*
 * master: reads master.cf, holds the listeners, starts and watches the daemons. Started by postroad.
 *
 *   master [-c config_dir] [-f] [-v] [-w fd]
 *
 * -f: in the foreground; standard output and error stay (maillog_file = /dev/stdout). -w: a
 * descriptor that gets one byte when every listener is open; until then, what goes wrong is also
 * written to standard error.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/daemon/instance.h"
#include "lib/daemon/startup.h"
#include "master/master.h"

bool verbose;

struct options {
	const char *config_dir;
	bool foreground;
	int ready_fd;
};

static void parse_options(int argc, char **argv, struct options *ret)
{
	int64_t fd;
	int c;

	*ret = (struct options){ .ready_fd = -1 };
	opterr = 0;
	while ((c = getopt(argc, argv, "c:fvw:")) != -1) {
		switch (c) {
		case 'c': ret->config_dir = optarg; continue;
		case 'f': ret->foreground = true; continue;
		case 'v': verbose = true; continue;
		case 'w':
			if (str_to_int(str_of(optarg), 3, 1000, &fd) == 0) {
				ret->ready_fd = (int) fd;
				continue;
			}
		}
		die(EX_USAGE, "usage: %s [-c config_dir] [-f] [-v]", argv[0]);
	}
}

/*
 * What the starter has open is nothing to us or to any daemon: a lock of its own, or a pipe whose end
 * somebody waits for.
 */
static void close_others(int ready_fd)
{
	const unsigned kept = ready_fd > STDERR_FILENO ? (unsigned) ready_fd : STDERR_FILENO;

	if (kept > STDERR_FILENO + 1)
		close_range(STDERR_FILENO + 1, kept - 1, 0);
	close_range(kept + 1, ~0U, 0);
}

/* Relative paths would mean something else after the change of directory. */
static void load_settings(const char *given)
{
	AUTO(buf) why = BUF_WORDS;
	AUTO_PTR char *path = NULL;

	if (given == NULL)
		given = getenv("MAIL_CONFIG");
	if (given == NULL || given[0] == 0)
		given = SYSCONFDIR;
	path = realpath(given, NULL);
	if (path == NULL)
		die(EX_CONFIG, "configuration directory %s: %s", given, error_text(errno));
	if (settings_load(path, &settings, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
}

/* The rest postroad has said already, if a person started us. */
static void say_problem(void *arg, bool fatal, const char *text)
{
	(void) arg;
	if (fatal)
		log_error("%s", text);
}

static void prepare_directories(void)
{
	AUTO(buf) why = BUF_WORDS;
	struct instance_ids ids;
	struct stat st;

	if (stat(settings->common.queue_directory, &st) < 0)
		die(EX_CONFIG, "queue_directory %s: %s", settings->common.queue_directory, error_text(errno));
	if (instance_ids(&settings->common, &ids, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	if (layout_create(&settings->common, &ids, say_problem, NULL) > 0 ||
	    layout_check(&settings->common, settings->config_dir, &ids, false, say_problem, NULL) > 0)
		die(EX_CONFIG, "the directories are not as they must be: see above");
	if (chdir(settings->common.queue_directory) < 0)
		die(EX_CONFIG, "queue_directory %s: %s", settings->common.queue_directory, error_text(errno));
}

static void take_locks(void)
{
	AUTO(buf) why = BUF_WORDS;
	pid_t other;

	if (instance_lock(&settings->common, &other, &why) < 0)
		die(EX_UNAVAILABLE, "%s", buf_text(&why));
}

static void open_services(void)
{
	AUTO(buf) why = BUF_WORDS;

	if (services_apply(true, &why) < 0)
		die(EX_OSERR, "%s", buf_text(&why));
}

#ifdef WITH_SANITIZERS
/* what a sanitizer has to say goes where the starter wants it */
enum { LAST_TO_NULL = STDOUT_FILENO };
#else
enum { LAST_TO_NULL = STDERR_FILENO };
#endif

/* What takes the place of standard error, whose end somebody may wait for. */
static int open_null(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die(EX_OSERR, "/dev/null: %s", error_text(errno));
	return fd;
}

/*
 * From here on the starter is not told any more: it has its answer, and nobody reads our standard
 * error. null -1: somebody does.
 */
static void let_starter_go(const struct options *o, int null)
{
	if (o->ready_fd >= 0) {
		(void) !write(o->ready_fd, "+", 1);
		close(o->ready_fd);
	}
	for (int i = 0; null >= 0 && i <= LAST_TO_NULL; i++)
		dup2(null, i);
	if (null > STDERR_FILENO)
		close(null);
}

static void clean_world(void)
{
	clean_environment(settings->common.import_environment);
	setenv("MAIL_CONFIG", settings->config_dir, 1);
	umask(077);
	set_signals();
	raise_limits();
}

int main(int argc, char **argv)
{
	struct options o;
	int status, null;

	stand_on_three_descriptors();
	log_open("postroad/master", LOG_TO_STDERR, NULL);
	parse_options(argc, argv, &o);
	close_others(o.ready_fd);
	if (o.ready_fd >= 0)
		fcntl(o.ready_fd, F_SETFD, FD_CLOEXEC);
	load_settings(o.config_dir);
	if (settings->common.maillog_file[0] == 0)
		open_log(&settings->common, "master", LOG_TO_SYSLOG);
	log_also_stderr(true);
	notify_remember();
	clean_world();
	prepare_directories();
	open_signals();
	take_locks();
	open_services();
	/* Only now the socket is there that postlogd reads. */
	open_log(&settings->common, "master", LOG_TO_SYSLOG);
	log_verbose(verbose);
	null = o.foreground ? -1 : open_null();
	log_also_stderr(false);
	log_info("daemon started -- version %s, configuration %s", settings->common.mail_version,
		 settings->config_dir);
	let_starter_go(&o, null);
	notify_ready();
	status = supervise();
	log_flush();
	return status;
}
