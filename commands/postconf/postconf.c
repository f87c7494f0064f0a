/* SPDX-License-Identifier: ISC */
/*
 * postconf(1): shows and changes the configuration. It reads what is there with as few demands as possible, because it is what one takes to
 * find out what is wrong: values are shown as they are, and odd ones are warned about, after the answer.
 */
#include <errno.h>
#include <getopt.h>
#include <unistd.h>

#include "commands/postconf/postconf.h"
#include "lib/base/die.h"
#include "lib/base/map.h"
#include "lib/table/table.h"

enum mode { MAIN_CF, ROWS, COLUMNS, OVERRIDES, LOCK_TYPES, SASL_SERVER_TYPES, SASL_CLIENT_TYPES, TABLE_TYPES };

struct request {
	const char *dir;
	enum mode mode;
	enum edit_kind edit;
	const char *overrides[256];
	size_t override_count;
};

static void usage(void)
{
	die(EX_USAGE, "usage: postconf [-a (server SASL types)] [-A (client SASL types)] [-c config_dir] [-C class (builtin, service, user, all)] "
	    "[-d (defaults)] [-e (edit)] [-f (fold lines)] [-F (master.cf fields)] [-h (no names)] [-H (no values)] [-l (lock types)] "
	    "[-m (table types)] [-M (master.cf rows)] [-n (what main.cf sets)] [-o name=value] [-p (main.cf, default)] "
	    "[-P (master.cf parameters)] [-v] [-x (expand values)] [-X (remove)] [-# (comment out)] [--man] [name...]");
}

static unsigned classes_of(const char *list)
{
	static const struct { const char *name; unsigned classes; } known[] = {
		{ "builtin", 1u << NAME_BUILT_IN }, { "service", 1u << NAME_OF_SERVICE }, { "user", 1u << NAME_OF_USER }, { "all", ~0u },
	};
	struct str rest = str_of(list), word;
	unsigned classes = 0;

	while (str_token(&rest, ", \t", &word)) {
		unsigned found = 0;

		for (size_t i = 0; i < COUNT_OF(known); i++)
			if (str_is(word, str_of(known[i].name)))
				found = known[i].classes;
		if (found == 0)
			die(EX_USAGE, "bad parameter class: \"%.*s\"", PSTR(word));
		classes |= found;
	}
	return classes;
}

static void add_override(struct request *q, const char *assignment)
{
	if (q->override_count == COUNT_OF(q->overrides))
		die(EX_USAGE, "too many -o options");
	q->overrides[q->override_count++] = assignment;
}

static void set_edit(struct request *q, enum edit_kind kind)
{
	if (q->edit != EDIT_NONE && q->edit != kind)
		die(EX_USAGE, "specify one of -e, -X and -#");
	q->edit = kind;
}

static void take_option(struct postconf *p, struct request *q, int option)
{
	switch (option) {
	case 'a': q->mode = SASL_SERVER_TYPES; break;
	case 'A': q->mode = SASL_CLIENT_TYPES; break;
	case 'c': q->dir = optarg; break;
	case 'C': p->classes = classes_of(optarg); break;
	case 'd': p->defaults = true; break;
	case 'e': set_edit(q, EDIT_SET); break;
	case 'f': p->fold = true; break;
	case 'F': q->mode = COLUMNS; break;
	case 'h': p->no_names = true; break;
	case 'H': p->no_values = true; break;
	case 'l': q->mode = LOCK_TYPES; break;
	case 'm': q->mode = TABLE_TYPES; break;
	case 'M': q->mode = ROWS; break;
	case 'n': p->only_set = true; break;
	case 'o': add_override(q, optarg); break;
	case 'p': q->mode = MAIN_CF; break;
	case 'P': q->mode = OVERRIDES; break;
	case 'v': break;
	case 'x': p->expand = true; break;
	case 'X': set_edit(q, EDIT_REMOVE); break;
	case '#': set_edit(q, EDIT_COMMENT_OUT); break;
	default: usage();
	}
}

static const char *directory(const struct request *q)
{
	const char *dir = q->dir != NULL ? q->dir : getenv("MAIL_CONFIG");

	return dir == NULL || *dir == '\0' ? SYSCONFDIR : dir;
}

/* An edit is also asked for by name=value without an option. */
static bool is_edit(const struct request *q, char **arguments, int count)
{
	if (q->edit != EDIT_NONE)
		return true;
	return q->mode == MAIN_CF && count > 0 && strchr(arguments[0], '=') != NULL;
}

static void load(struct postconf *p, const struct request *q)
{
	AUTO(buf) why = BUF_WORDS;

	/* The defaults can be had without any file. */
	if (p->defaults ? conf_from_text(directory(q), STR_NONE, &p->conf, &why) < 0 : conf_load(directory(q), &p->conf, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	if (conf_from_text(SYSCONFDIR, STR_NONE, &p->empty, &why) < 0)
		die(EX_SOFTWARE, "%s", buf_text(&why));
	p->overridden = map_new();
	for (size_t i = 0; i < q->override_count; i++) {
		struct str rest = str_of(q->overrides[i]), name;

		if (conf_override(p->conf, rest, &why) < 0)
			die(EX_USAGE, "-o: %s", buf_text(&why));
		str_cut(&rest, '=', &name);
		map_put(p->overridden, str_trim(name), p);
	}
	p->review = review_open(p->conf);
}

/* -M, -F and -P want a master.cf that can be read. */
static void insist_on_master_cf(struct postconf *p)
{
	AUTO(buf) why = BUF_WORDS;
	struct master_cf m;

	if (master_cf_load(p->conf, p->arena, &m, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
}

static void say_warning(void *arg, const char *text)
{
	(void) arg;
	warn("%s", text);
}

static void answer(struct postconf *p, enum mode mode, char **arguments, int count)
{
	if (mode != MAIN_CF)
		insist_on_master_cf(p);
	switch (mode) {
	case ROWS: list_rows(p, arguments, count); break;
	case COLUMNS: list_columns(p, arguments, count); break;
	case OVERRIDES: list_overrides(p, arguments, count); break;
	default:
		if (count == 0)
			list_parameters(p);
		for (int i = 0; i < count; i++)
			show_parameter(p, str_of(arguments[i]));
	}
	if (!p->defaults)
		review_tell(p->review, say_warning, NULL);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static void print_table_types(void)
{
	const char *names[100];
	size_t n = 0;

	while (n < COUNT_OF(names) && table_type_name(n) != NULL) {
		names[n] = table_type_name(n);
		n++;
	}
	qsort(names, n, sizeof(*names), by_text);
	for (size_t i = 0; i < n; i++)
		puts(names[i]);
}

/* Answers that do not depend on the configuration. False: it is none of these. */
static bool answer_fixed(enum mode mode)
{
	switch (mode) {
	case LOCK_TYPES: puts("flock\nfcntl\ndotlock"); return true;
	case TABLE_TYPES: print_table_types(); return true;
	case SASL_SERVER_TYPES:
	case SASL_CLIENT_TYPES: return true;	/* none are built in yet */
	default: return false;
	}
}

static void say_fatal(const char *line)
{
	fflush(stdout);
	fprintf(stderr, "postconf: %s\n", line);
}

int main(int argc, char **argv)
{
	static const struct option words[] = { { "man", no_argument, NULL, 1 }, { NULL, 0, NULL, 0 } };
	static struct postconf p;
	static struct request q;
	int option;

	p.classes = ~0u;
	p.arena = arena_new("postconf", NULL, 1 << 30);
	q.mode = MAIN_CF;
	die_set_sink(say_fatal);
	while ((option = getopt_long(argc, argv, "+aAc:C:deEfFhHlmMno:pPvxX#", words, NULL)) != -1) {
		if (option == 1) {
			print_manual();
			return ferror(stdout) || fflush(stdout) != 0 ? EX_IOERR : 0;
		}
		take_option(&p, &q, option);
	}
	argv += optind;
	argc -= optind;
	if (is_edit(&q, argv, argc)) {
		if (argc == 0 || q.mode != MAIN_CF)
			usage();
		edit_main_cf(directory(&q), q.edit == EDIT_NONE ? EDIT_SET : q.edit, argv, argc);
	} else if (!answer_fixed(q.mode)) {
		load(&p, &q);
		answer(&p, q.mode, argv, argc);
	}
	return ferror(stdout) || fflush(stdout) != 0 ? EX_IOERR : 0;
}
