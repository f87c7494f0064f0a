/* SPDX-License-Identifier: ISC */
/*
 * The file of a table that talks to a server (/etc/postroad/x.cf): lines "name = value", as main.cf
 * has them, without $.
 */
#ifndef ROAD_TABLE_SETTINGS_H
#define ROAD_TABLE_SETTINGS_H

#include "lib/base/arena.h"
#include "lib/base/map.h"
#include "lib/table/modules/driver.h"
#include "lib/table/source.h"

struct settings {
	struct driver_settings for_driver;	/* first: a module's pointer to it is one to this */
	struct arena *arena;
	struct map *values;			/* name -> NUL-terminated text in the arena */
	const char *file;			/* for words */
};

/* known: names that mean something, ends with NULL; others are warned about. */
struct settings *settings_read(struct source *lines, const char *const *known);
void settings_free(void *s);
const char *settings_get(const struct settings *s, const char *name, const char *otherwise);
/* A number, or a time in seconds with an optional unit (s m h d w). -EINVAL with words. */
int settings_number(const struct settings *s, const char *name, int64_t otherwise, int64_t min, int64_t max,
		    int64_t *ret_n, struct buf *why);
int settings_seconds(const struct settings *s, const char *name, int64_t otherwise, int64_t min, int64_t max,
		     int64_t *ret_s, struct buf *why);
int settings_yes(const struct settings *s, const char *name, bool otherwise, bool *ret_yes, struct buf *why);

#endif
