/* SPDX-License-Identifier: ISC */
/*
 * A scratch directory, its files, tables of them, and time that passes on demand: for the tests of
 * this room.
 */
#ifndef ROAD_TABLE_SCRATCH_H
#define ROAD_TABLE_SCRATCH_H

#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/table/table.h"
#include "tests/scratch.h"

#define HELPER __attribute__((unused)) static

HELPER struct arena *arena;
HELPER char directory[SCRATCH_PATH];
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
	scratch_directory(directory);
	return 0;
}

HELPER int tear_down(void **state)
{
	(void) state;
	scratch_remove(directory);
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
	scratch_file(directory, name, text);
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

HELPER struct table *open_flags(const char *spec, unsigned flags)
{
	AUTO(buf) why = BUF_WORDS;
	struct table *t;

	if (table_open(str_of(spec), flags, &t, &why) < 0)
		fail_msg("%s: %s", spec, buf_text(&why));
	return t;
}

HELPER struct table *open_file_table(const char *type, const char *name)
{
	return open_flags(str_c(arena, arena_fmt(arena, "%s:%s", type, path_of(name))), TABLE_FOLD_KEY);
}

HELPER void expect(struct table *t, const char *key, const char *value)
{
	struct str got = STR_NONE;
	int r = table_get(t, arena, str_of(key), &got);

	if (r != (value != NULL))
		fail_msg("%s, %s: %d (%s)", table_spec(t), key, r, r < 0 ? table_why(t) : "");
	if (value != NULL)
		assert_str(got, value);
	assert_int_equal(table_get(t, NULL, str_of(key), NULL), r);
}

HELPER void expect_failure(struct table *t, const char *key, int error, const char *words)
{
	struct str got;

	assert_int_equal(table_get(t, arena, str_of(key), &got), error);
	if (strstr(table_why(t), words) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", words, table_why(t));
}

HELPER void expect_warning(const char *words)
{
	if (strstr(buf_text(&warnings), words) == NULL)
		fail_msg("\"%s\" is not in the warnings:\n%s", words, buf_text(&warnings));
}

HELPER void expect_bad(const char *spec, const char *words)
{
	AUTO(buf) why = BUF_WORDS;
	struct table *t;

	assert_int_equal(table_open(str_of(spec), TABLE_MUST_EXIST, &t, &why), -EINVAL);
	if (strstr(buf_text(&why), words) == NULL)
		fail_msg("%s: \"%s\" is not in \"%s\"", spec, words, buf_text(&why));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif
