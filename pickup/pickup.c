/* SPDX-License-Identifier: ISC */
/*
 * pickup(8): looks for messages in maildrop/ when postdrop or master's timer wakes it, and carries
 * several at once. One process. An entry of `known` is a file that was seen:
 *
 *   waiting   in the list of that name                 -> carried, by the next carrier that is free
 *   carried   a carrier has it                         -> forgotten (picked up) or resting
 *   resting   until its next attempt is due, or, if it  -> waiting, or forgotten when a scan misses the file
 *             was not finished, until the next look
 *
 * Of a file that cleanup has and that cannot be removed (the disk is read-only, say) only this
 * process knows that it must not be sent again. So its removal is tried again and again, and when
 * there are as many of these as may be carried at once, nothing more is.
 */
#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/daemon/daemon.h"
#include "lib/peers/cleanup.h"
#include "pickup/pickup.h"

enum { MOST_AT_ONCE = 50, RETRY_MS = 60 * 1000, REMOVE_MS = 1000, MOST_KNOWN = 100000, MOST_WARNINGS = 1000 };

struct entry {
	char id[32];
	enum { RESTING, WAITING, CARRIED } state;
	when_t due;			/* of RESTING; NEVER: no attempt of its own */
	bool unfinished;		/* of RESTING: worth another try at every look */
	bool sent;			/* only to be removed */
	unsigned scan;			/* the last one that saw the file */
	struct list link;		/* in waiting */
};

static struct pickup the_pickup;
static struct receive_conf receive_conf;
static struct map *known, *warned;
static struct list waiting = LIST_INIT(waiting);
static struct bell bell;
static struct scope *carriers;
static int carried;			/* entries in that state */
static int sent;			/* entries that are only to be removed */
static bool is_asked;			/* to look, since the last look began */
static unsigned scans;

void warn_once(const char *words)
{
	if (map_count(warned) >= MOST_WARNINGS) {
		map_free(warned, NULL);
		warned = map_new();
	}
	if (map_put(warned, str_of(words), &the_pickup) == NULL)
		log_warning("%s", words);
}

static void wake(void)
{
	is_asked = true;
	bell_ring(&bell);
}

/* ---- carrying ---- */

static void forget(struct entry *e)
{
	sent -= e->sent;
	map_remove(known, str_of(e->id));
	free(e);
}

static enum fate carry_entry(struct entry *e)
{
	enum fate fate;

	if (!e->sent && sent + carried >= MOST_AT_ONCE)
		return PICKUP_SOON;
	e->state = CARRIED;
	carried++;
	co_describe("%s", e->id);
	fate = !e->sent ? carry(&the_pickup, str_of(e->id)) : remove_sent(&the_pickup, str_of(e->id)) < 0
	       ? PICKUP_SENT : PICKED_UP;
	carried--;
	return fate;
}

static when_t next_attempt(enum fate fate)
{
	switch (fate) {
	case PICKUP_LATER:
		return in(RETRY_MS);
	case PICKUP_SOON:
	case PICKUP_SENT:
		return in(REMOVE_MS);
	default:
		return NEVER;
	}
}

static void settle(struct entry *e, enum fate fate)
{
	if (fate == PICKED_UP) {
		forget(e);
		return;
	}
	if (fate == PICKUP_SENT && !e->sent) {
		e->sent = true;
		sent++;
	}
	e->state = RESTING;
	e->unfinished = fate == PICKUP_UNFINISHED;
	e->due = next_attempt(fate);
	bell_ring(&bell);
}

static void run_carrier(void *arg)
{
	(void) arg;
	while (!list_is_empty(&waiting) && !daemon_is_winding_down() && !co_is_cancelled()) {
		struct entry *e = LIST_FIRST(&waiting, struct entry, link);

		list_remove(&e->link);
		settle(e, carry_entry(e));
	}
}

static void start_carriers(void)
{
	int wanted = carried;

	LIST_EACH(e, &waiting, struct entry, link)
		if (++wanted >= MOST_AT_ONCE)
			break;		/* a slow message holds up one carrier, not those behind it */
	while (scope_count(carriers) < wanted)
		if (scope_start(carriers, "carrier", run_carrier, NULL) < 0)
			break;		/* those that run will do */
}

/* ---- looking ---- */

static int see(void *arg, struct str id, int64_t mtime_s)
{
	struct entry *e = map_get(known, id);

	(void) arg;
	(void) mtime_s;
	if (e == NULL) {
		if (map_count(known) >= MOST_KNOWN)
			return 0;		/* at another time */
		e = get_memory(sizeof(*e));
		memcpy(e->id, id.at, MIN(id.len, sizeof(e->id) - 1));
		list_init(&e->link);
		map_put(known, id, e);
	}
	e->scan = scans;
	if (e->state == RESTING && (e->unfinished || e->due <= mono_ms())) {
		e->state = WAITING;
		list_append(&waiting, &e->link);
	}
	return 0;
}

/* Files that rested and are gone. */
static void forget_missing(void)
{
	struct map_at at = { 0 };

	while (map_next(known, &at)) {
		struct entry *e = at.value;

		if (e->state == RESTING && e->scan != scans)
			forget(e);
	}
}

static when_t next_due(void)
{
	when_t next = map_count(known) >= MOST_KNOWN ? in(1000) : NEVER;
	struct map_at at = { 0 };

	while (map_next(known, &at)) {
		const struct entry *e = at.value;

		if (e->state == RESTING)
			next = sooner(next, e->due);
	}
	return next;
}

static void look(void)
{
	int r;

	is_asked = false;
	scans++;
	r = queue_scan(the_pickup.queue, QUEUE_MAILDROP, see, NULL);
	if (r < 0)
		log_warning("cannot look into maildrop/: %s", error_text(r));
	else if (map_count(known) < MOST_KNOWN)
		forget_missing();
	start_carriers();
}

/* The successor would send them again. */
static void remove_all_sent(void)
{
	struct map_at at = { 0 };

	while (map_next(known, &at)) {
		struct entry *e = at.value;

		if (e->sent && remove_sent(&the_pickup, str_of(e->id)) == 0)
			forget(e);
	}
}

static void run(void)
{
	carriers = scope_open("carriers");
	look();
	while (!daemon_is_winding_down() && !co_is_cancelled()) {
		when_t next = next_due();

		if (!is_asked && next > mono_ms())
			bell_wait(&bell, next);
		else
			look();
	}
	/* What is being carried is finished; what waits or rests is found again by the successor. */
	scope_wait(carriers, in(the_world->common->ipc_timeout));
	scope_close(carriers);
	remove_all_sent();
}

/* Nobody says anything but "look". */
static void serve(struct session_socket *socket)
{
	struct stream *s = stream_new(socket->fd);
	char bytes[64];

	stream_deadline(s, in(1000));
	while (read_some(s, bytes, sizeof(bytes)) > 0)
		;
	stream_free(s);
}

static void start(void)
{
	AUTO(buf) why = BUF_WORDS;

	if (queue_open(the_world->queue_dir, 1, 1u << QUEUE_MAILDROP, &the_pickup.queue, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	if (receive_parse(&receive_conf, &the_pickup.receive, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	queue_set_say(the_pickup.queue, warn_once);
	mail_out_use(the_world->common->cleanup_service_name);
	the_pickup.bounce = client_new("private/bounce");
	known = map_new();
	warned = map_new();
	bell_init(&bell);
}

int main(int argc, char **argv)
{
	static const struct param_group *const groups[] = { &receive_group, NULL };
	static void *const structs[] = { &receive_conf };
	static const struct daemon pickup_daemon = {
		.name = "pickup",
		.shape = DAEMON_SESSIONS,
		.singleton = true,
		.groups = groups,
		.structs = structs,
		.jail = {
			.user = AS_MAIL_OWNER,
			.syscalls = SYS_CORE | SYS_ACCEPT | SYS_CONNECT_UNIX | SYS_FILES_READ
				    | SYS_FILES_WRITE,
			.capabilities = "",
			.paths = { { "maildrop", 'w' }, { "public", 'c' }, { "private", 'c' },
				   { "$config", 'r' } },
		},
		.start = start,
		.run = run,
		.serve = serve,
		.wind_down = wake,
		.wake = wake,
	};

	return daemon_main(argc, argv, &pickup_daemon);
}
