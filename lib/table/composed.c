/* SPDX-License-Identifier: ISC */
/*
 * Tables made of other tables: unionmap:{ t1, t2 } asks each and joins what they find with commas;
 * pipemap:{ t1, t2 } asks each with the result of the one before; debug:table logs what is asked
 * and answered. One that cannot tell makes the whole unable to tell.
 *
 * The inner tables fold keys and follow their files themselves. None of this is replaced while it
 * is in use, so a lookup may wait.
 */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/log/log.h"
#include "lib/table/type.h"

enum { MOST_RESULT = 1 << 20, INNER_ARENA = 4 << 20, MOST_INNER = 100 };

struct composed {
	size_t count;
	struct table **at;
};

static void composed_close(void *content)
{
	struct composed *c = content;

	for (size_t i = 0; i < c->count; i++)
		table_free(c->at[i]);
	free(c->at);
	free(c);
}

static int add_inner(struct composed *c, struct str spec, unsigned flags, struct buf *why)
{
	struct table *inner;
	int r;

	if (c->count == MOST_INNER) {
		buf_addf(why, "more than %d tables in one", MOST_INNER);
		return -EINVAL;
	}
	r = table_open(spec, flags, &inner, why);
	if (r < 0)
		return r;
	c->at = resize_memory(c->at, (c->count + 1) * sizeof(struct table *));
	c->at[c->count++] = inner;
	return 0;
}

static int open_list(struct table *t, struct str name, void **ret_content, struct buf *why)
{
	struct composed *c;
	struct str rest, spec;
	int more = 1, r = 0;

	if (str_unbrace(name, &rest) < 0) {
		buf_addf(why, "expected %s:{ type:name, ... } instead of \"%.*s\"", t->type->name,
			 PSTR(str_head(name, 60)));
		return -EINVAL;
	}
	c = get_memory(sizeof(*c));
	while (r == 0 && (more = str_token_braced(&rest, ", \t\r\n", &spec)) > 0)
		r = add_inner(c, spec, t->flags, why);
	if (more < 0) {
		buf_add_text(why, "missing '}'");
		r = more;
	}
	if (r == 0 && c->count == 0) {
		buf_addf(why, "%s has no table in it", t->type->name);
		r = -EINVAL;
	}
	if (r < 0)
		composed_close(c);
	else
		*ret_content = c;
	return r;
}

static int ask_inner(struct table *inner, struct arena *a, struct str key, struct str *ret_value,
		     struct buf *why)
{
	int r = table_get(inner, a, key, ret_value);

	if (r < 0)
		buf_add_text(why, table_why(inner));
	return r;
}

static int union_get(struct table *t, void *content, struct arena *a, struct str key, struct str *ret_value,
		     struct buf *why)
{
	const struct composed *c = content;
	struct arena *own = arena_new("unionmap", NULL, INNER_ARENA);
	AUTO(buf) joined = BUF(MOST_RESULT);
	struct str value;
	int found = 0, r = 0;

	(void) t;
	for (size_t i = 0; i < c->count && r >= 0; i++) {
		r = ask_inner(c->at[i], own, key, &value, why);
		if (r <= 0)
			continue;
		if (found++ > 0)
			r = buf_add_byte(&joined, ',');
		if (r >= 0)
			r = buf_add(&joined, value);
		if (r < 0)
			buf_add_text(why, "the results together are too long");
		arena_reset(own);
	}
	arena_free(own);
	return r < 0 ? r : found == 0 ? 0 : table_value(a, buf_str(&joined), ret_value, why);
}

static int pipe_get(struct table *t, void *content, struct arena *a, struct str key, struct str *ret_value,
		    struct buf *why)
{
	const struct composed *c = content;
	struct arena *own = arena_new("pipemap", NULL, (size_t) MOST_INNER * INNER_ARENA);
	struct str value = key;
	int r = 1;

	(void) t;
	for (size_t i = 0; i < c->count && r > 0; i++)
		r = ask_inner(c->at[i], own, value, &value, why);
	if (r > 0)
		r = table_value(a, value, ret_value, why);
	arena_free(own);
	return r;
}

static int debug_open(struct table *t, struct str name, void **ret_content, struct buf *why)
{
	struct composed *c = get_memory(sizeof(*c));
	int r = add_inner(c, name, t->flags, why);

	if (r < 0)
		composed_close(c);
	else
		*ret_content = c;
	return r;
}

static int debug_get(struct table *t, void *content, struct arena *a, struct str key, struct str *ret_value,
		     struct buf *why)
{
	const struct composed *c = content;
	AUTO(buf) key_text = BUF(1000), value_text = BUF(1000);
	int r = ask_inner(c->at[0], a, key, ret_value, why);

	(void) t;
	buf_add_printable(&key_text, str_head(key, 900));
	if (r > 0 && a != NULL)
		buf_add_printable(&value_text, str_head(*ret_value, 900));
	log_info("%s lookup: \"%s\" = \"%s\"", table_spec(c->at[0]), buf_text(&key_text),
		 r < 0 ? "error" : r == 0 ? "not found" : a == NULL ? "found" : buf_text(&value_text));
	return r;
}

const struct table_type union_type = {
	.name = "unionmap", .traits = TYPE_COMPOSED, .open = open_list, .get = union_get,
	.close = composed_close,
};

const struct table_type pipe_type = {
	.name = "pipemap", .traits = TYPE_COMPOSED, .open = open_list, .get = pipe_get,
	.close = composed_close,
};

const struct table_type debug_type = {
	.name = "debug", .traits = TYPE_COMPOSED, .open = debug_open, .get = debug_get,
	.close = composed_close,
};
