/* SPDX-License-Identifier: ISC */
/* postconf(5) in troff (man macros), made from the registry when the suite is built. */
#include <inttypes.h>

#include "commands/postconf/postconf.h"
#include "lib/conf/families.h"

static const char *const type_names[] = {
	[PARAM_BOOL] = "yes or no", [PARAM_INT] = "number", [PARAM_SIZE] = "bytes",
	[PARAM_TIME] = "time",	    [PARAM_STR] = "text",   [PARAM_RAW] = "text, expanded when used",
};

/* Backslashes, hyphens and control characters at the start of a line mean something to troff. */
static void put_text(const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", stdout);
	for (; *text != '\0'; text++)
		switch (*text) {
		case '\\': fputs("\\e", stdout); break;
		case '-': fputs("\\-", stdout); break;
		case '\n': fputs("\n\\&", stdout); break;
		case ':':		/* a line may end behind it, for long lists without blanks */
			fputs(text[1] != ' ' && text[1] != '\0' ? ":\\:" : ":", stdout);
			break;
		default: putchar(*text);
		}
}

static void put_default(const char *text)
{
	fputs("Default: ", stdout);
	if (text == NULL)
		fputs("computed", stdout);
	else if (*text == '\0')
		fputs("empty", stdout);
	else
		put_text(text);
}

static void put_entry(const char *prefix, const char *name, enum param_type type, const char *default_text,
		      const char *programs, const char *doc)
{
	fputs(".TP\n.B ", stdout);
	put_text(prefix);
	put_text(name);
	fputs("\n", stdout);
	put_text(doc);
	printf("\n.br\n");
	put_default(default_text);
	printf("  (%s; ", type_names[type]);
	put_text(strcmp(programs, "*") == 0 ? "all programs" : programs);
	puts(")");
}

static int by_name(const void *a, const void *b)
{
	const struct param *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static void put_head(void)
{
	puts(".TH POSTCONF 5 \"\" \"Postroad " PACKAGE_VERSION "\" \"File Formats\"\n"
	     ".ad l\n.SH NAME\npostconf \\- parameters of Postroad\n"
	     ".SH SYNOPSIS\n.nf\npostconf \\fIparameter\\fR ...\npostconf \\-e \\fIparameter\\fR=\\fIvalue\\fR ...\n.fi\n"
	     ".SH DESCRIPTION\n"
	     ".B main.cf\nholds lines of the form \\fIname\\fR = \\fIvalue\\fR. A line that starts with white space continues the one before it. "
	     "Lines that are empty or whose first character is # do not count, even between a line and its continuation. "
	     "Of two lines for one name the later counts.\n"
	     ".PP\nIn a value, other parameters are used as\n"
	     ".TP\n\\fB$name\\fR, \\fB${name}\\fR, \\fB$(name)\\fR\ntheir value,\n"
	     ".TP\n\\fB${name?{text}:{text}}\\fR, \\fB${name?text}\\fR, \\fB${name:text}\\fR\none text if the value is not empty, the other if it is,\n"
	     ".TP\n\\fB${{text} == {text} ? {text} : {text}}\\fR\na comparison; also !=, <, <=, >=, >. Numbers compare as numbers. With the suffix "
	     "\\fBlevel\\fR (\\fB<level\\fR) compatibility levels such as 3.6 are compared,\n"
	     ".TP\n\\fB$$\\fR\na dollar sign.\n"
	     ".PP\nNames that are no parameters may be set to be used in this way. "
	     "A \\fItime\\fR is a number with the suffix s, m, h, d or w; without suffix it counts in the unit of the default. "
	     "Numbers, sizes and times have an upper bound everywhere, also where Postfix has none; one beyond it is refused, with the line.\n"
	     ".PP\nParameters that Postfix has and this has not are listed at the end. When one of them is set, \\fBpostconf\\fR and the start of "
	     "the mail system say so.");
}

/* Postfix's, and what became of them here. */
static void put_absent(void)
{
	static const struct { const char *name, *heading; } planned[] = {
#define PLANNED_FOR(what) { NULL, what },
#define PLANNED(name) { #name, NULL },
#include "lib/conf/params/planned.def"
#undef PLANNED
#undef PLANNED_FOR
	};
	static const struct { const char *name, *reason; } never[] = {
#define NEVER(name, reason) { #name, reason },
#include "lib/conf/params/never.def"
#undef NEVER
	};

	puts(".SH PARAMETERS OF POSTFIX THAT HAVE NO EFFECT HERE");
	for (size_t i = 0; i < COUNT_OF(never); i++) {
		fputs(".TP\n.B ", stdout);
		put_text(never[i].name);
		putchar('\n');
		put_text(never[i].reason);
		puts(".");
	}
	puts(".SH PARAMETERS OF POSTFIX THAT ARE NOT SUPPORTED YET\nBy what they wait for.\n.nh");
	for (size_t i = 0; i < COUNT_OF(planned); i++) {
		if (planned[i].heading != NULL)
			fputs(".TP\n.B ", stdout);
		put_text(planned[i].heading != NULL ? planned[i].heading : planned[i].name);
		puts(planned[i].heading != NULL || i + 1 == COUNT_OF(planned)
		     || planned[i + 1].heading != NULL ? "" : ",");
	}
}

void print_manual(void)
{
	struct arena *a = arena_new("manual", NULL, 1 << 20);
	VEC(const struct param *) sorted = { 0 };

	put_head();
	puts(".SH PARAMETERS");
	for (const struct param_group *const *g = all_groups; *g != NULL; g++)
		for (size_t i = 0; i < (*g)->count; i++)
			*vec_add(a, &sorted) = &(*g)->params[i];
	qsort(sorted.at, sorted.len, sizeof(*sorted.at), by_name);
	for (size_t i = 0; i < sorted.len; i++)
		put_entry("", sorted.at[i]->name, sorted.at[i]->type, sorted.at[i]->default_text,
			  sorted.at[i]->programs, sorted.at[i]->doc);
	puts(".SH PARAMETERS OF DELIVERY SERVICES\nEach exists once per delivery service of \\fBmaster.cf\\fR, whose name takes the place of "
	     "\\fIservice\\fR.");
	for (size_t i = 0; i < param_family_count; i++)
		put_entry("service", param_families[i].suffix, param_families[i].type,
			  param_families[i].default_text, param_families[i].programs, param_families[i].doc);
	arena_free(a);
	put_absent();
	puts(".SH SEE ALSO\n.BR postconf (1),\n.BR master.cf (5),\n.BR postroad (1)");
}
