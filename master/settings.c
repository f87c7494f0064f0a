/* SPDX-License-Identifier: ISC */
/*
 * One reading of main.cf and master.cf. A reload reads anew and only then lets go of the old one,
 * so a mistake in the files changes nothing.
 */
#include "master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/daemon/startup.h"

struct settings *settings;

static int fill(struct settings *s, struct buf *why)
{
	int result = fill_common(s->conf, &s->common, why);

	if (result == 0)
		result = conf_fill(s->conf, &daemon_group, &s->daemon, why);
	if (result == 0)
		result = conf_fill(s->conf, &master_group, &s->master, why);
	return result;
}

/*
 * A worker that starts tomorrow gets the main.cf of its generation, not what somebody is writing
 * just then.
 */
static int keep_main_cf(struct settings *s, struct buf *why)
{
	const char *path = arena_fmt(s->arena, "%s/main.cf", s->config_dir).at;
	struct str text;
	int result = conf_read_file(s->arena, path, &text, why);

	if (result < 0)
		return result;
	s->main_cf = memfd_create("main.cf", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (s->main_cf < 0 || write(s->main_cf, text.at, text.len) != (ssize_t) text.len ||
	    fcntl(s->main_cf, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0) {
		result = -errno;
		buf_addf(why, "%s: cannot keep a copy: %s", path, error_text(result));
		return result;
	}
	return conf_load_open(s->config_dir, s->main_cf, &s->conf, why);
}

/* A master.cf that an editor has cut to nothing is no order to close every door. */
static int insist_on_services(const struct settings *s, struct buf *why)
{
	for (size_t i = 0; i < s->table.count; i++)
		if (s->table.services[i].line > 0)
			return 0;
	buf_addf(why, "%s/master.cf: there is no service in it", s->config_dir);
	return -EINVAL;
}

int settings_load(const char *config_dir, struct settings **ret, struct buf *why)
{
	struct arena *a = arena_new("settings", NULL, 64 << 20);
	struct settings *s = ARENA_NEW(a, struct settings);
	int result;

	s->arena = a;
	s->config_dir = arena_copy(a, str_of(config_dir)).at;
	s->main_cf = -1;
	result = keep_main_cf(s, why);
	if (result == 0)
		result = fill(s, why);
	if (result == 0)
		result = master_cf_load(s->conf, a, &s->table, why);
	if (result == 0)
		result = insist_on_services(s, why);
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
	if (s->main_cf >= 0)
		close(s->main_cf);
	arena_free(s->arena);
}
