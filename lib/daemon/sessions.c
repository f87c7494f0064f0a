/* SPDX-License-Identifier: ISC */
/*
 * The daemon that serves many at once: an accepting coroutine per listener, a coroutine per
 * session, and the keeper, the first coroutine, which decides when the process is through. Signals
 * and master's line only set a flag and ring the keeper's bell.
 *
 *   serving        -> accepts up to session_limit
 *   leaving        listeners closed; wind_down() was called; sessions finish what they hold (winding_down is set)
 *   cut short      SIGTERM, or a singleton whose successor waits: stop_ms later the remaining sessions are cancelled
 */
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/daemon/private.h"
#include "lib/ipc/channel.h"

enum { RECEIVE_PASSED_MS = 100000, SETTLE_MS = 1000, MOST_REST_MS = 1000, MOST_POLITE_MS = 5 };

struct session {
	struct list link;
	struct session_socket socket;
	const struct listener *from;
	/* of the unix socket, so that its descriptor can be recognised later; 0: not kept */
	ino_t identity;
};

static const struct daemon_run *run;
static struct scope *sessions_scope, *accept_scope, *run_scope;
static struct list sessions = LIST_INIT(sessions);
static int session_count;
static int64_t served;
static struct bell keeper_bell, room_bell;
static enum worker_report reported;
static when_t cut_at = NEVER, idle_since;
static const char *leaving_because;

volatile sig_atomic_t winding_down;

bool daemon_is_winding_down(void)
{
	return winding_down;
}

static void leave(const char *reason)
{
	if (leaving_because != NULL)
		return;
	leaving_because = reason;
	bell_ring(&keeper_bell);
}

void daemon_retire(const char *reason)
{
	leave(reason);
}

static void told_to_stop(int signal_number)
{
	(void) signal_number;
	cut_at = sooner(cut_at, in(run->stop_ms));
	leave("stop");
	bell_ring(&keeper_bell);
	if (run->d->stop != NULL)
		run->d->stop();
}

/* ---- reports to master ---- */

static void report(enum worker_report r)
{
	if (reported == r || reported == WORKER_LEAVING)
		return;
	reported = r;
	report_to_master(r);
}

static int limit(void)
{
	return run->options->session_limit;
}

/*
 * Has this process had most of a processor to itself? Looked at now and then, when clients come:
 * those that are there already would not gain by another process.
 */
static bool is_short_of_processor(void)
{
	enum { LOOK_US = 200000, MOST_PERCENT = 70 };
	static int64_t looked_at, used_then;
	static bool is_short;
	int64_t now = mono_us(), used;

	if (now - looked_at < LOOK_US)
		return is_short;
	used = process_us();
	is_short = (used - used_then) * 100 > (now - looked_at) * MOST_PERCENT;
	looked_at = now;
	used_then = used;
	return is_short;
}

/*
 * Two processes that could be one make smaller batches, and need more time for the same mail. At a
 * Unix socket a session is a peer's whole traffic: one is enough work.
 */
static bool wants_company(void)
{
	return run->listeners[0].type == SERVICE_UNIX ? session_count > 0 : is_short_of_processor();
}

static void report_growth(void)
{
	if (limit() > 0 && session_count >= limit())
		report(WORKER_FULL);
	else if (reported != WORKER_FULL)
		report(wants_company() ? WORKER_BUSY : WORKER_IDLE);
}

/*
 * With some slack below the limit, so that a service at its limit does not tell master about every
 * session.
 */
static void report_shrinking(void)
{
	if (reported == WORKER_FULL && session_count <= limit() - 1 - limit() / 4)
		report(wants_company() ? WORKER_BUSY : WORKER_IDLE);
}

/* ---- sessions ---- */

static void keep_identity(struct session *s)
{
	struct stat st;

	if (!s->socket.is_inet && s->from->type == SERVICE_UNIX && fstat(s->socket.fd, &st) == 0)
		s->identity = st.st_ino;
}

/* Weak, like those in main.c: a daemon without channels does not link them for this. */
extern __typeof__(serve_channel_goodbye) serve_channel_goodbye __attribute__((weak));

/*
 * serve() owns the descriptor and may have closed it already: only the very socket that was
 * accepted is touched. A channel's client is asked to leave; who speaks something else sees the end
 * of his input.
 */
static void end_input(const struct session *s)
{
	struct stat st;

	if (s->identity == 0 || fstat(s->socket.fd, &st) < 0 || !S_ISSOCK(st.st_mode)
	    || st.st_ino != s->identity)
		return;
	if (serve_channel_goodbye == NULL || !serve_channel_goodbye(s->socket.fd))
		shutdown(s->socket.fd, SHUT_RD);
}

/*
 * What a crowd took stays in the C library's hands, small pieces between others: 50 of 60 MiB after
 * 1,000 broken handshakes. When most have gone, it goes back.
 */
static void give_back_after_crowd(void)
{
	enum { CROWD = 200 };
	static int most;

	most = MAX(most, session_count);
	if (most < CROWD || session_count > most / 8)
		return;
	most = session_count;
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

static void session_over(struct session *s)
{
	list_remove(&s->link);
	free(s);
	give_back_after_crowd();
	session_count--;
	say_refusals();
	report_shrinking();
	bell_ring(&room_bell);
	if (session_count == 0) {
		idle_since = mono_ms();
		bell_ring(&keeper_bell);
	}
}

static void run_session(void *arg)
{
	struct session *s = arg;
	const struct daemon *d = run->d;

	if (d->wake != NULL && s->from->type == SERVICE_UNIX
	    && !take_triggers(s->socket.fd, d->wake, NEVER)) {
		co_forget_fd(s->socket.fd);
		close(s->socket.fd);
	} else {
		d->serve(&s->socket);
	}
	session_over(s);
}

static int begin_session(const struct listener *l, int fd)
{
	struct session *s = get_memory(sizeof(*s));
	int result;

	s->from = l;
	describe_socket(l, fd, &s->socket);
	keep_identity(s);
	list_append(&sessions, &s->link);
	session_count++;
	served++;
	result = scope_start(sessions_scope, run->d->name, run_session, s);
	if (result < 0) {
		close(fd);
		session_over(s);
		return result;
	}
	report_growth();
	if (run->max_use > 0 && served >= run->max_use && !run->d->singleton && has_master())
		leave("max_use");
	return 0;
}

/* ---- accepting ---- */

/* A pass listener's connections bring descriptors, each a session of its own. */
static int accept_passed(const struct listener *l, int channel)
{
	char data[512];
	int fd, n;

	while ((n = recv_fd(channel, &fd, data, sizeof(data), in(RECEIVE_PASSED_MS))) > 0)
		if (fd >= 0 && begin_session(l, fd) < 0)
			break;
	co_forget_fd(channel);
	close(channel);
	return n;
}

struct passing {
	const struct listener *listener;
	int channel;
};

static void run_passing(void *arg)
{
	struct passing p = *(struct passing *) arg;

	free(arg);
	accept_passed(p.listener, p.channel);
}

static int begin_passing(const struct listener *l, int fd)
{
	struct passing *p = get_memory(sizeof(*p));
	int result;

	*p = (struct passing){ l, fd };
	result = scope_start(accept_scope, "receive passed", run_passing, p);
	if (result < 0) {
		close(fd);
		free(p);
	}
	return result;
}

static bool is_full(void)
{
	return limit() > 0 && session_count >= limit();
}

/* Out of descriptors or memory: the connection stays in the backlog, and we rest rather than spin. */
static void rest_after(int error, int64_t *rest_ms)
{
	if (error != -ECONNABORTED && error != -EAGAIN && error != -EINTR)
		log_warning_rarely(10, "accept connection: %s", error_text(error));
	*rest_ms = MIN(MAX(*rest_ms * 2, (int64_t) 10), (int64_t) MOST_REST_MS);
	co_sleep(in(*rest_ms));
}

/*
 * Peers keep their connection for good, so who takes it decides who has their work for good: those
 * who have fewer shall be first. A client of an inet service comes and goes, and should not wait.
 */
static int accept_politely(const struct listener *l)
{
	if (l->type == SERVICE_UNIX && session_count > 0 && has_master() && !run->d->singleton) {
		int result = co_wait_fd(l->fd, POLLIN, in(0));

		if (result == -ETIMEDOUT)
			result = co_wait_fd(l->fd, POLLIN, NEVER);
		if (result < 0 || co_sleep(in(MIN(session_count, MOST_POLITE_MS))) < 0)
			return result < 0 ? result : -ECANCELED;
		result = accept_one(l->fd, in(0), NULL);
		return result == -ETIMEDOUT ? -EAGAIN : result;
	}
	return accept_one(l->fd, NEVER, NULL);
}

static void run_accept(void *arg)
{
	const struct listener *l = arg;
	int64_t rest_ms = 0;

	while (!co_is_cancelled()) {
		int fd, result;

		if (is_full()) {
			bell_wait(&room_bell, NEVER);
			continue;
		}
		fd = accept_politely(l);
		if (fd == -ECANCELED)
			return;
		if (fd == -EAGAIN)
			continue;	/* another one was first */
		result = fd < 0 ? fd : l->type == SERVICE_PASS ? begin_passing(l, fd) : begin_session(l, fd);
		if (result < 0) {
			rest_after(result, &rest_ms);
			continue;
		}
		rest_ms = 0;
		co_pass();	/* lets the others of this generation take the next one */
	}
}

static void run_datagrams(void *arg)
{
	const struct listener *l = arg;
	struct session_socket s = { .fd = l->fd, .is_public = l->is_public, .peer_uid = (uid_t) -1 };

	run->d->serve(&s);
	leave("no more datagrams");
}

static void start_or_die(struct scope *scope, const char *name, void (*body)(void *), void *arg)
{
	if (scope_start(scope, name, body, arg) < 0)
		die(EX_OSERR, "no memory for coroutine \"%s\"", name);
}

static void start_accepting(void)
{
	for (int i = 0; i < run->listener_count; i++) {
		struct listener *l = &run->listeners[i];

		if (l->type == SERVICE_DGRAM)
			start_or_die(sessions_scope, "datagrams", run_datagrams, l);
		else
			start_or_die(accept_scope, "accept", run_accept, l);
	}
}

/* ---- the keeper ---- */

static void run_lifeline(void *arg)
{
	char bytes[64];

	(void) arg;
	for (;;) {
		ssize_t n = recv(LIFELINE_FD, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n > 0)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			if (co_wait_fd(LIFELINE_FD, POLLIN, NEVER) == -ECANCELED)
				return;
			continue;
		}
		leave("new generation");
		if (run->d->singleton && !run->d->hands_over)
			cut_at = sooner(cut_at, in(run->stop_ms));
		return;
	}
}

static void run_run(void *arg)
{
	(void) arg;
	run->d->run();
}

/* Only who is nothing without clients goes when there are none. */
static bool may_idle_out(void)
{
	return has_master() && !run->d->singleton && run->d->run == NULL && run->d->shape != DAEMON_DATAGRAMS
	       && run->max_idle_ms > 0;
}

static void serve_until_leaving(void)
{
	idle_since = mono_ms();
	while (leaving_because == NULL) {
		bool idle = session_count == 0;
		when_t until = NEVER;

		if (idle && may_idle_out())
			until = idle_since + run->max_idle_ms;
		if (idle && reported == WORKER_BUSY)
			until = sooner(until, idle_since + SETTLE_MS);
		bell_wait(&keeper_bell, until);
		if (session_count != 0)
			continue;
		if (reported == WORKER_BUSY && mono_ms() >= idle_since + SETTLE_MS)
			report(WORKER_IDLE);
		if (may_idle_out() && mono_ms() >= idle_since + run->max_idle_ms)
			leave("max_idle");
	}
}

static void stop_accepting(void)
{
	scope_close(accept_scope);
	for (int i = 0; i < run->listener_count; i++) {
		struct listener *l = &run->listeners[i];

		if (l->type == SERVICE_DGRAM)
			continue;
		co_forget_fd(l->fd);
		close(l->fd);
		l->fd = -1;
	}
	report(WORKER_LEAVING);
}

static void finish_sessions(void)
{
	winding_down = true;
	if (run->d->wind_down != NULL)
		run->d->wind_down();
	if (run->d->shape == DAEMON_DATAGRAMS)
		scope_cancel(sessions_scope);
	LIST_EACH(s, &sessions, struct session, link)
		end_input(s);
	while (scope_count(sessions_scope) > 0 && mono_ms() < cut_at) {
		/* A stop may come while we wait for a reload's last sessions: look again now and then. */
		if (scope_wait(sessions_scope, sooner(cut_at, in(SETTLE_MS))) == -ECANCELED)
			break;
	}
	if (scope_count(sessions_scope) > 0)
		log_info("cutting short %d sessions", session_count);
	scope_close(sessions_scope);
}

/* One who was told by wind_down() ends by himself: the queue manager has results to wait for. */
static void finish_run(void)
{
	while (run->d->wind_down != NULL && scope_count(run_scope) > 0 && mono_ms() < cut_at)
		if (scope_wait(run_scope, sooner(cut_at, in(SETTLE_MS))) == -ECANCELED)
			break;
	scope_close(run_scope);
}

static void keep(void *arg)
{
	struct scope *line = scope_open("line to master");

	(void) arg;
	sessions_scope = scope_open("sessions");
	accept_scope = scope_open("accept");
	run_scope = scope_open("run");
	if (run->d->run != NULL)
		start_or_die(run_scope, run->d->name, run_run, NULL);
	start_accepting();
	if (has_master())
		start_or_die(line, "line to master", run_lifeline, NULL);
	report(WORKER_READY);
	say_refusals();
	serve_until_leaving();
	log_debug("leaving: %s", leaving_because);
	stop_accepting();
	finish_sessions();
	finish_run();
	scope_close(line);
	loop_stop();
}

/* With -v: who kept all others waiting. Costs two looks at the clock per switch, so it is not always on. */
static void say_slow(const char *name, const char *what, int64_t us)
{
	log_warning("coroutine \"%s\" (%s) ran for %lld ms without a wait", name, what,
		    (long long) (us / 1000));
}

void run_sessions(const struct daemon_run *r)
{
	int result;

	run = r;
	if (log_is_verbose())
		loop_report_slow(say_slow);
	bell_init(&keeper_bell);
	bell_init(&room_bell);
	on_signal(SIGTERM, told_to_stop);
	on_signal(SIGINT, told_to_stop);
	result = loop_run(keep, NULL);
	if (result < 0)
		die(EX_OSERR, "cannot run the event loop: %s", error_text(result));
}
