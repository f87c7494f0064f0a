/* SPDX-License-Identifier: ISC */
/*
 * anvil: counts for all smtpd processes together how often a client does what has a limit
 * (smtpd_client_auth_rate_limit and the like), and how many sessions it has. They ask at each such
 * event, and judge themselves. In memory only; a client is forgotten anvil_rate_time_unit after its
 * first event, and begins anew.
 *
 * Of sessions each process says how many it has now, not what has changed: so nothing said earlier
 * need have been heard. A connection is a process, and its sessions end with it.
 */
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/base/map.h"
#include "lib/conf/params/anvil.h"
#include "lib/daemon/daemon.h"
#include "lib/ipc/channel.h"
#include "lib/peers/anvil.h"
#include "services/anvil/sessions.h"

enum { CALLS_AT_ONCE = 1000, MOST_CLIENTS = 200000 };

struct client {
	struct list link;		/* in by_age */
	when_t until;
	unsigned counts[ANVIL_EVENTS];
	size_t name_len;
	char name[];			/* "smtp:192.0.2.1", its key in `clients` */
};

struct peak {				/* since the last report */
	uint64_t count;			/* 0: nothing was counted */
	int64_t at;
	char name[200];
};

static struct anvil_conf conf;
static struct map *clients;
static struct list by_age = LIST_INIT(by_age);		/* the oldest first: they all live equally long */
static struct peak peaks[ANVIL_EVENTS], most_sessions, most_clients;

/* ---- counting ---- */

static void forget(struct client *c)
{
	map_remove(clients, str_make(c->name, c->name_len));
	list_remove(&c->link);
	free(c);
}

/* Those whose time is over; and the oldest, when there are more than any server has honest ones. */
static void make_room(void)
{
	LIST_EACH(c, &by_age, struct client, link) {
		if (c->until > mono_ms() && map_count(clients) < MOST_CLIENTS)
			return;
		forget(c);
	}
}

static void note_peak(struct peak *p, uint64_t count, struct str name)
{
	if (count <= p->count)
		return;
	p->count = count;
	p->at = wall_s();
	snprintf(p->name, sizeof(p->name), "%.*s", PSTR(name));
}

static struct client *find(struct str name)
{
	struct client *c;

	make_room();
	c = map_get(clients, name);
	if (c != NULL)
		return c;
	c = get_memory(sizeof(*c) + name.len);
	memcpy(c->name, name.at, name.len);
	c->name_len = name.len;
	c->until = in(conf.anvil_rate_time_unit);
	list_append(&by_age, &c->link);
	map_put(clients, name, c);
	note_peak(&most_clients, map_count(clients), STR_NONE);
	return c;
}

static void add_name(struct buf *name, struct str service, struct str client)
{
	buf_add_printable(name, service);
	buf_add_byte(name, ':');
	buf_add_printable(name, client);
}

static void count(struct server_call *call)
{
	AUTO(buf) why = BUF_WORDS, name = BUF(400);
	struct anvil_event_request request;
	struct anvil_event_reply reply;
	struct client *c;

	if (get_anvil_event_request(call->frame, &request, &why) < 0 || request.event >= ANVIL_EVENTS) {
		log_warning("malformed request: %s", why.len > 0 ? buf_text(&why) : "no such event");
		return;
	}
	add_name(&name, request.service, request.client);
	c = find(buf_str(&name));
	c->counts[request.event] += request.more > 0;
	reply.count = c->counts[request.event];
	note_peak(&peaks[request.event], reply.count, buf_str(&name));
	FAILPOINT("anvil.counted");
	REPLY(call, anvil_event_reply, &reply);
}

/* ---- sessions ---- */

static void count_sessions(struct server_call *call)
{
	AUTO(buf) why = BUF_WORDS, name = BUF(400);
	struct anvil_sessions_request request;
	struct anvil_sessions_reply reply;

	if (get_anvil_sessions_request(call->frame, &request, &why) < 0 || request.here > INT32_MAX) {
		log_warning("malformed request: %s", why.len > 0 ? buf_text(&why) : "so many sessions");
		return;
	}
	add_name(&name, request.service, request.client);
	reply.count = sessions_note(call->state, buf_str(&name), (uintptr_t) request.here);
	note_peak(&most_sessions, reply.count, buf_str(&name));
	if (call->frame->call != 0)
		REPLY(call, anvil_sessions_reply, &reply);
}

static const struct server_row rows[] = {
	{ "anvil_event_request", false, count },
	{ "anvil_sessions_request", false, count_sessions },
	{ NULL, false, NULL },
};

static void serve(struct session_socket *socket)
{
	struct map *of_process = map_new();

	serve_our_own(socket, rows, of_process, CALLS_AT_ONCE);
	sessions_forget(of_process);
}

/* ---- what the log hears now and then ---- */

static const char *when_of(const struct peak *p, char text[20])
{
	time_t at = (time_t) p->at;
	struct tm tm;

	localtime_r(&at, &tm);
	strftime(text, 20, "%b %e %H:%M:%S", &tm);
	return text;
}

static void report(void)
{
	static const char *const names[ANVIL_EVENTS] = { "connection", "message", "recipient",
							 "newtls", "auth" };
	char when[20];

	if (most_sessions.count > 0)
		log_info("statistics: max connection count %llu for (%s) at %s",
			 (unsigned long long) most_sessions.count, most_sessions.name,
				 when_of(&most_sessions, when));
	for (int i = 0; i < ANVIL_EVENTS; i++)
		if (peaks[i].count > 0)
			log_info("statistics: max %s rate %llu/%llds for (%s) at %s", names[i],
				 (unsigned long long) peaks[i].count,
				 (long long) conf.anvil_rate_time_unit / 1000, peaks[i].name,
				 when_of(&peaks[i], when));
	if (most_clients.count > 0)
		log_info("statistics: max cache size %llu at %s", (unsigned long long) most_clients.count,
			 when_of(&most_clients, when));
	memset(peaks, 0, sizeof(peaks));
	memset(&most_sessions, 0, sizeof(most_sessions));
	memset(&most_clients, 0, sizeof(most_clients));
}

static void run(void)
{
	while (co_sleep(in(conf.anvil_status_update_time)) == 0)
		report();
	report();
}

static void start(void)
{
	clients = map_new();
	sessions_begin();
}

int main(int argc, char **argv)
{
	static const struct param_group *const groups[] = { &anvil_group, NULL };
	static void *const structs[] = { &conf };
	static const struct daemon anvil = {
		.name = "anvil",
		.singleton = true,
		.groups = groups,
		.structs = structs,
		.jail = { .user = AS_MAIL_OWNER, .syscalls = SYS_CORE | SYS_ACCEPT | SYS_CONNECT_UNIX,
			  .capabilities = "", .paths = { { "public/postlog", 'c' } } },
		.start = start,
		.run = run,
		.serve = serve,
	};

	return daemon_main(argc, argv, &anvil);
}
