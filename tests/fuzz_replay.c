/* SPDX-License-Identifier: ISC */
/*
 * main() of a fuzz target that is not built with libFuzzer: feeds it every file of its
 * corpus, $top_srcdir/tests/corpus/NAME, or the files and directories given as arguments.
 */
#include <dirent.h>
#include <stdint.h>
#include <sys/stat.h>

#include "lib/base/auto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	static uint8_t data[1 << 20];
	uint8_t *exact;
	size_t n;

	if (file == NULL)
		return -1;
	n = fread(data, 1, sizeof(data), file);
	fclose(file);
	exact = malloc(n + 1);		/* so that a sanitizer sees a read beyond the end */
	if (exact == NULL)
		return -1;
	memcpy(exact, data, n);
	exact = realloc(exact, n == 0 ? 1 : n);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	return 1;
}

static int replay(const char *path)
{
	struct stat st;
	struct dirent *entry;
	char name[1024];
	int files = 0;
	DIR *dir;

	if (stat(path, &st) < 0)
		return -1;
	if (!S_ISDIR(st.st_mode))
		return replay_file(path);
	dir = opendir(path);
	if (dir == NULL)
		return -1;
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		files += replay_file(name) > 0;
	}
	closedir(dir);
	return files;
}

int main(int argc, char **argv)
{
	const char *top = getenv("top_srcdir");
	const char *name = strrchr(argv[0], '/');
	char corpus[1024];
	int files = 0;

	if (argc > 1) {
		for (int i = 1; i < argc; i++)
			files += MAX(replay(argv[i]), 0);
	} else {
		snprintf(corpus, sizeof(corpus), "%s/tests/corpus/%s", top == NULL ? "." : top,
			 name == NULL ? argv[0] : name + 1);
		files = replay(corpus);
	}
	LLVMFuzzerTestOneInput((const uint8_t *) "", 0);
	printf("%d inputs replayed\n", files);
	return files <= 0;		/* a missing or empty corpus is a mistake */
}
