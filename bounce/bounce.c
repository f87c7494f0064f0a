/* SPDX-License-Identifier: ISC */
/*
 * bounce(8): makes delivery status notifications for qmgr, and hands them to cleanup. It serves
 * private/bounce; the rows defer and trace of master.cf run the same program and accept the same
 * requests. It keeps nothing: what happened to each recipient is in the message's own queue file,
 * and qmgr forgets a failure only when the reply says that the notification is queued.
 */
#include <errno.h>
#include <unistd.h>

#include "bounce/notice.h"
#include "lib/daemon/daemon.h"

enum { CALLS_AT_ONCE = 50 };

static struct bounce_conf conf;
static struct templates templates;

static void serve_request(struct server_call *call)
{
	struct bounce_request request;
	struct bounce_reply reply = { 0 };
	struct notice n;
	char id[32] = "";

	AUTO(buf) why = BUF_WORDS;
	if (get_bounce_request(call->frame, &request, &why) < 0) {
		log_warning("malformed bounce request: %s", buf_text(&why));
		reply = (struct bounce_reply){ .code = EBADMSG, .text = STR("malformed request") };
		REPLY(call, bounce_reply, &reply);
		return;
	}
	AUTO_FD message = request.message;
	(void) message;
	if (notice_decode(call->arena, &request, &n) < 0) {
		log_mail(ROAD_WARNING, request.queue_id, "malformed bounce request");
		reply = (struct bounce_reply){ .code = EBADMSG, .text = STR("malformed request") };
		REPLY(call, bounce_reply, &reply);
		return;
	}
	n.common = the_world->common;
	n.conf = &conf;
	n.templates = &templates;
	co_describe("notification about %.*s", PSTR(n.e.queue_id));
	reply.code = (uint64_t) notice_send(&n, id);
	reply.notice_id = str_of(id);
	reply.text = reply.code == 0 ? STR_NONE : STR("the notification could not be queued");
	REPLY(call, bounce_reply, &reply);
}

static const struct server_row rows[] = {
	{ "bounce_request", true, serve_request },
	{ NULL, false, NULL },
};

static void serve(struct session_socket *socket)
{
	serve_our_own(socket, rows, NULL, CALLS_AT_ONCE);
}

static void say_warning(void *arg, const char *text)
{
	(void) arg;
	log_warning("%s", text);
}

/* Mail that cannot be delivered is returned whatever is wrong with the templates. */
static void load_templates(void)
{
	struct arena *a = templates.arena = arena_new("bounce templates", NULL, 256 << 20);
	AUTO(buf) why = BUF_WORDS;

	bounce_templates_load(a, "", templates.built_in, say_warning, NULL, &why);
	bounce_templates_expand(a, the_world->conf, "", templates.built_in, say_warning, NULL);
	if (bounce_templates_load(a, conf.bounce_template_file, templates.of, say_warning, NULL, &why) < 0)
		log_warning("bounce_template_file: %s -- using built-in templates", buf_text(&why));
	bounce_templates_expand(a, the_world->conf, conf.bounce_template_file, templates.of,
				say_warning, NULL);
}

static void start(void)
{
	insist_on_words("notify_classes", conf.notify_classes,
			"2bounce, bounce, data, delay, policy, protocol, resource, software");
	insist_on_words("internal_mail_filter_classes", conf.internal_mail_filter_classes, "bounce, notify");
	mail_out_use(the_world->common->cleanup_service_name);
	load_templates();
}

static const struct param_group *const groups[] = { &bounce_group, NULL };
static void *const structs[] = { &conf, NULL };

static const struct daemon bounce_daemon = {
	.name = "bounce",
	.shape = DAEMON_SESSIONS,
	.groups = groups,
	.structs = structs,
	.jail = {
		.user = AS_MAIL_OWNER,
		.syscalls = SYS_CORE | SYS_ACCEPT | SYS_CONNECT_UNIX,
		.capabilities = "",
		.paths = { { "public/cleanup", 'c' } },
	},
	.start = start,
	.serve = serve,
};

int main(int argc, char **argv)
{
	return daemon_main(argc, argv, &bounce_daemon);
}
