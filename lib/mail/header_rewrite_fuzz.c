/* SPDX-License-Identifier: ISC */
/*
 * Exchanging addresses in any header: a rewriter that changes nothing leaves every byte; one that
 * changes all leaves only its own address, and what surrounds the addresses. The first byte says
 * how many may be exchanged.
 */
#include "lib/base/die.h"
#include "lib/mail/header.h"
#include "lib/mail/mail_address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct str ours = STR_INIT("new one@n.example");

static int leave(void *arg, const struct header_mailbox *box, struct str *ret)
{
	(void) ret;
	BUG_UNLESS(!str_has_control(box->address));
	++*(size_t *) arg;
	return 0;
}

static int exchange(void *arg, const struct header_mailbox *box, struct str *ret)
{
	(void) box;
	++*(size_t *) arg;
	*ret = ours;
	return 1;
}

/* Every address in the result is ours; there are as many as were exchanged. */
static void check_all(struct arena *a, struct str whole, size_t name_len, size_t count)
{
	struct str rest = str_skip(whole, name_len), address;
	size_t found = 0;
	int r;

	while (rest.len > 0 && rest.at[0] != ':')
		rest = str_skip(rest, 1);
	rest = str_skip(rest, 1);
	while ((r = header_address_next(&rest, a, &address)) != 0)
		if (r > 0 && address.len > 0) {		/* "<@relay:>" stays */
			BUG_UNLESS(str_is(address, ours));
			found++;
		}
	BUG_UNLESS(found == count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new("fuzz", NULL, 256 << 20);
	struct str in = size == 0 ? STR_NONE : str_make((const char *) data + 1, MIN(size - 1, 50000)),
		result;
	struct header h;
	size_t seen = 0, exchanged = 0;

	if (header_next(&in, &h) > 0) {
		result = h.whole;
		BUG_UNLESS(header_rewrite(&h, a, 100000, leave, &seen, &result) >= 0);
		BUG_UNLESS(str_is(result, h.whole));
		result = h.whole;
		if (header_rewrite(&h, a, data[0] < 128 ? 100000 : data[0] - 127, exchange, &exchanged,
				   &result) >= 0 && data[0] < 128)
			check_all(a, result, h.name.len, exchanged);
	}
	arena_free(a);
	return 0;
}
