/* SPDX-License-Identifier: ISC */
/* A walk through the names of one directory. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/disk/disk.h"

struct directory {
	DIR *names;
};

int directory_open(int dir, const char *name, struct directory **ret_d)
{
	AUTO_FD fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *names = fd < 0 ? NULL : fdopendir(fd);

	if (names == NULL)
		return -errno;
	fd_take(&fd);			/* closedir() closes it */
	*ret_d = get_memory(sizeof(**ret_d));
	(*ret_d)->names = names;
	return 0;
}

/* For file systems that do not tell the type with the name. */
static unsigned char type_of(int dir, const char *name)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return DT_UNKNOWN;
	return IFTODT(st.st_mode);
}

bool directory_next(struct directory *d, const char **ret_name, unsigned char *ret_type)
{
	struct dirent *entry;

	do {
		entry = readdir(d->names);
		if (entry == NULL)
			return false;
	} while (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0);
	*ret_name = entry->d_name;
	if (ret_type != NULL)
		*ret_type = entry->d_type != DT_UNKNOWN ? entry->d_type : type_of(dirfd(d->names),
				entry->d_name);
	return true;
}

void directory_close(struct directory *d)
{
	if (d == NULL)
		return;
	closedir(d->names);
	free(d);
}
