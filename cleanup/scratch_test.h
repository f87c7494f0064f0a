/* SPDX-License-Identifier: ISC */
/*
 * Messages through cleanup, from a request to the queue file, on a scratch queue: for the tests of
 * this room.
 */
#ifndef ROAD_CLEANUP_SCRATCH_H
#define ROAD_CLEANUP_SCRATCH_H

#include <fcntl.h>
#include <unistd.h>

#include "cleanup/message.h"
#include "lib/disk/disk.h"
#include "tests/scratch.h"

#define HELPER __attribute__((unused)) static

HELPER char dir[SCRATCH_PATH];
HELPER struct common_conf common;
HELPER struct conf *conf;

static const char main_cf[] =
	"myhostname = mail.example.org\nmydomain = example.org\nmyorigin = example.org\nmail_name = Postroad\n"
	"virtual_alias_maps = inline:{ { list@example.org = one@example.net, two@example.net }, { al@example.org = bob@example.net },"
	" { loop@example.org = loop2@example.org }, { loop2@example.org = loop@example.org } }\n"
	"virtual_alias_domains =\nmessage_size_limit = 500000\nrecipient_delimiter = +\n";

HELPER struct tables *open_checks(const char *name, const char *rules)
{
	AUTO(buf) why = BUF_WORDS;
	struct tables *t;
	char spec[128];

	scratch_file(dir, name, rules);
	snprintf(spec, sizeof(spec), "regexp:%s/%s", dir, name);
	if (tables_open(str_of(spec), 0, &t, &why) < 0)
		fail_msg("%s", buf_text(&why));
	return t;
}

HELPER void start_world(void)
{
	static struct str drop[] = { STR_INIT("bcc"), STR_INIT("content-length"), STR_INIT("resent-bcc"),
				     STR_INIT("return-path") };
	AUTO(buf) why = BUF_WORDS;
	int fd = open(dir, O_RDONLY | O_DIRECTORY);

	mkdirat(fd, "incoming", 0700);
	mkdirat(fd, "hold", 0700);
	scratch_file(dir, "main.cf", main_cf);
	if (conf_load(dir, &conf, &why) < 0 || conf_fill(conf, &common_group, &common, &why) < 0
	    || conf_fill(conf, &cleanup_group, &the_cleanup.conf, &why) < 0
	    || conf_fill(conf, &route_group, &the_cleanup.route_conf, &why) < 0
	    || route_open(conf, &common, &the_cleanup.route, &why) < 0
	    || queue_open(fd, 1, 1u << QUEUE_INCOMING | 1u << QUEUE_HOLD, &the_cleanup.queue, &why) < 0)
		fail_msg("%s", buf_text(&why));
	the_cleanup.common = &common;
	the_cleanup.smtputf8_enable = true;
	the_cleanup.enable_original_recipient = true;
	the_cleanup.drop_headers = drop;
	the_cleanup.drop_count = COUNT_OF(drop);
	close(fd);
}

/* ---- one message ---- */

struct stored {
	struct arena *a;
	struct cleanup_reply reply;
	bool exists;
	enum queue_name where;
	struct str headers, body;
	uint64_t size;
	struct envelope e;
	char id[32];
};

HELPER struct envelope from_client(struct recipient *to, size_t n)
{
	return (struct envelope){ .sender = STR("alice@example.com"), .arrival_us = 1700000000000000,
				  .client_name = STR("c.example.com"),
				  .client_address = STR("192.0.2.7"), .client_helo = STR("helo.example.com"),
				  .client_protocol = STR("ESMTP"), .recipient_count = n, .recipients = to };
}

HELPER struct str read_part(struct arena *a, int fd, uint64_t at, uint64_t len)
{
	char *bytes = arena_get(a, len + 1);

	assert_int_equal(pread_all(fd, bytes, len, (off_t) at), len);
	return str_make(bytes, len);
}

HELPER void read_back(struct stored *s)
{
	AUTO(queue_file) f = { .fd = -1 };
	int r = queue_file_open(the_cleanup.queue, QUEUE_INCOMING, str_of(s->id), false, true, &f);

	if (r == -ENOENT)
		r = queue_file_open(the_cleanup.queue, QUEUE_HOLD, str_of(s->id), false, true, &f);
	s->exists = r != -ENOENT;
	if (!s->exists)
		return;
	assert_int_equal(r, 0);
	s->where = f.where;
	s->size = f.parts.size;
	s->headers = read_part(s->a, f.fd, f.parts.headers_at, f.parts.headers_len);
	s->body = read_part(s->a, f.fd, f.parts.body_at, f.parts.body_len);
	assert_int_equal(queue_file_envelope(&f, s->a, &s->e), 0);
	queue_finish(the_cleanup.queue, f.where, str_of(s->id));
}

/* piece 0: all at once. */
HELPER struct stored pass(const char *origin, unsigned flags, const struct envelope *e,
			  struct str content, size_t piece)
{
	struct stored s = { .a = arena_new("test", NULL, 64 << 20) };
	struct arena *a = arena_new("message", NULL, 64 << 20);
	AUTO(buf) packed = BUF(1 << 20);
	struct message *m;

	assert_int_equal(envelope_pack(e, &packed), 0);
	m = message_begin(a, str_of(origin), flags, STR_NONE, buf_str(&packed));
	memcpy(s.id, m->id, sizeof(s.id));
	if (piece == 0)
		message_feed_all(m, content);
	else
		for (size_t at = 0; at < content.len; at += piece)
			message_feed(m, str_head(str_skip(content, at), piece));
	message_end(m, &s.reply);
	s.reply.text = arena_copy(s.a, s.reply.text);
	s.reply.dsn = arena_copy(s.a, s.reply.dsn);
	message_free(m);
	arena_free(a);
	read_back(&s);
	return s;
}

HELPER struct stored pass_text(unsigned flags, const char *content)
{
	struct recipient to = { .address = STR("bob@example.net") };
	struct envelope e = from_client(&to, 1);

	return pass("smtpd", flags, &e, str_of(content), 0);
}

HELPER void drop(struct stored *s)
{
	arena_free(s->a);
}

HELPER void assert_reply(const struct stored *s, int code, const char *dsn, const char *text)
{
	assert_int_equal(s->reply.code, code);
	assert_str(s->reply.dsn, dsn);
	assert_str(s->reply.text, text);
}

HELPER void assert_has(struct str text, const char *needle)
{
	if (str_find_str(text, str_of(needle)) < 0)
		fail_msg("no \"%s\" in \"%.*s\"", needle, PSTR(text));
}

HELPER void assert_has_not(struct str text, const char *needle)
{
	if (str_find_str(text, str_of(needle)) >= 0)
		fail_msg("\"%s\" in \"%.*s\"", needle, PSTR(text));
}

enum { REMOTE = CLEANUP_ADD_RECEIVED | CLEANUP_EXTERNAL };

HELPER int setup(void **state)
{
	(void) state;
	scratch_directory(dir);
	setenv("TZ", "UTC", 1);
	start_world();
	return 0;
}

HELPER int teardown(void **state)
{
	(void) state;
	scratch_remove(dir);
	queue_close(the_cleanup.queue);
	route_free(the_cleanup.route);
	conf_free(conf);
	return 0;
}

#endif
