/* SPDX-License-Identifier: ISC */
/*
 * Reading main.cf: which directory, and what its lines say. Whether a setgid program may read that
 * directory, lib/daemon decides.
 */
#include <sys/auxv.h>
#include <unistd.h>

#include "lib/conf/conf_private.h"

static struct conf *conf_new(const char *dir)
{
	struct arena *a = arena_new("conf", NULL, CONF_MOST_MEMORY);
	struct conf *c = ARENA_NEW(a, struct conf);

	c->arena = a;
	c->settings = map_new();
	c->dir = str_c(a, str_of(dir));
	c->path = arena_fmt(a, "%s/main.cf", dir).at;
	return c;
}

static int read_line_of_main_cf(struct conf *c, struct str line, int number, struct buf *why)
{
	const struct setting *earlier;
	struct str name, value;
	AUTO(buf) words = BUF_WORDS;
	int r;

	if (is_space(line.at[0])) {
		*vec_add(c->arena, &c->notes) = arena_fmt(c->arena,
							  "%s, line %d: logical line must not start with whitespace: \"%.*s\"",
							   c->path, number, PSTR(str_head(line, 60)));
		return 0;
	}
	r = conf_split_assignment(line, &name, &value, &words);
	if (r < 0) {
		buf_addf(why, "%s, line %d: %s", c->path, number, buf_text(&words));
		return r;
	}
	earlier = conf_setting(c, name);
	if (earlier != NULL)
		*vec_add(c->arena, &c->notes) = arena_fmt(c->arena,
							  "%s, line %d: overriding earlier entry: %.*s=%.*s",
							  c->path, number,
							   PSTR(name), PSTR(str_head(earlier->value, 200)));
	conf_put(c, name, value, SET_IN_MAIN_CF, number);
	return 0;
}

static int read_lines(struct conf *c, struct arena *scratch, struct str text, bool skip_bad, struct buf *why)
{
	struct logical_lines lines = { .rest = text, .next_line = 1 };
	struct str line;
	int number, r = 0;

	while ((r == 0 || skip_bad) && logical_line_next(&lines, scratch, &line, &number))
		r = read_line_of_main_cf(c, line, number, why);
	return skip_bad ? 0 : r;
}

static int from_text(const char *dir, struct str text, bool skip_bad, struct conf **ret_conf, struct buf *why)
{
	struct conf *c = conf_new(dir);
	struct arena *scratch = arena_new("main.cf", NULL, CONF_MOST_MEMORY);
	int r = read_lines(c, scratch, text, skip_bad, why);

	arena_free(scratch);
	if (r < 0) {
		conf_free(c);
		return r;
	}
	conf_put(c, STR("config_directory"), str_of(dir), SET_BY_OVERRIDE, 0);
	*ret_conf = c;
	return 0;
}

int conf_from_text(const char *dir, struct str text, struct conf **ret_conf, struct buf *why)
{
	return from_text(dir, text, false, ret_conf, why);
}

static int read_main_cf(const char *dir, bool skip_bad, struct conf **ret_conf, struct buf *why)
{
	struct arena *a = arena_new("main.cf", NULL, CONF_MOST_MEMORY);
	struct str text;
	int r = conf_read_file(a, arena_fmt(a, "%s/main.cf", dir).at, &text, why);

	if (r == 0)
		r = from_text(dir, text, skip_bad, ret_conf, why);
	arena_free(a);
	return r;
}

int conf_load_open(const char *dir, int fd, struct conf **ret_conf, struct buf *why)
{
	struct arena *a = arena_new("main.cf", NULL, CONF_MOST_MEMORY);
	struct str text;
	int r = conf_read_open(a, fd, arena_fmt(a, "%s/main.cf", dir).at, &text, why);

	if (r == 0)
		r = conf_from_text(dir, text, ret_conf, why);
	arena_free(a);
	return r;
}

/* Started with more rights than the user who started it has? */
static bool is_setid(void)
{
	return getauxval(AT_SECURE) != 0 || getuid() != geteuid() || getgid() != getegid();
}

static const char *directory(const char *dir)
{
	if (dir == NULL && !is_setid())
		dir = getenv("MAIL_CONFIG");
	return dir == NULL || *dir == '\0' ? SYSCONFDIR : dir;
}

int conf_load(const char *dir, struct conf **ret_conf, struct buf *why)
{
	return read_main_cf(directory(dir), false, ret_conf, why);
}

int conf_load_what_can_be_read(const char *dir, struct conf **ret_conf, struct buf *why)
{
	return read_main_cf(directory(dir), true, ret_conf, why);
}
