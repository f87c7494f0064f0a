/* SPDX-License-Identifier: ISC */
/* A directory of its own for a unit test, small files in it, and its end. Include it after "tests/unit.h". */
#ifndef ROAD_TESTS_SCRATCH_H
#define ROAD_TESTS_SCRATCH_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

enum { SCRATCH_PATH = 64 };

/* Makes an empty directory, which the test ends with scratch_remove(). */
static inline void scratch_directory(char ret_path[SCRATCH_PATH])
{
	snprintf(ret_path, SCRATCH_PATH, "/tmp/postroad-unit-XXXXXX");
	assert_non_null(mkdtemp(ret_path));
}

/* Writes the file, or writes it anew. */
static inline void scratch_file(const char *directory, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	assert_true(snprintf(path, sizeof(path), "%s/%s", directory, name) < (int) sizeof(path));
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static inline int scratch_remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void) st; (void) kind; (void) at;
	return remove(path);
}

/* Removes the directory and all that is in it. */
static inline void scratch_remove(const char *directory)
{
	assert_int_equal(nftw(directory, scratch_remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

#endif
