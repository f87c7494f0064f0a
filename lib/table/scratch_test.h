/* SPDX-License-Identifier: ISC */
/* A scratch directory, its files, and time that passes on demand: for the tests of this room. */
#ifndef ROAD_TABLE_SCRATCH_H
#define ROAD_TABLE_SCRATCH_H

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/table/table.h"

#define HELPER __attribute__((unused)) static

HELPER struct arena *arena;
HELPER char directory[64];
HELPER struct buf warnings;

HELPER void warn(const char *text)
{
	buf_add_text(&warnings, text);
	buf_add_byte(&warnings, '\n');
}

HELPER int set_up(void **state)
{
	(void) state;
	arena = arena_new("test", NULL, 16 << 20);
	warnings = BUF(1 << 16);
	table_set_warning(warn);
	table_set_module_directories("modules", directory);
	snprintf(directory, sizeof(directory), "/tmp/table_test.XXXXXX");
	return mkdtemp(directory) == NULL;
}

HELPER int tear_down(void **state)
{
	DIR *d = opendir(directory);
	struct dirent *entry;

	(void) state;
	while ((entry = readdir(d)) != NULL)
		if (entry->d_name[0] != '.')
			assert_int_equal(unlinkat(dirfd(d), entry->d_name, 0), 0);
	closedir(d);
	assert_int_equal(rmdir(directory), 0);
	clock_set_for_test(-1, -1);
	buf_free(&warnings);
	arena_free(arena);
	return 0;
}

HELPER const char *path_of(const char *name)
{
	return str_c(arena, arena_fmt(arena, "%s/%s", directory, name));
}

HELPER void write_file(const char *name, const char *text)
{
	FILE *f = fopen(path_of(name), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* A file that takes the place of another, as editors and postmap do it. */
HELPER void replace_file(const char *name, const char *text)
{
	write_file("replacing", text);
	assert_int_equal(rename(path_of("replacing"), path_of(name)), 0);
}

HELPER void seconds_pass(int seconds)
{
	int64_t wall = wall_us(), mono = mono_us();

	clock_set_for_test(wall + seconds * 1000000LL, mono + seconds * 1000000LL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif
