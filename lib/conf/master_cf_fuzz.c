/* SPDX-License-Identifier: ISC */
/* Any bytes as master.cf. */
#include <stdint.h>

#include "lib/conf/conf_private.h"
#include "lib/conf/master_cf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(buf) why = BUF_WORDS;
	struct arena *a = arena_new("fuzz", NULL, CONF_MOST_MEMORY);
	struct master_cf m;
	struct conf *c;

	if (conf_from_text("/nonexistent", STR("compatibility_level = 3.6\n"), &c, &why) == 0) {
		master_cf_parse(c, a, "master.cf", str_make((const char *) data, size), &m, &why);
		conf_free(c);
	}
	arena_free(a);
	return 0;
}
