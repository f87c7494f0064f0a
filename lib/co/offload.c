/* SPDX-License-Identifier: ISC */
/*
 * What blocks runs on a few threads, and the coroutine waits. Threads are started when there is
 * more work than idle ones, up to a limit, so whoever never offloads has none. A finished job wakes
 * the loop through an eventfd only when the loop sleeps (or is about to); a busy loop looks by
 * itself once per turn. The eventfd is registered edge-triggered, so it never has to be read.
 *
 * Shared between threads, under `lock`: the two queues and the counters. `loop_asleep` is atomic.
 */
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/co/private.h"

struct job {
	int (*work)(void *);
	void *arg;
	int result;
	struct co *co;
	struct list link;
};

static const size_t THREAD_STACK = 512 << 10;
static int most_threads = 8;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work_waits = PTHREAD_COND_INITIALIZER;
static struct list to_do = LIST_INIT(to_do), done = LIST_INIT(done);
static int threads, idle, queued;
static atomic_bool loop_asleep, any_done;

static int wake_fd = -1;		/* loop thread: made once */
static struct event wake_event;
static size_t outstanding;		/* loop thread: jobs given out and not collected */

void offload_tune(int pool_threads)
{
	if (pool_threads > 0)
		most_threads = pool_threads;
}

static void *serve(void *unused)
{
	static const uint64_t one = 1;

	(void) unused;
	pthread_mutex_lock(&lock);
	for (;;) {
		struct job *job;
		bool wake;

		while (list_is_empty(&to_do)) {
			idle++;
			pthread_cond_wait(&work_waits, &lock);
			idle--;
		}
		job = LIST_FIRST(&to_do, struct job, link);
		list_remove(&job->link);
		queued--;
		pthread_mutex_unlock(&lock);
		job->result = job->work(job->arg);
		pthread_mutex_lock(&lock);
		list_append(&done, &job->link);
		atomic_store(&any_done, true);
		wake = atomic_exchange(&loop_asleep, false);
		if (!wake)
			continue;
		pthread_mutex_unlock(&lock);		/* or the loop wakes only to wait for it */
		while (write(wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
			;
		pthread_mutex_lock(&lock);
	}
	return NULL;
}

static int start_thread(void)
{
	sigset_t all, before;
	pthread_attr_t how;
	pthread_t thread;
	int error;

	pthread_attr_init(&how);
	pthread_attr_setstacksize(&how, THREAD_STACK);
	pthread_attr_setdetachstate(&how, PTHREAD_CREATE_DETACHED);
	/* signals belong to the loop's thread, but for those that a thread brings upon itself */
	sigfillset(&all);
	sigdelset(&all, SIGSYS);	/* blocked, the jail's refusal of a call would end the process */
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGABRT);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, &how, serve, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&how);
	return -error;
}

static void woken(evutil_socket_t fd, short events, void *arg)
{
	(void) fd; (void) events; (void) arg;		/* the loop collects after every poll */
}

static void make_wake_fd(void)
{
	if (wake_fd >= 0)
		return;
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake_fd < 0)
		die(EX_OSERR, "eventfd: %s", error_text(errno));
	event_assign(&wake_event, loop_base(), wake_fd, EV_READ | EV_ET | EV_PERSIST, woken, NULL);
	if (event_add(&wake_event, NULL) < 0)
		die(EX_OSERR, "cannot watch an eventfd");
}

void co_start_pool(void)
{
	make_wake_fd();
	pthread_mutex_lock(&lock);
	while (threads < most_threads && start_thread() == 0)
		threads++;
	pthread_mutex_unlock(&lock);
}

int co_offload(int (*work)(void *), void *arg)
{
	struct job job = { .work = work, .arg = arg };
	bool nobody;

	if (!co_may_park())
		return work(arg);
	if (co_current->cancelled)
		return -ECANCELED;
	make_wake_fd();
	job.co = co_current;
	pthread_mutex_lock(&lock);
	list_append(&to_do, &job.link);
	queued++;
	if (queued > idle && threads < most_threads && start_thread() == 0)
		threads++;
	nobody = threads == 0;
	if (nobody) {
		list_remove(&job.link);
		queued--;
	}
	pthread_mutex_unlock(&lock);
	if (nobody)
		return work(arg);	/* no thread to be had: slow is better than failed */
	pthread_cond_signal(&work_waits);	/* a thread that wakes finds the lock free */
	outstanding++;
	co_park(NEVER, false);
	return job.result;
}

bool offload_collect(void)
{
	struct list now;

	if (!atomic_load(&any_done))
		return false;
	list_init(&now);
	pthread_mutex_lock(&lock);
	while (!list_is_empty(&done)) {
		struct list *first = done.next;

		list_remove(first);
		list_append(&now, first);
	}
	atomic_store(&any_done, false);
	pthread_mutex_unlock(&lock);
	while (!list_is_empty(&now)) {
		struct job *job = LIST_FIRST(&now, struct job, link);

		list_remove(&job->link);	/* the job lies on its coroutine's stack */
		outstanding--;
		co_wake(job->co, 0);
	}
	return true;
}

bool co_offload_pending(void)
{
	return outstanding > 0;
}

void offload_loop_sleeps(bool sleeps)
{
	if (outstanding > 0)
		atomic_store(&loop_asleep, sleeps);
}

void offload_dropped(void)
{
	/* the fork may have caught a thread with it; there are no threads here */
	pthread_mutex_init(&lock, NULL);
	list_init(&to_do);
	list_init(&done);
	threads = idle = queued = 0;
	outstanding = 0;
	atomic_store(&any_done, false);
	atomic_store(&loop_asleep, false);
	if (wake_fd >= 0)
		close(wake_fd);
	wake_fd = -1;
}
