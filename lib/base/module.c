/* SPDX-License-Identifier: ISC */
#include "lib/base/module.h"

#include <dlfcn.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/die.h"

/* A module becomes part of a process that started as root: nobody else may have had a hand in it. */
static int check_owner(const char *path, struct buf *why)
{
	struct stat st;

	if (stat(path, &st) < 0) {
		int error = -errno;

		buf_addf(why, "%s: %s%s", path, error_text(error),
			 error == -ENOENT ? " (is its package installed?)" : "");
		return error;
	}
	if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & (S_IWGRP | S_IWOTH))
	    || !S_ISREG(st.st_mode)) {
		buf_addf(why, "%s: not loaded, because others than its owner, root or this user, could have written it",
			 path);
		return -EPERM;
	}
	return 0;
}

int module_load(const char *path, const char *symbol, const void **ret, struct buf *why)
{
	void *module;
	int r = check_owner(path, why);

	if (r < 0)
		return r;
	module = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (module == NULL) {
		buf_add_text(why, dlerror());
		return -ENOEXEC;
	}
	*ret = dlsym(module, symbol);
	if (*ret == NULL) {
		buf_addf(why, "%s: has no %s", path, symbol);
		return -ENOEXEC;
	}
	return 0;
}
