/* SPDX-License-Identifier: ISC */
/* Any bytes as NAME.cdb. The first line is what is looked up; behind it comes the file. */
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/table/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64], spec[80];
	struct str all = str_make((const char *) data, size), key, value;
	AUTO(buf) why = BUF_WORDS;
	struct arena *a;
	struct table *t;
	FILE *file;

	if (size > 1 << 16 || !str_cut(&all, '\n', &key))
		return 0;
	snprintf(path, sizeof(path), "/tmp/cdb_fuzz.%d.cdb", (int) getpid());
	file = fopen(path, "w");
	BUG_UNLESS(file != NULL && fwrite(all.at, 1, all.len, file) == all.len);
	fclose(file);
	snprintf(spec, sizeof(spec), "cdb:/tmp/cdb_fuzz.%d", (int) getpid());
	a = arena_new("fuzz", NULL, 64 << 20);
	if (table_open(str_of(spec), 0, &t, &why) == 0) {
		table_get(t, a, key, &value);
		table_get(t, a, STR("key"), &value);
		table_free(t);
	}
	unlink(path);
	arena_free(a);
	return 0;
}
