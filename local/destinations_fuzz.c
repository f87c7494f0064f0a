/* SPDX-License-Identifier: ISC */
/* Lists that users write: .forward and :include: files. */
#include "lib/base/die.h"
#include "local/destinations.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new("fuzz", NULL, 64 << 20);
	struct destinations list;
	struct str bad = STR_NONE;

	if (destinations_parse(str_make((const char *) data, MIN(size, 50000)), 1000, a, &list, &bad) >= 0)
		for (size_t i = 0; i < list.count; i++)
			BUG_UNLESS(list.count <= 1000 && list.at[i].what.len > 0
				   && memchr(list.at[i].what.at, 0, list.at[i].what.len) == NULL);
	arena_free(a);
	return 0;
}
