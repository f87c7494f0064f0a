/* SPDX-License-Identifier: ISC */
/*
 * randmap:{ r1, r2, ... }: every key is there, with one of the values, each equally likely. A value
 * that is named twice is twice as likely.
 */
#include <errno.h>
#include <sys/random.h>

#include "lib/base/die.h"
#include "lib/table/files_value.h"
#include "lib/table/type.h"

struct values {
	struct arena *arena;
	VEC(struct str) at;
};

static void random_close(void *content)
{
	struct values *v = content;

	arena_free(v->arena);
	free(v);
}

static int add_value(const struct table *t, struct values *v, struct str value, struct buf *why)
{
	AUTO(buf) room = BUF(MOST_FILES_VALUE);
	int r = table_source_value(t, value, &room, &value, why);

	if (r == 0)
		*vec_add(v->arena, &v->at) = arena_copy(v->arena, value);
	return r;
}

static int random_open(struct table *t, struct str name, void **ret_content, struct buf *why)
{
	struct values *v;
	struct str rest, value;
	int more = 0, r = 0;

	if (str_unbrace(name, &rest) < 0) {
		buf_addf(why, "expected randmap:{ value, ... } instead of \"%.*s\"", PSTR(str_head(name, 60)));
		return -EINVAL;
	}
	v = get_memory(sizeof(*v));
	v->arena = arena_new("randmap", NULL, t->flags & TABLE_FILE_VALUES ? (size_t) 2 << 30 : 64 << 20);
	while (r == 0 && (more = str_token_braced(&rest, ", \t\r\n", &value)) > 0) {
		str_unbrace(value, &value);
		r = add_value(t, v, value, why);
	}
	if (r == 0 && more == 0 && v->at.len > 0) {
		*ret_content = v;
		return 0;
	}
	if (r == 0)
		buf_add_text(why, more < 0 ? "missing '}'" : "randmap has no value in it");
	random_close(v);
	return r < 0 ? r : -EINVAL;
}

static int random_get(struct table *t, void *content, struct arena *a, struct str key, struct str *ret_value,
		      struct buf *why)
{
	const struct values *v = content;
	uint64_t number;

	(void) t;
	(void) key;
	if (getrandom(&number, sizeof(number), 0) != (ssize_t) sizeof(number)) {
		buf_addf(why, "no random number: %s", error_text(errno));
		return -EIO;
	}
	return table_value(a, v->at.at[number % v->at.len], ret_value, why);
}

const struct table_type random_type = {
	.name = "randmap", .traits = TYPE_FIXED_KEYS, .open = random_open, .get = random_get,
	.close = random_close,
};
