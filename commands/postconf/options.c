/* SPDX-License-Identifier: ISC */
/* The command line of postconf: which options there are, and which go together. */
#include <getopt.h>
#include <unistd.h>

#include "commands/postconf/postconf.h"
#include "lib/base/die.h"

enum { WORD_MAN = 1, WORD_DIFF, WORD_EXPLAIN };

/* In the order in which messages name them. The modes exclude each other; with each, only its own options. */
static const struct mode_rule {
	char letter;
	enum postconf_mode mode;
	const char *with;
} MODES[] = {
	{ 'a', SASL_SERVER_TYPES, "j" }, { 'A', SASL_CLIENT_TYPES, "j" }, { 'b', BOUNCE_TEXT, "" },
	{ 'F', COLUMNS, "efhHjoqx" },
	{ 'l', LOCK_TYPES, "j" }, { 'm', TABLE_TYPES, "j" }, { 'M', ROWS, "efjoqxX#" },
	{ 'p', MAIN_CF, "CdDeEfhHjnNoqrxX#" },
	{ 'P', OVERRIDES, "efhHjoqxX" }, { 't', BOUNCE_TEMPLATES, "" }, { 'T', TLS_FEATURE, "j" },
};

/* Each of the first with none of the second. */
static const struct { const char *these, *those; } APART[] = {
	{ "h", "H" }, { "d", "eEnDNoX#r" }, { "e", "EfhHnDNoxX#rj" }, { "E", "fhHnDNoxX#rj" },
	{ "fhHnDNoxj", "X#r" }, { "X", "#r" },
	{ "#", "r" }, { "D", "nN" }, { "n", "N" }, { "hHf", "j" },
};

static const char LETTERS[] = "aAbc:C:dDeEfFhHjlmMnNo:pPqrtT:vxX#";

__attribute__((noreturn)) static void usage(void)
{
	die(POSTCONF_FAILURE, "usage: postconf [-a (server SASL types)] [-A (client SASL types)] [-b (bounce text)] [-c config_dir] "
	    "[-C class (builtin, service, user, all)] [-d (defaults)] [-D (set, and not the default)] [-e (edit)] [-E (edit, checked)] "
	    "[-f (fold lines)] [-F (master.cf fields)] [-h (no names)] [-H (no values)] [-j (JSON)] [-l (lock types)] [-m (table types)] "
	    "[-M (master.cf rows)] [-n (what main.cf sets)] [-N (set, though the default)] [-o name=value] [-p (main.cf, default)] "
	    "[-P (master.cf parameters)] [-q (no warnings)] [-r (undo -#)] [-t (bounce templates)] "
	    "[-T compile-version|run-version|public-key-algorithms] [-v] [-x (expand values)] [-X (remove)] [-# (comment out)] "
	    "[--diff other_dir] [--explain] [--man] [name...]");
}

static unsigned classes_of(const char *list)
{
	static const struct { const char *name; unsigned classes; } known[] = {
		{ "builtin", 1u << NAME_BUILT_IN }, { "service", 1u << NAME_OF_SERVICE },
		{ "user", 1u << NAME_OF_USER }, { "all", ~0u },
	};
	struct str rest = str_of(list), word;
	unsigned classes = 0;

	while (str_token(&rest, ", \t", &word)) {
		unsigned found = 0;

		for (size_t i = 0; i < COUNT_OF(known); i++)
			if (str_is_nocase(word, str_of(known[i].name)))
				found = known[i].classes;
		if (found == 0)
			die(POSTCONF_FAILURE, "unknown -C option value \"%.*s\" in \"%s\"", PSTR(word), list);
		classes |= found;
	}
	return classes;
}

static void add_override(struct request *q, const char *assignment)
{
	if (q->override_count == COUNT_OF(q->overrides))
		die(POSTCONF_FAILURE, "too many -o options");
	q->overrides[q->override_count++] = assignment;
}

static void take_option(struct postconf *p, struct request *q, int option)
{
	switch (option) {
	case 'c': q->dir = optarg; break;
	case 'C': p->classes = classes_of(optarg); break;
	case 'd': p->defaults = true; break;
	case 'D': p->filter = SET_DIFFERENTLY; break;
	case 'E': q->check_values = true; /* FALLTHROUGH */
	case 'e': q->edit = EDIT_SET; break;
	case 'f': p->fold = true; break;
	case 'h': p->no_names = true; break;
	case 'H': p->no_values = true; break;
	case 'j': p->json = true; break;
	case 'n': p->filter = SET_AT_ALL; break;
	case 'N': p->filter = SET_NEEDLESSLY; break;
	case 'o': add_override(q, optarg); break;
	case 'q': p->quiet = true; break;
	case 'r': q->edit = EDIT_RESTORE; break;
	case 'T': q->tls_feature = optarg; break;
	case 'x': p->expand = true; break;
	case 'X': q->edit = EDIT_REMOVE; break;
	case '#': q->edit = EDIT_COMMENT_OUT; break;
	case WORD_MAN: q->mode = MANUAL; break;
	case WORD_DIFF: q->mode = DIFFERENCES; q->other_dir = optarg; break;
	case WORD_EXPLAIN: q->mode = EXPLANATION; break;
	case '?': usage();
	default: break;		/* a mode, or -v */
	}
}

/* ---- what goes together ---- */

static void choose_mode(struct request *q, const bool *seen)
{
	const struct mode_rule *chosen = NULL;
	AUTO(buf) all = BUF(200);
	int count = 0;

	for (size_t i = 0; i < COUNT_OF(MODES); i++) {
		if (!seen[(unsigned char) MODES[i].letter])
			continue;
		chosen = chosen == NULL ? &MODES[i] : chosen;
		buf_addf(&all, " -%c", MODES[i].letter);
		count++;
	}
	if (count > 1)
		die(POSTCONF_FAILURE, "specify one of%s", buf_text(&all));
	if (chosen == NULL)
		return;
	if (q->mode != MAIN_CF)
		usage();		/* --diff and its like are modes too */
	q->mode = chosen->mode;
	for (const char *c = "CdDeEfhHjnNoqrxX#"; *c != '\0'; c++)
		if (seen[(unsigned char) *c] && strchr(chosen->with, *c) == NULL)
			die(POSTCONF_FAILURE, "with option -%c, do not specify -%c", chosen->letter, *c);
}

static void refuse(char one, char other)
{
	const char *a = strchr(LETTERS, one), *b = strchr(LETTERS, other);

	die(POSTCONF_FAILURE, "specify one of -%c -%c", a < b ? one : other, a < b ? other : one);
}

static void check_pairs(const bool *seen)
{
	for (size_t i = 0; i < COUNT_OF(APART); i++)
		for (const char *one = APART[i].these; *one != '\0'; one++)
			for (const char *other = APART[i].those; seen[(unsigned char) *one]
			     && *other != '\0'; other++)
				if (seen[(unsigned char) *other])
					refuse(*one, *other);
}

/* An edit is also asked for by name=value without an option. */
static bool is_assignment(const struct request *q, const char *argument)
{
	return q->mode <= OVERRIDES && strchr(argument, '=') != NULL;
}

static void check_arguments(const struct request *q, int count)
{
	if (count > 0 || q->edit == EDIT_NONE)
		return;
	die(POSTCONF_FAILURE, q->edit == EDIT_SET ? "-e requires name=value argument"
	    : "missing service argument");
}

int take_options(struct postconf *p, struct request *q, int argc, char **argv)
{
	static const struct option words[] = { { "man", no_argument, NULL, WORD_MAN },
					       { "diff", required_argument, NULL, WORD_DIFF },
					       { "explain", no_argument, NULL, WORD_EXPLAIN },
					       { NULL, 0, NULL, 0 } };
	bool seen[256] = { false };
	int option;

	q->mode = MAIN_CF;
	q->dir = getenv("MAIL_CONFIG");
	if (q->dir == NULL || *q->dir == '\0')
		q->dir = SYSCONFDIR;
	while ((option = getopt_long(argc, argv, "+aAbc:C:dDeEfFhHjlmMnNo:pPqrtT:vxX#", words, NULL)) != -1) {
		seen[option & 255] = true;
		take_option(p, q, option);
	}
	choose_mode(q, seen);
	if (optind < argc && is_assignment(q, argv[optind])) {
		seen[q->check_values ? 'E' : 'e'] = true;
		q->edit = q->edit == EDIT_NONE ? EDIT_SET : q->edit;
	}
	check_pairs(seen);
	check_arguments(q, argc - optind);
	return optind;
}
