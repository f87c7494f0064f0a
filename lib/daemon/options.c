/* SPDX-License-Identifier: ISC */
/* A daemon's command line, as master writes it and as a person types it in the foreground. */
#include <getopt.h>

#include "lib/base/die.h"
#include "lib/daemon/private.h"

static enum service_type parse_type(const char *text)
{
	enum service_type type;

	if (service_type_parse(str_of(text), &type) < 0)
		die(EX_USAGE, "option -t: unknown service type \"%s\"", text);
	return type;
}

static int parse_count(char option, const char *text, int most)
{
	int64_t n;

	if (str_to_int(str_of(text), 0, most, &n) < 0)
		die(EX_USAGE, "option -%c: \"%s\" is not a number from 0 to %d", option, text, most);
	return (int) n;
}

__attribute__((noreturn)) static void usage(const char *program)
{
	die(EX_USAGE, "usage: %s -d [-c config_dir] [-n service] [-t type] [-o name=value] [-v] address:port|path ...; "
	    "without -d it is master's to start this program", program);
}

void options_parse(int argc, char **argv, struct daemon_options *ret)
{
	struct daemon_options o = { .type = SERVICE_UNIX, .main_cf = -1, .keepsake = -1 };
	const char **overrides = get_memory((size_t) argc * sizeof(*overrides));
	int c;

	opterr = 0;
	optind = 1;
	while ((c = getopt(argc, argv, "+c:di:k:m:n:o:rRs:t:uvw:")) != -1) {
		switch (c) {
		case 'c': o.config_dir = optarg; break;
		case 'd': o.foreground = true; break;
		case 'i': o.main_cf = parse_count('i', optarg, 1000000); break;
		case 'k': o.keepsake = parse_count('k', optarg, 1000000); break;
		case 'm': o.session_limit = parse_count('m', optarg, 1000000); break;
		case 'n': o.service = optarg; break;
		case 'o': overrides[o.override_count++] = optarg; break;
		case 'r': o.chroot = true; break;
		case 'R': o.strict = o.rehearsal; o.rehearsal = true; break;
		case 's': o.listeners = parse_count('s', optarg, MOST_LISTENERS); break;
		case 't': o.type = parse_type(optarg); break;
		case 'u': o.unprivileged = true; break;
		case 'v': o.verbose++; break;
		case 'w': o.workers = parse_count('w', optarg, 1000000); break;
		default: usage(argv[0]);
		}
	}
	o.overrides = overrides;
	o.rest = argv + optind;
	if (!o.foreground && !o.rehearsal && (o.service == NULL || o.listeners == 0))
		usage(argv[0]);
	*ret = o;
}
