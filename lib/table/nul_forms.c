/* SPDX-License-Identifier: ISC */
#include "lib/table/nul_forms.h"

/* key has room for a NUL behind it. */
static int fetch_forms(struct nul_forms *f, struct str key, fetch_key *fetch, void *db)
{
	int r = 0;

	if (!f->no_nul) {
		r = fetch(db, str_make(key.at, key.len + 1));
		if (r > 0)
			f->no_plain = true;
	}
	if (r == 0 && !f->no_plain) {
		r = fetch(db, key);
		if (r > 0)
			f->no_nul = true;
	}
	return r;
}

int nul_forms_fetch(struct nul_forms *f, struct str key, fetch_key *fetch, void *db)
{
	char with_room[1024];
	AUTO(buf) longer = BUF(key.len + 1);

	if (key.len < sizeof(with_room)) {
		memcpy(with_room, key.at, key.len);
		with_room[key.len] = 0;
		return fetch_forms(f, str_make(with_room, key.len), fetch, db);
	}
	buf_add(&longer, key);
	return fetch_forms(f, buf_str(&longer), fetch, db);
}

struct str without_nul(struct str value)
{
	return value.len > 0 && value.at[value.len - 1] == 0 ? str_head(value, value.len - 1) : value;
}
