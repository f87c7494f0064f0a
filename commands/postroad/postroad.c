/* SPDX-License-Identifier: ISC */
/*
 * postroad: starts, stops and looks after a mail system.
 *
 *   postroad [-c config_dir] [-v] start | start-fg | stop | abort | reload | status | check | flush | logrotate
 */
#include "commands/postroad/postroad.h"

#include <getopt.h>

#include "lib/base/die.h"

static const struct action {
	const char *name;
	int (*run)(struct work *w);
} ACTIONS[] = {
	{ "start", do_start }, { "start-fg", do_start_fg }, { "stop", do_stop }, { "abort", do_abort }, { "reload", do_reload },
	{ "status", do_status }, { "check", do_check }, { "flush", do_flush }, { "logrotate", do_logrotate },
};

__attribute__((noreturn)) static void usage(void)
{
	die(EX_USAGE, "usage: postroad [-c config_dir] [-v] start|start-fg|stop|abort|reload|status|check|flush|logrotate");
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

int main(int argc, char **argv)
{
	static const struct param_group *const groups[] = { &daemon_group, &postlogd_group, NULL };
	struct work w = { 0 };
	void *const structs[] = { &w.daemon, &w.log };
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
	if (argc != optind + 1)
		usage();
	action = find_action(argv[optind]);
	w.notify_socket = getenv("NOTIFY_SOCKET");	/* the strings of the environment stay when it is cleaned */
	command_start("postroad", config_dir, groups, structs, &w.world);
	return action->run(&w);
}
