/* SPDX-License-Identifier: ISC */
/*
 * Changing main.cf in place: -e name=value, -X name, -# name, and -r name, which takes back what -#
 * did. Comments and order stay as they are; what is not there yet goes to the end.
 */
#include "commands/postconf/postconf.h"
#include "lib/base/die.h"
#include "lib/base/map.h"

struct edit {
	struct edit_file file;
	const struct request *request;
	struct map *wanted;		/* name -> struct change */
	VEC(struct change *) in_order;
};

struct change {
	struct str name, value;
	int seen;
};

static void want(struct edit *e, struct str argument)
{
	const enum edit_kind kind = e->request->edit;
	struct arena *a = e->file.arena;
	struct str value = argument, name;
	const char *bad = bad_argument(argument);
	AUTO(buf) why = BUF_WORDS;
	struct change *c;

	if (bad != NULL)
		die(POSTCONF_FAILURE, "%s", bad);
	if (str_trim(argument).len == 0)
		die(POSTCONF_FAILURE, kind == EDIT_SET ? "missing attribute name: \"\""
		    : "-X or -# requires non-blank parameter names");
	if (kind == EDIT_SET) {
		if (conf_split_assignment(argument, &name, &value, &why) < 0)
			die(POSTCONF_FAILURE, "%s", buf_text(&why));
	} else if (str_cut(&value, '=', &name))
		die(POSTCONF_FAILURE, "-X or -# requires names without value: \"%.*s\"", PSTR(argument));
	name = str_trim(name);
	if (name.len == 0 || str_find_any(name, "\r\n") >= 0)
		die(POSTCONF_FAILURE, "-X or -# requires names without value: \"%.*s\"", PSTR(argument));
	c = map_get(e->wanted, name);
	if (c != NULL && kind == EDIT_SET)
		warn("ignoring earlier request: '%.*s = %.*s'", PSTR(c->name), PSTR(c->value));
	if (c == NULL) {
		c = ARENA_NEW(a, struct change);
		c->name = arena_copy(a, name);
		map_put(e->wanted, c->name, c);
		*vec_add(a, &e->in_order) = c;
	}
	c->value = arena_copy(a, value);
}

static struct change *wanted_by(struct edit *e, struct str line)
{
	struct str value = line, name;

	return str_cut(&value, '=', &name) ? map_get(e->wanted, str_trim(name)) : NULL;
}

static void add_setting(struct buf *b, const struct change *c)
{
	buf_addf(b, "%.*s = %.*s\n", PSTR(c->name), PSTR(c->value));
}

static void change_entry(struct edit *e, const struct piece *piece, struct change *c)
{
	if (c->seen++ == 1)
		warn("%s: multiple entries for \"%.*s\"", e->file.path, PSTR(c->name));
	switch (e->request->edit) {
	case EDIT_COMMENT_OUT:
		add_commented_out(&e->file.out, piece);
		break;
	case EDIT_SET:
		add_setting(&e->file.out, c);
		/* FALLTHROUGH */
	default:
		buf_add(&e->file.out, piece->comments);
	}
}

/* ---- -r: "#name = value" and the "#" lines of white space behind it become an entry again ---- */

static struct change *was_commented_out(struct edit *e, const struct piece *piece)
{
	const struct str line = piece->text;

	if (e->request->edit != EDIT_RESTORE || piece->is_entry || line.len < 2 || line.at[0] != '#'
	    || is_space(line.at[1]))
		return NULL;
	return wanted_by(e, str_skip(line, 1));
}

static bool is_commented_continuation(const struct piece *piece)
{
	const struct str line = piece->text;

	return !piece->is_entry && line.len > 2 && line.at[0] == '#' && is_blank(line.at[1])
	       && str_trim(str_skip(line, 1)).len > 0 && str_trim(str_skip(line, 1)).at[0] != '#';
}

/* Where the entry goes on behind piece i, over comments that were in it before; 0: nowhere. */
static size_t next_commented_continuation(const struct pieces *list, size_t i)
{
	for (i++; i < list->len && !list->at[i].is_entry; i++) {
		if (is_commented_continuation(&list->at[i]))
			return i;
		if (!is_continuation(list->at[i].text))
			break;
	}
	return 0;
}

static size_t restore(struct edit *e, const struct pieces *list, size_t i, struct change *c)
{
	if (c->seen++ > 0) {
		buf_add(&e->file.out, list->at[i].text);	/* once is enough */
		return i;
	}
	buf_add(&e->file.out, str_skip(list->at[i].text, 1));
	for (size_t next; (next = next_commented_continuation(list, i)) != 0; i = next) {
		while (++i < next)
			buf_add(&e->file.out, list->at[i].text);
		buf_add(&e->file.out, str_skip(list->at[next].text, 1));
	}
	return i;
}

static void rewrite(struct edit *e)
{
	const struct pieces list = split_pieces(e->file.arena, e->file.text);
	struct change *c;

	for (size_t i = 0; i < list.len; i++) {
		const struct piece *piece = &list.at[i];

		if ((c = was_commented_out(e, piece)) != NULL) {
			i = restore(e, &list, i, c);
			continue;
		}
		c = piece->is_entry && !is_continuation(piece->logical) ? wanted_by(e, piece->logical) : NULL;
		if (c != NULL && e->request->edit != EDIT_RESTORE)
			change_entry(e, piece, c);
		else
			buf_add(&e->file.out, piece->text);
	}
	if (e->file.out.len > 0 && e->file.out.at[e->file.out.len - 1] != '\n'
	    && !str_is(e->file.text, buf_str(&e->file.out)))
		buf_add_byte(&e->file.out, '\n');
}

static void append_missing(struct edit *e)
{
	struct buf *b = &e->file.out;

	for (size_t i = 0; i < e->in_order.len; i++)
		if (e->in_order.at[i]->seen == 0) {
			if (b->len > 0 && b->at[b->len - 1] != '\n')
				buf_add_byte(b, '\n');
			add_setting(b, e->in_order.at[i]);
		}
}

static void say_wrong(void *arg, const char *text)
{
	(void) arg;
	warn("%s", text);
}

/*
 * -E: as the programs would read it. What was wrong before and is not touched does not keep anybody
 * from repairing the rest.
 */
static void insist_on_good_values(struct edit *e, const char *dir)
{
	AUTO(buf) why = BUF_WORDS;
	struct conf *c;
	int wrong = 0;

	if (conf_from_text(dir, buf_str(&e->file.out), &c, &why) < 0)
		die(POSTCONF_FAILURE, "%s", buf_text(&why));
	for (size_t i = 0; i < e->in_order.len; i++)
		wrong += conf_check_value(c, e->in_order.at[i]->name, say_wrong, NULL);
	conf_free(c);
	if (wrong > 0)
		die(POSTCONF_FAILURE, "%s is left as it was", e->file.path);
}

void edit_main_cf(const struct request *q, char **arguments, int count)
{
	struct edit e = { .request = q, .wanted = map_new() };

	edit_open(&e.file, q->dir, "main.cf");
	for (int i = 0; i < count; i++)
		want(&e, str_of(arguments[i]));
	rewrite(&e);
	if (q->edit == EDIT_SET)
		append_missing(&e);
	if (q->check_values)
		insist_on_good_values(&e, q->dir);
	map_free(e.wanted, NULL);
	edit_commit(&e.file);
}
