/* SPDX-License-Identifier: ISC */
/*
 * PROXY protocol headers: what is accepted lies within the input and names addresses; a shorter
 * start of it never gives another answer.
 */
#include "lib/base/die.h"
#include "lib/smtp/haproxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str bytes = str_make((const char *) data, size);
	struct haproxy h, start;
	ssize_t n = haproxy_parse(bytes, &h);

	BUG_UNLESS(n <= (ssize_t) MIN(size, (size_t) HAPROXY_LONGEST));
	if (n > 0) {
		BUG_UNLESS(!h.proxied || (h.client.family != 0 && h.server.family != 0));
		BUG_UNLESS(haproxy_parse(str_head(bytes, (size_t) n), &start) == n);
		BUG_UNLESS(haproxy_parse(str_head(bytes, (size_t) n - 1), &start) <= 0);
	}
	return 0;
}
