/* SPDX-License-Identifier: ISC */
/*
 * daemon_main: from the command line to the jailed loop. The order below is what security rests on:
 * nothing that came from outside is read before jail_enter().
 */
#include <errno.h>
#include <fcntl.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/conf/params/daemon.h"
#include "lib/daemon/private.h"
#include "lib/dns/dns.h"
#include "lib/table/table.h"

static struct daemon_world world;
const struct daemon_world *the_world = &world;
static struct common_conf common;
static struct daemon_conf daemon_settings;

/* From master comes main.cf as it was when the generation began. */
static int read_main_cf(const struct daemon_options *o, struct conf **ret, struct buf *why)
{
	const char *dir = o->config_dir != NULL ? o->config_dir : getenv("MAIL_CONFIG");
	int r;

	if (o->main_cf < 0)
		return conf_load(o->config_dir, ret, why);
	r = conf_load_open(dir == NULL || *dir == '\0' ? SYSCONFDIR : dir, o->main_cf, ret, why);
	close(o->main_cf);
	return r;
}

static void load_configuration(const struct daemon *d, struct daemon_options *o)
{
	AUTO(buf) why = BUF_WORDS;
	AUTO(buf) pid = BUF(20);

	if (read_main_cf(o, &world.conf, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	buf_addf(&pid, "%d", (int) getpid());
	conf_set(world.conf, STR("service_name"), str_of(world.service));
	conf_set(world.conf, STR("process_name"), str_of(d->name));
	conf_set(world.conf, STR("process_id"), buf_str(&pid));
	for (size_t i = 0; i < o->override_count; i++)
		if (conf_override(world.conf, str_of(o->overrides[i]), &why) < 0)
			die(EX_CONFIG, "%s", buf_text(&why));
	free(o->overrides);
	o->overrides = NULL;
	if (fill_common(world.conf, &common, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	fill_groups(world.conf, (const struct param_group *const[]){ &daemon_group, NULL },
		    (void *const[]){ &daemon_settings });
}

static void take_arguments(char *const *rest)
{
	size_t n = 0;

	while (rest[n] != NULL)
		n++;
	world.arguments = get_memory(n * sizeof(*world.arguments));
	for (size_t i = 0; i < n; i++)
		world.arguments[i] = str_of(rest[i]);
	world.argument_count = n;
}

static void enter_queue_directory(void)
{
	if (chdir(common.queue_directory) < 0)
		die(EX_CONFIG, "queue_directory %s: %s", common.queue_directory, error_text(errno));
	world.queue_dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (world.queue_dir < 0)
		die(EX_CONFIG, "queue_directory %s: %s", common.queue_directory, error_text(errno));
}

static void say(const char *text)
{
	log_debug("%s", text);
}

void say_refusals(void)
{
	int call;
	unsigned count;

	while (jail_next_refusal(&call, &count))
		log_warning("jail: system call %d refused %u times", call, count);
}

static void find_mail_owner(struct jail_world *w)
{
	struct arena *a = arena_new("account", NULL, 1 << 20);
	struct account account;
	int result = account_by_name(a, str_of(common.mail_owner), &account);

	if (result <= 0)
		die(EX_CONFIG, "mail_owner = %s: %s", common.mail_owner,
		    result == 0 ? "there is no such account" : error_text(result));
	w->owner = common.mail_owner;
	w->uid = account.uid;
	w->gid = account.gid;
	arena_free(a);
}

struct path_list {
	struct jail_path *at;
	size_t count;
};

static void add_path(struct path_list *list, struct jail_path path)
{
	list->at = resize_memory(list->at, (list->count + 2) * sizeof(*list->at));
	list->at[list->count++] = path;
	list->at[list->count] = (struct jail_path){ .path = NULL };
}

static void add_directory(void *arg, const char *directory)
{
	size_t len = strlen(directory) + 1;

	add_path(arg, (struct jail_path){ memcpy(get_memory(len), directory, len), 'r' });
}

/*
 * What the daemon asks for, and the directories of the files that it has opened as tables: these
 * are opened again when they are replaced, so whoever has tables may read files (there, and where
 * its own list says).
 */
static const struct jail_path *more_paths(const struct daemon *d, struct jail *j)
{
	static struct path_list list;		/* lives as long as the process */
	size_t own;

	for (const struct jail_path *p = d->more_paths == NULL ? NULL : d->more_paths(); p != NULL
	     && p->path != NULL; p++)
		add_path(&list, *p);
	own = list.count;
	table_each_directory(add_directory, &list);
	if (list.count > own && !(j->syscalls & SYS_ALL))
		j->syscalls |= SYS_FILES_READ;
	if (d->more_syscalls != NULL)
		j->syscalls |= d->more_syscalls();
	return list.at;
}

/* The least of what the program's table and master.cf's columns give. */
static void enter_jail(const struct daemon *d, const struct daemon_options *o)
{
	struct jail jail = d->jail;
	struct jail_world w = {
		.queue_directory = common.queue_directory,
		.config_directory = conf_dir(world.conf),
		.data_directory = common.data_directory,
		.daemon_directory = common.daemon_directory,
		.chroot = o->chroot,
		.privileged = geteuid() == 0,
	};
	AUTO(buf) why = BUF_WORDS;

	if (o->unprivileged)
		jail.user = AS_MAIL_OWNER;
	if (w.privileged)
		find_mail_owner(&w);
	w.extra = more_paths(d, &jail);
	if (jail_enter(&jail, &w, say, &why) < 0)
		die(EX_OSERR, "%s", buf_text(&why));
}

/*
 * Left alone, the C library takes ever bigger pieces (up to 32 MiB) from the heap once one such was
 * freed, where a small one above keeps them from going back to the system: after an attack cleanup
 * kept 80 of 100 MiB. As it is, a big piece is a mapping of its own.
 */
static void give_back_memory(void)
{
	enum { BIG_PIECE = 256 << 10 };

#ifdef M_MMAP_THRESHOLD
	mallopt(M_MMAP_THRESHOLD, BIG_PIECE);
	mallopt(M_TRIM_THRESHOLD, 2 * BIG_PIECE);
#endif
}

static void prepare_process(void)
{
	give_back_memory();
	stand_on_three_descriptors();
	umask(077);
	set_signals();
	sigaction(SIGHUP, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	raise_limits();
}

static void warn(const char *text)
{
	log_warning("%s", text);
}

/* Only a process that starts as root can open it again. */
static void make_way(const char *what)
{
	static char reason[300];		/* kept by daemon_retire() */

	snprintf(reason, sizeof(reason), "%s has changed", what);
	daemon_retire(reason);
}

void daemon_complain(const char *format, ...)
{
	AUTO(buf) words = BUF_WORDS;
	va_list arguments;

	va_start(arguments, format);
	buf_addv(&words, format, arguments);
	va_end(arguments);
	if (world.strict)
		die(EX_CONFIG, "%s", buf_text(&words));
	log_warning("%s", buf_text(&words));
}

/* What every program that looks things up reaches the same way. */
static void introduce_services(void)
{
	const struct str protocols = str_of(common.inet_protocols);
	const bool all = str_find_str(protocols, STR("all")) >= 0;

	/* the system is down, and what is tried shall be tried all the same */
	if (world.rehearsing && access("private/proxymap", F_OK) < 0) {
		table_set_services(NULL);
		accounts_for_tables();
	}
	if (world.strict)
		table_insist();
	table_set_main(the_world->conf);
	table_set_module_directories(the_world->common->shlib_directory, the_world->common->meta_directory);
	table_set_warning(warn);
	table_set_outgrown(make_way);
	dns_use("private/resolver", all || str_find_str(protocols, STR("ipv4")) >= 0,
		all || str_find_str(protocols, STR("ipv6")) >= 0, daemon_settings.resolver_timeout);
}

/*
 * On a disk that takes nothing, what is there can be locked for reading: that waits for whoever has
 * it for writing, and makes the next one wait. Where there is nothing nobody has it.
 */
static int open_lock_file(const char *path, struct flock *lock)
{
	int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd >= 0 || errno != EROFS)
		return fd;
	lock->l_type = F_RDLCK;
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		errno = EROFS;
	return fd;
}

/*
 * One process at a time, even when a killed master's last one still finishes while a new master
 * starts the next: it holds a lock on pid/TYPE.SERVICE for its life. Until start() nothing is lost
 * if a signal ends the wait.
 */
static void be_the_only_one(const struct daemon_options *o)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	AUTO(buf) path = BUF(400);
	int fd;

	buf_addf(&path, "pid/%s.%s", service_type_text(o->type), world.service);
	for (char *c = path.at + 4; *c != 0; c++)
		if (*c == '/')
			*c = '_';
	fd = open_lock_file(buf_text(&path), &lock);
	if (fd < 0 && errno == EROFS) {
		log_warning("cannot create lock file %s: %s", buf_text(&path), error_text(errno));
		return;
	}
	if (fd < 0)
		die(EX_CANTCREAT, "cannot open lock file %s: %s", buf_text(&path), error_text(errno));
	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return;
	log_info("waiting for the former %s process to end", world.program);
	log_flush();
	while (fcntl(fd, F_OFD_SETLKW, &lock) < 0)
		if (errno != EINTR)
			die(EX_OSERR, "cannot lock %s: %s", buf_text(&path), error_text(errno));
}

static int end_rehearsal(const struct daemon *d)
{
	/* before a reload nothing is asked: the words are the row's */
	if (world.strict && d->explain != NULL && world.argument_count > 0)
		die(EX_USAGE, "\"%.*s\" belongs to no option", PSTR(world.arguments[0]));
	const int status = d->explain != NULL && world.argument_count > 0 ? d->explain() : 0;

	log_flush();
	return status;
}

int daemon_main(int argc, char **argv, const struct daemon *d)
{
	struct daemon_options o;
	struct listener listeners[MOST_LISTENERS];
	struct daemon_run r = { .d = d, .options = &o, .listeners = listeners };

	prepare_process();
	options_parse(argc, argv, &o);
	world.program = d->name;
	world.service = o.service == NULL ? d->name : o.service;
	world.session_limit = o.session_limit;
	world.workers = o.workers;
	world.keepsake = o.keepsake;
	if (o.keepsake >= 0)
		fcntl(o.keepsake, F_SETFD, FD_CLOEXEC);
	world.in_foreground = o.foreground;
	world.unprivileged = o.unprivileged;
	world.chroot = o.chroot;
	world.rehearsing = o.rehearsal;
	world.strict = o.strict;
	world.common = &common;
	lifeline_use(!o.foreground && !o.rehearsal);
	load_configuration(d, &o);
	log_verbose(o.verbose);
	open_log(&common, d->name, o.foreground || o.rehearsal ? LOG_TO_STDERR : LOG_TO_SYSLOG);
	fill_groups(world.conf, d->groups, d->structs);
	enter_queue_directory();
	if (!o.rehearsal)
		r.listener_count = o.foreground ? listeners_open(&o, listeners) : listeners_inherit(&o,
				listeners);
	take_arguments(o.foreground ? o.rest + r.listener_count : o.rest);
	r.max_use = common.max_use;
	r.max_idle_ms = common.max_idle;
	r.stop_ms = daemon_settings.stop_time_limit;
	introduce_services();
	if (d->singleton && !d->hands_over && !o.rehearsal && has_master())
		be_the_only_one(&o);
	if (d->start != NULL)
		d->start();
	if (o.rehearsal) {
		if (geteuid() == 0)
			find_mail_owner(&(struct jail_world){ .owner = NULL });
		return end_rehearsal(d);
	}
	enter_jail(d, &o);
	if (d->shape == DAEMON_ONE_AT_A_TIME)
		run_one_at_a_time(&r);
	else
		run_sessions(&r);
	say_refusals();
	log_flush();
	return 0;
}
