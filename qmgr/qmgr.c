/* SPDX-License-Identifier: ISC */
/*
 * The queue manager: takes in what cleanup announces and what lies on disk, decides who is delivered when,
 * hands it to the delivery agents, and keeps account. It never reads a message's content. What it knows can
 * be had again from the queue files alone.
 *
 * It exits when told (a reload's successor waits, or the system stops) after deliveries under way have been
 * accounted for, within limits; everything else is on disk anyway. pid/qmgr.lock makes sure that there is
 * one.
 */
#include <errno.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/conf/params/bounce.h"
#include "lib/daemon/daemon.h"
#include "lib/disk/disk.h"
#include "qmgr/qmgr.h"

enum {
	COMMANDS_AT_ONCE = 10,
	SETTLED_AGE_S = 5,
	FIRST_LOOK_MS = 10000,
	LOCK_WAIT_MS = 100,
	WAIT_FOR_DISK_MS = 10000,
	LOCK_WORDS_S = 10
};

static struct qmgr_conf conf;
static struct queue_conf queue_settings;
static struct bounce_conf bounce_settings;
static struct qmgr the_qmgr;
static int lock_fd = -1;

/* ---- before the jail closes ---- */

static void open_lock(void)
{
	make_directory(the_world->queue_dir, "pid", 0755);
	lock_fd = file_create(the_world->queue_dir, "pid/qmgr.lock", 0600);
	if (lock_fd == -EEXIST)
		lock_fd = file_open_append(the_world->queue_dir, "pid/qmgr.lock");
	if (lock_fd < 0)
		die(EX_CANTCREAT, "pid/qmgr.lock: %s", error_text(lock_fd));
}

static void open_queue(struct qmgr *q)
{
	AUTO(buf) why = BUF_WORDS;
	const unsigned which = 1 << QUEUE_INCOMING | 1 << QUEUE_DEFERRED | 1 << QUEUE_HOLD
			       | 1 << QUEUE_CORRUPT | 1 << QUEUE_MAILDROP;
	int r;

	if (queue_open(the_world->queue_dir, (int) q->common->hash_queue_depth, which, &q->queue, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	r = queue_open_intake(q->queue, the_world->queue_dir, true, true);
	if (r < 0)
		die(EX_CONFIG, "queue directory intake: %s", error_text(r));
}

static void check_feedback(const char *name, const char *text)
{
	AUTO(buf) why = BUF_WORDS;
	struct feedback f;

	if (feedback_parse(str_of(text), &f, &why) < 0)
		die(EX_CONFIG, "%s: %s", name, buf_text(&why));
}

static void open_configuration(struct qmgr *q)
{
	AUTO(buf) why = BUF_WORDS;

	if (master_cf_load(q->raw, q->arena, &q->services, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	if (route_open(q->raw, q->common, &q->route, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	if (match_list_open("authorized_flush_users", str_of(conf.authorized_flush_users), 0,
			    &q->flushers, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	q->double_bounce_sender = str_of(bounce_settings.double_bounce_sender);
	check_feedback("default_destination_concurrency_positive_feedback",
		       conf.default_destination_concurrency_positive_feedback);
	check_feedback("default_destination_concurrency_negative_feedback",
		       conf.default_destination_concurrency_negative_feedback);
}

static void say_of_queue(const char *words)
{
	log_warning("%s", words);
}

/*
 * Of two settings that contradict each other one gives way, as in Postfix; with words when it is
 * not a default.
 */
static void adjust(int64_t *value, const char *name, int64_t to, const char *words)
{
	const char *file;
	int line;

	if (conf_where(the_world->conf, str_of(name), &file, &line))
		log_warning("%s is %s: adjusted", name, words);
	*value = to;
}

static void reconcile(struct qmgr_conf *c)
{
	if (c->bounce_queue_lifetime > c->maximal_queue_lifetime)
		adjust(&c->bounce_queue_lifetime, "bounce_queue_lifetime", c->maximal_queue_lifetime,
		       "larger than maximal_queue_lifetime");
	if (c->maximal_backoff_time < c->minimal_backoff_time)
		adjust(&c->maximal_backoff_time, "maximal_backoff_time", c->minimal_backoff_time,
		       "smaller than minimal_backoff_time");
	if (c->qmgr_message_recipient_limit < c->qmgr_message_active_limit)
		adjust(&c->qmgr_message_recipient_limit, "qmgr_message_recipient_limit",
		       c->qmgr_message_active_limit, "smaller than qmgr_message_active_limit");
}

static void start(void)
{
	struct qmgr *q = &the_qmgr;

	reconcile(&conf);
	q->conf = &conf;
	q->queue_conf = &queue_settings;
	q->raw = the_world->conf;
	q->common = the_world->common;
	q->arena = arena_new("queue manager", NULL, (size_t) 1 << 30);
	open_lock();
	open_queue(q);
	queue_set_say(q->queue, say_of_queue);
	open_configuration(q);
	qmgr_begin(q);
}

/* ---- the loop ---- */

static int be_the_only_one(void)
{
	int64_t words_at = mono_ms() + LOCK_WORDS_S * 1000;
	int r;

	while ((r = lock_try(lock_fd)) == -EAGAIN) {
		if (mono_ms() >= words_at) {
			log_warning("another queue manager holds pid/qmgr.lock: waiting for it to end");
			words_at = INT64_MAX;
		}
		if (co_sleep(in(LOCK_WAIT_MS)) < 0 || the_qmgr.leaving)
			return -ECANCELED;
	}
	if (r < 0)
		die(EX_OSERR, "cannot lock pid/qmgr.lock: %s", error_text(r));
	return 0;
}

/* The skeleton bounds this: what is still under way when it cuts us short is tried again by our successor. */
static void settle(struct qmgr *q)
{
	while (q->under_way > 0 && bell_wait(&q->settled, NEVER) >= 0)
		continue;
	if (q->under_way > 0)
		log_info("leaving with %d deliveries under way", q->under_way);
}

/*
 * From now on a successor may have what nobody works on here. What the disk has not taken it would
 * do again, so it waits for us a while; what began here goes on meanwhile, and nothing new begins.
 */
static void give_up_the_queue(struct qmgr *q)
{
	const when_t end = in(WAIT_FOR_DISK_MS);

	unwritten_flush(q);
	remove_stuck(q);
	while (unrecorded(q) > 0 && mono_ms() < end && co_sleep(in(LOCK_WAIT_MS)) >= 0)
		disk_lags(q);
	hand_over(q);
	queue_write_through(q->queue);
	close(lock_fd);
}

/*
 * Announcements that were on their way to a predecessor who was killed are lost: so we look soon after the
 * start, too.
 */
static int64_t next_look_ms(const struct qmgr *q, int looks)
{
	return looks == 0 || q->missed_some ? MIN(FIRST_LOOK_MS, conf.queue_run_delay)
					    : conf.queue_run_delay;
}

static void run(void)
{
	struct qmgr *q = &the_qmgr;

	q->scope = scope_open("queue manager");
	if (be_the_only_one() >= 0) {
		q->is_ready = true;
		bell_ring(&q->ready);
		scan_at_start(q);
		scan_deferred_in_background(q);
		log_keep(q);		/* segments that a predecessor or a dead cleanup left */
	}
	for (int looks = 0; !q->leaving; looks++) {
		if (!q->look_soon && bell_wait(&q->look, in(next_look_ms(q, looks))) == -ECANCELED)
			break;
		q->look_soon = false;
		if (!q->leaving) {
			scan_after_clock_step(q);
			q->missed_some = false;
			scan_incoming(q, wall_s() - SETTLED_AGE_S);
			log_keep(q);
			unwritten_flush(q);
		}
	}
	if (q->is_ready)
		give_up_the_queue(q);
	remove_stuck(q);
	settle(q);
	unwritten_flush(q);
	scope_close(q->scope);
}

static void wind_down(void)
{
	struct qmgr *q = &the_qmgr;

	q->leaving = true;
	bell_ring(&q->look);
	bell_ring(&q->ready);
}

static void wake(void)
{
	the_qmgr.look_soon = true;
	bell_ring(&the_qmgr.look);
}

/* ---- visitors ---- */

/* Only who could write the queue file itself may say what is in it. */
static void serve_announcement(struct server_call *call)
{
	struct visitor *v = call->state;
	AUTO(buf) why = BUF_WORDS;
	struct qmgr_announce m;

	if (!v->is_trusted)
		log_warning_rarely(60, "announcement refused from uid %u", (unsigned) v->uid);
	else if (get_qmgr_announce(call->frame, &m, &why) < 0)
		log_warning("malformed announcement: %s", buf_text(&why));
	else
		intake_announced(v->q, &m);
}

static void serve(struct session_socket *socket)
{
	static const struct server_row rows[] = {
		{ .message = "qmgr_announce", .serve = serve_announcement },
		{ .message = "qmgr_command", .concurrent = true, .serve = serve_command },
		{ .message = NULL },
	};
	struct visitor visitor = { &the_qmgr, socket->peer_uid,
				   is_one_of_us(socket->peer_uid) };
	struct channel *ch = channel_new(socket->fd);

	while (!the_qmgr.is_ready && !the_qmgr.leaving)
		if (bell_wait(&the_qmgr.ready, NEVER) < 0)
			break;
	if (the_qmgr.is_ready)
		serve_channel(ch, rows, &visitor, COMMANDS_AT_ONCE);
	channel_free(ch);
}

int main(int argc, char **argv)
{
	static const struct param_group *const groups[] = { &qmgr_group, &queue_group, &bounce_group, NULL };
	static void *const structs[] = { &conf, &queue_settings, &bounce_settings };
	static const struct daemon qmgr_daemon = {
		.name = "qmgr",
		.singleton = true,
		.hands_over = true,
		.groups = groups,
		.structs = structs,
		.jail = {
			.user = AS_MAIL_OWNER,
			.syscalls = SYS_CORE | SYS_ACCEPT | SYS_CONNECT_UNIX | SYS_FILES_READ
				| SYS_FILES_WRITE,
			.capabilities = "",
			.paths = {
				{ "incoming", 'w' }, { "intake", 'w' }, { "deferred", 'w' }, { "hold", 'w' },
				{ "corrupt", 'w' },
				{ "maildrop", 'w' }, { "private", 'c' }, { "public", 'c' },
				{ "$config", 'r' },
			},
		},
		.start = start,
		.run = run,
		.serve = serve,
		.wind_down = wind_down,
		.wake = wake,
	};

	return daemon_main(argc, argv, &qmgr_daemon);
}
