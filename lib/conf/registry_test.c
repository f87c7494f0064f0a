/* SPDX-License-Identifier: ISC */
/*
 * The parameter registry as a whole: every row has words, a default that works and the same default
 * as Postfix has, or a reason here why not; no name twice; no group forgotten.
 */
#include "tests/unit.h"

#include <dirent.h>

#include "lib/base/map.h"
#include "lib/conf/conf_private.h"
#include "lib/conf/families.h"

/* Defaults that differ from Postfix's on purpose, and why. */
static const struct { const char *name, *reason; } other_defaults[] = {
	{ "compatibility_level",
	  "current defaults unless main.cf asks for older ones; Postfix assumes level 0 when nothing is said" },
	{ "mail_name", "our own name" },
	{ "config_directory", "installation" },
	{ "queue_directory", "installation" },
	{ "daemon_directory", "installation" },
	{ "command_directory", "installation" },
	{ "data_directory", "installation" },
	{ "meta_directory", "installation" },
	{ "shlib_directory", "installation; no is for a build without loadable modules, which ours is when none is there" },
	{ "hash_queue_names", "there are no separate defer logs" },
	{ "max_use", "one process serves many clients at once, so retiring it after a hundred would be a fork every second" },
	{ "smtpd_client_event_limit_exceptions",
	  "the older name smtpd_client_connection_limit_exceptions is not kept: in Postfix it stands for no exceptions, whatever it says" },
	{ "smtpd_relay_restrictions", "closed by default at every compatibility level" },
	{ "lmtp_tls_connection_reuse", "no tlsproxy is needed to keep a connection with TLS" },
	{ "smtp_log_tls_feature_status", "log analysers do not know deliveries with it" },
	{ "lmtp_log_tls_feature_status", "log analysers do not know deliveries with it" },
	{ "smtp_tls_connection_reuse", "no tlsproxy is needed to keep a connection with TLS" },
	{ "smtputf8_enable", "always there; Postfix's default is that of a build without ICU" },
};

#define EACH_PARAM(g, p) \
	for (const struct param_group *const *g = all_groups; *g != NULL; g++) \
		for (const struct param *p = (*g)->params; p < (*g)->params + (*g)->count; p++)

static char *read_source(const char *relative)
{
	const char *top = getenv("top_srcdir");
	char path[1024];
	long size;
	char *text;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", top == NULL ? "." : top, relative);
	f = fopen(path, "r");
	if (f == NULL)
		fail_msg("%s cannot be read (run by make check, or with top_srcdir set)", path);
	fseek(f, 0, SEEK_END);
	size = ftell(f);
	rewind(f);
	text = calloc(1, (size_t) size + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, (size_t) size, f), size);
	fclose(f);
	return text;
}

static void test_every_parameter_has_documentation(void **state)
{
	(void) state;
	EACH_PARAM(g, p) {
		if (strlen(p->doc) < 20 || p->doc[strlen(p->doc) - 1] != '.')
			fail_msg("%s: documentation must be a sentence: \"%s\"", p->name, p->doc);
		if (p->programs[0] == '\0')
			fail_msg("%s: no program", p->name);
	}
	for (size_t i = 0; i < param_family_count; i++)
		assert_true(strlen(param_families[i].doc) >= 20);
}

static void test_no_name_stands_in_two_rows(void **state)
{
	struct map *seen = map_new();

	(void) state;
	EACH_PARAM(g, p) {
		const char *other = map_put(seen, str_of(p->name), (void *) (uintptr_t) (*g)->name);

		if (other != NULL)
			fail_msg("%s is in group %s and in group %s", p->name, other, (*g)->name);
	}
	map_free(seen, NULL);
}

static void test_groups_and_default_texts_agree(void **state)
{
	size_t count = 0;

	(void) state;
	EACH_PARAM(g, p) {
		const struct param_default *d = param_default_by_name(str_of(p->name));

		if (d == NULL)
			fail_msg("%s: group %s is not in params/every.def", p->name, (*g)->name);
		assert_int_equal(d->type, p->type);
		count++;
	}
	if (count != param_default_count)
		fail_msg("params/every.def has %zu rows, all_groups.c %zu", param_default_count, count);
}

static void test_every_def_file_is_registered(void **state)
{
	char *every = read_source("lib/conf/params/every.def");
	char *families = read_source("lib/conf/families.c");
	char path[1024], line[512];
	struct dirent *e;
	DIR *dir;

	(void) state;
	snprintf(path, sizeof(path), "%s/lib/conf/params",
		 getenv("top_srcdir") == NULL ? "." : getenv("top_srcdir"));
	dir = opendir(path);
	assert_non_null(dir);
	while ((e = readdir(dir)) != NULL) {
		if (!str_ends(str_of(e->d_name), STR(".def")) || strcmp(e->d_name, "every.def") == 0 ||
		    strcmp(e->d_name, "planned.def") == 0 || strcmp(e->d_name, "never.def") == 0)
			continue;
		snprintf(line, sizeof(line), "#include \"lib/conf/params/%s\"", e->d_name);
		if (strstr(every, line) == NULL && strstr(families, line) == NULL)
			fail_msg("%s is not in params/every.def", e->d_name);
	}
	closedir(dir);
	free(every);
	free(families);
}

static struct conf *empty_conf(void)
{
	AUTO(buf) why = BUF_WORDS;
	struct conf *c;

	if (conf_from_text("/nonexistent", STR_NONE, &c, &why) < 0)
		fail_msg("%s", buf_text(&why));
	return c;
}

static void fill_each_group(struct conf *c)
{
	for (const struct param_group *const *g = all_groups; *g != NULL; g++) {
		AUTO(buf) why = BUF_WORDS;
		void *memory = calloc(1, (*g)->struct_size);

		assert_non_null(memory);
		if (conf_fill(c, *g, memory, &why) < 0)
			fail_msg("%s: %s", (*g)->name, buf_text(&why));
		free(memory);
	}
}

static void test_every_default_is_within_its_bounds(void **state)
{
	struct conf *c = empty_conf();

	(void) state;
	fill_each_group(c);
	conf_free(c);
}

static void test_every_default_is_within_its_bounds_under_stress(void **state)
{
	struct conf *c = empty_conf();

	(void) state;
	conf_set(c, STR("stress"), STR("yes"));
	fill_each_group(c);
	conf_free(c);
}

static void test_bounds_are_in_order(void **state)
{
	(void) state;
	EACH_PARAM(g, p)
		if (p->min > p->max && p->max != 0)
			fail_msg("%s: bounds %lld, %lld", p->name, (long long) p->min, (long long) p->max);
		else if ((p->type == PARAM_INT || p->type == PARAM_SIZE || p->type == PARAM_TIME)
			 && p->max == 0)
			fail_msg("%s: no upper bound", p->name);
}

static void undefined(void *arg, struct str name)
{
	/*
	 * What master says under load, and names of old configurations that newer parameters take
	 * their defaults from.
	 */
	static const char *const others[] = {
		"stress", "virtual_maps", "smtpd_client_connection_limit_exceptions",
		"lmtp_per_record_deadline", "smtp_per_record_deadline", "smtpd_per_record_deadline",
		"authorized_verp_clients",
	};

	for (size_t i = 0; i < COUNT_OF(others); i++)
		if (str_is(name, str_of(others[i])))
			return;
	if (conf_absence(name) == NULL)
		fail_msg("default of %s: $%.*s is no parameter", (const char *) arg, PSTR(name));
}

static void test_names_in_defaults_are_parameters(void **state)
{
	struct arena *a = arena_new("test", NULL, 64 << 20);
	struct conf *c = empty_conf();

	(void) state;
	EACH_PARAM(g, p) {
		AUTO(buf) why = BUF_WORDS;
		struct str text;

		if (p->default_text == NULL || p->type == PARAM_RAW)
			continue;
		if (conf_expand_noting(c, a, str_of(p->default_text), &text, &why, undefined,
				       (void *) (uintptr_t) p->name) < 0)
			fail_msg("%s: %s", p->name, buf_text(&why));
	}
	conf_free(c);
	arena_free(a);
}

static bool may_differ(struct str name)
{
	for (size_t i = 0; i < COUNT_OF(other_defaults); i++)
		if (str_is(name, str_of(other_defaults[i].name)))
			return true;
	return false;
}

/* False, with words, when the two are not as they should be. */
static bool compare_default(struct str name, struct str theirs)
{
	const struct param *p = conf_param(name);
	bool same;

	if (p == NULL || str_is(theirs, STR("(computed)")))
		return true;
	if (str_is(theirs, STR("(empty)")))
		theirs = STR_NONE;
	same = p->default_text != NULL && str_is(theirs, str_of(p->default_text));
	/* that one is chosen by configure */
	if (same != may_differ(name) || str_is(name, STR("default_database_type")))
		return true;
	if (same)
		print_error("%s has the default of Postfix: no exception is needed\n", p->name);
	else
		print_error("%s: default \"%s\", Postfix has \"%.*s\"\n", p->name,
			    p->default_text == NULL ? "(computed)" : p->default_text, PSTR(theirs));
	return false;
}

static void test_defaults_are_those_of_postfix_or_there_is_a_reason(void **state)
{
	char *text = read_source("tests/conf/postfix-defaults.tsv");
	struct str rest = str_of(text), line, name;
	int compared = 0, wrong = 0;

	(void) state;
	while (str_cut(&rest, '\n', &line))
		if (line.len > 0 && line.at[0] != '#' && str_cut(&line, '\t', &name)) {
			wrong += !compare_default(name, line);
			compared++;
		}
	assert_true(compared > 1000);
	assert_int_equal(wrong, 0);
	free(text);
}

/* ---- every parameter of Postfix is in exactly one place ---- */

static const char *const absent_names[] = {
#define PLANNED_FOR(what)
#define PLANNED(name) #name,
#include "lib/conf/params/planned.def"
#undef PLANNED
#undef PLANNED_FOR
#define NEVER(name, reason) #name,
#include "lib/conf/params/never.def"
#undef NEVER
};

static void test_what_is_registered_is_neither_planned_nor_left_out(void **state)
{
	struct map *seen = map_new();
	int wrong = 0;

	(void) state;
	for (size_t i = 0; i < COUNT_OF(absent_names); i++) {
		const struct str name = str_of(absent_names[i]);

		if (param_default_by_name(name) != NULL)
			print_error("%s has a row: take it out of planned.def (or never.def)\n",
				    absent_names[i]), wrong++;
		else if (param_family_of(name, NULL) != NULL)
			print_error("%s is of a family: take it out of planned.def (or never.def)\n",
				    absent_names[i]), wrong++;
		if (map_put(seen, name, seen) != NULL)
			print_error("%s stands twice in planned.def and never.def\n", absent_names[i]),
				wrong++;
	}
	map_free(seen, NULL);
	assert_int_equal(wrong, 0);
}

static bool has_a_place(struct str name)
{
	return param_default_by_name(name) != NULL || param_family_of(name, NULL) != NULL
	       || conf_absence(name) != NULL;
}

static void test_every_parameter_of_postfix_has_its_place(void **state)
{
	char *text = read_source("tests/conf/postfix-defaults.tsv");
	struct str rest = str_of(text), line, name;
	int wrong = 0;

	(void) state;
	while (str_cut(&rest, '\n', &line))
		if (line.len > 0 && line.at[0] != '#' && str_cut(&line, '\t', &name) && !has_a_place(name))
			print_error("%.*s is in no group, not planned, and not left out for a reason\n",
				    PSTR(name)), wrong++;
	assert_int_equal(wrong, 0);
	free(text);
}

/* Former names are in the defaults of those that took their place: "${former?{$former}:{yes}}". */
static void test_what_is_absent_is_a_parameter_of_postfix(void **state)
{
	char *text = read_source("tests/conf/postfix-defaults.tsv");

	(void) state;
	for (size_t i = 0; i < COUNT_OF(absent_names); i++) {
		AUTO(buf) line = BUF(200);
		AUTO(buf) former = BUF(200);

		buf_addf(&line, "\n%s\t", absent_names[i]);
		buf_addf(&former, "{%s?", absent_names[i]);
		if (strstr(text, buf_text(&line)) == NULL && strstr(text, buf_text(&former)) == NULL)
			fail_msg("%s is no parameter of Postfix", absent_names[i]);
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_registered_is_neither_planned_nor_left_out),
		cmocka_unit_test(test_every_parameter_of_postfix_has_its_place),
		cmocka_unit_test(test_what_is_absent_is_a_parameter_of_postfix),
		cmocka_unit_test(test_every_parameter_has_documentation),
		cmocka_unit_test(test_no_name_stands_in_two_rows),
		cmocka_unit_test(test_groups_and_default_texts_agree),
		cmocka_unit_test(test_every_def_file_is_registered),
		cmocka_unit_test(test_every_default_is_within_its_bounds),
		cmocka_unit_test(test_every_default_is_within_its_bounds_under_stress),
		cmocka_unit_test(test_bounds_are_in_order),
		cmocka_unit_test(test_names_in_defaults_are_parameters),
		cmocka_unit_test(test_defaults_are_those_of_postfix_or_there_is_a_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
