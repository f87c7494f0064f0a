/* SPDX-License-Identifier: ISC */
/* Lists of tables, and the order in which the forms of an address are looked up in them. */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/table/extension.h"
#include "lib/table/type.h"

struct tables {
	size_t count;
	struct table **at;
	const struct table *last;	/* that found, or could not tell */
};

int tables_open(struct str specs, unsigned flags, struct tables **ret, struct buf *why)
{
	struct tables *ts = get_memory(sizeof(*ts));
	struct str spec;
	int more, r = 0;

	while ((more = str_token_braced(&specs, ", \t\r\n", &spec)) > 0 && r == 0) {
		struct table *t;

		r = table_open(spec, flags, &t, why);
		if (r < 0)
			break;
		ts->at = resize_memory(ts->at, (ts->count + 1) * sizeof(struct table *));
		ts->at[ts->count++] = t;
	}
	if (more < 0 && r == 0) {
		buf_add_text(why, "missing '}'");
		r = more;
	}
	if (r < 0)
		tables_free(ts);
	else
		*ret = ts;
	return r;
}

void tables_free(struct tables *ts)
{
	if (ts == NULL)
		return;
	for (size_t i = 0; i < ts->count; i++)
		table_free(ts->at[i]);
	free(ts->at);
	free(ts);
}

bool tables_are_empty(const struct tables *ts)
{
	return ts == NULL || ts->count == 0;
}

static int get_from_each(struct tables *ts, struct arena *a, struct str key, bool part, struct str *ret_value)
{
	for (size_t i = 0; ts != NULL && i < ts->count; i++) {
		int r;

		if (part && !table_has_fixed_keys(ts->at[i]))
			continue;
		r = table_get(ts->at[i], a, key, ret_value);
		if (r != 0) {
			ts->last = ts->at[i];
			return r > 0 && a != NULL
			       && ret_value->len == 0 ? table_empty_result(ts->at[i], key) : r;
		}
	}
	return 0;
}

int tables_get(struct tables *ts, struct arena *a, struct str key, struct str *ret_value)
{
	return get_from_each(ts, a, key, false, ret_value);
}

int tables_get_part(struct tables *ts, struct arena *a, struct str key, struct str *ret_value)
{
	return get_from_each(ts, a, key, true, ret_value);
}

int tables_get_domain(struct tables *ts, struct arena *a, struct str name, struct str *ret_key,
		      struct str *ret_value)
{
	struct str key = name;

	for (;;) {
		int r = tables_get(ts, a, key, ret_value);
		ssize_t dot;

		*ret_key = key;
		if (r != 0)
			return r;
		dot = str_find(str_skip(key, 1), '.');
		if (dot < 0)
			return 0;
		key = str_skip(key, (size_t) dot + 1);
	}
}

const char *tables_why(const struct tables *ts)
{
	return ts->last == NULL ? "" : table_why(ts->last);
}

const char *tables_answered_by(const struct tables *ts)
{
	return ts->last == NULL ? "" : table_spec(ts->last);
}

uid_t tables_owner(const struct tables *ts)
{
	const struct watch *file = ts->last == NULL ? NULL : ts->last->file;

	return file == NULL || !file->seen ? 0 : file->as_seen.st_uid;
}

/*
 * May the local part stand in an address as it is (RFC 5321 dot-string; bytes above 127 of SMTPUTF8
 * may, too)?
 */
static bool is_dot_string(struct str local)
{
	for (size_t i = 0; i < local.len; i++) {
		char c = local.at[i];

		if (c == '.' ? i == 0 || i + 1 == local.len || local.at[i + 1] == '.'
			     : !is_alnum(c) && (unsigned char) c < 128
			     && (c == 0 || strchr("!#$%&'*+-/=?^_`{|}~", c) == NULL))
			return false;
	}
	return local.len > 0;
}

static void add_form(struct buf *b, struct str local, struct str at_domain, bool quoted)
{
	if (quoted)
		buf_add_byte(b, '"');
	for (size_t i = 0; i < local.len; i++) {
		if (quoted && (local.at[i] == '"' || local.at[i] == '\\'))
			buf_add_byte(b, '\\');
		buf_add_byte(b, local.at[i]);
	}
	if (quoted)
		buf_add_byte(b, '"');
	buf_add(b, at_domain);
}

/*
 * One form of an address. A local part that needs quotes is looked up with them, as it stands in
 * the sources of tables, and then without, as they had it before Postfix 3.2.
 */
static int get_form(struct tables *ts, struct arena *a, struct str local, struct str at_domain, bool part,
		    struct str *ret_value)
{
	AUTO(buf) key = BUF(2 * local.len + at_domain.len + 3);
	char room[512];
	int r;

	if (is_dot_string(local) && local.len + at_domain.len <= sizeof(room)) {
		memcpy(room, local.at, local.len);
		memcpy(room + local.len, at_domain.at, at_domain.len);
		return get_from_each(ts, a, str_make(room, local.len + at_domain.len), part, ret_value);
	}
	if (local.len > 0 && !is_dot_string(local)) {
		add_form(&key, local, at_domain, true);
		r = get_from_each(ts, a, buf_str(&key), part, ret_value);
		if (r != 0)
			return r;
		buf_clear(&key);
	}
	add_form(&key, local, at_domain, false);
	return get_from_each(ts, a, buf_str(&key), part, ret_value);
}

int tables_get_address(struct tables *ts, struct arena *a, struct str address,
		       const struct address_lookup *how, struct str *ret_value, struct str *ret_extension)
{
	ssize_t at = str_find_last(address, '@');
	struct str local = at < 0 ? address : str_head(address, (size_t) at);
	struct str at_domain = at < 0 ? STR_NONE : str_skip(address, (size_t) at);
	const size_t cut = extension_at(local, how->delimiter, !how->splits_list_names);
	struct str user = str_head(local, cut), extension = str_skip(local, cut), none;
	bool has_extension = cut > 0;
	int r;

	if (ret_extension == NULL)
		ret_extension = &none;
	if (tables_are_empty(ts))
		return 0;
	*ret_extension = STR_NONE;
	r = get_form(ts, a, local, at_domain, false, ret_value);
	if (r == 0 && at >= 0 && has_extension) {
		r = get_form(ts, a, user, at_domain, true, ret_value);
		if (r > 0)
			*ret_extension = extension;
	}
	if (r == 0 && at >= 0 && how->local_domain)
		r = get_form(ts, a, local, STR_NONE, true, ret_value);
	if (r == 0 && has_extension && (at < 0 || how->local_domain)) {
		r = get_form(ts, a, user, STR_NONE, true, ret_value);
		if (r > 0)
			*ret_extension = extension;
	}
	if (r == 0 && at >= 0 && !how->no_domain_catch_all)
		r = tables_get_part(ts, a, at_domain, ret_value);
	return r;
}
