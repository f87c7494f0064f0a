/* SPDX-License-Identifier: ISC */
#include "lib/table/rules.h"

#include <errno.h>

#include "lib/base/die.h"
#include "lib/table/files_value.h"

enum { MOST_GROUPS = 99, MOST_NESTING = 100 };

struct rules {
	const struct rule_syntax *syntax;
	struct arena *arena;		/* rules, pieces */
	VEC(struct rule) at;
	struct span *groups;		/* of the lookup at hand: matching never waits */
};

/* What stands around one line while a table is read. */
struct reading {
	struct rules *rules;
	const struct table *table;
	struct source *lines;
	size_t open_ifs[MOST_NESTING];
	size_t depth;
	int error;			/* the rules cannot be read as a whole */
};

static void skip_rule(const struct reading *in, const char *why)
{
	table_warn("%s map %s, line %d: %s: skipping this rule", in->rules->syntax->name, in->lines->name,
		   in->lines->line, why);
}

void rules_free(void *content)
{
	struct rules *rs = content;

	if (rs == NULL)
		return;
	for (size_t i = 0; i < rs->at.len; i++)
		if (rs->at.at[i].pattern != NULL)
			rs->syntax->discard(rs->at.at[i].pattern);
	free(rs->groups);
	arena_free(rs->arena);
	free(rs);
}

/* The group behind a $: its number is taken off *rest. -EINVAL with words. */
static int take_group(struct str *rest, size_t *ret_group, struct buf *why)
{
	char close = rest->len > 0 && rest->at[0] == '{' ? '}' : rest->len > 0
		     && rest->at[0] == '(' ? ')' : 0;
	struct str name;
	size_t n = 0;
	int64_t number;

	if (close != 0) {
		*rest = str_skip(*rest, 1);
		if (!str_cut(rest, close, &name)) {
			buf_addf(why, "missing '%c' in replacement text", close);
			return -EINVAL;
		}
	} else {
		while (n < rest->len && (is_alnum(rest->at[n]) || rest->at[n] == '_'))
			n++;
		name = str_head(*rest, n);
		*rest = str_skip(*rest, n);
	}
	if (str_to_int(name, 0, INT32_MAX, &number) < 0) {
		buf_addf(why, "non-numeric replacement index \"%.*s\"", PSTR(str_head(name, 30)));
		return -EINVAL;
	}
	*ret_group = (size_t) number;
	return 0;
}

/* May this rule's result refer to that group? */
static int check_group(const struct reading *in, const struct rule *r, size_t group, struct buf *why)
{
	if (in->table->flags & TABLE_NO_REGEXP_SUBSTITUTION)
		buf_add_text(why, "$number substitution is not allowed in this table");
	else if (r->negated)
		buf_add_text(why, "$number found in negative match replacement text");
	else if (group == 0 || group > MIN(r->groups, MOST_GROUPS))
		buf_addf(why, "out of range replacement index \"%zu\"", group);
	else
		return 0;
	return -EINVAL;
}

/* Cuts a result into pieces of text and groups. Without groups in the syntax a $ is itself. */
static int compile_result(const struct reading *in, struct str text, struct rule *r, struct buf *why)
{
	struct arena *a = in->rules->arena;
	VEC(struct piece) pieces = { 0 };
	struct str head;
	size_t group;

	if (!in->rules->syntax->has_groups) {
		*vec_add(a, &pieces) = (struct piece){ arena_copy(a, text), 0 };
		text = STR_NONE;
	}
	while (text.len > 0) {
		bool dollar = str_cut(&text, '$', &head);
		struct piece piece = { arena_copy(a, head), 0 };

		if (dollar && text.len > 0 && text.at[0] == '$') {
			piece.text = arena_fmt(a, "%.*s$", PSTR(head));
			text = str_skip(text, 1);
		} else if (dollar) {
			if (take_group(&text, &group, why) < 0 || check_group(in, r, group, why) < 0)
				return -EINVAL;
			piece.group = group;
		}
		*vec_add(a, &pieces) = piece;
	}
	r->pieces = pieces.at;
	r->piece_count = pieces.len;
	return 0;
}

static struct str skip_space(struct str s)
{
	while (s.len > 0 && is_space(s.at[0]))
		s = str_skip(s, 1);
	return s;
}

/* "!" (any number), then the pattern. */
static int read_pattern(struct reading *in, struct str *rest, struct rule *r, struct buf *why)
{
	while (rest->len > 0 && rest->at[0] == '!') {
		r->negated = !r->negated;
		*rest = skip_space(str_skip(*rest, 1));
	}
	if (rest->len == 0) {
		buf_add_text(why, "no pattern");
		return -EINVAL;
	}
	return in->rules->syntax->compile(rest, r->kind == RULE_RESULT && !r->negated, &r->pattern,
					  &r->groups, why);
}

static bool is_keyword(struct str line, struct str word)
{
	return str_starts_nocase(line, word) && (line.len == word.len || !is_alnum(line.at[word.len]));
}

/* Often a line of its own that begins with white space, and so continues this one. */
static void warn_of_extra(const struct reading *in, const char *what)
{
	table_warn("%s map %s, line %d: ignoring extra text after %s: lines between IF and ENDIF do not begin with white space",
		   in->rules->syntax->name, in->lines->name, in->lines->line, what);
}

static int read_if(struct reading *in, struct str rest, struct rule *r, struct buf *why)
{
	int error;

	r->kind = RULE_IF;
	if (in->depth == MOST_NESTING) {
		buf_add_text(why, "IF nested too deeply");
		return -EINVAL;
	}
	error = read_pattern(in, &rest, r, why);
	if (error < 0)
		return error;
	if (str_trim(rest).len > 0)
		warn_of_extra(in, "IF pattern");
	in->open_ifs[in->depth++] = in->rules->at.len;
	return 0;
}

static int read_endif(struct reading *in, struct str rest, struct rule *r, struct buf *why)
{
	r->kind = RULE_ENDIF;
	if (rest.len > 0)
		warn_of_extra(in, "ENDIF");
	if (in->depth == 0) {
		buf_add_text(why, "ENDIF without IF");
		return -EINVAL;
	}
	in->rules->at.at[in->open_ifs[--in->depth]].end = in->rules->at.len;
	return 0;
}

static int read_result(struct reading *in, struct str rest, struct rule *r, struct buf *why)
{
	AUTO(buf) room = BUF(MOST_FILES_VALUE);
	int error = read_pattern(in, &rest, r, why);

	if (error < 0)
		return error;
	rest = str_trim(rest);
	if (rest.len == 0 && !in->rules->syntax->has_groups) {
		buf_add_text(why, "no lookup result");
		return -EINVAL;
	}
	if (rest.len == 0)
		table_warn("%s map %s, line %d: no replacement text: using empty string",
			   in->rules->syntax->name, in->lines->name, in->lines->line);
	error = table_source_value(in->table, rest, &room, &rest, why);
	if (error < 0) {
		in->error = is_not_allowed(error) ? error : 0;
		return error;
	}
	return compile_result(in, rest, r, why);
}

static void read_rule(struct reading *in, struct str line)
{
	struct rules *rs = in->rules;
	struct rule r = { .kind = RULE_RESULT, .line = in->lines->line, .end = SIZE_MAX };
	AUTO(buf) why = BUF_WORDS;
	int error;

	if (is_keyword(line, STR("if")))
		error = read_if(in, skip_space(str_skip(line, 2)), &r, &why);
	else if (is_keyword(line, STR("endif")))
		error = read_endif(in, skip_space(str_skip(line, 5)), &r, &why);
	else
		error = read_result(in, line, &r, &why);
	if (error == 0) {
		*vec_add(rs->arena, &rs->at) = r;
		return;
	}
	if (r.pattern != NULL)
		rs->syntax->discard(r.pattern);
	skip_rule(in, buf_text(&why));
}

int rules_read(const struct rule_syntax *syntax, const struct table *t, struct source *lines,
	       struct rules **ret_rules, struct buf *why)
{
	struct rules *rs = get_memory(sizeof(*rs));
	struct reading in = { .rules = rs, .table = t, .lines = lines };
	struct str line;
	size_t most_groups = 0;

	rs->syntax = syntax;
	rs->arena = arena_new("rules", NULL, (size_t) 2 << 30);
	while (in.error == 0 && source_next(lines, &line))
		read_rule(&in, line);
	while (in.depth > 0) {
		struct rule *open_if = &rs->at.at[in.open_ifs[--in.depth]];

		open_if->end = rs->at.len;
		table_warn("%s map %s, line %d: IF has no matching ENDIF", syntax->name, lines->name,
			   open_if->line);
	}
	for (size_t i = 0; i < rs->at.len; i++)
		most_groups = MAX(most_groups, rs->at.at[i].groups);
	rs->groups = get_memory((most_groups + 1) * sizeof(*rs->groups));
	if (in.error < 0) {
		buf_addf(why, "%s: files that it names: %s", lines->name, error_text(in.error));
		rules_free(rs);
		return in.error;
	}
	*ret_rules = rs;
	return 0;
}

static int expand(const struct rule *r, const struct subject *s, struct arena *a, struct str *ret_value,
		  struct buf *why)
{
	AUTO(buf) value = BUF(1 << 20);

	if (a == NULL || r->piece_count == 0)
		return table_value(a, STR_NONE, ret_value, why);
	if (r->piece_count == 1 && r->pieces[0].group == 0)
		return table_value(a, r->pieces[0].text, ret_value, why);
	for (size_t i = 0; i < r->piece_count; i++) {
		const struct piece *piece = &r->pieces[i];
		int error = buf_add(&value, piece->text);

		if (piece->group > 0 && error == 0) {
			const struct span *span = &s->groups[piece->group];

			if (span->from != SIZE_MAX)
				error = buf_add(&value, str_make(s->key.at + span->from,
								 span->to - span->from));
		}
		if (error < 0) {
			buf_addf(why, "line %d: result too long", r->line);
			return error;
		}
	}
	return table_value(a, buf_str(&value), ret_value, why);
}

int rules_get(const struct rules *rs, struct arena *a, struct str key, struct str *ret_value, struct buf *why)
{
	_Alignas(8) char room[64];
	struct subject s = { .key = key, .parsed = room, .groups = rs->groups };
	size_t i = 0;

	if (rs->syntax->prepare != NULL && !rs->syntax->prepare(key, room))
		return 0;
	while (i < rs->at.len) {
		const struct rule *r = &rs->at.at[i];
		int fits = r->kind == RULE_ENDIF ? 0 : rs->syntax->match(r, &s, why);
		bool applies = fits != NOT_COMPARABLE && (fits > 0) != r->negated;

		if (fits < 0)
			return fits;
		if (r->kind == RULE_RESULT && applies)
			return expand(r, &s, a, ret_value, why);
		i = r->kind == RULE_IF && !applies ? r->end : i + 1;
	}
	return 0;
}

int take_delimited(struct str *rest, struct str *ret_pattern, struct str *ret_flags, struct buf *why)
{
	char delimiter = rest->at[0];
	size_t i;

	if (is_alnum(delimiter) || delimiter == '\\') {
		buf_addf(why, "invalid regexp delimiter \"%c\"", delimiter);
		return -EINVAL;
	}
	for (i = 1; i < rest->len && rest->at[i] != delimiter; i++)
		if (rest->at[i] == '\\')
			i++;
	if (i >= rest->len) {
		buf_addf(why, "no closing regexp delimiter \"%c\"", delimiter);
		return -EINVAL;
	}
	*ret_pattern = str_make(rest->at + 1, i - 1);
	*rest = str_skip(*rest, i + 1);
	for (i = 0; i < rest->len && !is_space(rest->at[i]); i++)
		;
	*ret_flags = str_head(*rest, i);
	*rest = str_skip(*rest, i);
	return 0;
}
