/* SPDX-License-Identifier: ISC */
/* See tasks_for_test.h. A task is a coroutine; all but the current one wait for their bells. */
#include "lib/queue/tasks_for_test.h"

#include "lib/base/die.h"

struct task {
	struct list link;
	struct process *of;
	void (*run)(void *arg);
	void *arg;
	struct bell bell;
	bool wants_loop;
	uint64_t stalled_until;		/* switches */
};

enum { STALLS = 15, LONGEST_STALL = 200 };

static struct list tasks;
static struct task *current;
static struct scope *scope;
static struct bell all_ended;
static uint64_t *dice;
static unsigned stride;
static uint64_t switches;

/* ---- who goes on ---- */

static bool can_go_on(const struct task *t)
{
	return !t->wants_loop || t->of->on_loop == NULL;
}

/* Who is stalled (a slow disk, a busy processor) goes on when nobody else can. */
static struct task *choose(void)
{
	uint64_t count = 0, stalled = 0, number;

	switches++;
	LIST_EACH(t, &tasks, struct task, link) {
		count += can_go_on(t);
		stalled += can_go_on(t) && t->stalled_until > switches;
	}
	BUG_UNLESS(count > 0);
	if (stalled == count)
		stalled = 0;
	number = roll(dice, count - stalled);
	LIST_EACH(t, &tasks, struct task, link)
		if (can_go_on(t) && (stalled == 0 || t->stalled_until <= switches) && number-- == 0)
			return t;
	return NULL;
}

static void go_on_as(struct task *t)
{
	current = t;
	calls_process = t->of->number;
	calls_are_of_the_dead = t->of->is_dead;
	bell_ring(&t->bell);
}

static void wait_for_turn(struct task *me)
{
	while (current != me)
		bell_wait(&me->bell, NEVER);
}

static void let_others(void)
{
	struct task *me = current, *next = choose();

	if (next != me) {
		go_on_as(next);
		wait_for_turn(me);
	}
}

static void before_call(void)
{
	if (current == NULL || roll(dice, stride) != 0)
		return;
	if (roll(dice, STALLS) == 0)
		current->stalled_until = switches + roll(dice, LONGEST_STALL);
	let_others();
}

/* ---- the loop of a process ---- */

static void enter_loop(struct task *me)
{
	me->wants_loop = true;
	while (me->of->on_loop != NULL)
		let_others();
	me->wants_loop = false;
	me->of->on_loop = me;
}

/* The turn ends before the loop sleeps, unless somebody else has something to do in it. */
static void leave_loop(struct task *me)
{
	BUG_UNLESS(me->of->on_loop == me);
	if (roll(dice, 2) == 0)
		process_end_turn(me->of);
	me->of->on_loop = NULL;
}

static int offload(int (*work)(void *), void *arg)
{
	struct task *me = current;
	int r;

	if (me == NULL)
		return work(arg);
	leave_loop(me);
	let_others();
	r = work(arg);
	enter_loop(me);
	process_end_turn(me->of);	/* the loop hears of it in a later turn */
	return r;
}

void task_sleep(void)
{
	struct task *me = current;

	leave_loop(me);
	let_others();
	enter_loop(me);
}

void process_end_turn(struct process *p)
{
	while (!list_is_empty(&p->turns)) {
		struct turn *t = LIST_FIRST(&p->turns, struct turn, link);

		list_remove(&t->link);
		t->run(t);
	}
	if (p->when_turn_has_ended != NULL && !p->is_dead)
		p->when_turn_has_ended(p);
}

void __wrap_at_turn_end(struct turn *t);
void __wrap_at_turn_end(struct turn *t)
{
	if (t->link.next == NULL)
		list_init(&t->link);
	if (list_is_empty(&t->link))
		list_append(&current->of->turns, &t->link);
}

/* ---- tasks and processes ---- */

static void run_task(void *arg)
{
	struct task *me = arg;

	wait_for_turn(me);
	enter_loop(me);
	me->run(me->arg);
	leave_loop(me);
	me->of->tasks--;
	list_remove(&me->link);
	free(me);
	current = NULL;
	if (list_is_empty(&tasks))
		bell_ring(&all_ended);
	else
		go_on_as(choose());
}

void task_start(struct process *p, void (*run)(void *arg), void *arg)
{
	struct task *t = get_memory(sizeof(*t));

	*t = (struct task){ .of = p, .run = run, .arg = arg, .wants_loop = true };
	bell_init(&t->bell);
	list_append(&tasks, &t->link);
	p->tasks++;
	BUG_UNLESS(scope_start(scope, "task", run_task, t) == 0);
}

void process_init(struct process *p, int number)
{
	*p = (struct process){ .number = number };
	list_init(&p->turns);
}

void process_kill(struct process *p)
{
	p->is_dead = true;
	calls_drop_locks(p->number);
	calls_are_of_the_dead = current != NULL && current->of->is_dead;
}

struct process *process_now(void)
{
	return current->of;
}

void tasks_begin(uint64_t *the_dice, unsigned the_stride)
{
	dice = the_dice;
	stride = the_stride;
	current = NULL;
	list_init(&tasks);
	bell_init(&all_ended);
	scope = scope_open("processes");
	calls_before = before_call;
	calls_offload = offload;
}

void tasks_run(void)
{
	go_on_as(choose());
	while (!list_is_empty(&tasks))
		bell_wait(&all_ended, NEVER);
	scope_wait(scope, NEVER);
	scope_close(scope);
	calls_before = NULL;
	calls_offload = NULL;
	calls_process = 0;
	calls_are_of_the_dead = false;
}
