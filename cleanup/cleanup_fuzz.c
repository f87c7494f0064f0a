/* SPDX-License-Identifier: ISC */
/*
 * Message content through cleanup, up to the point of storing: headers found, completed, recipients
 * taken from them, checks asked. The first byte chooses the way and the size of the pieces; the
 * content in one piece and in many must give the same headers and verdict.
 */
#include <fcntl.h>
#include <unistd.h>

#include "cleanup/message.h"
#include "lib/base/die.h"
#include "lib/log/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tables *checks;

static void open_checks(void)
{
	AUTO(buf) why = BUF_WORDS;

	if (tables_open(STR("regexp:{ {/^Subject: (.*)/ REPLACE X-S: $1} {/bad(.*)/ REJECT no $1} {/drop/ IGNORE} {/^x: (.*)/ PREPEND Y: $1}"
			    " {/bcc (.*)/ BCC $1@x.y} {/name=(.*)/ WARN $1} {/^X-F: (.*)/ REPLACE From: $1} }"), 0, &checks, &why) < 0)
		BUG("%s", buf_text(&why));
}

static void ask_checks(bool on)
{
	the_cleanup.header_checks = the_cleanup.mime_checks = the_cleanup.nested_checks =
		the_cleanup.body_checks = on ? checks : NULL;
}

static void start_world(void)
{
	static struct common_conf common;
	static struct str drop[] = { STR_INIT("bcc"), STR_INIT("return-path") };
	char dir[] = "/tmp/cleanup-fuzz-XXXXXX", path[64];
	AUTO(buf) why = BUF_WORDS;
	struct conf *conf;
	FILE *f;

	if (the_cleanup.route != NULL)
		return;
	BUG_UNLESS(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/main.cf", dir);
	f = fopen(path, "w");
	BUG_UNLESS(f != NULL);
	fputs("myhostname = mail.example.org\nmydomain = example.org\nvirtual_alias_domains =\nheader_size_limit = 300\n", f);
	fclose(f);
	if (conf_load(dir, &conf, &why) < 0 || conf_fill(conf, &common_group, &common, &why) < 0
	    || conf_fill(conf, &cleanup_group, &the_cleanup.conf, &why) < 0
	    || conf_fill(conf, &route_group, &the_cleanup.route_conf, &why) < 0
	    || route_open(conf, &common, &the_cleanup.route, &why) < 0)
		BUG("%s", buf_text(&why));
	unlink(path);
	rmdir(dir);
	the_cleanup.common = &common;
	the_cleanup.drop_headers = drop;
	the_cleanup.drop_count = COUNT_OF(drop);
	open_checks();
	log_open("fuzz", LOG_TO_STDOUT, NULL);
	BUG_UNLESS(freopen("/dev/null", "w", stdout) != NULL);
}

/* The id and with it the Received header differ: what follows it counts. */
static struct message *pass(struct arena *a, unsigned way, struct str content, size_t piece)
{
	struct str packed = way & 1
			    ? STR("sender\ta\narrival\t1\nflags\t4\nuid\t7\nto\t0\tb@example.net\t\t0\t\n")
				    : STR("sender\ta@example.com\narrival\t1\nto\t0\tb@example.net\t\t0\t\n");
	unsigned flags = CLEANUP_DISCARD | (way & 2 ? CLEANUP_EXTRACT : 0) | (way & 4 ? CLEANUP_EXTERNAL : 0);
	struct message *m = message_begin(a, way & 1 ? STR("pickup") : STR("smtpd"), flags,
					  STR("FUZZED"), packed);
	struct cleanup_reply reply;

	for (size_t at = 0; piece > 0 && at < content.len; at += piece) {
		message_feed(m, str_head(str_skip(content, at), piece));
		m->discard = m->state == IN_HEADERS;	/* so that the body is looked at, though nothing stores it */
	}
	if (m->state == IN_HEADERS)
		message_feed_all(m, piece == 0 ? content : STR_NONE);
	m->discard = true;
	if (m->state == IN_BODY)
		end_body(m);
	message_end(m, &reply);
	return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new("fuzz", NULL, 64 << 20);
	struct message *whole, *pieces;
	struct str content;

	start_world();
	if (size > 0) {
		content = str_make((const char *) data + 1, size - 1);
		ask_checks(data[0] >= 128);
		whole = pass(a, data[0], content, 0);
		pieces = pass(a, data[0], content, 1 + data[0] / 8);
		BUG_UNLESS(whole->refused.code == pieces->refused.code);
		BUG_UNLESS(str_is(buf_str(&whole->headers), buf_str(&pieces->headers)));
		BUG_UNLESS(whole->extracted.len == pieces->extracted.len);
		BUG_UNLESS(whole->added.len == pieces->added.len);
		message_free(whole);
		message_free(pieces);
	}
	arena_free(a);
	return 0;
}
