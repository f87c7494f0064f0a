/* SPDX-License-Identifier: ISC */
/*
 * Workers: when one is started, what their reports mean, and what is said and done when one dies.
 *
 *   STARTING  exec'ed; counts as able to take a client, so that one client starts one process
 *   IDLE      ready, takes clients
 *   BUSY      takes clients, but another process would be of use if the service may have one
 *   FULL      takes none at present
 *   LEAVING   takes none any more
 */
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "master/master.h"

enum { WARN_FULL_MS = 60000, ABSENT_MS = 60000, MOST_FAILURES = 10, SOON_MS = 10000 };

/* ---- counting ---- */

struct tally {
	int all;		/* of this generation, not leaving */
	int clients;		/* that these may serve at once */
	int takers;		/* could take a client at once */
	int idle;		/* have nothing to do, or hardly anything */
	int old;
};

static struct tally count(const struct service *s)
{
	struct tally t = { 0 };

	LIST_EACH(w, &s->workers, struct worker, link) {
		if (w->is_old || w->state == LEAVING) {
			t.old++;
			continue;
		}
		t.all++;
		t.clients += w->session_limit;
		t.takers += w->state != FULL;
		t.idle += w->state == STARTING || w->state == IDLE;
	}
	return t;
}

static bool may_grow(const struct service *s, const struct tally *t)
{
	/*
	 * What must not run twice starts when its predecessor has gone, or has given up what the
	 * two share.
	 */
	if (s->program->shape == SINGLETON)
		return t->all == 0 && (t->old == 0 || s->program->hands_over);
	return s->most_workers == 0 || t->all < s->most_workers;
}

bool service_wants_worker(const struct service *s)
{
	struct tally t;

	if (s->removed || !s->is_installed || open_listeners(s) == 0 || s->throttled_until > mono_ms())
		return false;
	t = count(s);
	return t.idle == 0 && may_grow(s, &t);
}

void service_check_full(struct service *s)
{
	struct tally t = count(s);
	int64_t now = mono_ms();

	if (s->removed || s->type != SERVICE_INET || t.all == 0 || t.takers > 0 || may_grow(s, &t)
	    || now < s->warned_full_at)
		return;
	s->warned_full_at = now + WARN_FULL_MS;
	log_warning("service \"%s\" (%s) has reached its process limit \"%d\": new clients may experience noticeable delays",
		    s->name, s->listeners[0].where, s->entry->maxproc);
	log_warning("to avoid this condition, increase the process count in master.cf or reduce the service time per client");
}

/* ---- starting ---- */

static void throttle(struct service *s)
{
	s->throttled_until = mono_ms() + settings->master.service_throttle_time;
}

/* Its part of what the others have left: all of them together serve as many as the service may. */
static int share_of_next(const struct service *s)
{
	const struct tally t = count(s);
	const int places = MAX(s->most_workers - t.all, 1);

	return s->most_clients == 0 ? s->session_limit : MAX(divide_up(s->most_clients - t.clients, places), 1);
}

void service_start_worker(struct service *s)
{
	const int share = share_of_next(s);
	struct worker *w;
	int line[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, line) < 0) {
		log_warning("%s: cannot start: %s", s->file, error_text(errno));
		throttle(s);
		return;
	}
	pid = spawn_worker(s, share, line[1]);
	close(line[1]);
	if (pid < 0) {
		log_warning("%s: cannot start: %s", s->file, error_text(pid));
		close(line[0]);
		/* no process to be had: the machine's trouble, not the program's */
		s->throttled_until = mono_ms() + 1000;
		return;
	}
	w = get_memory(sizeof(*w));
	*w = (struct worker){ .service = s, .pid = pid, .line = line[0], .state = STARTING,
			      .session_limit = share, .started_ms = mono_ms() };
	list_append(&s->workers, &w->link);
	s->used = true;
	if (verbose)
		log_info("started %s pid %d for service %s", s->file, (int) pid, service_label(s));
}

/*
 * The clients of a program that is not there are shown the door, so that they need not wait for a
 * timeout to learn it.
 */
void service_refuse(struct service *s)
{
	int64_t now = mono_ms();

	for (int i = 0; i < s->listener_count; i++) {
		char bytes[512];
		int fd;

		while (s->type != SERVICE_FIFO && s->type != SERVICE_DGRAM
		       && (fd = accept4(s->listeners[i].fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
			close(fd);
		while ((s->type == SERVICE_FIFO || s->type == SERVICE_DGRAM)
		       && read(s->listeners[i].fd, bytes, sizeof(bytes)) > 0)
			;
	}
	if (now < s->said_absent_at)
		return;
	s->said_absent_at = now + ABSENT_MS;
	log_warning("%s/master.cf, line %d: service %s needs the program %.*s, which is not in %s: closing its connections",
		    settings->config_dir, s->entry->line, service_label(s), PSTR(s->entry->command),
		    settings->common.daemon_directory);
}

/* ---- reports ---- */

static void close_line(struct worker *w)
{
	if (w->line >= 0)
		close(w->line);
	w->line = -1;
}

/* Peers that come later find a process that has nobody yet; it goes after max_idle if none comes. */
static void start_spare(struct service *s)
{
	if (s->type == SERVICE_UNIX && s->program->shape == MULTIPLEXES && service_wants_worker(s))
		service_start_worker(s);
}

static void take_report(struct worker *w, char report)
{
	const bool grew = report == WORKER_BUSY && w->state == IDLE && !w->is_old;

	w->was_ready = true;
	switch (report) {
	case WORKER_READY: case WORKER_IDLE: w->state = IDLE; break;
	case WORKER_BUSY: w->state = BUSY; break;
	case WORKER_FULL: w->state = FULL; break;
	case WORKER_LEAVING: w->state = LEAVING; break;
	default: log_warning("%s pid %d: unknown report %d", w->service->file, (int) w->pid, report); break;
	}
	if (grew)
		start_spare(w->service);
}

void worker_report(struct worker *w)
{
	char report;
	ssize_t n;

	while ((n = recv(w->line, &report, 1, MSG_DONTWAIT)) == 1)
		take_report(w, report);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		close_line(w);		/* what became of it, waitpid() will tell */
	service_check_full(w->service);
}

/* ---- ending ---- */

void service_retire_workers(struct service *s)
{
	LIST_EACH(w, &s->workers, struct worker, link) {
		if (w->is_old)
			continue;
		w->is_old = true;
		if (w->line >= 0)
			shutdown(w->line, SHUT_WR);
	}
}

static void say_death(const struct worker *w, int status)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM && w->ended_by == SIGTERM)
		/* told to end before it had learnt what to do then: that is an end too */
		return;
	if (WIFSIGNALED(status))
		log_warning("process %s pid %d killed by signal %d", w->service->file, (int) w->pid,
			    WTERMSIG(status));
	else
		log_warning("process %s pid %d exit status %d", w->service->file, (int) w->pid,
			    WEXITSTATUS(status));
}

/*
 * Who dies before it was ready would die again: rest. Who dies in service is started again at once,
 * because it is a client's doing, or a bug that the next client may not meet; but not without end.
 */
static void after_failure(struct service *s, const struct worker *w)
{
	bool soon = mono_ms() - w->started_ms < SOON_MS;

	s->failures_in_row = soon ? s->failures_in_row + 1 : 1;
	if (w->was_ready && s->failures_in_row < MOST_FAILURES)
		return;
	s->failures_in_row = 0;
	throttle(s);
	log_warning("%s: bad command startup -- throttling", s->file);
}

static struct worker *find_worker(pid_t pid)
{
	LIST_EACH(s, &services, struct service, link)
		LIST_EACH(w, &s->workers, struct worker, link)
			if (w->pid == pid)
				return w;
	return NULL;
}

static void bury(struct worker *w, int status)
{
	struct service *s = w->service;
	const bool failed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;

	if (w->line >= 0)
		worker_report(w);	/* its last words */
	if (failed) {
		say_death(w, status);
		if (!w->is_old && !s->removed)
			after_failure(s, w);
	} else if (verbose) {
		log_info("process %s pid %d has ended", s->file, (int) w->pid);
	}
	close_line(w);
	list_remove(&w->link);
	free(w);
	if (s->removed && list_is_empty(&s->workers))
		service_free(s);
}

/* As process 1 of a container we also inherit everybody's orphans: they are reaped and not talked about. */
void workers_reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct worker *w = find_worker(pid);

		if (w != NULL)
			bury(w, status);
	}
}

int workers_left(bool also_last)
{
	int n = 0;

	LIST_EACH(s, &services, struct service, link)
		LIST_EACH(w, &s->workers, struct worker, link)
			n += also_last || !s->program->ends_last;
	return n;
}

int workers_starting(void)
{
	int n = 0;

	LIST_EACH(s, &services, struct service, link)
		LIST_EACH(w, &s->workers, struct worker, link)
			n += w->state == STARTING;
	return n;
}

int workers_unaware(void)
{
	int n = 0;

	LIST_EACH(s, &services, struct service, link)
		LIST_EACH(w, &s->workers, struct worker, link)
			n += w->is_old && !s->program->ends_last && w->state != LEAVING && w->state != FULL;
	return n;
}

void workers_signal(int signal_number, bool also_last)
{
	LIST_EACH(s, &services, struct service, link)
		LIST_EACH(w, &s->workers, struct worker, link) {
			if (!also_last && s->program->ends_last)
				continue;
			w->is_old = true;
			w->ended_by = signal_number;
			kill(w->pid, signal_number);
		}
}

/* ---- timers ---- */

int64_t service_next_event(const struct service *s)
{
	int64_t next = s->wakeup_at > 0 ? s->wakeup_at : INT64_MAX;

	if (s->throttled_until > mono_ms())
		next = MIN(next, s->throttled_until);
	return next;
}

void service_timers(struct service *s)
{
	int64_t now = mono_ms();

	if (s->removed || !s->is_installed)
		return;
	if (s->program->always && service_wants_worker(s))
		service_start_worker(s);
	if (s->wakeup_at == 0 || now < s->wakeup_at)
		return;
	s->wakeup_at = now + s->entry->wakeup_ms;
	if (s->used || !s->entry->wakeup_if_used)
		wake_service(s);
}
