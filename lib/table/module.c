/* SPDX-License-Identifier: ISC */
/*
 * Loading modules, once per process and type; before the jail closes, which allows no new code. A
 * module is NAME.so in shlib_directory, with the name that its types have for it, unless
 * dynamicmaps.cf or a file in dynamicmaps.cf.d/ says otherwise. Their lines are Postfix's:
 *
 *   type  file  function  [function]
 *
 * The functions belong to Postfix's own modules; so do files called postfix-*.so, which are of no
 * use here: the type's usual module is meant then.
 */
#include "lib/table/module.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/base/map.h"
#include "lib/base/module.h"
#include "lib/table/setup.h"
#include "lib/table/source.h"
#include "lib/table/type.h"

enum { MOST_ROWS_TEXT = 1 << 20 };

static struct map *loaded;		/* type -> struct drivers; for the life of the process */
static struct map *rows;		/* type -> file, of dynamicmaps.cf; NULL: not read yet */

/* ---- dynamicmaps.cf ---- */

static void read_rows(const char *path)
{
	AUTO(buf) text = BUF(MOST_ROWS_TEXT + 65536);
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct str rest, line, type, file;
	int r = fd < 0 ? -errno : source_read_file(fd, MOST_ROWS_TEXT, &text);

	if (r < 0 && r != -ENOENT)
		table_warn("%s: %s", path, error_text(r));
	rest = buf_str(&text);
	while (str_cut(&rest, '\n', &line) || line.len > 0) {
		char *copy;

		if (!str_token(&line, " \t\r", &type) || type.at[0] == '#')
			continue;
		if (!str_token(&line, " \t\r", &file)) {
			table_warn("%s: expected \"type file function\" instead of \"%.*s\"", path,
				   PSTR(str_head(type, 60)));
			continue;
		}
		if (map_get(rows, type) != NULL) {
			table_warn("%s: there is another line for type %.*s", path, PSTR(str_head(type, 60)));
			continue;
		}
		copy = get_memory(file.len + 1);
		memcpy(copy, file.at, file.len);
		map_put(rows, type, copy);
	}
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void read_all_rows(void)
{
	AUTO(buf) path = BUF(4096);
	struct dirent **names;
	int count;

	rows = map_new();
	buf_addf(&path, "%s/dynamicmaps.cf", table_meta_directory());
	read_rows(buf_text(&path));
	buf_add_text(&path, ".d");
	count = scandir(buf_text(&path), &names, is_visible, by_name);
	for (int i = 0; i < count; i++) {
		AUTO(buf) file = BUF(4096);

		buf_addf(&file, "%s/%s", buf_text(&path), names[i]->d_name);
		read_rows(buf_text(&file));
		free(names[i]);
	}
	if (count >= 0)
		free(names);
}

static void find_file(const struct table_type *type, struct buf *path)
{
	const char *file, *slash;

	if (rows == NULL)
		read_all_rows();
	file = map_get(rows, str_of(type->name));
	slash = file == NULL ? NULL : strrchr(file, '/');
	if (file == NULL || strncmp(slash == NULL ? file : slash + 1, "postfix-", 8) == 0)
		buf_addf(path, "%s/%s.so", table_module_directory(), type->module);
	else if (file[0] == '/')
		buf_add_text(path, file);
	else
		buf_addf(path, "%s/%s", table_module_directory(), file);
}

bool table_type_is_installed(const struct table_type *type)
{
	AUTO(buf) path = BUF(4096);

	if (type->module == NULL)
		return true;
	find_file(type, &path);
	return access(buf_text(&path), R_OK) == 0;
}

/* ---- loading ---- */

/* The rows of this type in a module's lists. */
static struct drivers drivers_in(const struct table_module *m, const char *type)
{
	struct drivers d = { 0 };

	for (const struct server_driver *s = m->servers; s != NULL && s->type != NULL; s++)
		if (strcmp(s->type, type) == 0)
			d.server = s;
	for (const struct database_driver *s = m->databases; s != NULL && s->type != NULL; s++)
		if (strcmp(s->type, type) == 0)
			d.database = s;
	for (const struct pattern_driver *s = m->patterns; s != NULL && s->type != NULL; s++)
		if (strcmp(s->type, type) == 0)
			d.pattern = s;
	return d;
}

static int load(const struct table_type *type, struct drivers *ret_drivers, struct buf *why)
{
	AUTO(buf) path = BUF(4096);
	const struct table_module *module;
	const void *object;
	int r;

	find_file(type, &path);
	r = module_load(buf_text(&path), "table_module", &object, why);
	if (r < 0)
		return r;
	module = object;
	if (module->version != TABLE_MODULE_VERSION) {
		buf_addf(why, "%s: made for another version", buf_text(&path));
		return -ENOEXEC;
	}
	*ret_drivers = drivers_in(module, type->name);
	if (ret_drivers->server != NULL || ret_drivers->database != NULL || ret_drivers->pattern != NULL)
		return 0;
	buf_addf(why, "%s: has nothing for this type", buf_text(&path));
	return -ENOEXEC;
}

int drivers_find(const struct table_type *type, struct drivers *ret_drivers, struct buf *why)
{
	AUTO(buf) words = BUF_WORDS;
	struct drivers *d = loaded == NULL ? NULL : map_get(loaded, str_of(type->name));
	int r;

	*ret_drivers = (struct drivers){ .database = type->database };
	if (type->module == NULL)
		return 0;
	if (d == NULL) {
		r = load(type, ret_drivers, &words);
		if (r < 0) {
			buf_addf(why, "no module for tables of type %s: %s", type->name, buf_text(&words));
			return r;
		}
		if (loaded == NULL)
			loaded = map_new();
		d = get_memory(sizeof(*d));
		*d = *ret_drivers;
		map_put(loaded, str_of(type->name), d);
	}
	*ret_drivers = *d;
	return 0;
}
