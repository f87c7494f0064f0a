/* SPDX-License-Identifier: ISC */
#include "services/mtasts/policy.h"

#include <errno.h>

#include "lib/dns/rdata.h"

enum { MOST_DIGITS = 10, MOST_KEY = 32 };

static const char *const mode_names[] = { [STS_NO_POLICY] = "", [STS_NONE] = "none",
					  [STS_TESTING] = "testing", [STS_ENFORCE] = "enforce" };

enum sts_mode mode_named(struct str name)
{
	for (size_t i = STS_NONE; i < COUNT_OF(mode_names); i++)
		if (str_is(name, str_of(mode_names[i])))
			return (enum sts_mode) i;
	return STS_NO_POLICY;
}

const char *mode_name(enum sts_mode mode)
{
	return mode_names[mode];
}

/* What records and policies call their fields, known or not. */
static bool is_key(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_alnum(s.at[i]) && (i == 0 || (s.at[i] != '_' && s.at[i] != '-' && s.at[i] != '.')))
			return false;
	return s.len > 0 && s.len <= MOST_KEY;
}

/* ---- the policy file ---- */

bool pattern_is_valid(struct str pattern)
{
	struct str name = str_starts(pattern, STR("*.")) ? str_skip(pattern, 2) : pattern, valid;
	char room[256];

	for (size_t i = 0; i < name.len; i++)
		if (!is_alnum(name.at[i]) && name.at[i] != '-' && name.at[i] != '.' && name.at[i] != '_')
			return false;
	return !str_ends(name, STR(".")) && dns_name_is_valid(name, room, &valid);
}

struct reading {
	struct arena *a;
	struct buf mx;
	struct str version, mode, max_age;
	bool has_version, has_mode, has_age;
};

static int refuse(struct buf *why, const char *words, struct str what)
{
	buf_add_text(why, words);
	buf_add_printable(why, str_head(what, 80));
	return -EINVAL;
}

static void first_counts(struct str value, bool *has, struct str *ret)
{
	if (!*has)
		*ret = value;
	*has = true;
}

static int add_pattern(struct reading *r, struct str value, struct buf *why)
{
	if (!pattern_is_valid(value))
		return refuse(why, "mx is no host or pattern: ", value);
	buf_add_lower(&r->mx, value);
	return buf_add_byte(&r->mx, '\n') < 0 ? refuse(why, "too many mx", STR_NONE) : 0;
}

static int read_field(struct reading *r, struct str line, struct buf *why)
{
	struct str key, value = line;

	if (!str_cut(&value, ':', &key) || !is_key(key))
		return refuse(why, "not a line of a policy: ", line);
	value = str_trim(value);
	if (str_is(key, STR("mx")))
		return add_pattern(r, value, why);
	if (str_is(key, STR("version")))
		first_counts(value, &r->has_version, &r->version);
	else if (str_is(key, STR("mode")))
		first_counts(value, &r->has_mode, &r->mode);
	else if (str_is(key, STR("max_age")))
		first_counts(value, &r->has_age, &r->max_age);
	return 0;
}

static int judge(struct reading *r, struct policy *ret, struct buf *why)
{
	struct policy p = { .mode = mode_named(r->mode), .mx = arena_copy(r->a, buf_str(&r->mx)) };

	if (!str_is(r->version, STR("STSv1")))
		return refuse(why, "version is not STSv1: ", r->version);
	if (p.mode == STS_NO_POLICY)
		return refuse(why, "mode is none of enforce, testing, none: ", r->mode);
	if (r->max_age.len > MOST_DIGITS || str_to_int(r->max_age, 0, INT64_MAX, &p.max_age) < 0
	    || !is_digit(r->max_age.at[0]))
		return refuse(why, "max_age is no number of seconds: ", r->max_age);
	if (p.mx.len == 0 && p.mode != STS_NONE)
		return refuse(why, "no mx", STR_NONE);
	p.max_age = MIN(p.max_age, POLICY_MOST_AGE);
	*ret = p;
	return 0;
}

int policy_parse(struct str text, struct arena *a, struct policy *ret, struct buf *why)
{
	struct reading r = { .a = a, .mx = BUF(POLICY_MOST) };
	struct str line;
	int result = str_is_utf8(text) ? 0 : refuse(why, "not UTF-8", STR_NONE);

	while (result == 0 && text.len > 0) {
		str_cut(&text, '\n', &line);
		line = str_trim_end(line);
		if (line.len > 0)
			result = read_field(&r, line, why);
	}
	if (result == 0)
		result = judge(&r, ret, why);
	buf_free(&r.mx);
	return result;
}

/* ---- the TXT record ---- */

static bool is_value(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] <= ' ' || s.at[i] > '~' || s.at[i] == ';' || s.at[i] == '=')
			return false;
	return s.len > 0;
}

static bool is_id(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_alnum(s.at[i]))
			return false;
	return s.len > 0 && s.len <= POLICY_MOST_ID;
}

static struct str trim_blanks(struct str s)
{
	while (s.len > 0 && is_blank(s.at[0]))
		s = str_skip(s, 1);
	while (s.len > 0 && is_blank(s.at[s.len - 1]))
		s.len--;
	return s;
}

int record_parse(struct str text, struct str *ret_id)
{
	struct str field, key, id = STR_NONE;
	bool more = str_cut(&text, ';', &field);

	if (!str_is(trim_blanks(field), STR("v=STSv1")) || field.at[0] != 'v' || !more)
		return 0;
	while (text.len > 0) {
		struct str value;

		str_cut(&text, ';', &field);
		value = field = trim_blanks(field);
		if (field.len == 0 && text.len == 0)
			break;			/* behind the last semicolon */
		if (!str_cut(&value, '=', &key) || !is_key(key) || !is_value(value))
			return -EINVAL;
		if (str_is(key, STR("id")) && id.len == 0)
			id = value;
	}
	if (!is_id(id))
		return -EINVAL;
	*ret_id = id;
	return 1;
}
