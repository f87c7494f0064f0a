/* SPDX-License-Identifier: ISC */
#include "lib/table/results.h"

#include <errno.h>

#include "lib/base/die.h"

int results_open(struct results *r, const struct settings *s, const char *format_parameter, struct buf *why)
{
	const char *format = settings_get(s, format_parameter, NULL), *domains = settings_get(s, "domain", "");
	int64_t most;
	int error = settings_number(s, "expansion_limit", 0, 0, 1000000, &most, why);

	if (error == 0)
		error = template_compile(s->arena, str_of(format == NULL || *format == 0 ? "%s" : format),
					 &r->format, why);
	if (error < 0)
		return error;
	r->most = (size_t) most;
	return *domains == 0 ? 0 : match_list_open("domain", str_of(domains), 0, &r->domains, why);
}

void results_free(struct results *r)
{
	match_list_free(r->domains);
}

int results_wants(const struct results *r, struct arena *a, const struct address_parts *key, struct buf *why)
{
	int error;

	if (key->all.len == 0)
		return 0;
	if (r->domains == NULL)
		return 1;
	if (!key->has_domain || key->user.len == 0)
		return 0;
	error = match_text(r->domains, a, key->domain);
	if (error < 0)
		buf_add_text(why, match_why(r->domains));
	return error;
}

int results_add(const struct results *r, const struct address_parts *key, struct str value, size_t *count,
		struct buf *joined, struct buf *why)
{
	const struct address_parts parts = address_parts(value);
	AUTO(buf) one = BUF(joined->limit);
	int error;

	if (value.len == 0)
		return 0;
	error = template_expand(&r->format, key, &parts, NULL, &one);
	if (error == 0)
		return 0;
	if (error > 0 && r->most > 0 && ++*count > r->most) {
		buf_addf(why, "more results than expansion_limit (%zu)", r->most);
		return -EMSGSIZE;
	}
	if (error > 0)
		error = joined->len > 0 ? buf_add_byte(joined, ',') : 0;
	if (error >= 0)
		error = buf_add(joined, buf_str(&one));
	if (error < 0)
		buf_add_text(why, "the results together are too long");
	return error;
}
