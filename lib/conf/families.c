/* SPDX-License-Identifier: ISC */
/* The table of parameter families; see families.h. */
#include "lib/conf/families.h"

const struct param_family param_families[] = {
#define FAMILY(type_, suffix_, text_, min_, max_, programs_, doc_) \
	{ .suffix = #suffix_, .type = PARAM_##type_, .default_text = text_, .min = min_, .max = max_, .programs = programs_, .doc = doc_ },
#include "lib/conf/params/families.def"
#undef FAMILY
};
const size_t param_family_count = COUNT_OF(param_families);

const struct param_family *param_family_of(struct str name, struct str *ret_service)
{
	const struct param_family *best = NULL;
	size_t best_len = 0;

	/* The longest suffix: x_destination_recipient_limit is not service x_destination's recipient_limit. */
	for (size_t i = 0; i < COUNT_OF(param_families); i++) {
		struct str suffix = str_of(param_families[i].suffix);

		if (suffix.len > best_len && name.len > suffix.len && str_ends(name, suffix)) {
			best = &param_families[i];
			best_len = suffix.len;
		}
	}
	if (best == NULL || str_is(str_head(name, name.len - best_len), STR("default")))
		return NULL;
	if (ret_service != NULL)
		*ret_service = str_head(name, name.len - best_len);
	return best;
}
