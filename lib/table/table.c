/* SPDX-License-Identifier: ISC */
/*
 * One table: what all types share. A content is either whole and current, or absent with an error
 * and words; a lookup never sees anything in between. Text types keep the old content until the new
 * one has been read completely.
 */
#include <errno.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/conf/conf.h"
#include "lib/table/files_value.h"
#include "lib/table/fold.h"
#include "lib/table/setup.h"
#include "lib/table/type.h"

enum { TEXT_LIMIT = 256 << 20 };

/* { { line }, { line } } as the text of a file. */
static int text_from_braces(struct str name, struct buf *text, struct buf *why)
{
	struct str rest, rule, line;
	int more = 1;

	if (str_unbrace(name, &rest) < 0) {
		buf_addf(why, "expected { { rule }, ... } instead of \"%.*s\"", PSTR(str_head(name, 60)));
		return -EINVAL;
	}
	while ((more = str_token_braced(&rest, ", \t\r\n", &rule)) > 0) {
		if (str_unbrace(rule, &line) < 0) {
			buf_addf(why, "expected { rule } instead of \"%.*s\"", PSTR(str_head(rule, 60)));
			return -EINVAL;
		}
		buf_add(text, line);
		buf_add_byte(text, '\n');
	}
	if (more < 0)
		buf_add_text(why, "missing '}'");
	return more;
}

/* What main.cf sets as NAME_parameter, as the text of a file; it does not change while the process lives. */
static int text_from_main(struct str name, struct buf *text, struct buf *why)
{
	struct arena *a = arena_new("main.cf parameters", NULL, 16 << 20);
	struct str set, raw, value;
	const size_t before = text->len;

	for (size_t at = 0; table_main() != NULL && conf_next_set(table_main(), &at, &set, &raw);) {
		if (set.len <= name.len + 1 || !str_starts(set, name) || set.at[name.len] != '_'
		    || !conf_get(table_main(), a, set, &value))
			continue;
		buf_addf(text, "%.*s = ", PSTR(str_skip(set, name.len + 1)));
		for (size_t i = 0; i < value.len; i++)
			buf_add_byte(text, value.at[i] == '\n' ? ' ' : value.at[i]);
		buf_add_byte(text, '\n');
	}
	arena_free(a);
	if (text->len > before)
		return 0;
	buf_addf(why, "\"%.*s\" is no path of a file, and main.cf sets no %.*s_hosts or other such parameter",
		 PSTR(name), PSTR(name));
	return -EINVAL;
}

static int read_text(struct table *t, const char *name, struct str text, void **ret_content, struct buf *why)
{
	struct source lines;
	int r;

	source_start(&lines, name, text);
	r = t->type->read(t, &lines, ret_content, why);
	source_end(&lines);
	return r;
}

static int read_text_file(struct table *t, void **ret_content, struct buf *why)
{
	AUTO(buf) text = BUF(TEXT_LIMIT + 65536);
	struct stat before, after;
	AUTO_FD fd = watch_open(t->file, &before, why);
	int r;

	if (fd < 0)
		return fd;
	r = source_read_file(fd, TEXT_LIMIT, &text);
	if (r == 0 && fstat(fd, &after) < 0)
		r = -errno;
	if (r < 0) {
		buf_addf(why, "read %s: %s", t->file->path, error_text(r));
		return r;
	}
	/* Changed while being read: what was read first counts, so that the next look reads again. */
	watch_saw(t->file, &before);
	return read_text(t, t->file->path, buf_str(&text), ret_content, why);
}

static int open_from_file(struct table *t, void **ret_content, struct buf *why)
{
	if (t->type->read != NULL)
		return read_text_file(t, ret_content, why);
	return t->type->open_file(t, t->file, ret_content, why);
}

/* The file may not be opened, but what was opened before still is what it was. */
static bool stays_with_old(const struct table *t, int error)
{
	return is_not_allowed(error) && t->content != NULL && (t->type->is_intact == NULL
							       || t->type->is_intact(t->content));
}

int table_reopen(struct table *t)
{
	void *content = NULL;
	int r;

	buf_clear(&t->why);
	r = open_from_file(t, &content, &t->why);
	if (stays_with_old(t, r)) {
		if (!t->outgrown)
			table_tell_outgrown(t->spec);
		t->outgrown = true;
		return 0;
	}
	if (t->content != NULL && t->type->close != NULL)
		t->type->close(t->content);
	t->content = r < 0 ? NULL : content;
	t->error = r;
	if (r < 0)
		t->file->seen = false;		/* try again, whatever the file looks like */
	return r;
}

/* Tables that ask a server had their parameters in main.cf before they had files. */
static bool is_name_in_main(const struct table *t)
{
	return (t->type->traits & TYPE_BLOCKS) && t->name.at[0] != '/' && t->name.at[0] != '.';
}

/* It cannot be opened now: lookups fail, and say so. With TABLE_MUST_EXIST opening it fails too. */
static int is_unavailable(struct table *t, struct buf *why)
{
	buf_clear(&t->why);
	buf_add(&t->why, buf_str(why));
	if (t->flags & TABLE_MUST_EXIST)
		return t->error;
	if (!(t->flags & TABLE_CHANGES) || t->error != -ENOENT)		/* else the first change makes it */
		table_warn("%s is unavailable. %s", t->spec, buf_text(why));
	buf_clear(why);
	return 0;
}

/* The table's spec is set; opens what it names. */
static int open_content(struct table *t, struct buf *why)
{
	AUTO(buf) path = BUF(4096);

	/* A module is loaded now or never: in the jail there is no more new code. */
	t->error = t->type->find_drivers == NULL ? 0 : t->type->find_drivers(t->type, &t->drivers, why);
	if (t->error < 0)
		return is_unavailable(t, why);
	if (t->type->open != NULL)
		return t->type->open(t, t->name, &t->content, why);
	if (t->type->read != NULL && t->name.len > 0 && (t->name.at[0] == '{' || is_name_in_main(t))) {
		AUTO(buf) text = BUF(1 << 20);
		int r = t->name.at[0] == '{' ? text_from_braces(t->name, &text,
								why) : text_from_main(t->name, &text, why);

		return r < 0 ? r : read_text(t, t->name.at, buf_str(&text), &t->content, why);
	}
	buf_add(&path, t->name);
	if (t->type->suffix != NULL)
		buf_add_text(&path, t->type->suffix);
	t->error = watch_new(buf_str(&path), &t->file, why);
	if (t->error == -EINVAL)
		return t->error;
	if (t->error == 0)
		t->error = open_from_file(t, &t->content, why);
	if (t->file != NULL && t->error < 0)
		t->file->seen = false;
	return t->error < 0 ? is_unavailable(t, why) : 0;
}

/* The spec without "proxy:" and such, and its type; NULL: no such type. */
static const struct table_type *type_of(struct str spec, struct str *ret_name)
{
	struct str type_name;

	*ret_name = spec;
	return str_cut(ret_name, ':', &type_name) ? table_type_find(type_name) : NULL;
}

bool table_is_composed(struct str spec, struct str *ret_inner)
{
	struct str name;
	const struct table_type *type = type_of(spec, &name);

	if (type == NULL || !(type->traits & TYPE_COMPOSED))
		return false;
	*ret_inner = name;
	str_unbrace(name, ret_inner);
	return true;
}

/* Have (or lack) all the tables that it is made of that trait? One that is made of none is its own. */
static bool all_have(struct str spec, enum table_traits trait, bool have, unsigned depth)
{
	struct str name, inner, word;
	const struct table_type *type = type_of(spec, &name);

	if (type == NULL || depth > 20)
		return true;
	if (type == &proxy_type)
		return all_have(name, trait, have, depth + 1);
	if (!table_is_composed(spec, &inner))
		return ((type->traits & trait) != 0) == have;
	while (str_token_braced(&inner, ", \t\r\n", &word) > 0)
		if (!all_have(word, trait, have, depth + 1))
			return false;
	return true;
}

bool table_has_fixed_keys(const struct table *t)
{
	return t->has_fixed_keys;
}

int table_open(struct str spec, unsigned flags, struct table **ret, struct buf *why)
{
	struct str name = spec, type_name;
	const struct table_type *type;
	struct table *t;
	int r;

	if (!str_cut(&name, ':', &type_name) || name.len == 0) {
		buf_addf(why, "expecting \"type:name\" form instead of \"%.*s\"", PSTR(str_head(spec, 100)));
		return -EINVAL;
	}
	key_fold_prepare();
	if (table_service_directory()[0] == 0)
		flags |= TABLE_NO_PROXY;
	type = table_type_find(type_name);
	if (type == NULL) {
		buf_addf(why, "unsupported table type: %.*s", PSTR(str_head(spec, 100)));
		return -EINVAL;
	}
	if ((flags & TABLE_NOT_ANYBODYS) && !all_have(spec, TYPE_ANYBODYS, false, 0)) {
		buf_addf(why, "%.*s: results that give rights do not come from a server that anybody may play",
			 PSTR(str_head(spec, 100)));
		return -EINVAL;
	}
	if (type == &proxy_type && (flags & TABLE_NO_PROXY))
		return table_open(name, flags, ret, why);
	if ((type->traits & TYPE_BLOCKS) && !(flags & TABLE_NO_PROXY)) {
		type = &proxy_type;
		name = spec;
	}
	t = get_memory(sizeof(*t));
	t->type = type;
	t->flags = flags | table_flags_always();
	t->why = BUF_WORDS;
	t->spec = get_memory(spec.len + 1);
	memcpy(t->spec, spec.at, spec.len);
	t->name = str_tail(str_make(t->spec, spec.len), name.len);
	t->has_fixed_keys = all_have(spec, TYPE_FIXED_KEYS, true, 0);
	r = open_content(t, why);
	if (r < 0)
		table_free(t);
	else
		*ret = t;
	return r;
}

bool table_is_proxied(struct str spec, struct str *ret_spec)
{
	struct str name = spec, type_name;
	const struct table_type *type;

	if (!str_cut(&name, ':', &type_name) || name.len == 0)
		return false;
	type = table_type_find(type_name);
	*ret_spec = type == &proxy_type ? name : spec;
	return type != NULL && (type == &proxy_type || (type->traits & TYPE_BLOCKS));
}

void table_free(struct table *t)
{
	if (t == NULL)
		return;
	if (t->content != NULL && t->type->close != NULL)
		t->type->close(t->content);
	watch_free(t->file);
	free(t->changes);		/* nobody waits */
	buf_free(&t->why);
	free(t->spec);
	free(t);
}

const char *table_spec(const struct table *t)
{
	return t->spec;
}

const char *table_why(const struct table *t)
{
	return buf_text(&t->why);
}

/* Brings the content up to date with its file. */
static void refresh(struct table *t)
{
	if (watch_changed(t->file, t->type->read != NULL && t->content != NULL) || t->error == -EAGAIN)
		table_reopen(t);
}

int table_value(struct arena *a, struct str value, struct str *ret_value, struct buf *why)
{
	if (a == NULL)
		return 1;
	if (arena_left(a) < value.len + 64) {
		buf_addf(why, "a result of %zu bytes is too long here", value.len);
		return -EMSGSIZE;
	}
	*ret_value = arena_copy(a, value);
	return 1;
}

int table_source_value(const struct table *t, struct str value, struct buf *room, struct str *ret_value,
		       struct buf *why)
{
	int r = 0;

	*ret_value = value;
	if (t->flags & TABLE_FILE_VALUES) {
		r = files_value(value, room, why);
		*ret_value = buf_str(room);
	}
	return r;
}

static int get_with_words(struct table *t, struct arena *a, struct str key, struct str *ret_value)
{
	AUTO(buf) why = BUF_WORDS;
	int r = t->type->get(t, t->content, a, key, ret_value, &why);

	if (r < 0) {
		buf_clear(&t->why);
		buf_addf(&t->why, "table %s: %s", t->spec, why.len == 0 ? error_text(r) : buf_text(&why));
	}
	return r;
}

int table_get(struct table *t, struct arena *a, struct str key, struct str *ret_value)
{
	char folded[1024];

	if (t->file != NULL)
		refresh(t);
	if (t->error < 0)
		return t->error;
	if ((t->flags & TABLE_FOLD_KEY) && (t->type->traits & TYPE_FIXED_KEYS)) {
		if (key.len > sizeof(folded) || !str_is_ascii(key)) {
			AUTO(buf) longer = BUF(2 * key.len);

			key_fold(&longer, key);
			return get_with_words(t, a, buf_str(&longer), ret_value);
		}
		for (size_t i = 0; i < key.len; i++)
			folded[i] = to_lower(key.at[i]);
		key.at = folded;
	}
	return get_with_words(t, a, key, ret_value);
}

int table_empty_result(struct table *t, struct str key)
{
	buf_clear(&t->why);
	buf_addf(&t->why, "table %s: empty result for \"%.*s\"", t->spec, PSTR(str_head(key, 100)));
	return -EBADMSG;
}

static int change(struct table *t, struct str key, const struct str *value)
{
	AUTO(buf) folded = BUF(2 * key.len + 1), why = BUF_WORDS;
	int r = -EOPNOTSUPP;

	if ((t->flags & TABLE_FOLD_KEY) && (t->type->traits & TYPE_FIXED_KEYS)) {
		key_fold(&folded, key);
		key = buf_str(&folded);
	}
	if (t->type->change != NULL && (t->flags & TABLE_CHANGES))
		r = t->type->change(t, key, value, &why);
	if (r < 0) {
		buf_clear(&t->why);
		buf_addf(&t->why, "table %s: %s", t->spec, why.len > 0 ? buf_text(&why) : r == -EOPNOTSUPP
			 ? "cannot be changed" : error_text(r));
	}
	return r;
}

int table_put(struct table *t, struct str key, struct str value)
{
	int r = change(t, key, &value);

	return r < 0 ? r : 0;
}

int table_delete(struct table *t, struct str key)
{
	return change(t, key, NULL);
}
