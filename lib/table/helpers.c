/* SPDX-License-Identifier: ISC */
/*
 * A helper is in one of these hands:
 *   idle       in pool->idle, its thread waits for work (and closes a connection that gets old)
 *   asked      a coroutine has taken it and waits on its descriptor; the thread works on helper->job
 *   given up   the coroutine went away; the thread ends it when the database returns
 * The job and `given_up` change hands under helper->lock; everything else of a helper belongs to
 * its thread, and the lists of the pool to the loop's. What both sides look at (how many threads
 * there are, which hosts failed) is under pool->lock.
 */
#include "lib/table/helpers.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"

enum {
	WORDS = 600,
	MOST_BYTES = 1 << 20,		/* of all values of an answer */
	MOST_VALUES = 100000,
	MOST_HOSTS = 50,
	WAIT_FOR_TURN_MS = 80000,	/* below the patience of those who ask proxymap */
	GRACE_MS = 3000,		/* behind the time limit that a module has to keep itself */
	REST_MS = 1000,			/* between attempts when there is no other host */
	EXIT_PATIENCE_S = 1,
	THREAD_STACK = 1 << 20,		/* LDAP, TLS and the resolver are not modest */
};

struct host {
	const char *name;
	int64_t failed_at;		/* mono_ms(); 0: did not */
};

struct helpers {
	struct helper_settings settings;
	struct gate turns;
	struct list idle;		/* of struct helper; the one used last stands first */
	struct arena *arena;
	struct host hosts[MOST_HOSTS];
	int host_count;
	pthread_mutex_t lock;
	int threads;			/* also those that were given up */
	bool is_released;
	bool exit_prepared;
	void (*released)(void *arg);
	void *released_arg;
};

struct job {
	const char *statement;
	const char **arguments;		/* in one piece of memory with the job */
	size_t argument_count, most_values;
	int result;			/* 0, -errno */
	bool too_many;
	struct helper_answer answer;
	char words[WORDS];
};

struct helper {
	struct helpers *pool;
	struct list link;
	int done;			/* eventfd: the job is done */
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct job *job;		/* under lock */
	bool given_up;			/* under lock */
	bool quit;			/* under lock */
	/* the thread's own */
	void *connection;
	struct host *host;
};

void helper_answer_auto(struct helper_answer *a)
{
	buf_free(&a->bytes);
	free(a->lengths);
}

static void job_free(struct job *job)
{
	helper_answer_auto(&job->answer);
	free(job->arguments);
	free(job);
}

/* ---- the end of the process ---- */

/*
 * Libraries take themselves apart in exit(): until then whoever is inside one comes out, and nobody
 * goes in any more.
 */
static pthread_mutex_t inside_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t inside_changed = PTHREAD_COND_INITIALIZER;
static int inside;			/* threads within a module */
static bool process_ends;

static void enter_module(void)
{
	pthread_mutex_lock(&inside_lock);
	while (process_ends)
		pthread_cond_wait(&inside_changed, &inside_lock);	/* for ever */
	inside++;
	pthread_mutex_unlock(&inside_lock);
}

static void leave_module(void)
{
	pthread_mutex_lock(&inside_lock);
	inside--;
	if (process_ends)
		pthread_cond_broadcast(&inside_changed);
	pthread_mutex_unlock(&inside_lock);
}

/*
 * A thread that ends has left a module only when what libraries keep for each thread is gone:
 * destructors run in the order in which their keys were made, and this one is made by the first
 * thread that ends, after those of the libraries that it used.
 */
static pthread_key_t last_key;
static pthread_once_t last_key_once = PTHREAD_ONCE_INIT;

static void thread_is_gone(void *unused)
{
	(void) unused;
	leave_module();
}

static void make_last_key(void)
{
	if (pthread_key_create(&last_key, thread_is_gone) != 0)
		die(EX_OSERR, "no thread key to be had");
}

static void leave_module_with_thread(void)
{
	static char mark;

	pthread_once(&last_key_once, make_last_key);
	pthread_setspecific(last_key, &mark);
}

/* One that a server keeps waiting is left behind: it does nothing but wait. */
static void before_exit(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += EXIT_PATIENCE_S;
	pthread_mutex_lock(&inside_lock);
	process_ends = true;
	while (inside > 0 && pthread_cond_timedwait(&inside_changed, &inside_lock, &until) == 0)
		;
	pthread_mutex_unlock(&inside_lock);
}

/* ---- in a helper's thread ---- */

static bool found(void *arg, const char *value, size_t len)
{
	struct job *job = arg;
	struct helper_answer *a = &job->answer;

	if (len == 0)			/* is no result: results_add() */
		return true;
	if (a->count == job->most_values || buf_add(&a->bytes, str_make(value, len)) < 0) {
		job->too_many = true;
		return false;
	}
	if ((a->count & (a->count - 1)) == 0)
		a->lengths = resize_memory(a->lengths, MAX(a->count * 2, (size_t) 8) * sizeof(*a->lengths));
	a->lengths[a->count++] = len;
	return true;
}

static void drop_connection(struct helper *h, bool host_failed)
{
	if (h->connection != NULL)
		h->pool->settings.driver->close(h->connection);
	h->connection = NULL;
	if (host_failed) {
		pthread_mutex_lock(&h->pool->lock);
		h->host->failed_at = mono_ms();
		pthread_mutex_unlock(&h->pool->lock);
	}
}

/*
 * Which host comes next: one in a round that did not fail lately; else one that failed, but not
 * just now. Sockets of this machine come first. NULL: none. `tried` has a bit for each that this
 * job has had already; *ret_count: how many there are to choose from.
 */
static struct host *choose_host(struct helpers *p, uint64_t tried, int *ret_count)
{
	const int64_t now = mono_ms();
	struct host *best = NULL;
	int best_rank = 4, start = (int) (now % p->host_count);

	*ret_count = 0;
	pthread_mutex_lock(&p->lock);
	for (int i = 0; i < p->host_count; i++) {
		struct host *host = &p->hosts[(start + i) % p->host_count];
		int64_t age = host->failed_at == 0 ? INT64_MAX : now - host->failed_at;
		int rank = age < p->settings.retry_ms ? 2 : strncmp(host->name, "unix:", 5) == 0 ? 0 : 1;

		if ((tried >> (host - p->hosts) & 1) || age < MIN(REST_MS, p->settings.retry_ms))
			continue;
		++*ret_count;
		if (rank >= best_rank)
			continue;
		best = host;
		best_rank = rank;
	}
	pthread_mutex_unlock(&p->lock);
	return best;
}

static bool connect_to_some(struct helper *h, struct job *job, int64_t until, uint64_t *tried)
{
	struct helpers *p = h->pool;
	const struct driver_words words = { job->words, sizeof(job->words) };
	int64_t left;
	int count;

	/* One that hangs takes its share of the time, and leaves theirs to the others. */
	while (h->connection == NULL && (left = until - mono_ms()) > 0
	       && (h->host = choose_host(p, *tried, &count)) != NULL) {
		*tried |= (uint64_t) 1 << (h->host - p->hosts);
		h->connection = p->settings.driver->connect(p->settings.settings, h->host->name,
							    (int) MAX(left / count, (int64_t) 1),
							    p->settings.timeout_ms, words);
		pthread_mutex_lock(&p->lock);
		h->host->failed_at = h->connection == NULL ? mono_ms() : 0;
		/* The last one registered runs first: before what the library registered at its first use. */
		if (!p->exit_prepared)
			atexit(before_exit);
		p->exit_prepared = true;
		pthread_mutex_unlock(&p->lock);
	}
	if (h->connection != NULL)
		return true;
	if (job->words[0] == 0)
		snprintf(job->words, sizeof(job->words), "no server could be reached lately");
	return false;
}

/*
 * A connection that lay idle may have ended unnoticed, and the question can be asked again: each
 * host gets a chance, but no more than that.
 */
static void do_job(struct helper *h, struct job *job)
{
	struct helpers *p = h->pool;
	const struct driver_words words = { job->words, sizeof(job->words) };
	const int64_t until = mono_ms() + p->settings.timeout_ms;
	uint64_t tried = 0;
	bool fresh = h->connection == NULL;

	for (;;) {
		int64_t left;
		enum driver_result r;

		if (!connect_to_some(h, job, until, &tried)) {
			job->result = -ECONNREFUSED;
			return;
		}
		left = until - mono_ms();
		const struct driver_question q = {
			.statement = job->statement, .arguments = job->arguments,
			.argument_count = job->argument_count,
			.timeout_ms = (int) MAX(left, (int64_t) 1), .found = found, .arg = job,
		};
		r = p->settings.driver->ask(h->connection, &q, words);
		if (r != DRIVER_GONE) {
			job->result = r == DRIVER_ANSWERED ? 0 : -EIO;
			if (job->too_many) {
				job->result = -EMSGSIZE;
				snprintf(job->words, sizeof(job->words),
					 "more values than expansion_limit, or than fit, for one key");
			}
			return;
		}
		drop_connection(h, fresh);
		buf_clear(&job->answer.bytes);
		job->answer.count = 0;
		job->too_many = false;
		fresh = true;
		if (mono_ms() >= until) {
			job->result = -ETIMEDOUT;
			return;
		}
	}
}

static void thread_ends(struct helper *h)
{
	struct helpers *p = h->pool;
	bool last;

	enter_module();
	drop_connection(h, false);
	leave_module_with_thread();
	close(h->done);
	pthread_cond_destroy(&h->work);
	pthread_mutex_destroy(&h->lock);
	free(h);
	pthread_mutex_lock(&p->lock);
	last = --p->threads == 0 && p->is_released;
	pthread_mutex_unlock(&p->lock);
	if (!last)
		return;
	if (p->released != NULL)
		p->released(p->released_arg);
	pthread_mutex_destroy(&p->lock);
	arena_free(p->arena);
	free(p);
}

/*
 * Waits for work with h->lock held; a connection that nobody wanted for a while is closed. False:
 * the thread shall end.
 */
static bool wait_for_job(struct helper *h)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += h->pool->settings.idle_ms / 1000 + 1;
	while (h->job == NULL && !h->quit) {
		if (h->connection == NULL)
			pthread_cond_wait(&h->work, &h->lock);
		else if (pthread_cond_timedwait(&h->work, &h->lock, &until) == ETIMEDOUT && h->job == NULL) {
			pthread_mutex_unlock(&h->lock);		/* which the loop never waits for long */
			enter_module();
			drop_connection(h, false);
			leave_module();
			pthread_mutex_lock(&h->lock);
		}
	}
	return h->job != NULL;
}

static void *help(void *arg)
{
	static const uint64_t one = 1;
	struct helper *h = arg;
	bool ends = false;

	pthread_mutex_lock(&h->lock);
	while (!ends && wait_for_job(h)) {
		struct job *job = h->job;

		pthread_mutex_unlock(&h->lock);
		enter_module();
		do_job(h, job);
		leave_module();
		pthread_mutex_lock(&h->lock);
		h->job = NULL;
		if (h->given_up) {
			job_free(job);
			ends = true;
		} else {
			while (write(h->done, &one, sizeof(one)) < 0 && errno == EINTR)
				;
		}
	}
	pthread_mutex_unlock(&h->lock);
	thread_ends(h);
	return NULL;
}

/* ---- in the loop's thread ---- */

struct helpers *helpers_new(const struct helper_settings *settings)
{
	struct helpers *p = get_memory(sizeof(*p));
	struct str hosts = settings->hosts, host;

	p->settings = *settings;
	p->arena = arena_new("helpers", NULL, 1 << 20);
	list_init(&p->idle);
	gate_init(&p->turns, settings->most);
	pthread_mutex_init(&p->lock, NULL);
	while (str_token(&hosts, ", \t\r\n", &host) && p->host_count < MOST_HOSTS)
		p->hosts[p->host_count++].name = str_c(p->arena, host);
	p->threads = 1;			/* the owner counts as one until it releases the pool */
	return p;
}

static void dismiss(struct helper *h)
{
	pthread_mutex_lock(&h->lock);
	h->quit = true;
	pthread_cond_signal(&h->work);
	pthread_mutex_unlock(&h->lock);
}

void helpers_release(struct helpers *p, void (*released)(void *arg), void *arg)
{
	bool last;

	LIST_EACH(h, &p->idle, struct helper, link) {
		list_remove(&h->link);
		co_forget_fd(h->done);
		dismiss(h);
	}
	pthread_mutex_lock(&p->lock);
	p->is_released = true;
	p->released = released;
	p->released_arg = arg;
	last = --p->threads == 0;
	pthread_mutex_unlock(&p->lock);
	if (!last)
		return;
	if (released != NULL)
		released(arg);
	pthread_mutex_destroy(&p->lock);
	arena_free(p->arena);
	free(p);
}

static int start_thread(struct helper *h)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	pthread_t thread;
	int r;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, THREAD_STACK);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);	/* signals are the loop's */
	r = pthread_create(&thread, &attributes, help, h);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return -r;
}

static int new_helper(struct helpers *p, struct helper **ret_h, struct buf *why)
{
	struct helper *h;
	pthread_condattr_t attributes;
	bool too_many;
	int r;

	pthread_mutex_lock(&p->lock);
	too_many = p->threads > 2 * p->settings.most;
	p->threads += !too_many;
	pthread_mutex_unlock(&p->lock);
	if (too_many) {
		buf_add_text(why, "too many lookups have not come back");
		return -EBUSY;
	}
	h = get_memory(sizeof(*h));
	h->pool = p;
	list_init(&h->link);
	pthread_mutex_init(&h->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&h->work, &attributes);
	pthread_condattr_destroy(&attributes);
	h->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = h->done < 0 ? -errno : start_thread(h);
	if (r < 0) {
		buf_addf(why, "start a thread: %s", error_text(r));
		if (h->done >= 0)
			close(h->done);
		free(h);
		pthread_mutex_lock(&p->lock);
		p->threads--;
		pthread_mutex_unlock(&p->lock);
		return r;
	}
	*ret_h = h;
	return 0;
}

static int take_helper(struct helpers *p, struct helper **ret_h, struct buf *why)
{
	struct helper *h = LIST_FIRST(&p->idle, struct helper, link);

	if (h == NULL)
		return new_helper(p, ret_h, why);
	list_remove(&h->link);
	*ret_h = h;
	return 0;
}

static struct job *new_job(const char *statement, const struct str *arguments, size_t count,
			   size_t most_values)
{
	struct job *job = get_memory(sizeof(*job));
	size_t bytes = 0;
	char *at;

	for (size_t i = 0; i < count; i++)
		bytes += arguments[i].len + 1;
	job->statement = statement;
	job->argument_count = count;
	job->most_values = most_values == 0 ? MOST_VALUES : most_values;
	job->answer.bytes = BUF(MOST_BYTES);
	job->arguments = get_memory((count + 1) * sizeof(char *) + bytes);
	at = (char *) (job->arguments + count + 1);
	for (size_t i = 0; i < count; i++) {
		job->arguments[i] = memcpy(at, arguments[i].at, arguments[i].len);
		at += arguments[i].len + 1;
	}
	return job;
}

/* Waits until the thread is through with the job. 0; else the helper is not ours any more. */
static int wait_for_answer(struct helper *h, struct job *job, when_t until)
{
	uint64_t count;
	int r = 0;

	while (read(h->done, &count, sizeof(count)) < 0) {
		r = co_wait_fd(h->done, POLLIN, until);
		if (r < 0)
			break;
	}
	if (r >= 0)
		return 0;
	co_forget_fd(h->done);
	pthread_mutex_lock(&h->lock);
	if (h->job != job) {			/* it came at the last moment */
		h->quit = true;
		pthread_cond_signal(&h->work);
		pthread_mutex_unlock(&h->lock);
		job_free(job);
	} else {
		h->given_up = true;
		pthread_mutex_unlock(&h->lock);
	}
	return r;
}

static int ask_helper(struct helpers *p, struct helper *h, struct job *job, struct helper_answer *ret_answer,
		      struct buf *why)
{
	int r;

	pthread_mutex_lock(&h->lock);
	h->job = job;
	pthread_cond_signal(&h->work);
	pthread_mutex_unlock(&h->lock);
	r = wait_for_answer(h, job, in(p->settings.timeout_ms + GRACE_MS));
	if (r < 0) {
		buf_addf(why, "no answer in time: %s", error_text(r));
		return r;
	}
	list_prepend(&p->idle, &h->link);
	r = job->result;
	if (r < 0) {
		for (char *c = job->words; *c != 0; c++)
			*c = is_space(*c) ? ' ' : *c;
		buf_add_printable(why, str_of(job->words));
	} else {
		*ret_answer = job->answer;
		job->answer = (struct helper_answer){ .bytes = BUF(1) };
	}
	job_free(job);
	return r;
}

int helpers_ask(struct helpers *p, const char *statement, const struct str *arguments, size_t argument_count,
		size_t most_values, struct helper_answer *ret_answer, struct buf *why)
{
	struct helper *h;
	int r = gate_enter(&p->turns, in(WAIT_FOR_TURN_MS));

	if (r < 0) {
		buf_addf(why, "all %d connections are busy: %s", p->settings.most, error_text(r));
		return r;
	}
	r = take_helper(p, &h, why);
	if (r == 0)
		r = ask_helper(p, h, new_job(statement, arguments, argument_count, most_values),
			       ret_answer, why);
	gate_leave(&p->turns);
	return r;
}
