/* SPDX-License-Identifier: ISC */
/*
 * How commands start. Those that are installed setgid run for whoever calls them, with whatever
 * descriptors, environment, limits and signal dispositions that person chose: everything is put in
 * order before the configuration is read.
 */
#include <errno.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/conf/params/daemon.h"
#include "lib/daemon/private.h"
#include "lib/table/table.h"

/* The kernel gave us rights that the caller does not have. Asked once, before anything changes ids. */
static bool has_powers_of_its_own(void)
{
	return getauxval(AT_SECURE) != 0 || geteuid() != getuid() || getegid() != getgid();
}

static void reset_signals(void)
{
	static const int LEFT_ALONE[] = { SIGHUP, SIGINT };	/* nohup, and jobs in the background */
	sigset_t none;

	for (int i = 1; i < NSIG; i++) {
		bool leave = false;

		for (size_t k = 0; k < COUNT_OF(LEFT_ALONE); k++)
			leave |= i == LEFT_ALONE[k];
		if (!leave)
			sigaction(i, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * Timers, limits and core files are the caller's too. A small RLIMIT_FSIZE cannot be raised, but it
 * then shows as EFBIG instead of a signal in the middle of a write.
 */
static void reset_process(void)
{
	static const struct itimerval no_timer;

	setitimer(ITIMER_REAL, &no_timer, NULL);
	setitimer(ITIMER_VIRTUAL, &no_timer, NULL);
	setitimer(ITIMER_PROF, &no_timer, NULL);
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
	umask(077);
	close_range(STDERR_FILENO + 1, ~0U, 0);
}

static void load(const char *dir, struct conf **ret)
{
	AUTO(buf) why = BUF_WORDS;

	if (conf_load(dir, ret, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
}

/*
 * A setgid program that read anybody's main.cf would hand its group to anybody. The directories
 * that the installation's own main.cf names are fine, and root may name what it likes.
 */
static void insist_on_trusted(const char *dir)
{
	struct common_conf common;
	struct daemon_conf daemon_settings;
	struct conf *c;

	if (getuid() == 0 || str_is(str_of(dir), STR(SYSCONFDIR)))
		return;
	load(SYSCONFDIR, &c);
	fill_groups(c, (const struct param_group *const[]){ &common_group, &daemon_group, NULL },
		    (void *const[]){ &common, &daemon_settings });
	if (!str_lists(str_of(daemon_settings.alternate_config_directories), str_of(dir))
	    && !str_lists(str_of(daemon_settings.multi_instance_directories), str_of(dir)))
		die(EX_NOPERM, "configuration directory %s is not one that alternate_config_directories of %s/main.cf names",
		    dir, SYSCONFDIR);
	conf_free(c);
}

static const char *choose_directory(const char *option, bool privileged)
{
	const char *dir = option != NULL ? option : getenv("MAIL_CONFIG");

	if (dir == NULL || dir[0] == 0)
		dir = SYSCONFDIR;
	if (privileged)
		insist_on_trusted(dir);
	return dir;
}

/* Commands end with their configuration in memory; the leak checker should see that it is not lost. */
static struct conf *volatile the_conf;

/* What commands that look things up reach the same way. */
static void introduce_tables(const struct command_world *w)
{
	AUTO(buf) services = BUF(4096);

	buf_addf(&services, "%s/private", w->common.queue_directory);
	table_set_services(buf_text(&services));
	table_set_main(w->conf);
	table_set_module_directories(w->common.shlib_directory, w->common.meta_directory);
}

void command_start(const char *name, const char *config_dir, const struct param_group *const *groups,
		   void *const *structs, struct command_world *ret)
{
	const bool privileged = has_powers_of_its_own();
	AUTO(buf) why = BUF_WORDS;

	stand_on_three_descriptors();
	if (privileged) {
		reset_signals();
		reset_process();
	}
	set_signals();
	log_open(name, LOG_TO_STDERR, NULL);
	load(choose_directory(config_dir, privileged), &ret->conf);
	the_conf = ret->conf;
	conf_set(ret->conf, STR("process_name"), str_of(name));
	if (fill_common(ret->conf, &ret->common, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	fill_groups(ret->conf, groups, structs);
	clean_environment(ret->common.import_environment);
	open_command_log(&ret->common, name);
	introduce_tables(ret);
}
