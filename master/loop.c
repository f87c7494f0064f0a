/* SPDX-License-Identifier: ISC */
/*
 * The supervisor's loop: one poll() over signals, listeners that wait for a first client, and the
 * lines to the workers.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/daemon/instance.h"
#include "lib/daemon/startup.h"
#include "master/master.h"

enum { AWARE_MS = 5000, KILL_AFTER_MS = 5000, LAST_MS = 5000, NO_SIGNAL = 0 };

struct watched {
	struct service *service;	/* a client at its door */
	struct worker *worker;		/* a report */
};

static struct pollfd *polled;
static struct watched *watched;
static size_t watch_count, watch_cap;
static int signals = -1;

static void watch(int fd, struct service *s, struct worker *w)
{
	if (watch_count == watch_cap) {
		watch_cap = MAX(watch_cap * 2, (size_t) 64);
		polled = resize_memory(polled, watch_cap * sizeof(*polled));
		watched = resize_memory(watched, watch_cap * sizeof(*watched));
	}
	polled[watch_count] = (struct pollfd){ .fd = fd, .events = POLLIN };
	watched[watch_count++] = (struct watched){ s, w };
}

static void watch_service(struct service *s)
{
	const bool absent = !s->removed && !s->is_installed;

	if (absent || service_wants_worker(s))
		for (int i = 0; i < s->listener_count; i++)
			if (s->listeners[i].fd >= 0)
				watch(s->listeners[i].fd, s, NULL);
	LIST_EACH(w, &s->workers, struct worker, link)
		if (w->line >= 0)
			watch(w->line, NULL, w);
}

/*
 * Who asked for a reload hears of it when no worker of before takes anybody any more, or has had
 * time to hear of that itself.
 */
static struct {
	int64_t at_latest;		/* mono_ms(); 0: nobody waits for an answer */
	struct buf warnings;		/* of the daemons, which will log them themselves */
} unanswered;

static int milliseconds_to_next_event(void)
{
	int64_t next = INT64_MAX;
	bool waits_for_address = false;

	LIST_EACH(s, &services, struct service, link) {
		next = MIN(next, service_next_event(s));
		for (int i = 0; i < s->listener_count; i++)
			waits_for_address |= s->listeners[i].fd < 0;
	}
	if (waits_for_address)
		next = MIN(next, mono_ms() + 250);
	if (unanswered.at_latest != 0)
		next = MIN(next, unanswered.at_latest);
	if (next == INT64_MAX)
		return -1;
	return (int) MIN(MAX(next - mono_ms(), (int64_t) 0), (int64_t) 3600000);
}

/* The next signal that concerns us, or NO_SIGNAL. Children that have ended are reaped after it. */
static int take_signal(void)
{
	struct signalfd_siginfo info;

	while (read(signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo != SIGCHLD)
			return (int) info.ssi_signo;
	}
	return NO_SIGNAL;
}

void open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (signals < 0)
		die(EX_OSERR, "signalfd: %s", error_text(errno));
}

/* One turn: what happened since the last one. Returns a signal that somebody else has to act upon. */
static int turn(int most_ms)
{
	int ready, signal_number;

	watch_count = 0;
	watch(signals, NULL, NULL);
	if (rehearsal_is_on())
		watch(rehearsal_descriptor(), NULL, NULL);
	LIST_EACH(s, &services, struct service, link)
		watch_service(s);
	log_flush();
	ready = poll(polled, (nfds_t) watch_count, most_ms);
	if (ready < 0 && errno != EINTR)
		die(EX_OSERR, "poll: %s", error_text(errno));
	for (size_t i = 1; ready > 0 && i < watch_count; i++)
		if (polled[i].revents != 0 && watched[i].worker != NULL)
			worker_report(watched[i].worker);
	for (size_t i = 1; ready > 0 && i < watch_count; i++) {
		struct service *s = watched[i].service;

		if (polled[i].revents == 0 || s == NULL)
			continue;
		if (!s->is_installed)
			service_refuse(s);
		else if (service_wants_worker(s))
			service_start_worker(s);
	}
	/* first the signal: whoever dies behind the look at the dead announces a new one */
	signal_number = take_signal();
	workers_reap();
	return signal_number;
}

/* ---- reload ---- */

static const char *version_and_place(void)
{
	static char text[4200];

	snprintf(text, sizeof(text), "version %s, configuration %s", settings->common.mail_version,
		 settings->config_dir);
	return text;
}

/* What cannot change under a running system keeps its value until the next start. */
static bool is_same_instance(const struct settings *a, const struct settings *b, struct buf *why)
{
	if (strcmp(a->common.queue_directory, b->common.queue_directory) == 0
	    && strcmp(a->common.data_directory, b->common.data_directory) == 0)
		return true;
	buf_addf(why, "queue_directory or data_directory has changed: stop and start");
	return false;
}

static int load_anew(struct settings **ret, struct buf *why)
{
	int result = settings_load(settings->config_dir, ret, why);

	if (result == 0 && !is_same_instance(settings, *ret, why)) {
		settings_free(*ret);
		return -EINVAL;
	}
	return result;
}

static struct settings *rehearsed;	/* what the daemons try just now; NULL: nothing */
/* somebody asked meanwhile: the files may have changed since they were read */
static bool reload_again;

static void refuse_reload(const struct buf *why)
{
	struct str rest = buf_str(why), line;

	while (str_token(&rest, "\n", &line))
		log_error("reload: %.*s", PSTR(line));
	log_error("reload: going on as before");
	instance_note_reload(true, buf_text(why));
	notify_ready();
}

static void change_generation(struct settings *new_settings, const struct buf *warnings)
{
	AUTO(buf) why = BUF_WORDS;
	struct settings *old = settings;

	settings = new_settings;
	FAILPOINT("master.reload.read");
	/*
	 * The old generation keeps its sessions; every listener stays open meanwhile, so nobody is
	 * turned away.
	 */
	LIST_EACH(s, &services, struct service, link)
		service_retire_workers(s);
	FAILPOINT("master.reload.retired");
	services_apply(false, &why);
	settings_free(old);
	open_log(&settings->common, "master", LOG_TO_SYSLOG);		/* maillog_file may have changed */
	log_info("reload -- %s", version_and_place());
	unanswered.at_latest = mono_ms() + AWARE_MS;
	unanswered.warnings = BUF(1 << 20);
	buf_add(&unanswered.warnings, buf_str(warnings));
}

/* Reads the files, and has the daemons try what they say. What became of it, end_reload() hears. */
static void begin_reload(void)
{
	AUTO(buf) why = BUF_WORDS;

	if (rehearsed != NULL || unanswered.at_latest != 0) {
		reload_again = true;
		return;
	}
	notify_reloading();
	if (load_anew(&rehearsed, &why) < 0) {
		rehearsed = NULL;
		refuse_reload(&why);
	} else if (rehearsal_begin(rehearsed, &why) < 0) {
		settings_free(rehearsed);
		rehearsed = NULL;
		refuse_reload(&why);
	}
}

static void end_reload(void)
{
	AUTO(buf) words = BUF(16384);
	struct settings *tried = rehearsed;
	int result;

	if (!rehearsal_is_on() || (result = rehearsal_result(&words)) > 0)
		return;
	rehearsed = NULL;
	if (reload_again) {		/* the last word counts */
		reload_again = false;
		settings_free(tried);
		begin_reload();
	} else if (result < 0) {
		settings_free(tried);
		refuse_reload(&words);
	} else {
		change_generation(tried, &words);
	}
}

static void answer_reload(void)
{
	if (unanswered.at_latest == 0 || (workers_unaware() > 0 && mono_ms() < unanswered.at_latest))
		return;
	unanswered.at_latest = 0;
	instance_note_reload(false, buf_text(&unanswered.warnings));
	buf_free(&unanswered.warnings);
	notify_ready();
	if (reload_again) {
		reload_again = false;
		begin_reload();
	}
}

/* ---- stop ---- */

/*
 * Who waits to be accepted by a process that will not come any more hears so when the listeners
 * close, but not before those who ask know that they have to end too: or they would call it a
 * failure.
 */
static void stop_listening(void)
{
	LIST_EACH(s, &services, struct service, link)
		if (!s->program->ends_last)
			service_stop_listening(s);
}

static void wait_for_end(int64_t most_ms, bool also_last)
{
	int64_t until = mono_ms() + most_ms;
	bool listening = !also_last;

	while (workers_left(also_last) > 0 && mono_ms() < until) {
		if (listening && workers_unaware() == 0) {
			stop_listening();
			listening = false;
		}
		turn((int) MIN(until - mono_ms(), (int64_t) 1000));
	}
}

/* SIGQUIT (postroad abort) gives nobody time. */
static void end_workers(bool also_last, int signal_number, int64_t most_ms)
{
	workers_signal(signal_number, also_last);
	wait_for_end(most_ms, also_last);
	if (workers_left(also_last) == 0)
		return;
	log_warning("%d processes did not end in time: killing them", workers_left(also_last));
	workers_signal(SIGKILL, also_last);
	wait_for_end(KILL_AFTER_MS, also_last);
}

/*
 * The log's writer may have been started by the first line a moment ago, or be needed only for the
 * last ones. A signal that comes before it has a handler would end it, and nobody wrote the lines.
 */
static void wait_for_writer(void)
{
	int64_t until = mono_ms() + LAST_MS;

	turn(0);
	while (workers_starting() > 0 && mono_ms() < until)
		turn((int) MIN(until - mono_ms(), (int64_t) 1000));
}

/* the waits below, one after the other, beyond stop_time_limit: postroad stop waits for all of them */
static_assert(KILL_AFTER_MS + KILL_AFTER_MS + LAST_MS + LAST_MS + KILL_AFTER_MS < STOP_LONGER_MS, "stop() ends in time");

static void stop(int signal_number)
{
	const int how = signal_number == SIGQUIT ? SIGKILL : SIGTERM;

	notify_stopping();
	log_info("terminating on signal %d", signal_number);
	LIST_EACH(s, &services, struct service, link)
		/* nobody starts any more, except the log's writer */
		s->removed = s->program->ends_last ? s->removed : true;
	end_workers(false, how, settings->daemon.stop_time_limit + KILL_AFTER_MS);
	wait_for_writer();
	LIST_EACH(s, &services, struct service, link)
		s->removed = true;
	end_workers(true, SIGTERM, LAST_MS);
}

/* A service that is being stopped has given up its row, and goes with its last worker. */
static void drop_idle_services(void)
{
	LIST_EACH(s, &services, struct service, link)
		if (list_is_empty(&s->workers))
			service_free(s);
}

int supervise(void)
{
	int signal_number;

	for (;;) {
		LIST_EACH(s, &services, struct service, link)
			service_timers(s);
		services_retry_listeners();
		signal_number = turn(milliseconds_to_next_event());
		end_reload();
		answer_reload();
		if (signal_number == SIGHUP)
			begin_reload();
		else if (signal_number != NO_SIGNAL)
			break;
	}
	rehearsal_abandon();
	stop(signal_number);
	drop_idle_services();
	return 0;
}
