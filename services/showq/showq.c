/* SPDX-License-Identifier: ISC */
/*
 * Lists the queue for postqueue and mailq, from the files: so it also works while the queue manager is down.
 * From that it asks only which messages are active. It may read the queue and nothing else.
 */
#include <errno.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/base/map.h"
#include "lib/conf/params/qmgr.h"
#include "lib/daemon/daemon.h"
#include "lib/ipc/channel.h"
#include "lib/queue/list.h"
#include "lib/table/match.h"

enum { ASK_MS = 10000, SEND_MS = 300000, UNSENT = 256 << 10 };

static struct qmgr_conf conf;
static struct queue *queue;
static struct client *qmgr;
static struct match_list *users;

static void start(void)
{
	AUTO(buf) why = BUF_WORDS;
	AUTO(buf) path = BUF(300);
	const unsigned which = 1 << QUEUE_INCOMING | 1 << QUEUE_DEFERRED | 1 << QUEUE_HOLD
			       | 1 << QUEUE_MAILDROP;

	if (queue_open(the_world->queue_dir, (int) the_world->common->hash_queue_depth, which, &queue, &why)
	    < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	if (queue_open_intake(queue, the_world->queue_dir, false, false) < 0)
		log_warning("queue directory intake cannot be read: new mail in it is not listed");
	if (match_list_open("authorized_mailq_users", str_of(conf.authorized_mailq_users), 0, &users, &why)
	    < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	buf_addf(&path, "public/%s", conf.queue_service_name);
	qmgr = client_new(buf_text(&path));
}

/* ---- one listing ---- */

struct report {
	struct server_call *call;
	struct map *active;
	const char *as;			/* NULL: the queue's own name */
	int result;
};

static int send_entry(struct report *r, const struct showq_entry *e)
{
	REPLY(r->call, showq_entry, e);
	r->result = channel_drain(r->call->ch, UNSENT, in(SEND_MS));
	return r->result;
}

static int report_message(void *arg, const struct listed_message *m)
{
	struct report *r = arg;

	return send_entry(r, &(struct showq_entry){ .more = 1,
						    .queue = str_of(r->as != NULL ? r->as : m->queue),
						    .queue_id = m->id,
						    .arrival_s = m->arrival_s,
						    .size = m->size,
						    .forced_expire = m->forced_expire,
						    .sender = m->sender,
						    .recipients = m->recipients });
}

static bool is_active(void *arg, struct str id)
{
	return map_get(((struct report *) arg)->active, id) != NULL;
}

/* Without a queue manager nothing is active. */
static void ask_for_active(struct report *r)
{
	struct qmgr_command_reply rep;
	struct str rest, id;

	if (CALL(qmgr, qmgr_command, &((struct qmgr_command){ .command = STR("active") }), r->call->arena,
		 qmgr_command_reply, &rep, in(ASK_MS))
	    < 0)
		return;
	rest = rep.text;
	while (str_token(&rest, "\n", &id))
		map_put(r->active, id, r);
}

static void report_active(struct report *r)
{
	struct map_at at = { 0 };

	r->as = "active";
	while (r->result >= 0 && map_next(r->active, &at)) {
		struct arena *a = arena_new("listed message", NULL, LISTED_MEMORY);
		struct listed_message m;

		if (list_message(queue, QUEUE_INCOMING, at.key, a, &m) >= 0
		    || list_message(queue, QUEUE_DEFERRED, at.key, a, &m) >= 0)
			report_message(r, &m);
		arena_free(a);
	}
	r->as = NULL;
}

static void report_all(struct report *r)
{
	static const enum queue_name order[] = { QUEUE_MAILDROP, QUEUE_INCOMING, QUEUE_DEFERRED, QUEUE_HOLD };
	const struct listing listing = { is_active, report_message, r };

	ask_for_active(r);
	queue_refresh(queue);
	report_active(r);
	for (size_t i = 0; i < COUNT_OF(order) && r->result >= 0; i++)
		list_queue(queue, order[i], &listing);
}

static void report_one(struct report *r, struct str id)
{
	static const enum queue_name order[] = { QUEUE_INCOMING, QUEUE_DEFERRED, QUEUE_HOLD, QUEUE_MAILDROP };
	struct arena *a = arena_new("listed message", NULL, LISTED_MEMORY);
	bool is_found = false;
	struct listed_message m;

	queue_refresh(queue);
	for (size_t i = 0; i < COUNT_OF(order) && !is_found; i++)
		is_found = list_message(queue, order[i], id, a, &m) >= 0;
	if (is_found)
		report_message(r, &m);
	arena_free(a);
}

static void serve_listing(struct server_call *call)
{
	struct report r = { .call = call, .active = map_new() };
	AUTO(buf) why = BUF_WORDS;
	struct showq_request m;

	if (get_showq_request(call->frame, &m, &why) < 0)
		log_warning("malformed request: %s", buf_text(&why));
	else if (m.queue_id.len > 0)
		report_one(&r, m.queue_id);
	else
		report_all(&r);
	if (r.result >= 0)
		send_entry(&r, &(struct showq_entry){ .more = 0 });
	map_free(r.active, NULL);
}

/* ---- who may ---- */

static bool may_list(uid_t uid)
{
	struct account account;
	struct arena *a;
	bool yes;

	if (uid == 0 || uid == geteuid() || strcmp(conf.authorized_mailq_users, "static:anyone") == 0)
		return true;
	a = arena_new("account", NULL, 1 << 20);
	yes = account_by_uid(a, uid, &account) > 0 && match_domain(users, a, account.name) > 0;
	arena_free(a);
	return yes;
}

static void refuse(struct server_call *call)
{
	REPLY(call, showq_entry, &((struct showq_entry){ .more = 0, .queue = STR("refused") }));
}

static void serve(struct session_socket *socket)
{
	static const struct server_row rows[] = { { .message = "showq_request", .serve = serve_listing },
						  { .message = NULL } };
	static const struct server_row none[] = { { .message = "showq_request", .serve = refuse },
						  { .message = NULL } };
	struct channel *ch = channel_new(socket->fd);

	serve_channel(ch, may_list(socket->peer_uid) ? rows : none, NULL, 1);
	channel_drain(ch, 0, in(SEND_MS));
	channel_free(ch);
}

int main(int argc, char **argv)
{
	static const struct param_group *const groups[] = { &qmgr_group, NULL };
	static void *const structs[] = { &conf };
	static const struct daemon showq_daemon = {
		.name = "showq",
		.groups = groups,
		.structs = structs,
		.jail = {
			.user = AS_MAIL_OWNER,
			.syscalls = SYS_CORE | SYS_ACCEPT | SYS_CONNECT_UNIX | SYS_FILES_READ,
			.capabilities = "",
			.paths = { { "incoming", 'r' }, { "intake", 'r' }, { "deferred", 'r' },
				   { "hold", 'r' },
				   { "maildrop", 'r' }, { "public", 'c' }, { "private", 'c' } },
		},
		.start = start,
		.serve = serve,
	};

	return daemon_main(argc, argv, &showq_daemon);
}
