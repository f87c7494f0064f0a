/* SPDX-License-Identifier: ISC */
/*
 * Values that are the contents of files, as base64 (RFC 4648), so that any bytes can stand in any
 * table: postmap -F, and tables opened with TABLE_FILE_VALUES.
 */
#ifndef ROAD_TABLE_FILES_VALUE_H
#define ROAD_TABLE_FILES_VALUE_H

#include "lib/base/buf.h"

enum { MOST_FILES_VALUE = 32 << 20 };

/*
 * value: names of files. Their contents one after the other, with a line end between two, as
 * base64, added to *ret. -errno with words, which name the file that cannot be read.
 */
int files_value(struct str value, struct buf *ret, struct buf *why);
/* And back. -EINVAL with words: not base64. */
int decode_files_value(struct str value, struct buf *ret, struct buf *why);

/*
 * Where names without a leading slash start, for a program that leaves the directory it was started
 * in. Stays open.
 */
void files_value_start_in(int directory);

#endif
