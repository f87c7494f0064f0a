/* SPDX-License-Identifier: ISC */
/*
 * A TXT record, or a file of counts, of any bytes: what is accepted can be used as it is, and
 * counts are the same when they are read again.
 */
#include "lib/base/die.h"
#include "services/tlsrpt/record.h"
#include "services/tlsrpt/tally.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_places(const struct places *p)
{
	BUG_UNLESS(p->len > 0 && p->len <= MOST_PLACES);
	for (size_t i = 0; i < p->len; i++) {
		const struct place *one = &p->at[i];

		BUG_UNLESS(!str_has_control(one->is_mail ? one->address : one->path));
		BUG_UNLESS(one->is_mail ? one->address.len > 2 : one->port > 0 && one->host.len > 0
			   && one->path.at[0] == '/');
	}
}

static void check_counts(struct str text)
{
	AUTO(buf) first = BUF(8 << 20), second = BUF(8 << 20);

	tally_open(1 << 20);
	if (tally_parse(text) >= 0) {
		tally_print(&first);
		tally_close();
		tally_open(4 << 20);
		BUG_UNLESS(tally_parse(buf_str(&first)) == 0);
		tally_print(&second);
		BUG_UNLESS(str_is(buf_str(&first), buf_str(&second)));
	}
	tally_close();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_make((const char *) data, MIN(size, (size_t) 60000));
	struct arena *a = arena_new("fuzz", NULL, 4 << 20);
	struct places p;

	if (record_parse(text, a, &p) > 0)
		check_places(&p);
	check_counts(text);
	arena_free(a);
	return 0;
}
