/* SPDX-License-Identifier: ISC */
/*
 * postroad: starts, stops and looks after a mail system.
 *
 *   postroad [-c config_dir] [-v] start | start-fg | stop | abort | reload | status | check | lint | flush | logrotate
 *   postroad [-c config_dir] explain [--from sender] [--client address] ... recipient...
 */
#include "commands/postroad/postroad.h"

#include <getopt.h>

#include "lib/base/die.h"
#include "lib/daemon/startup.h"

static const struct action {
	const char *name;
	int (*run)(struct work *w);
	bool despite_mistakes;		/* a mistake in main.cf must not keep anybody from it */
} ACTIONS[] = {
	{ "start", do_start, false }, { "start-fg", do_start_fg, false }, { "stop", do_stop, true },
	{ "abort", do_abort, true },
	{ "reload", do_reload, true }, { "status", do_status, true }, { "check", do_check, false },
	{ "flush", do_flush, false },
	{ "logrotate", do_logrotate, false }, { "lint", do_lint, false },
};

__attribute__((noreturn)) static void usage(void)
{
	die(EX_USAGE, "usage: postroad [-c config_dir] [-v] start|start-fg|stop|abort|reload|status|check|lint|flush|logrotate|explain");
}

static const struct action *find_action(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(ACTIONS); i++)
		if (str_is(str_of(name), str_of(ACTIONS[i].name)))
			return &ACTIONS[i];
	usage();
}

bool find_running(struct work *w, struct instance_state *ret, bool quiet)
{
	AUTO(buf) why = BUF_WORDS;
	int result = instance_running(&w->world.common, ret, &why);

	if (result < 0)
		die(EX_UNAVAILABLE, "%s", buf_text(&why));
	if (result == 0 && !quiet)
		log_mail(ROAD_FATAL, STR_NONE, "the %s mail system is not running", w->world.common.mail_name);
	return result > 0;
}

static const char *value_of(struct conf *c, struct arena *a, struct str name, const char *otherwise)
{
	struct str value;

	return conf_get(c, a, name, &value) ? str_c(a, value) : otherwise;
}

/*
 * What stop and status need is a few texts; the running system was started with a configuration
 * that was right.
 */
static void make_do(struct work *w)
{
	static struct arena *a;
	struct common_conf *common = &w->world.common;
	struct conf *c = w->world.conf;

	a = arena_new("postroad", NULL, 1 << 20);
	common->queue_directory = value_of(c, a, STR("queue_directory"), LOCALSTATEDIR "/spool/postroad");
	common->data_directory = value_of(c, a, STR("data_directory"), LOCALSTATEDIR "/lib/postroad");
	common->mail_name = value_of(c, a, STR("mail_name"), "Postroad");
	common->syslog_name = value_of(c, a, STR("syslog_name"), "postfix");
	common->maillog_file = value_of(c, a, STR("maillog_file"), "");
	w->daemon.stop_time_limit = 3600 * 1000;	/* the longest that master can have been told */
}

/* Of a reload master itself says what is wrong with the configuration, here and in its log. */
static void start_despite_mistakes(struct work *w, const char *config_dir)
{
	struct common_conf *common = &w->world.common;
	AUTO(buf) why = BUF_WORDS;

	stand_on_three_descriptors();
	log_open("postroad", LOG_TO_STDERR, NULL);
	if (conf_load_what_can_be_read(config_dir, &w->world.conf, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	if (conf_fill(w->world.conf, &common_group, common, &why) < 0
	    || conf_fill(w->world.conf, &daemon_group, &w->daemon, &why) < 0)
		make_do(w);
	open_command_log(common, "postroad");
}

int main(int argc, char **argv)
{
	static const struct param_group *const groups[] = { &daemon_group, &postlogd_group, NULL };
	static struct work w;
	static void *const structs[] = { &w.daemon, &w.log };
	const struct action *action;
	const char *config_dir = NULL;
	int c;

	opterr = 0;
	while ((c = getopt(argc, argv, "+c:v")) != -1) {
		if (c == 'c')
			config_dir = optarg;
		else if (c == 'v')
			w.verbose = true;
		else
			usage();
	}
	if (optind < argc && strcmp(argv[optind], "explain") == 0) {
		argv += optind;
		argc -= optind;
		command_start("postroad", config_dir, groups, structs, &w.world);
		return do_explain(&w, argc, argv);
	}
	if (argc != optind + 1)
		usage();
	action = find_action(argv[optind]);
	/* the strings of the environment stay when it is cleaned */
	w.notify_socket = getenv("NOTIFY_SOCKET");
	if (action->despite_mistakes)
		start_despite_mistakes(&w, config_dir);
	else
		command_start("postroad", config_dir, groups, structs, &w.world);
	return action->run(&w);
}
