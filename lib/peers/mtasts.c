/* SPDX-License-Identifier: ISC */
#include "lib/peers/mtasts.h"

#include <errno.h>

#include "lib/base/die.h"
#include "lib/ipc/channel.h"

enum { ASK_MS = 100000 };		/* it has its own limits, which are shorter */

static struct client *service;

void sts_use(const char *path)
{
	client_free(service);
	service = client_new(path);
}

int sts_ask(struct arena *a, struct str domain, struct sts_policy *ret)
{
	const struct mtasts_request request = { .domain = domain };
	struct mtasts_reply reply;
	int r;

	BUG_UNLESS(service != NULL);
	r = ASK(service, mtasts_request, &request, a, mtasts_reply, &reply, in(ASK_MS));
	if (r >= 0 && reply.mode > STS_ENFORCE)
		r = -EBADMSG;
	if (r < 0)
		return r;
	*ret = (struct sts_policy){ .mode = (enum sts_mode) reply.mode, .domain = arena_copy(a, domain),
				    .id = reply.id, .mx = reply.mx, .max_age = reply.max_age,
				    .failure = reply.failure, .why = reply.why };
	return 0;
}

static bool pattern_fits(struct str pattern, struct str host)
{
	struct str first;

	if (!str_starts(pattern, STR("*.")))
		return str_is_nocase(pattern, host);
	return str_cut(&host, '.', &first) && first.len > 0 && str_is_nocase(host, str_skip(pattern, 2));
}

bool sts_names(const struct sts_policy *p, struct str host)
{
	struct str rest = p->mx, pattern;

	if (str_ends(host, STR(".")))
		host.len--;
	while (str_token(&rest, "\n", &pattern))
		if (pattern_fits(pattern, host))
			return true;
	return false;
}
