/* SPDX-License-Identifier: ISC */
/* postconf --explain NAME: everything there is to say about a parameter. */
#include <inttypes.h>

#include "commands/postconf/postconf.h"
#include "lib/base/map.h"
#include "lib/conf/families.h"

static const char *const type_names[] = {
	[PARAM_BOOL] = "yes or no", [PARAM_INT] = "number", [PARAM_SIZE] = "bytes",
	[PARAM_TIME] = "time",	    [PARAM_STR] = "text",   [PARAM_RAW] = "text, expanded when used",
};

/* A row or a family: what is to be said of either. */
struct facts {
	enum param_type type;
	const char *default_text;
	int64_t min, max;
	const char *programs, *doc;
};

static bool facts_of(struct str name, struct facts *ret)
{
	const struct param *row = conf_param(name);
	const struct param_family *f = row == NULL ? param_family_of(name, NULL) : NULL;

	if (row != NULL)
		*ret = (struct facts){ row->type, row->default_text, row->min, row->max,
				       row->programs, row->doc };
	else if (f != NULL)
		*ret = (struct facts){ f->type, f->default_text, f->min, f->max, f->programs, f->doc };
	return row != NULL || f != NULL;
}

static void add_bounds(struct buf *b, const struct facts *f)
{
	switch (f->type) {
	case PARAM_INT:
	case PARAM_SIZE:
		buf_addf(b, ", from %" PRId64 " to %" PRId64, f->min, f->max);
		break;
	case PARAM_TIME:
		buf_addf(b, ", from %" PRId64 "s to %" PRId64 "s", f->min, f->max);
		break;
	default:
		if (f->min > 0)
			buf_add_text(b, ", not empty");
	}
}

static void tell(struct postconf *p, bool *first, const char *key, struct str text)
{
	if (p->json) {
		fputs(*first ? "" : ", ", stdout);
		print_json_text(str_of(key));
		fputs(": ", stdout);
		print_json_text(text);
	} else
		printf("    %-10s %.*s\n", key, PSTR(text));
	*first = false;
}

static void tell_places(struct postconf *p, bool *first, struct str name)
{
	const struct master_cf *m = review_services(p->review);
	struct str assignment, set, value;
	const char *file;
	int line;

	if (conf_where(p->conf, name, &file, &line))
		tell(p, first, "set in", arena_fmt(p->arena, "%s, line %d", file, line));
	else
		tell(p, first, "set in", map_get(p->overridden, name) != NULL ? STR("the command line (-o)")
		     : STR("nowhere: the default counts"));
	for (size_t i = 0; i < m->count; i++)
		for (size_t at = 0; service_override(&m->services[i], &at, &assignment);) {
			value = assignment;
			str_cut(&value, '=', &set);
			if (str_is(str_trim(set), name))
				tell(p, first, "also",
				     arena_fmt(p->arena, "%s/master.cf, line %d: %.*s/%.*s has %.*s",
					       conf_dir(p->conf), m->services[i].line,
					       PSTR(m->services[i].column[0]), PSTR(m->services[i].column[1]),
					       PSTR(str_trim(value))));
		}
}

static void tell_values(struct postconf *p, bool *first, struct str name)
{
	AUTO(buf) why = BUF_WORDS;
	struct str raw, text;

	if (!conf_raw(p->conf, name, &raw))
		return;
	tell(p, first, "value", raw);
	if (conf_expand(p->conf, p->arena, raw, &text, &why) < 0)
		warn("%.*s: %s", PSTR(name), buf_text(&why));
	else if (!str_is(raw, text))
		tell(p, first, "which is", text);
}

static void tell_facts(struct postconf *p, bool *first, const struct facts *f)
{
	AUTO(buf) type = BUF_WORDS;

	buf_add_text(&type, type_names[f->type]);
	add_bounds(&type, f);
	tell(p, first, "about", str_of(f->doc));
	tell(p, first, "type", buf_str(&type));
	tell(p, first, "default", f->default_text == NULL ? STR("(computed)") : str_of(f->default_text));
	tell(p, first, "read by", strcmp(f->programs, "*") == 0 ? STR("all programs") : str_of(f->programs));
}

static void explain(struct postconf *p, struct str name)
{
	enum name_class class = review_class(p->review, name);
	struct facts f;
	bool first = true, known = facts_of(name, &f);

	if (class == NAME_UNUSED && !known) {
		struct str near = review_nearest(p->review, p->arena, name);

		warn("%.*s: unknown parameter%s%.*s%s", PSTR(name), near.len > 0 ? " (did you mean " : "",
		     PSTR(near), near.len > 0 ? "?)" : "");
		return;
	}
	print_separator(p);
	if (p->json) {
		print_json_text(name);
		fputs(": {", stdout);
	} else
		printf("%.*s\n", PSTR(name));
	if (known)
		tell_facts(p, &first, &f);
	else
		tell(p, &first, "about", class == NAME_PLANNED ? str_of(conf_absence(name))
		     : STR("A name of this configuration, used by other parameters."));
	tell_values(p, &first, name);
	tell_places(p, &first, name);
	if (p->json)
		putchar('}');
}

void explain_parameters(struct postconf *p, char **names, int count)
{
	struct names list = { 0 };

	answer_begin(p, '{');
	if (count == 0) {
		p->filter = SET_AT_ALL;
		collect_parameters(p, &list);
	}
	for (int i = 0; i < count; i++)
		*vec_add(p->arena, &list) = str_of(names[i]);
	for (size_t i = 0; i < list.len; i++)
		explain(p, list.at[i]);
	answer_end(p, '}');
}
