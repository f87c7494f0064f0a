/* SPDX-License-Identifier: ISC */
/*
 * postlog: writes to the mail log from scripts. The text is the arguments, or each line of standard input.
 *
 *   postlog [-c config_dir] [-p priority] [-t tag] [-v] [text ...]
 */
#include <getopt.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/daemon/daemon.h"
#include "lib/daemon/startup.h"

enum { LONGEST_LINE = 64 << 10 };

static const struct { const char *name; enum log_level level; } PRIORITIES[] = {
	{ "info", ROAD_INFO }, { "warn", ROAD_WARNING }, { "warning", ROAD_WARNING },
	{ "error", ROAD_ERROR }, { "fatal", ROAD_FATAL },
	{ "panic", ROAD_PANIC },
};

static enum log_level parse_priority(const char *text)
{
	for (size_t i = 0; i < COUNT_OF(PRIORITIES); i++)
		if (str_is(str_of(text), str_of(PRIORITIES[i].name)))
			return PRIORITIES[i].level;
	die(EX_USAGE, "option -p: \"%s\" is none of info, warn, error, fatal, panic", text);
}

static void log_arguments(enum log_level level, char **words)
{
	AUTO(buf) line = BUF(LONGEST_LINE);

	for (; *words != NULL; words++)
		buf_addf(&line, "%s%s", line.len == 0 ? "" : " ", *words);
	log_mail(level, STR_NONE, "%s", buf_text(&line));
}

static void log_input(enum log_level level)
{
	AUTO_PTR char *line = get_memory(LONGEST_LINE);

	while (fgets(line, LONGEST_LINE, stdin) != NULL) {
		line[strcspn(line, "\r\n")] = 0;
		log_mail(level, STR_NONE, "%s", line);
	}
}

/* As Postfix has it: the tag stands for the whole of syslog_name/program. */
static void set_tag(struct command_world *world, const char *tag)
{
	AUTO(buf) path = BUF(4096);

	if (tag == NULL)
		tag = getenv("MAIL_LOGTAG");
	if (tag == NULL)
		return;
	buf_addf(&path, "%s/public/postlog", world->common.queue_directory);
	if (world->common.maillog_file[0] == 0 && access("/dev/log", W_OK) == 0)
		log_open(tag, LOG_TO_SYSLOG, NULL);
	else if (world->common.maillog_file[0] != 0 && access(buf_text(&path), W_OK) == 0)
		log_open(tag, LOG_TO_POSTLOG, buf_text(&path));
	else
		log_open(tag, LOG_TO_STDERR, NULL);
}

int main(int argc, char **argv)
{
	struct command_world world;
	enum log_level level = ROAD_INFO;
	const char *config_dir = NULL, *tag = NULL;
	int c;

	die_always_with(1);
	opterr = 0;
	while ((c = getopt(argc, argv, "+c:ip:t:v")) != -1) {
		switch (c) {
		case 'c': config_dir = optarg; break;
		case 'i': break;	/* the process id is always there */
		case 'p': level = parse_priority(optarg); break;
		case 't': tag = optarg; break;
		case 'v': log_verbose(1); break;
		default: die(EX_USAGE, "usage: postlog [-c config_dir] [-p priority] [-t tag] [-v] [text ...]");
		}
	}
	command_start("postlog", config_dir, NULL, NULL, &world);
	set_tag(&world, tag);
	log_also_stderr(isatty(STDERR_FILENO));
	if (argv[optind] != NULL)
		log_arguments(level, argv + optind);
	else
		log_input(level);
	log_flush();
	return 0;
}
