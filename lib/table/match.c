/* SPDX-License-Identifier: ISC */
#include "lib/table/match.h"

#include <errno.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/table/network.h"
#include "lib/table/source.h"
#include "lib/table/type.h"

enum { MOST_FILE_NESTING = 10, FILE_LIMIT = 64 << 20 };

struct entry {
	enum { PATTERN_TEXT, PATTERN_NETWORK, PATTERN_TABLE, PATTERN_FILE } kind;
	bool negated;
	struct str text;		/* as written, without "!"; in the patterns' arena */
	struct network network;
	struct table *table;
	struct match_file *file;
};

struct patterns {
	struct arena *arena;
	VEC(struct entry) at;
};

/* patterns that stand in a file, replaced as a whole when it changes */
struct match_file {
	struct watch *watch;
	struct patterns *patterns;
	/* lookups within it that wait for a table: it is not reread meanwhile */
	unsigned users;
	bool outgrown;			/* it changed and this process may not read it: said once */
};

struct match_list {
	char *name;
	unsigned flags;
	struct patterns *patterns;
	struct buf why;
};

/* What a list is asked about. */
struct question {
	struct match_list *list;
	struct arena *arena;
	struct str name;		/* domain, client name or text; empty: none */
	bool with_parents;
	const struct address_ip *ip;	/* NULL: none */
	struct str ip_text;
};

static int read_patterns(struct str text, unsigned depth, struct patterns **ret_p, struct buf *why);

static void free_patterns(struct patterns *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < p->at.len; i++) {
		struct entry *e = &p->at.at[i];

		table_free(e->table);
		if (e->file != NULL) {
			watch_free(e->file->watch);
			free_patterns(e->file->patterns);
			free(e->file);
		}
	}
	arena_free(p->arena);
	free(p);
}

static int read_match_file(struct match_file *f, unsigned depth, struct buf *why)
{
	AUTO(buf) text = BUF(FILE_LIMIT + 65536);
	struct patterns *p;
	struct stat st;
	AUTO_FD fd = watch_open(f->watch, &st, why);
	int r;

	if (fd < 0)
		return fd;
	r = source_read_file(fd, FILE_LIMIT, &text);
	if (r < 0) {
		buf_addf(why, "read %s: %s", f->watch->path, error_text(r));
		return r;
	}
	watch_saw(f->watch, &st);
	r = read_patterns(buf_str(&text), depth + 1, &p, why);
	if (r < 0)
		return r;
	free_patterns(f->patterns);
	f->patterns = p;
	return 0;
}

static int read_entry(struct entry *e, unsigned depth, struct buf *why)
{
	struct str rest = e->text, type;
	AUTO(buf) words = BUF_WORDS;
	int r;

	if (e->text.at[0] == '/') {
		if (depth == MOST_FILE_NESTING) {
			buf_addf(why, "%.*s: files nested too deeply", PSTR(e->text));
			return -ELOOP;
		}
		e->kind = PATTERN_FILE;
		e->file = get_memory(sizeof(*e->file));
		r = watch_new(e->text, &e->file->watch, why);
		return r < 0 ? r : read_match_file(e->file, depth, why);
	}
	if (e->text.at[0] != '[' && str_cut(&rest, ':', &type)) {
		e->kind = PATTERN_TABLE;
		return table_open(e->text, TABLE_FOLD_KEY, &e->table, why);
	}
	if (network_parse(e->text, &e->network, &words) == 0)
		e->kind = PATTERN_NETWORK;
	else if (str_find(e->text, '/') >= 0) {		/* meant to be a network; never quietly a name */
		buf_add(why, buf_str(&words));
		return -EINVAL;
	}
	return 0;
}

/*
 * To the next pattern, over comments: "127.0.0.0/8 # not 10.0.0.0/8 any more" trusts one network. A
 * comment goes on to the end of its line, which in main.cf is the logical one; it should have a
 * line of its own.
 */
static void skip_to_pattern(struct str *text, bool at_line_start)
{
	struct str comment;

	while (text->len > 0) {
		if (text->at[0] == '#') {
			str_cut(text, '\n', &comment);
			if (!at_line_start)
				table_warn("comment at end of line is not supported: \"%.*s\"",
					   PSTR(str_head(str_trim(comment), 100)));
			at_line_start = true;
			continue;
		}
		if (text->at[0] != ',' && !is_space(text->at[0]))
			return;
		at_line_start = at_line_start || text->at[0] == '\n';
		*text = str_skip(*text, 1);
	}
}

static int read_patterns(struct str text, unsigned depth, struct patterns **ret_p, struct buf *why)
{
	struct patterns *p = get_memory(sizeof(*p));
	struct str word;
	int more, r = 0;

	p->arena = arena_new("patterns", NULL, (size_t) 1 << 30);
	while (skip_to_pattern(&text, p->at.len == 0),
	       (more = str_token_braced(&text, ", \t\r\n", &word)) > 0) {
		struct entry e = { .kind = PATTERN_TEXT };

		for (; word.len > 0 && word.at[0] == '!'; word = str_skip(word, 1))
			e.negated = !e.negated;
		if (word.len == 0) {
			buf_add_text(why, "no pattern after '!'");
			r = -EINVAL;
			break;
		}
		e.text = arena_copy(p->arena, word);
		r = read_entry(&e, depth, why);
		*vec_add(p->arena, &p->at) = e;		/* also on error, to be freed */
		if (r < 0)
			break;
	}
	if (more < 0) {
		buf_add_text(why, "missing '}'");
		r = more;
	}
	if (r < 0)
		free_patterns(p);
	else
		*ret_p = p;
	return r;
}

int match_list_open(const char *name, struct str patterns, unsigned flags, struct match_list **ret,
		    struct buf *why)
{
	struct match_list *m = get_memory(sizeof(*m));
	AUTO(buf) words = BUF_WORDS;
	size_t len = strlen(name);
	int r;

	m->flags = flags;
	m->why = BUF_WORDS;
	m->name = get_memory(len + 1);
	memcpy(m->name, name, len);
	r = read_patterns(patterns, 0, &m->patterns, &words);
	if (r < 0) {
		buf_addf(why, "%s: %s", name, buf_text(&words));
		match_list_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

void match_list_free(struct match_list *m)
{
	if (m == NULL)
		return;
	free_patterns(m->patterns);
	buf_free(&m->why);
	free(m->name);
	free(m);
}

bool match_list_is_empty(const struct match_list *m)
{
	return m == NULL || m->patterns->at.len == 0;
}

const char *match_why(const struct match_list *m)
{
	return buf_text(&m->why);
}

static int cannot_tell(struct match_list *m, int error, const char *words)
{
	buf_clear(&m->why);
	buf_addf(&m->why, "%s: %s", m->name, words);
	return error;
}

static int ask_table(const struct question *q, struct table *t, struct str key)
{
	int r = table_get(t, NULL, key, NULL);

	return r < 0 ? cannot_tell(q->list, r, table_why(t)) : r;
}

/*
 * The name, then (in tables of whole keys) its parents: "example.com", or ".example.com" when
 * subdomains have to be asked for.
 */
static int match_table(const struct question *q, struct table *t)
{
	struct str key = q->name;
	ssize_t dot;
	int r = 0;

	if (key.len > 0)
		r = ask_table(q, t, key);
	while (r == 0 && key.len > 0 && q->with_parents && table_has_fixed_keys(t)) {
		dot = str_find(str_skip(key, 1), '.');
		if (dot < 0)
			break;
		key = str_skip(key, (size_t) dot + (q->list->flags & MATCH_PARENT ? 2 : 1));
		r = ask_table(q, t, key);
	}
	if (r == 0 && q->ip != NULL)
		r = ask_table(q, t, q->ip_text);
	return r;
}

static bool match_name(const struct question *q, struct str pattern)
{
	struct str name = q->name;

	if (name.len == 0)
		return false;
	if (str_is_nocase(name, pattern))
		return true;
	if (!q->with_parents || name.len <= pattern.len || !str_ends_nocase(name, pattern))
		return false;
	if (q->list->flags & MATCH_PARENT)
		return name.at[name.len - pattern.len - 1] == '.';
	return pattern.at[0] == '.';
}

static int match_patterns(const struct question *q, const struct patterns *p, bool *ret_negated);

/*
 * Reads the file again. As with tables, what was read before stays when this process has no longer
 * the right to read it.
 */
static int reread(struct match_file *f, struct buf *why)
{
	int r = read_match_file(f, 0, why);

	if (r >= 0)
		return r;
	if (!is_not_allowed(r) || !f->watch->seen) {
		f->watch->seen = false;
		return r;
	}
	if (!f->outgrown)
		table_tell_outgrown(f->watch->path);
	f->outgrown = true;
	return 0;
}

/* The file's patterns, read again when it changed. */
static int match_file(const struct question *q, struct match_file *f, bool *ret_negated)
{
	AUTO(buf) why = BUF_WORDS;
	int r;

	if (f->users == 0 && watch_changed(f->watch, true) && (r = reread(f, &why)) < 0)
		return cannot_tell(q->list, r, buf_text(&why));
	if (!f->watch->seen)
		return cannot_tell(q->list, -EIO, "a file of patterns cannot be read");
	f->users++;
	r = match_patterns(q, f->patterns, ret_negated);
	f->users--;
	return r;
}

static int match_entry(const struct question *q, const struct entry *e, bool *ret_negated)
{
	*ret_negated = false;
	switch (e->kind) {
	case PATTERN_TABLE:
		return match_table(q, e->table);
	case PATTERN_FILE:
		return match_file(q, e->file, ret_negated);
	case PATTERN_NETWORK:
		if (q->ip != NULL && network_has(&e->network, q->ip->family, q->ip->bytes))
			return 1;
		return match_name(q, e->text);		/* mydestination may hold [192.0.2.1] */
	default:
		return match_name(q, e->text);
	}
}

/* 1: an entry fits, and *ret_negated says which way it decides. */
static int match_patterns(const struct question *q, const struct patterns *p, bool *ret_negated)
{
	for (size_t i = 0; i < p->at.len; i++) {
		const struct entry *e = &p->at.at[i];
		int r = match_entry(q, e, ret_negated);

		if (r < 0)
			return r;
		if (r > 0) {
			*ret_negated = *ret_negated != e->negated;
			return 1;
		}
	}
	return 0;
}

static int ask(const struct question *q)
{
	bool negated;
	int r;

	if (q->list == NULL)
		return 0;
	r = match_patterns(q, q->list->patterns, &negated);
	return r > 0 ? !negated : r;
}

int match_domain(struct match_list *m, struct arena *a, struct str domain)
{
	struct question q = { .list = m, .arena = a, .name = domain, .with_parents = true };

	return ask(&q);
}

int match_text(struct match_list *m, struct arena *a, struct str text)
{
	struct question q = { .list = m, .arena = a, .name = text };

	return ask(&q);
}

int match_client(struct match_list *m, struct arena *a, struct str name, const struct address_ip *ip)
{
	struct question q = { .list = m, .arena = a, .name = name, .with_parents = true, .ip = ip };
	char text[64];

	ip_print(ip, text);
	q.ip_text = str_of(text);
	return ask(&q);
}

unsigned match_parent_flag(struct str list, struct str parameter)
{
	return str_lists(list, parameter) ? MATCH_PARENT : 0;
}
