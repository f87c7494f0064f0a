/* SPDX-License-Identifier: ISC */
/*
 * postconf --diff OTHER_DIR: what the two configurations make different. Values are compared as the
 * programs would see them, so that a default written out is no difference; rows of master.cf as
 * they are.
 */
#include "commands/postconf/postconf.h"
#include "lib/base/die.h"
#include "lib/base/map.h"

static bool expanded(struct conf *c, struct arena *a, struct str name, struct str *ret_raw, struct str *ret)
{
	AUTO(buf) why = BUF_WORDS;

	if (!conf_raw(c, name, ret_raw))
		return false;
	if (conf_expand(c, a, *ret_raw, ret, &why) < 0)
		*ret = *ret_raw;
	*ret = str_trim(*ret);
	return true;
}

static void print_side(struct postconf *p, const char *mark, struct str name, struct str value, bool there)
{
	if (there)
		printf("%s%.*s%s%.*s\n", mark, PSTR(name), p->no_values || name.len == 0 ? "" : " = ",
		       p->no_values ? 0 : (int) value.len, value.at);
}

static void print_json_side(const char *key, struct str value, bool there)
{
	printf("\"%s\": ", key);
	if (there)
		print_json_text(value);
	else
		fputs("null", stdout);
}

static void print_difference(struct postconf *p, struct str name, struct str here, bool is_here,
			     struct str there, bool is_there)
{
	if (!p->json) {
		print_side(p, "-", name, here, is_here);
		print_side(p, "+", name, there, is_there);
		return;
	}
	print_separator(p);
	print_json_text(name);
	fputs(": {", stdout);
	print_json_side("here", here, is_here);
	fputs(", ", stdout);
	print_json_side("there", there, is_there);
	putchar('}');
}

static bool is_default(const struct conf *c, struct str name)
{
	const char *file;
	int line;

	return !conf_where(c, name, &file, &line);
}

/*
 * The directory itself is no difference, nor is a default that reads the same in both: what it
 * names is one, and is told. What was set and reads the same is shown with its $names replaced.
 */
static int compare_parameter(struct postconf *p, struct conf *other, struct str name)
{
	bool expand = p->expand;
	struct str raw_here = STR_NONE, raw_there = STR_NONE, here = STR_NONE, there = STR_NONE;
	const bool is_here = expanded(p->conf, p->arena, name, &raw_here, &here);
	const bool is_there = expanded(other, p->arena, name, &raw_there, &there);

	if (str_is(name, STR("config_directory")) || (is_here == is_there && str_is(here, there)))
		return 0;
	if (is_here && is_there && str_is(raw_here, raw_there)) {
		if (is_default(p->conf, name) && is_default(other, name))
			return 0;
		expand = true;
	}
	print_difference(p, name, expand ? here : raw_here, is_here, expand ? there : raw_there, is_there);
	return 1;
}

static int compare_parameters(struct postconf *p, struct postconf *other)
{
	struct names mine, theirs;
	size_t i = 0, j = 0;
	int n = 0;

	collect_parameters(p, &mine);
	collect_parameters(other, &theirs);
	while (i < mine.len || j < theirs.len) {
		const int order = i == mine.len ? 1 : j == theirs.len ? -1 : str_compare(mine.at[i],
				theirs.at[j]);

		n += compare_parameter(p, other->conf, order <= 0 ? mine.at[i] : theirs.at[j]);
		i += order <= 0;
		j += order >= 0;
	}
	return n;
}

/* ---- master.cf ---- */

static const struct row *find_row(const struct rows *list, const struct row *wanted)
{
	for (size_t i = 0; i < list->len; i++)
		if (str_is(list->at[i].column[0], wanted->column[0])
		    && str_is(list->at[i].column[1], wanted->column[1]))
			return &list->at[i];
	return NULL;
}

static struct str row_text(struct arena *a, const struct row *r)
{
	AUTO(buf) text = BUF(POSTCONF_MOST_LINE);

	add_row(&text, r, false);
	return arena_copy(a, str_trim(buf_str(&text)));
}

static int compare_rows(struct postconf *p, const struct row *here, const struct row *there)
{
	const struct row *any = here != NULL ? here : there;
	const struct str a = here != NULL ? row_text(p->arena, here) : STR_NONE,
		b = there != NULL ? row_text(p->arena, there) : STR_NONE;

	if (here != NULL && there != NULL && str_is(a, b))
		return 0;
	if (p->json)
		print_difference(p, arena_fmt(p->arena, "master.cf %.*s/%.*s", PSTR(any->column[0]),
					      PSTR(any->column[1])), a, here != NULL, b,
				 there != NULL);
	else
		print_difference(p, STR_NONE, a, here != NULL, b, there != NULL);
	return 1;
}

static int compare_master_cf(struct postconf *p, const char *other_dir)
{
	AUTO(buf) why = BUF_WORDS;
	struct rows mine = { 0 }, theirs = { 0 };
	int n = 0;

	if (!read_rows(p->arena, conf_dir(p->conf), &mine, &why)
	    || !read_rows(p->arena, other_dir, &theirs, &why)) {
		warn("%s", buf_text(&why));
		return 0;
	}
	for (size_t i = 0; i < mine.len; i++)
		n += compare_rows(p, &mine.at[i], find_row(&theirs, &mine.at[i]));
	for (size_t i = 0; i < theirs.len; i++)
		if (find_row(&mine, &theirs.at[i]) == NULL)
			n += compare_rows(p, NULL, &theirs.at[i]);
	return n;
}

int list_differences(struct postconf *p, const char *other_dir)
{
	struct postconf other = *p;
	AUTO(buf) why = BUF_WORDS;
	int n;

	if (conf_load(other_dir, &other.conf, &why) < 0)
		die(POSTCONF_FAILURE, "%s", buf_text(&why));
	/* and what is made of it */
	conf_set(other.conf, STR("config_directory"), str_of(conf_dir(p->conf)));
	other.overridden = map_new();
	other.review = review_open(other.conf);
	answer_begin(p, '{');
	n = compare_parameters(p, &other);
	n += compare_master_cf(p, other_dir);
	answer_end(p, '}');
	review_close(other.review);
	map_free(other.overridden, NULL);
	conf_free(other.conf);
	return n > 0;
}
