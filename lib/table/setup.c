/* SPDX-License-Identifier: ISC */
/*
 * What a process sets once for its tables. Refers to no table type, so that lib/daemon may call it
 * in every program.
 */
#include "lib/table/setup.h"

#include <stdarg.h>

#include "lib/table/type.h"

static void (*warning)(const char *text);
static void (*outgrown)(const char *what);
static unsigned always;
static char service_directory[1024] = "private";
static char module_directory[1024] = TABLEMODULEDIR, meta_directory[1024] = SYSCONFDIR;
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

void table_set_outgrown(void (*say)(const char *what))
{
	outgrown = say;
}

void table_tell_outgrown(const char *what)
{
	if (outgrown != NULL)
		outgrown(what);
}

void table_insist(void)
{
	always = TABLE_MUST_EXIST;
}

unsigned table_flags_always(void)
{
	return always;
}

void table_set_services(const char *directory)
{
	snprintf(service_directory, sizeof(service_directory), "%s", directory == NULL ? "" : directory);
}

const char *table_service_directory(void)
{
	return service_directory;
}

void table_set_main(struct conf *c)
{
	main_conf = c;
}

struct conf *table_main(void)
{
	return main_conf;
}

void table_set_module_directories(const char *modules, const char *meta)
{
	snprintf(module_directory, sizeof(module_directory), "%s", modules);
	snprintf(meta_directory, sizeof(meta_directory), "%s", meta);
}

const char *table_module_directory(void)
{
	return module_directory;
}

const char *table_meta_directory(void)
{
	return meta_directory;
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
