/* SPDX-License-Identifier: ISC */
/* A route for the cases of a unit test, opened from a main.cf as the daemons do. */
#ifndef ROAD_ROUTE_FOR_TEST_H
#define ROAD_ROUTE_FOR_TEST_H

#include "lib/route/route.h"
#include "tests/scratch.h"

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
	AUTO(buf) text = BUF(1 << 20);
	char dir[SCRATCH_PATH];
	int r;

	close_route();
	scratch_directory(dir);
	buf_addf(&text, "myhostname = mail.example.com\nmydomain = example.com\ninet_interfaces = 127.0.0.1\nmynetworks = 127.0.0.0/8\n"
		 "alias_maps =\nlocal_recipient_maps =\n%s\n", configuration);
	scratch_file(dir, "main.cf", buf_text(&text));
	r = conf_load(dir, &conf, why);
	if (r >= 0)
		r = conf_fill(conf, &common_group, &common, why);
	if (r >= 0)
		r = route_open(conf, &common, &route, why);
	scratch_remove(dir);
	return r;
}

static void use(const char *configuration)
{
	AUTO(buf) why = BUF_WORDS;

	if (open_with(configuration, &why) < 0)
		fail_msg("%s: %s", configuration, buf_text(&why));
}

#endif
