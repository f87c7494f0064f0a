/* SPDX-License-Identifier: ISC */
/*
 * Keys without regard to case: lower case of all letters in UTF-8, each by itself (a sharp s stays
 * what it is, where Postfix makes ss of it); of ASCII letters only in a key that is not UTF-8, or
 * where the C library does not know C.UTF-8.
 */
#ifndef ROAD_TABLE_FOLD_H
#define ROAD_TABLE_FOLD_H

#include "lib/base/buf.h"

void key_fold_prepare(void);			/* before the jail closes: it reads a file of the C library */
void key_fold(struct buf *out, struct str key);	/* adds at most twice the key's length */

#endif
