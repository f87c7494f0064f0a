/* SPDX-License-Identifier: ISC */
/* Finding a file by a path that others may have tampered with. */
#ifndef ROAD_MAILBOX_PATH_H
#define ROAD_MAILBOX_PATH_H

#include "lib/base/str.h"

/*
 * Walks an absolute path and opens the directory of its last component (O_PATH), whose name is copied to
 * name. Symbolic links are followed only when they belong to root or to who asks; so nobody can lead a
 * delivery away through a link of his. The last component need not exist, and is no link when this returns:
 * open it with O_NOFOLLOW. make: directories that are missing are made, mode 0700. fd or -errno: -ELOOP too
 * many links, -EPERM a foreign one.
 */
enum { NAME_SIZE = 256 };
int path_open_parent(const char *path, bool make, char name[NAME_SIZE]);

#endif
