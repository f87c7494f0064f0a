/* SPDX-License-Identifier: ISC */
/*
 * Which destinations deliveries have reached lately: a mark per destination in a table of fixed
 * size, since destinations themselves are gone when they have no work. Where more come to one row
 * than it has places, the oldest mark goes, which makes a stranger of a known destination and costs
 * it nothing but its preference.
 */
#include "lib/base/die.h"
#include "qmgr/schedule_private.h"

enum { ROWS = 1 << 14, PLACES = 4, KEPT_S = 3600 };

struct mark {
	uint32_t of, until_s;		/* part of a hash; until_s 0: free */
};

struct known {
	struct mark rows[ROWS][PLACES];	/* pages that no mark was made on take no memory */
};

/* The place of its mark, or the one where it should be. */
static struct mark *place_of(const struct transport *t, const struct destination *d, uint32_t *ret_of)
{
	uint64_t h = str_hash(str_of(d->key));
	struct mark *row = t->known->rows[h % ROWS], *oldest = row;

	*ret_of = (uint32_t) (h >> 32);
	for (struct mark *m = row; m < row + PLACES; m++) {
		if (m->of == *ret_of)
			return m;
		if (m->until_s < oldest->until_s)
			oldest = m;
	}
	return oldest;
}

bool destination_is_known(const struct transport *t, const struct destination *d, int64_t now_ms)
{
	const struct mark *m;
	uint32_t of;

	if (t->known == NULL)
		return false;
	m = place_of(t, d, &of);
	return m->of == of && m->until_s > (uint32_t) (now_ms / 1000);
}

void destination_succeeded(struct transport *t, const struct destination *d, int64_t now_ms)
{
	struct mark *m;
	uint32_t of;

	if (t->known == NULL)
		t->known = get_memory(sizeof(*t->known));
	m = place_of(t, d, &of);
	*m = (struct mark){ of, (uint32_t) (now_ms / 1000 + KEPT_S) };
}

void destination_forget(struct transport *t, const struct destination *d)
{
	struct mark *m;
	uint32_t of;

	if (t->known == NULL)
		return;
	m = place_of(t, d, &of);
	if (m->of == of)
		m->until_s = 0;
}
