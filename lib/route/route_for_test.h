/* SPDX-License-Identifier: ISC */
/* A route for the cases of a unit test, opened from a main.cf as the daemons do. */
#ifndef ROAD_ROUTE_FOR_TEST_H
#define ROAD_ROUTE_FOR_TEST_H

#include <stdlib.h>
#include <unistd.h>

#include "lib/route/route.h"

static struct arena *arena;
static struct conf *conf;
static struct common_conf common;
static struct route *route;

static int set_up(void **state)
{
	(void) state;
	arena = arena_new("test", NULL, 64 << 20);
	return 0;
}

static void close_route(void)
{
	route_free(route);
	conf_free(conf);
	route = NULL;
	conf = NULL;
}

static int tear_down(void **state)
{
	(void) state;
	close_route();
	arena_free(arena);
	return 0;
}

static int open_with(const char *configuration, struct buf *why)
{
	char dir[] = "/tmp/route_test.XXXXXX", path[64];
	FILE *file;
	int r;

	close_route();
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/main.cf", dir);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "myhostname = mail.example.com\nmydomain = example.com\ninet_interfaces = 127.0.0.1\nmynetworks = 127.0.0.0/8\n"
		      "alias_maps =\nlocal_recipient_maps =\n%s\n", configuration);
	fclose(file);
	r = conf_load(dir, &conf, why);
	if (r >= 0)
		r = conf_fill(conf, &common_group, &common, why);
	if (r >= 0)
		r = route_open(conf, &common, &route, why);
	unlink(path);
	rmdir(dir);
	return r;
}

static void use(const char *configuration)
{
	AUTO(buf) why = BUF_WORDS;

	if (open_with(configuration, &why) < 0)
		fail_msg("%s: %s", configuration, buf_text(&why));
}

#endif
