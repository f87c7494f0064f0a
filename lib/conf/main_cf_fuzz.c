/* SPDX-License-Identifier: ISC */
/* Any bytes as main.cf: read, every value expanded, reviewed, a group filled. */
#include <stdint.h>

#include "lib/conf/conf_private.h"
#include "lib/conf/params/common.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(void *arg, const char *text)
{
	(void) arg;
	(void) text;
}

static void expand_all(struct conf *c)
{
	struct str name, value, text;

	for (size_t i = 0; conf_next_set(c, &i, &name, &value);) {
		struct arena *a = arena_new("fuzz", NULL, CONF_MOST_MEMORY);
		AUTO(buf) why = BUF_WORDS;

		conf_expand(c, a, value, &text, &why);
		conf_get(c, a, name, &text);
		arena_free(a);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(buf) why = BUF_WORDS;
	struct common_conf common;
	struct conf *c;

	if (size > 4096 || conf_from_text("/nonexistent", str_make((const char *) data, size), &c, &why) < 0)
		return 0;
	conf_set(c, STR("inet_interfaces"), STR("127.0.0.1"));	/* no host name look-ups */
	conf_set(c, STR("proxy_interfaces"), STR_NONE);
	expand_all(c);
	conf_review(c, ignore, NULL);
	conf_fill(c, &common_group, &common, &why);
	conf_free(c);
	return 0;
}
