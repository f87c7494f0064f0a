/* SPDX-License-Identifier: ISC */
/*
 * Reading master.cf. A row is eight fields and arguments, separated by white space; an argument
 * with white space stands in { }. Of two rows with the same name and type the later one counts.
 *
 * What Postroad needs and a master.cf written for Postfix lacks is added as implicit entries with line 0.
 */
#include <errno.h>

#include "lib/conf/conf_private.h"
#include "lib/conf/master_cf.h"
#include "lib/conf/programs.h"

struct reading {
	struct arena *arena;
	const char *path;
	int line;
	struct buf *why;
	bool chroot_default;
	int64_t process_limit;
};

static const struct service_entry implicit_entries[] = {
	{ .name = STR_INIT("resolver"), .type = SERVICE_UNIX, .is_private = true,
	  .unprivileged = true, .maxproc = 1,
	  .command = STR_INIT("resolver"),
	  .column = { STR_INIT("resolver"), STR_INIT("unix"), STR_INIT("-"), STR_INIT("-"), STR_INIT("n"),
		      STR_INIT("-"), STR_INIT("1"), STR_INIT("resolver") } },
#ifdef HAVE_CURL
	{ .name = STR_INIT("mtasts"), .type = SERVICE_UNIX, .is_private = true,
	  .unprivileged = true, .maxproc = 1,
	  .command = STR_INIT("mtasts"),
	  .column = { STR_INIT("mtasts"), STR_INIT("unix"), STR_INIT("-"), STR_INIT("-"), STR_INIT("n"),
		      STR_INIT("-"),
		      STR_INIT("1"), STR_INIT("mtasts") } },
	{ .name = STR_INIT("tlsrpt"), .type = SERVICE_UNIX, .is_private = true,
	  .unprivileged = true, .maxproc = 1,
	  .command = STR_INIT("tlsrpt"),
	  .column = { STR_INIT("tlsrpt"), STR_INIT("unix"), STR_INIT("-"), STR_INIT("-"), STR_INIT("n"),
		      STR_INIT("-"), STR_INIT("1"), STR_INIT("tlsrpt") } },
#endif
	{ .name = STR_INIT("postlog"), .type = SERVICE_DGRAM, .unprivileged = true, .maxproc = 1,
	  .command = STR_INIT("postlogd"),
	  .column = { STR_INIT("postlog"), STR_INIT("unix-dgram"), STR_INIT("n"), STR_INIT("-"),
		      STR_INIT("n"), STR_INIT("-"), STR_INIT("1"), STR_INIT("postlogd") } },
};

static int fail(struct reading *r, const char *field, struct str text, const char *expected)
{
	buf_addf(r->why, "%s, line %d: field \"%s\": \"%.*s\": %s", r->path, r->line, field,
		 PSTR(str_head(text, 80)), expected);
	return -EINVAL;
}

static int take_field(struct reading *r, struct str *rest, const char *field, struct str *ret)
{
	if (str_token(rest, " \t\r\n", ret))
		return 0;
	buf_addf(r->why, "%s, line %d: missing \"%s\" field", r->path, r->line, field);
	return -EINVAL;
}

static int take_yes_no(struct reading *r, struct str *rest, const char *field, bool default_value, bool *ret)
{
	struct str text;
	int e = take_field(r, rest, field, &text);

	if (e < 0)
		return e;
	if (str_is(text, STR("-")))
		*ret = default_value;
	else if (str_is(text, STR("y")) || str_is(text, STR("n")))
		*ret = text.at[0] == 'y';
	else
		return fail(r, field, text, "y, n or - expected");
	return 0;
}

static int take_type(struct reading *r, struct str *rest, enum service_type *ret)
{
	struct str text;
	int e = take_field(r, rest, "type", &text);

	if (e < 0)
		return e;
	return service_type_parse(text, ret) < 0 ? fail(r, "type", text,
							"inet, unix, fifo, pass or unix-dgram expected") : 0;
}

static int take_wakeup(struct reading *r, struct str *rest, struct service_entry *s)
{
	struct str text, number;
	int64_t seconds;
	int e = take_field(r, rest, "wakeup", &text);

	if (e < 0)
		return e;
	if (str_is(text, STR("-")))
		return 0;
	number = text;
	if (str_ends(number, STR("?"))) {
		s->wakeup_if_used = true;
		number.len--;
	}
	if (str_to_int(number, 0, 31536000, &seconds) < 0)
		return fail(r, "wakeup", text, "a number of seconds expected");
	s->wakeup_ms = seconds * 1000;
	return 0;
}

static int take_maxproc(struct reading *r, struct str *rest, struct service_entry *s)
{
	struct str text;
	int64_t n = r->process_limit;
	int e = take_field(r, rest, "maxproc", &text);

	if (e < 0)
		return e;
	if (!str_is(text, STR("-")) && str_to_int(text, 0, 1000000, &n) < 0)
		return fail(r, "maxproc", text, "a number of processes expected");
	s->maxproc = (int) n;
	return 0;
}

/* Names of sockets are files under private/ and public/. */
static int check_name(struct reading *r, const struct service_entry *s)
{
	struct str rest = s->name, part;
	bool more;

	if (str_has_control(s->name) || s->name.len > 200)
		return fail(r, "service", s->name, "not a name");
	if (s->type == SERVICE_INET)
		return 0;
	do {
		more = str_cut(&rest, '/', &part);
		if (part.len == 0 || part.at[0] == '.')
			return fail(r, "service", s->name, "not a file name");
	} while (more);
	return 0;
}

static int check_command(struct reading *r, struct str command)
{
	if (str_find(command, '/') >= 0 || command.at[0] == '.')
		return fail(r, "command", command, "the name of a program in daemon_directory expected");
	return 0;
}

bool service_override(const struct service_entry *s, size_t *at, struct str *ret_assignment)
{
	while (*at < s->argc && s->argv[*at].len > 0 && s->argv[*at].at[0] == '-') {
		const struct str option = s->argv[(*at)++];

		size_t n = 1;

		/* those without a value of their own */
		while (n < option.len && strchr("vDdluSzV", option.at[n]) != NULL)
			n++;
		if (n == option.len || option.at[n] != 'o' || (n + 1 == option.len && *at == s->argc))
			continue;
		*ret_assignment = n + 1 == option.len ? s->argv[(*at)++] : str_skip(option, n + 1);
		return true;
	}
	return false;
}

/*
 * -o wants an assignment behind it. Only among the options at the front: what follows belongs to
 * the program (pipe's argv=).
 */
static int check_options(struct reading *r, const struct service_entry *s)
{
	AUTO(buf) words = BUF_WORDS;
	struct str name, value;

	for (size_t i = 0; i < s->argc && s->argv[i].len > 0 && s->argv[i].at[0] == '-'; i++) {
		if (!str_is(s->argv[i], STR("-o")))
			continue;
		if (++i == s->argc)
			return fail(r, "command + args", STR("-o"), "name=value expected");
		if (conf_split_assignment(s->argv[i], &name, &value, &words) < 0)
			return fail(r, "command + args", s->argv[i], buf_text(&words));
	}
	return 0;
}

static int take_arguments(struct reading *r, struct str *rest, struct service_entry *s)
{
	VEC(struct str) args = { 0 };
	struct str one;
	int found;

	while ((found = str_token_braced(rest, " \t\r\n", &one)) > 0) {
		if (one.len >= 2 && one.at[0] == '{' && one.at[one.len - 1] == '}')
			one = str_trim(str_make(one.at + 1, one.len - 2));
		*vec_add(r->arena, &args) = arena_copy(r->arena, one);
	}
	if (found < 0)
		return fail(r, "command + args", *rest, "unbalanced { }");
	s->argv = args.at;
	s->argc = args.len;
	return check_options(r, s);
}

static int parse_row(struct reading *r, struct str rest, struct service_entry *s)
{
	struct str columns = rest;
	int e;

	*s = (struct service_entry){ .line = r->line };
	for (int i = 0; i < MASTER_CF_COLUMNS; i++)
		str_token(&columns, " \t\r\n", &s->column[i]);
	if ((e = take_field(r, &rest, "service", &s->name)) < 0 || (e = take_type(r, &rest, &s->type)) < 0
	    || (e = check_name(r, s)) < 0 || (e = take_yes_no(r, &rest, "private", true, &s->is_private)) < 0
	    || (e = take_yes_no(r, &rest, "unprivileged", true, &s->unprivileged)) < 0
	    || (e = take_yes_no(r, &rest, "chroot", r->chroot_default, &s->chroot)) < 0
	    || (e = take_wakeup(r, &rest, s)) < 0 || (e = take_maxproc(r, &rest, s)) < 0
	    || (e = take_field(r, &rest, "command", &s->command)) < 0
	    || (e = check_command(r, s->command)) < 0 || (e = take_arguments(r, &rest, s)) < 0)
		return e;
	if (s->type == SERVICE_INET)
		s->is_private = false;
	/* of old configurations: pickup and qmgr could be woken through named pipes, and their clients speak now */
	if (s->type == SERVICE_FIFO && program_is_ours(program_find(s->command)))
		s->type = SERVICE_UNIX;
	return 0;
}

typedef VEC(struct service_entry) entries;

static struct service_entry *find_entry(entries *list, struct str name, enum service_type type)
{
	for (size_t i = 0; i < list->len; i++)
		if (list->at[i].type == type && str_is(list->at[i].name, name))
			return &list->at[i];
	return NULL;
}

static void add_implicit(struct arena *a, entries *list)
{
	for (size_t i = 0; i < COUNT_OF(implicit_entries); i++)
		if (find_entry(list, implicit_entries[i].name, implicit_entries[i].type) == NULL)
			*vec_add(a, list) = implicit_entries[i];
}

int master_cf_parse(struct conf *c, struct arena *a, const char *path, struct str text,
		    struct master_cf *ret, struct buf *why)
{
	struct reading r = { .arena = a, .path = path, .why = why };
	struct logical_lines lines = { .rest = text, .next_line = 1 };
	struct service_entry entry, *earlier;
	entries list = { 0 };
	struct str line, chroot_text = STR_NONE;
	int e;

	if ((e = conf_get_int(c, STR("default_process_limit"), STR("100"), 1, 1000000,
			      &r.process_limit, why)) < 0 ||
	    (e = conf_expand(c, a, STR("${{$compatibility_level} <level {1} ? {y} : {n}}"),
			     &chroot_text, why)) < 0)
		return e;
	r.chroot_default = str_is(chroot_text, STR("y"));
	while (logical_line_next(&lines, a, &line, &r.line)) {
		if (is_space(line.at[0]))
			return fail(&r, "service", str_trim(line), "a row must not start with white space");
		if ((e = parse_row(&r, line, &entry)) < 0)
			return e;
		earlier = find_entry(&list, entry.name, entry.type);
		entry.replaced_line = earlier == NULL ? 0 : earlier->line;
		*(earlier != NULL ? earlier : vec_add(a, &list)) = entry;
	}
	add_implicit(a, &list);
	ret->services = list.at;
	ret->count = list.len;
	return 0;
}

int master_cf_load(struct conf *c, struct arena *a, struct master_cf *ret, struct buf *why)
{
	const char *path = arena_fmt(a, "%s/master.cf", c->dir).at;
	struct str text;
	int e = conf_read_file(a, path, &text, why);

	return e < 0 ? e : master_cf_parse(c, a, path, text, ret, why);
}
