/* SPDX-License-Identifier: ISC */
/* See sessions.h. Numbers are kept as pointers that are none; only those above 0. */
#include "services/anvil/sessions.h"

static struct map *sessions;		/* of all processes */
static size_t names;			/* in the maps of all processes together */

void sessions_begin(void)
{
	sessions = map_new();
}

static uintptr_t sessions_of(const struct map *m, struct str name)
{
	return (uintptr_t) map_get(m, name);
}

static void set_sessions(struct map *m, struct str name, uintptr_t n)
{
	if (n > 0)
		map_put(m, name, (void *) n);
	else
		map_remove(m, name);
}

uintptr_t sessions_note(struct map *of_process, struct str name, uintptr_t n)
{
	const uintptr_t before = sessions_of(of_process, name);
	const uintptr_t all = sessions_of(sessions, name) - before + n;

	if (before == 0 && names >= MOST_SESSION_NAMES)
		return all;
	names += (size_t) (n > 0) - (before > 0);
	set_sessions(of_process, name, n);
	set_sessions(sessions, name, all);
	return all;
}

void sessions_forget(struct map *of_process)
{
	for (struct map_at i = { 0 }; map_next(of_process, &i);)
		set_sessions(sessions, i.key, sessions_of(sessions, i.key) - (uintptr_t) i.value);
	names -= map_count(of_process);
	map_free(of_process, NULL);
}
