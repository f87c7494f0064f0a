/* SPDX-License-Identifier: ISC */
#include "services/mtasts/cache.h"

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/map.h"

enum { ENTRY_BYTES = 600 };		/* what an entry costs besides its texts */

static struct {
	struct map *by_domain;
	struct list all;
	size_t bytes, most_bytes;
} cache;

void cache_open(size_t most_bytes)
{
	cache.by_domain = map_new();
	list_init(&cache.all);
	cache.bytes = 0;
	cache.most_bytes = most_bytes;
}

static size_t size_of(const struct known *k)
{
	return ENTRY_BYTES + k->domain.len + k->id.len + k->policy.mx.len;
}

struct known *cache_find(struct str domain)
{
	return map_get(cache.by_domain, domain);
}

static struct str put_text(char **at, struct str text)
{
	struct str copy = { memcpy(*at, text.at, text.len), text.len };

	*at += text.len;
	return copy;
}

/* Any of them may be the present one. */
static void set_texts(struct known *k, struct str domain, struct str id, struct str mx)
{
	char *fresh = get_memory(domain.len + id.len + mx.len + 1), *at = fresh;

	k->domain = put_text(&at, domain);
	k->id = put_text(&at, id);
	k->policy.mx = put_text(&at, mx);
	free(k->texts);
	k->texts = fresh;
}

struct known *cache_get(struct str domain)
{
	struct known *k = cache_find(domain);

	if (k != NULL)
		return k;
	k = get_memory(sizeof(*k));
	set_texts(k, domain, STR_NONE, STR_NONE);
	bell_init(&k->done);
	list_append(&cache.all, &k->link);
	map_put(cache.by_domain, domain, k);
	cache.bytes += size_of(k);
	return k;
}

void cache_touch(struct known *k)
{
	k->used_s = wall_s();
	list_remove(&k->link);
	list_append(&cache.all, &k->link);
}

void cache_set_policy(struct known *k, const struct policy *p, struct str id, int64_t fetched_s)
{
	cache.bytes -= size_of(k);
	k->policy.mode = p->mode;
	k->policy.max_age = p->max_age;
	set_texts(k, k->domain, id, p->mx);
	k->fetched_s = fetched_s;
	cache.bytes += size_of(k);
}

bool policy_is_live(struct known *k)
{
	static const struct policy none = { .mode = STS_NO_POLICY, .mx = { "", 0 } };

	if (k->policy.mode == STS_NO_POLICY)
		return false;
	if (wall_s() < k->fetched_s + k->policy.max_age)
		return true;
	cache_set_policy(k, &none, STR_NONE, 0);
	return false;
}

static void drop(struct known *k)
{
	cache.bytes -= size_of(k);
	list_remove(&k->link);
	map_remove(cache.by_domain, k->domain);
	free(k->texts);
	free(k);
}

void cache_shrink(void)
{
	LIST_EACH(k, &cache.all, struct known, link) {
		if (cache.bytes <= cache.most_bytes)
			break;
		if (k->users == 0 && !k->under_way)
			drop(k);
	}
}

struct list *cache_all(void)
{
	return &cache.all;
}

void cache_close(void)
{
	LIST_EACH(k, &cache.all, struct known, link)
		drop(k);
	map_free(cache.by_domain, NULL);
}
