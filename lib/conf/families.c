/* SPDX-License-Identifier: ISC */
/* The table of parameter families; see families.h. */
#include "lib/conf/families.h"

#include "lib/conf/conf_private.h"

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

	/*
	 * The longest suffix: x_destination_recipient_limit is not service x_destination's
	 * recipient_limit.
	 */
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

static int check_member(struct conf *c, const struct param_family *f, struct str name, struct buf *why)
{
	int64_t n;
	int r;

	if (f->type == PARAM_INT)
		return conf_get_int(c, name, str_of(f->default_text), f->min, f->max, &n, why);
	if (f->type != PARAM_TIME)
		return 0;
	r = conf_get_time(c, name, str_of(f->default_text), &n, why);
	return r == 0 && n > f->max * 1000 ? conf_refuse(c, name, why, "too long") : r;
}

int conf_check_families(struct conf *c, void (*say)(void *arg, const char *text), void *arg)
{
	struct str name, raw;
	int wrong = 0;

	for (size_t i = 0; conf_next_set(c, &i, &name, &raw);) {
		const struct param_family *f = param_default_by_name(name) == NULL
					       ? param_family_of(name, NULL) : NULL;
		AUTO(buf) why = BUF_WORDS;

		if (f != NULL && check_member(c, f, name, &why) < 0) {
			say(arg, buf_text(&why));
			wrong++;
		}
	}
	return wrong;
}
