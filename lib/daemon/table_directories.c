/* SPDX-License-Identifier: ISC */
/* What a daemon with lookup tables needs of the file system besides its own: the directories of their files, so that a changed one can be reopened. */
#include "lib/base/die.h"
#include "lib/daemon/daemon.h"
#include "lib/table/table.h"

static struct jail_path *paths;
static size_t count;

static void add(void *arg, const char *directory)
{
	size_t len = strlen(directory) + 1;
	char *copy = get_memory(len);

	(void) arg;
	memcpy(copy, directory, len);
	paths = resize_memory(paths, (count + 2) * sizeof(*paths));
	paths[count++] = (struct jail_path){ copy, 'r' };
	paths[count] = (struct jail_path){ NULL, 0 };
}

const struct jail_path *table_directories(void)
{
	if (paths == NULL)
		paths = get_memory(sizeof(*paths));
	table_each_directory(add, NULL);
	return paths;
}
