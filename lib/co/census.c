/* SPDX-License-Identifier: ISC */
/*
 * The stack census: with POSTROAD_STACK_CENSUS in the environment every stack is painted before its
 * first run and looked at after its end; the deepest use is kept per coroutine name. A value with a
 * slash in it is a file to which the table is appended at exit ("name deepest size" per line), so
 * that a test run can collect from all daemons.
 */
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/map.h"
#include "lib/co/private.h"
#include "lib/co/sanitizers.h"

static const uint64_t PAINT = 0x706f7374726f6164;

struct row {
	size_t deepest, size;
	char name[64];
};

static struct map *rows;
static int table_fd = -1;

static void show_row(const char *name, size_t deepest, size_t size)
{
	dprintf(table_fd, "%s %zu %zu\n", name, deepest, size);
}

static void write_table(void)
{
	co_census(show_row);
}

/* At the very start of the process, before a jail closes. */
__attribute__((constructor)) static void open_census(void)
{
	const char *value = secure_getenv("POSTROAD_STACK_CENSUS");

	if (value == NULL || value[0] == 0)
		return;
	rows = map_new();
	if (strchr(value, '/') != NULL)
		table_fd = open(value, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (table_fd >= 0)
		atexit(write_table);
}

bool census_is_on(void)
{
	return rows != NULL;
}

void census_paint(struct co *co)
{
	uint64_t *at = (uint64_t *) (void *) co->stack_low;

	for (size_t n = co->stack_size / sizeof(*at); n > 0; n--)
		*at++ = PAINT;
}

/* Reads what red zones surround, hence without AddressSanitizer. */
__attribute__((no_sanitize("address"))) static size_t depth(const struct co *co)
{
	const uint64_t *at = (const uint64_t *) (const void *) co->stack_low;
	size_t n = 0, most = co->stack_size / sizeof(*at);

	while (n < most && at[n] == PAINT)
		n++;
	return co->stack_size - n * sizeof(*at);
}

void census_note(const struct co *co)
{
	struct row *row;
	size_t deep;

	if (!census_is_on())
		return;
	deep = depth(co);
	row = map_get(rows, str_of(co->name));
	if (row == NULL) {
		row = calloc(1, sizeof(*row));
		if (row == NULL)
			return;
		snprintf(row->name, sizeof(row->name), "%s", co->name);
		row->size = co->stack_size;
		map_put(rows, str_of(co->name), row);
	}
	row->deepest = MAX(row->deepest, deep);
}

void co_census(void (*show)(const char *name, size_t deepest, size_t stack_size))
{
	if (!census_is_on())
		return;
	LIST_EACH(co, &co_all, struct co, in_all)
		census_note(co);
	for (struct map_at i = { 0 }; map_next(rows, &i);) {
		const struct row *row = i.value;

		show(row->name, row->deepest, row->size);
	}
}
