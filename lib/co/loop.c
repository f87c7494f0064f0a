/* SPDX-License-Identifier: ISC */
/*
 * The event loop. One turn: run everybody who is ready; call the turn-end hooks (channels, logs and
 * journals write what gathered); then ask libevent for what happened, sleeping only when nobody is
 * ready. libevent's callbacks only wake; nobody runs inside them.
 */
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/co/loop.h"
#include "lib/co/private.h"

enum {
	/* in one turn: those who keep waking each other must not starve the descriptors */
	MOST_RESUMES = 4096,
	SLOW_SLICE_US = 50000,
	LONG_WAIT_MS = 1000,		/* a stack parked this long is trimmed */
	TRIM_ABOVE = 64,		/* coroutines; fewer are not worth it */
	SIGNALS = 65,
};

bool co_loop_running;

static struct event_base *base;
static struct event alarm_event;		/* the one libevent timer, for all of ours */
static when_t alarm_at = NEVER;
static struct list ready = LIST_INIT(ready), passed = LIST_INIT(passed), turns = LIST_INIT(turns);
static struct list parked = LIST_INIT(parked);	/* oldest first; those trimmed are taken out */
static struct event *watched_signals[SIGNALS];
static void (*signal_handlers[SIGNALS])(int);
static bool stopping, virtual_time;
static void (*report_slow)(const char *name, const char *what, int64_t us);

/* ---- the base ---- */

static void quiet(int severity, const char *message)
{
	(void) severity;
	(void) message;
}

static void alarm_rang(evutil_socket_t fd, short events, void *arg)
{
	(void) fd; (void) events; (void) arg;
	alarm_at = NEVER;
}

struct event_base *loop_base(void)
{
	struct event_config *config;

	if (base != NULL)
		return base;
	event_set_log_callback(quiet);		/* what fails is returned to whoever asked for it */
	config = event_config_new();
	if (config != NULL) {
		event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
		event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
		base = event_base_new_with_config(config);
		event_config_free(config);
	}
	if (base == NULL)
		die(EX_OSERR, "cannot make an event loop: %s", error_text(errno));
	event_assign(&alarm_event, base, -1, 0, alarm_rang, NULL);
	return base;
}

void loop_dropped(void)
{
	/*
	 * The epoll set is shared with the parent; the base must not be touched any more, not even
	 * to free it.
	 */
	base = NULL;
	alarm_at = NEVER;
	for (int i = 1; i < SIGNALS; i++) {
		if (watched_signals[i] != NULL)		/* libevent's handler would tell the parent */
			sigaction(i, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
		watched_signals[i] = NULL;
	}
	offload_dropped();
	list_init(&ready);
	list_init(&passed);
	list_init(&parked);
	list_init(&turns);
	watch_fds_dropped();
}

/* ---- queues ---- */

void loop_ready(struct co *co)
{
	list_remove(&co->queued);
	list_append(&ready, &co->queued);
}

void loop_passed(struct co *co)
{
	list_append(&passed, &co->queued);
}

void loop_parked(struct co *co)
{
	co->parked_at = 0;		/* the clock is read once per turn, in note_parked() */
	list_append(&parked, &co->queued);
}

void at_turn_end(struct turn *t)
{
	if (t->link.next == NULL)
		list_init(&t->link);
	if (list_is_empty(&t->link))
		list_append(&turns, &t->link);
}

void turn_cancel(struct turn *t)
{
	if (t->link.next != NULL)
		list_remove(&t->link);
}

static void run_turn_ends(void)
{
	/* a hook may queue itself again: that is for the next turn */
	struct list now;

	if (list_is_empty(&turns))
		return;
	now = turns;
	now.next->prev = now.prev->next = &now;
	list_init(&turns);
	while (!list_is_empty(&now)) {
		struct turn *t = LIST_FIRST(&now, struct turn, link);

		list_remove(&t->link);
		t->run(t);
	}
}

static void run_ready(void)
{
	int64_t before = 0;

	if (!list_is_empty(&passed)) {
		struct list *first = passed.next, *last = passed.prev;

		first->prev = ready.prev;
		ready.prev->next = first;
		last->next = &ready;
		ready.prev = last;
		list_init(&passed);
	}
	if (report_slow != NULL)
		before = mono_us();
	for (int n = 0; n < MOST_RESUMES && !list_is_empty(&ready); n++) {
		struct co *co = LIST_FIRST(&ready, struct co, queued);
		const char *name = co->name;

		list_remove(&co->queued);
		co_resume(co);
		if (report_slow != NULL) {
			int64_t after = mono_us();

			/* the struct stays readable after its end: stacks are not unmapped */
			if (after - before > SLOW_SLICE_US)
				report_slow(name, co->what, after - before);
			before = after;
		}
	}
}

/* ---- long waits ---- */

/* Trims the stacks of those who have been parked for long; returns when to look again. */
static when_t trim_parked(when_t now)
{
	while (!list_is_empty(&parked)) {
		struct co *co = LIST_FIRST(&parked, struct co, queued);

		if (now < co->parked_at + LONG_WAIT_MS)
			return stack_live() > TRIM_ABOVE ? co->parked_at + LONG_WAIT_MS : NEVER;
		if (stack_live() > TRIM_ABOVE)
			stack_trim(co);
		list_remove(&co->queued);
	}
	return NEVER;
}

static void note_parked(when_t now)
{
	for (struct list *at = parked.prev; at != &parked; at = at->prev) {
		struct co *co = LIST_ENTRY(at, struct co, queued);

		if (co->parked_at != 0)
			break;
		co->parked_at = now;
	}
}

/* ---- sleeping ---- */

static void set_alarm(when_t due, when_t now)
{
	when_t ms = MAX(due - now, (when_t) 1);
	struct timeval delay;

	/* an alarm too early costs one empty turn, and moving it costs always */
	if (due >= alarm_at)
		return;
	ms = MIN(ms, (when_t) 86400000);
	delay = (struct timeval){ .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
	event_add(&alarm_event, &delay);
	alarm_at = due;
}

static void poll_events(bool may_sleep)
{
	if (may_sleep)
		offload_loop_sleeps(true);
	if (may_sleep && offload_collect())
		may_sleep = false;
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY | (may_sleep ? 0 : EVLOOP_NONBLOCK));
	offload_loop_sleeps(false);
}

static bool somebody_ready(void)
{
	return !list_is_empty(&ready) || !list_is_empty(&passed) || !list_is_empty(&turns);
}

/* Virtual time: nobody is ready and nothing happened, so it is now the time of the next timer. */
static void jump(void)
{
	when_t due = timers_next(), now = mono_ms();

	if (due != NEVER && due > now)
		clock_set_for_test(wall_us() + (due - now) * 1000, due * 1000);
}

static void turn(void)
{
	when_t now, next;

	run_ready();
	run_turn_ends();
	if (stopping)
		return;
	now = mono_ms();
	note_parked(now);
	next = virtual_time ? NEVER : sooner(timers_next(), trim_parked(now));
	if (next != NEVER)
		set_alarm(next, now);
	if (virtual_time && !somebody_ready() && !co_offload_pending() && timers_next() != NEVER) {
		poll_events(false);
		offload_collect();
		if (!somebody_ready())
			jump();
	} else {
		poll_events(!somebody_ready() && next > now);
		offload_collect();
	}
	timers_run(mono_ms());
}

bool loop_is_running(void)
{
	return co_loop_running;
}

int loop_run(void (*first)(void *), void *arg)
{
	struct scope *scope;
	int result;

	BUG_UNLESS(!co_loop_running && co_current == NULL);
	loop_base();
	crash_handler_install();
	scope = scope_open("main");
	result = scope_start(scope, "main", first, arg);
	if (result < 0) {
		scope_close(scope);
		return result;
	}
	stopping = false;
	co_loop_running = true;
	while (!stopping)
		turn();
	co_loop_running = false;
	if (scope_count(scope) == 0)
		/* otherwise main is still parked, and a parked stack is never freed */
		scope_close(scope);
	return 0;
}

void loop_stop(void)
{
	stopping = true;
}

void loop_use_virtual_time(int64_t wall_us_value)
{
	virtual_time = wall_us_value >= 0;
	if (virtual_time)
		clock_set_for_test(wall_us_value, mono_us());
	else
		clock_set_for_test(-1, -1);
}

void loop_report_slow(void (*report)(const char *name, const char *what, int64_t us))
{
	report_slow = report;
}

/* ---- signals ---- */

static void signal_came(evutil_socket_t signal_number, short events, void *arg)
{
	void (**run)(int) = arg;

	(void) events;
	(*run)((int) signal_number);
}

void on_signal(int signal_number, void (*run)(int signal_number))
{
	BUG_UNLESS(signal_number > 0 && signal_number < SIGNALS);
	signal_handlers[signal_number] = run;
	if (watched_signals[signal_number] == NULL && run != NULL) {
		watched_signals[signal_number] = evsignal_new(loop_base(), signal_number, signal_came,
							      &signal_handlers[signal_number]);
		if (watched_signals[signal_number] == NULL
		    || event_add(watched_signals[signal_number], NULL) < 0)
			die(EX_OSERR, "cannot watch signal %d", signal_number);
	} else if (watched_signals[signal_number] != NULL && run == NULL) {
		event_free(watched_signals[signal_number]);
		watched_signals[signal_number] = NULL;
	}
}

/* ---- time ---- */

when_t in(int64_t ms)
{
	when_t due;

	if (ms == NEVER || __builtin_add_overflow(mono_ms(), ms, &due))
		return NEVER;
	return due;
}

when_t sooner(when_t a, when_t b)
{
	return MIN(a, b);
}
