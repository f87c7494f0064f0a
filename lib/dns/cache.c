/* SPDX-License-Identifier: ISC */
#include "lib/dns/cache.h"

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/format.h"
#include "lib/base/map.h"

enum { MOST_KEPT = 4096, MOST_SECONDS = 300, MOST_BYTES = 16384 };

static struct map *entries;		/* "type name" -> struct kept */
static struct list recently = LIST_INIT(recently);

static struct str make_key(char room[300], enum dns_type type, struct str name)
{
	int n = format_text(room, 300, "%d %.*s", (int) type, PSTR(name));

	return str_make(room, (size_t) n);
}

static void free_if_unused(struct kept *k)
{
	if (!k->dropped || k->users > 0)
		return;
	free((char *) k->key.at);
	free(k->memory);
	free(k);
}

static void drop(struct kept *k)
{
	if (k->dropped)
		return;
	map_remove(entries, k->key);
	list_remove(&k->link);
	k->dropped = true;
	free_if_unused(k);
}

struct kept *kept_find(enum dns_type type, struct str name)
{
	char room[300];
	struct kept *k = entries == NULL ? NULL : map_get(entries, make_key(room, type, name));

	if (k == NULL || k->under_way)
		return NULL;
	if (mono_ms() >= k->good_until_ms) {
		drop(k);
		return NULL;
	}
	list_remove(&k->link);
	list_append(&recently, &k->link);
	k->users++;
	return k;
}

/* Makes room: the longest unused entry that is not waited for. */
static void drop_oldest(void)
{
	LIST_EACH(k, &recently, struct kept, link) {
		if (!k->under_way) {
			drop(k);
			return;
		}
	}
}

struct kept *kept_get(enum dns_type type, struct str name, bool *ret_new)
{
	struct kept *k = kept_find(type, name);
	char room[300];
	struct str key = make_key(room, type, name);

	*ret_new = false;
	if (k != NULL)
		return k;
	if (entries == NULL)
		entries = map_new();
	k = map_get(entries, key);
	if (k == NULL) {
		if (map_count(entries) >= MOST_KEPT)
			drop_oldest();
		k = get_memory(sizeof(*k));
		k->key = str_make(memcpy(get_memory(key.len + 1), key.at, key.len), key.len);
		k->under_way = *ret_new = true;
		bell_init(&k->answered);
		map_put(entries, k->key, k);
		list_append(&recently, &k->link);
	}
	k->users++;
	return k;
}

static struct str append(char **at, struct str s)
{
	struct str copy = { *at, s.len };

	if (s.len > 0)
		memcpy(*at, s.at, s.len);
	*at += s.len;
	return copy;
}

void kept_answer(struct kept *k, const struct kept *answer, uint64_t ttl)
{
	char *at;

	k->memory = at = get_memory(answer->canonical.len + answer->records.len + answer->why.len + 1);
	k->canonical = append(&at, answer->canonical);
	k->records = append(&at, answer->records);
	k->why = append(&at, answer->why);
	k->result = answer->result;
	k->status = answer->status;
	k->security = answer->security;
	k->good_until_ms = mono_ms() + 1000 * (int64_t) MIN(ttl, MOST_SECONDS);
	k->under_way = false;
	bell_ring(&k->answered);
	if (ttl == 0 || answer->records.len > MOST_BYTES)
		drop(k);
}

void kept_release(struct kept *k)
{
	k->users--;
	free_if_unused(k);
}

void kept_forget_all(void)
{
	LIST_EACH(k, &recently, struct kept, link)
		if (!k->under_way)
			drop(k);
}
