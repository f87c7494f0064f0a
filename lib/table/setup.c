/* SPDX-License-Identifier: ISC */
/* What a process sets once for its tables. Refers to no table type, so that lib/daemon may call it in every program. */
#include "lib/table/setup.h"

#include <stdarg.h>

#include "lib/table/type.h"

static void (*warning)(const char *text);
static void (*outgrown)(const char *spec);
static char proxy_path[256] = "private/proxymap";
static char module_directory[1024] = TABLEMODULEDIR;
static struct conf *main_conf;
static table_account *ask_user, *ask_group;

void table_set_warning(void (*say)(const char *text))
{
	warning = say;
}

void table_warn(const char *format, ...)
{
	AUTO(buf) words = BUF_WORDS;
	va_list arguments;

	if (warning == NULL)
		return;
	va_start(arguments, format);
	buf_addv(&words, format, arguments);
	va_end(arguments);
	warning(buf_text(&words));
}

void table_set_outgrown(void (*say)(const char *spec))
{
	outgrown = say;
}

void table_tell_outgrown(const struct table *t)
{
	if (outgrown != NULL)
		outgrown(t->spec);
}

void table_set_proxy(const char *path)
{
	snprintf(proxy_path, sizeof(proxy_path), "%s", path);
}

const char *table_proxy_path(void)
{
	return proxy_path;
}

void table_set_main(struct conf *c)
{
	main_conf = c;
}

struct conf *table_main(void)
{
	return main_conf;
}

void table_set_module_directory(const char *path)
{
	snprintf(module_directory, sizeof(module_directory), "%s", path);
}

const char *table_module_directory(void)
{
	return module_directory;
}

void table_set_accounts(table_account *user, table_account *group)
{
	ask_user = user;
	ask_group = group;
}

table_account *table_accounts(bool group)
{
	return group ? ask_group : ask_user;
}
