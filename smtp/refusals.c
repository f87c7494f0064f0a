/* SPDX-License-Identifier: ISC */
/*
 * Logins that a server has refused with 535, so that they are not tried again and again until it locks the account (smtp_sasl_auth_cache_name). Kept in the memory
 * of the process, for the newest so many; a password is kept as a keyed hash that means nothing elsewhere.
 */
#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "smtp/smtp.h"

enum { MOST_REFUSALS = 1000, REFUSAL_MEMORY = 16 << 10 };

struct entry {
	struct arena *arena;		/* holds the entry itself */
	struct str host, user;
	uint64_t password;
	struct refusal what;
	when_t until;
	struct list link;
};

static struct list entries = LIST_INIT(entries);	/* newest first: all live equally long */
static size_t count;

static void forget(struct entry *e)
{
	list_remove(&e->link);
	count--;
	arena_free(e->arena);
}

static bool is_on(void)
{
	return *the_client.conf.smtp_sasl_auth_cache_name != 0 && the_client.conf.smtp_sasl_auth_cache_time > 0;
}

static struct entry *find(struct str host, const struct login *l)
{
	uint64_t password = str_hash(str_of(l->password));

	LIST_EACH(e, &entries, struct entry, link) {
		if (e->until <= mono_ms())
			forget(e);
		else if (e->password == password && str_is_nocase(e->host, host) && str_is(e->user, str_of(l->user)))
			return e;
	}
	return NULL;
}

const struct refusal *refusal_find(struct str host, const struct login *l)
{
	struct entry *e = is_on() ? find(host, l) : NULL;

	return e == NULL ? NULL : &e->what;
}

void refusal_keep(struct str host, const struct login *l, const struct refusal *r)
{
	struct arena *a;
	struct entry *e;

	if (!is_on() || find(host, l) != NULL)
		return;
	if (count >= MOST_REFUSALS)
		forget(LIST_ENTRY(entries.prev, struct entry, link));
	a = arena_new("refusal", NULL, REFUSAL_MEMORY);
	e = ARENA_NEW(a, struct entry);
	e->arena = a;
	e->host = arena_copy(a, str_head(host, 256));
	e->user = arena_copy(a, str_head(str_of(l->user), 1024));
	e->password = str_hash(str_of(l->password));
	e->what = (struct refusal){ .code = r->code, .dsn = str_c(a, str_of(r->dsn)), .text = arena_copy(a, str_head(r->text, 4096)) };
	e->until = in(the_client.conf.smtp_sasl_auth_cache_time);
	list_prepend(&entries, &e->link);
	count++;
}
