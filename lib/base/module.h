/* SPDX-License-Identifier: ISC */
/*
 * Loadable modules: a library that only some configurations need is linked by a module, not by the
 * daemon. Loaded in start(): the jail allows no new code.
 */
#ifndef ROAD_BASE_MODULE_H
#define ROAD_BASE_MODULE_H

#include "lib/base/buf.h"

/*
 * The object `symbol` of the module in that file, which stays loaded for the life of the process.
 * -errno with words: it is not there, others could have written it, it cannot be loaded or has no
 * such object. The caller looks whether it is of its version.
 */
int module_load(const char *path, const char *symbol, const void **ret, struct buf *why);

#endif
