/* SPDX-License-Identifier: ISC */
#ifndef ROAD_TABLE_EXTENSION_H
#define ROAD_TABLE_EXTENSION_H

#include "lib/base/str.h"

/*
 * Where the extension of a local part begins: at the first of delimiters' characters. 0: it has none, since
 * nothing stands before it, or the name is mailer-daemon, postmaster, double-bounce, or (keeps_lists; it only
 * matters when '-' is a delimiter) owner-x or x-request.
 */
size_t extension_at(struct str local, struct str delimiters, bool keeps_lists);

#endif
