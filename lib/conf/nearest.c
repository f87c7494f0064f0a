/* SPDX-License-Identifier: ISC */
/* Did you mean ...? Which known name an unknown one may have been meant for. */
#include "lib/conf/conf_private.h"
#include "lib/conf/families.h"
#include "lib/conf/review.h"

enum { MOST_NAME = 80 };	/* longer names are not compared */

/*
 * How many letters are to be inserted, removed, replaced or exchanged with their neighbour to make
 * one of the other; more than `most`: most + 1.
 */
static size_t distance(struct str a, struct str b, size_t most)
{
	size_t rows[3][MOST_NAME + 1], *before = rows[0], *above = rows[1], *row = rows[2];

	if (a.len > MOST_NAME || b.len > MOST_NAME || MAX(a.len, b.len) - MIN(a.len, b.len) > most)
		return most + 1;
	for (size_t j = 0; j <= b.len; j++)
		above[j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		size_t *const oldest = before;

		row[0] = i;
		for (size_t j = 1; j <= b.len; j++) {
			const bool same = a.at[i - 1] == b.at[j - 1];

			row[j] = MIN(above[j], row[j - 1]) + 1;
			row[j] = MIN(row[j], above[j - 1] + !same);
			if (i > 1 && j > 1 && a.at[i - 1] == b.at[j - 2] && a.at[i - 2] == b.at[j - 1])
				row[j] = MIN(row[j], before[j - 2] + 1);
		}
		before = above;
		above = row;
		row = oldest;
	}
	return MIN(above[b.len], most + 1);
}

struct search {
	struct review *v;
	struct str wanted, best;
	size_t least;
};

/*
 * A name that main.cf sets may be unused itself, and is no answer then; to find that out is dearer
 * than to measure.
 */
static void compare(struct search *s, struct str name, bool known)
{
	const size_t d = distance(s->wanted, name, s->least);

	if (d >= s->least || (!known && review_class(s->v, name) == NAME_UNUSED))
		return;
	s->least = d;
	s->best = name;
}

struct str review_nearest(struct review *v, struct arena *a, struct str name)
{
	const struct master_cf *m = review_services(v);
	struct conf *c = review_conf(v);
	struct search s = { .v = v, .wanted = arena_lower(a, name),
			    .least = MIN(name.len / 4 + 1, (size_t) 4) };
	struct str set, value;

	for (const struct param_group *const *g = all_groups; *g != NULL; g++)
		for (size_t i = 0; i < (*g)->count; i++)
			compare(&s, str_of((*g)->params[i].name), true);
	for (size_t i = 0; i < m->count; i++)
		for (size_t j = 0; m->services[i].type == SERVICE_UNIX && j < param_family_count; j++)
			compare(&s, arena_fmt(a, "%.*s%s", PSTR(m->services[i].name),
					      param_families[j].suffix), true);
	for (size_t i = 0; conf_next_set(c, &i, &set, &value);)
		compare(&s, set, false);
	return s.best.at == NULL ? STR_NONE : s.best;
}
