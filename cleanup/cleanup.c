/* SPDX-License-Identifier: ISC */
/*
 * cleanup(8): every message that comes into the system passes here on its way to the queue. It
 * serves public/cleanup for smtpd, pickup, bounce and local (lib/peers/cleanup.h), writes queue
 * files, and tells qmgr about them.
 *
 * What must stay true: 250 is said only after the message's one sync. A client that dies or gives
 * up leaves nothing behind.
 */
#include <errno.h>
#include <unistd.h>

#include "cleanup/message.h"
#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/daemon/daemon.h"

enum { CALLS_AT_ONCE = 500 };		/* of one client process */

/* ---- serving ---- */

static void serve_request(struct server_call *call)
{
	struct cleanup_request request;
	struct cleanup_reply reply;
	struct message *m;
	AUTO(buf) why = BUF_WORDS;

	if (get_cleanup_request(call->frame, &request, &why) < 0) {
		log_warning("malformed cleanup request: %s", buf_text(&why));
		reply = (struct cleanup_reply){ .code = 451, .dsn = STR("4.3.0"),
						.text = STR("Error: internal protocol error") };
		REPLY(call, cleanup_reply, &reply);
		return;
	}
	FAILPOINT("cleanup.request");
	m = message_begin(call->arena, request.origin, (unsigned) request.flags, request.queue_id,
			  request.envelope);
	message_feed_all(m, request.content);
	message_end(m, &reply);
	FAILPOINT("cleanup.before_reply");
	REPLY(call, cleanup_reply, &reply);
	FAILPOINT("cleanup.replied");
	message_announce(m);
	FAILPOINT("cleanup.announced");
	message_free(m);
}

static int take_content(struct message *m, struct frame *f)
{
	struct cleanup_content content;
	int r = get_cleanup_content(f, &content, NULL);

	if (r < 0)
		return r;
	message_feed(m, content.content);
	return content.abort ? -ECANCELED : !content.last;
}

static int take_changes(struct message *m, struct frame *f)
{
	struct cleanup_envelope changes;
	int r = get_cleanup_envelope(f, &changes, NULL);

	if (r >= 0)
		r = change_envelope(m, (unsigned) changes.flags, changes.envelope);
	return r < 0 ? r : 1;
}

/* 1 more to come, 0 that was the last, -errno: no message comes of it. */
static int receive_content(struct server_call *call, struct message *m)
{
	struct frame f;
	int r = channel_receive(call->ch, &f, in(the_cleanup.common->ipc_timeout));

	if (r <= 0)
		return r == 0 ? -EPIPE : r;
	if (str_is(f.message, STR("cleanup_content")))
		r = take_content(m, &f);
	else
		r = str_is(f.message, STR("cleanup_envelope")) ? take_changes(m, &f) : -EBADMSG;
	frame_close(&f);
	return r;
}

static void serve_stream(struct server_call *call)
{
	struct cleanup_stream begin;
	struct cleanup_reply reply;
	uint32_t call_number = call->frame->call;
	struct message *m;
	int r;

	if (get_cleanup_stream(call->frame, &begin, NULL) < 0) {
		log_warning("malformed cleanup stream");
		return;			/* what follows is out of place: the connection ends */
	}
	/* the frame's bytes end with the next receive */
	m = message_begin(call->arena, begin.origin, (unsigned) begin.flags, begin.queue_id,
			  arena_copy(call->arena, begin.envelope));
	while ((r = receive_content(call, m)) > 0)
		;
	if (r < 0) {
		log_mail(ROAD_INFO, str_of(m->id), "removed (canceled)");
	} else {
		FAILPOINT("cleanup.stream.end");
		message_end(m, &reply);
		FAILPOINT("cleanup.stream.before_reply");
		call->frame->call = call_number;
		REPLY(call, cleanup_reply, &reply);
		FAILPOINT("cleanup.stream.replied");
		message_announce(m);
	}
	message_free(m);
}

static const struct server_row rows[] = {
	{ "cleanup_request", true, serve_request },
	{ "cleanup_stream", false, serve_stream },
	{ NULL, false, NULL },
};

/* Envelopes are believed, so only the mail system itself may hand them in. */
static void serve(struct session_socket *socket)
{
	serve_our_own(socket, rows, NULL, CALLS_AT_ONCE);
}

/* ---- starting ---- */

static struct tables *open_tables(const char *parameter, const char *specs, unsigned flags)
{
	AUTO(buf) why = BUF_WORDS;
	struct tables *t;

	if (str_trim(str_of(specs)).len == 0)
		return NULL;
	if (tables_open(str_of(specs), flags, &t, &why) < 0)
		die(EX_CONFIG, "%s: %s", parameter, buf_text(&why));
	return t;
}

static void split_drop_headers(void)
{
	struct str rest = str_of(the_cleanup.conf.message_drop_headers), name;
	size_t most = 0;

	while (str_token(&rest, ", \t\r\n", &name))
		most++;
	the_cleanup.drop_headers = get_memory((most + 1) * sizeof(struct str));
	rest = str_of(the_cleanup.conf.message_drop_headers);
	while (str_token(&rest, ", \t\r\n", &name))
		the_cleanup.drop_headers[the_cleanup.drop_count++] = name;
}

static void warn_about_queue(const char *words)
{
	log_warning("queue: %s", words);
}

/* Without it every message gets a file of its own: slower, and not worth a refusal. */
static void open_intake(void)
{
	const struct queue_conf *c = &the_cleanup.queue_conf;
	const struct intake_limits limits = { (uint64_t) c->intake_segment_size,
					      (int) c->intake_segment_limit };
	int r;

	if (c->intake_segment_size == 0)
		return;
	r = queue_append_to_intake(the_cleanup.queue, the_world->queue_dir, &limits);
	if (r < 0)
		log_warning("queue directory intake: %s; every message gets a file of its own", error_text(r));
}

/* Before a reload, and for lint: what would be found wrong only when a message meets it. */
static void rehearse_checks(void)
{
	const struct cleanup_conf *c = &the_cleanup.conf;

	checks_rehearse("header_checks", c->header_checks);
	if (strcmp(c->mime_header_checks, c->header_checks) != 0)
		checks_rehearse("mime_header_checks", c->mime_header_checks);
	if (strcmp(c->nested_header_checks, c->header_checks) != 0)
		checks_rehearse("nested_header_checks", c->nested_header_checks);
	checks_rehearse("body_checks", c->body_checks);
}

static void start(void)
{
	const struct cleanup_conf *c = &the_cleanup.conf;
	AUTO(buf) why = BUF_WORDS;

	the_cleanup.common = the_world->common;
	if (conf_get_bool(the_world->conf, STR("soft_bounce"), false, &the_cleanup.soft_bounce, &why) < 0
	    || conf_get_bool(the_world->conf, STR("smtputf8_enable"), true,
			     &the_cleanup.smtputf8_enable, &why) < 0
	    || conf_get_bool(the_world->conf, STR("enable_original_recipient"), true,
			     &the_cleanup.enable_original_recipient, &why) < 0
	    || route_open(the_world->conf, the_world->common, &the_cleanup.route, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	if (queue_open(the_world->queue_dir, (int) the_world->common->hash_queue_depth,
		       1u << QUEUE_INCOMING | 1u << QUEUE_HOLD,
		       &the_cleanup.queue, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	queue_set_say(the_cleanup.queue, warn_about_queue);
	open_intake();
	the_cleanup.qmgr = client_new("public/qmgr");
	the_cleanup.bounce = client_new("private/bounce");
	the_cleanup.sender_bcc = open_tables("sender_bcc_maps", c->sender_bcc_maps, TABLE_FOLD_KEY);
	the_cleanup.recipient_bcc = open_tables("recipient_bcc_maps", c->recipient_bcc_maps, TABLE_FOLD_KEY);
	the_cleanup.header_checks = open_tables("header_checks", c->header_checks, 0);
	the_cleanup.mime_checks = open_tables("mime_header_checks", c->mime_header_checks, 0);
	the_cleanup.nested_checks = open_tables("nested_header_checks", c->nested_header_checks, 0);
	the_cleanup.body_checks = open_tables("body_checks", c->body_checks, 0);
	split_drop_headers();
	if (the_world->rehearsing)
		rehearse_checks();
}

static const struct param_group *const groups[] = { &cleanup_group, &queue_group, &route_group, NULL };
static void *const structs[] = { &the_cleanup.conf, &the_cleanup.queue_conf, &the_cleanup.route_conf, NULL };

static const struct daemon cleanup_daemon = {
	.name = "cleanup",
	.shape = DAEMON_SESSIONS,
	.groups = groups,
	.structs = structs,
	.jail = {
		.user = AS_MAIL_OWNER,
		.syscalls = SYS_CORE | SYS_ACCEPT | SYS_CONNECT_UNIX | SYS_FILES_READ | SYS_FILES_WRITE,
		.capabilities = "",
		.paths = { { "incoming", 'w' }, { "hold", 'w' }, { "intake", 'w' }, { "public/qmgr", 'c' },
			   { "private/bounce", 'c' }, { "private/proxymap", 'c' }, { "$config", 'r' } },
	},
	.start = start,
	.serve = serve,
};

int main(int argc, char **argv)
{
	return daemon_main(argc, argv, &cleanup_daemon);
}
