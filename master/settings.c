/* SPDX-License-Identifier: ISC */
/* One reading of main.cf and master.cf. A reload reads anew and only then lets go of the old one, so a mistake in the files changes nothing. */
#include "master/master.h"

#include "lib/base/die.h"

struct settings *settings;

static int fill(struct settings *s, struct buf *why)
{
	int result = conf_fill(s->conf, &common_group, &s->common, why);

	if (result == 0)
		result = conf_fill(s->conf, &daemon_group, &s->daemon, why);
	if (result == 0)
		result = conf_fill(s->conf, &master_group, &s->master, why);
	return result;
}

int settings_load(const char *config_dir, struct settings **ret, struct buf *why)
{
	struct arena *a = arena_new("settings", NULL, 64 << 20);
	struct settings *s = ARENA_NEW(a, struct settings);
	int result;

	s->arena = a;
	s->config_dir = arena_copy(a, str_of(config_dir)).at;
	result = conf_load(config_dir, &s->conf, why);
	if (result == 0)
		result = fill(s, why);
	if (result == 0)
		result = master_cf_load(s->conf, a, &s->table, why);
	if (result < 0) {
		settings_free(s);
		return result;
	}
	*ret = s;
	return 0;
}

void settings_free(struct settings *s)
{
	if (s == NULL)
		return;
	if (s->conf != NULL)
		conf_free(s->conf);
	arena_free(s->arena);
}
