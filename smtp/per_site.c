/* SPDX-License-Identifier: ISC */
/* smtp_tls_per_site, which smtp_tls_policy_maps took the place of: one word per next hop, and per host. */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/table/table.h"
#include "smtp/policy_sources.h"
#include "smtp/smtp.h"

static struct tables *tables;

bool per_site_open(void)
{
	AUTO(buf) why = BUF_WORDS;

	tables_free(tables);
	tables = NULL;
	if (str_trim(str_of(the_client.conf.smtp_tls_per_site)).len == 0)
		return false;
	if (tables_open(str_of(the_client.conf.smtp_tls_per_site), TABLE_FOLD_KEY, &tables, &why) < 0)
		die(EX_CONFIG, "%s: %s", own_name("smtp_tls_per_site"), buf_text(&why));
	return true;
}

static int level_of(struct str word)
{
	static const struct { struct str word; int level; } words[] = {
		{ STR_INIT("NONE"), TLS_NONE }, { STR_INIT("MAY"), TLS_MAY },
		{ STR_INIT("MUST_NOPEERMATCH"), TLS_ENCRYPT }, { STR_INIT("MUST"), TLS_VERIFY },
	};

	for (size_t i = 0; i < COUNT_OF(words); i++)
		if (str_is_nocase(word, words[i].word))
			return words[i].level;
	return -EINVAL;
}

bool per_site_knows(struct str value)
{
	return level_of(str_trim(value)) >= 0;
}

/* From the weakest: nothing, may, none, encrypt, verify. */
static int rank(int level)
{
	return level == TLS_MAY ? 1 : level == TLS_NONE ? 2 : level < 0 ? 0 : 1 + level;
}

int per_site_get(struct arena *a, struct str name, int *level)
{
	struct str word;
	int r = tables_get(tables, a, arena_lower(a, name), &word), said;

	if (r < 0) {
		log_warning("%s: lookup error for \"%.*s\": %s", own_name("smtp_tls_per_site"), PSTR(name),
			    tables_why(tables));
		return -EIO;
	}
	if (r == 0)
		return 0;
	said = level_of(str_trim(word));
	if (said < 0) {
		log_warning("%s: unknown TLS policy '%.*s' for \"%.*s\"", own_name("smtp_tls_per_site"),
			    PSTR(word), PSTR(name));
		return -EINVAL;
	}
	if (rank(said) > rank(*level))
		*level = said;
	return 0;
}
