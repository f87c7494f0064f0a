/* SPDX-License-Identifier: ISC */
/* See schedule.h. preempt.c lets short jobs pass long ones, standing.c keeps the dead and the pausing. */
#include "qmgr/schedule.h"

#include "lib/base/die.h"
#include "qmgr/schedule_private.h"

char *copy_text(struct str s)
{
	char *copy = get_memory(s.len + 1);

	if (s.len > 0)
		memcpy(copy, s.at, s.len);
	return copy;
}

struct schedule *schedule_new(void (*rules_of)(void *arg, struct str transport, struct transport_rules *ret),
			      void *arg)
{
	struct schedule *s = get_memory(sizeof(*s));

	s->transports = map_new();
	s->rules_of = rules_of;
	s->arg = arg;
	return s;
}

static void leave_heap(struct lane *l)
{
	if (l->in != NULL)
		heap_remove(l->in, &l->ready);
	l->in = NULL;
}

static void free_destination(void *value)
{
	struct destination *d = value;
	struct schedule *s = d->transport->of;

	BUG_UNLESS(d->busy == 0);
	for (int u = 0; u < URGENCIES; u++) {
		BUG_UNLESS(list_is_empty(&d->lanes[u].entries));
		leave_heap(&d->lanes[u]);
	}
	heap_remove(&s->waking_destinations, &d->wake);
	free(d->key);
	free(d->nexthop);
	free(d->reason);
	free(d);
}

static void free_transport(void *value)
{
	struct transport *t = value;

	map_free(t->destinations, free_destination);
	heap_remove(&t->of->waking_transports, &t->wake);
	for (int u = 0; u < URGENCIES; u++)
		heap_free(&t->ready[u]);
	heap_free(&t->ready_strangers);
	free(t->known);
	free(t->name);
	free(t->reason);
	free(t);
}

void schedule_free(struct schedule *s)
{
	map_free(s->transports, free_transport);
	heap_free(&s->waking_destinations);
	heap_free(&s->waking_transports);
	free(s);
}

struct transport *schedule_transport(struct schedule *s, struct str name)
{
	struct transport *t = map_get(s->transports, name);

	if (t != NULL)
		return t;
	t = get_memory(sizeof(*t));
	t->of = s;
	t->name = copy_text(name);
	t->destinations = map_new();
	for (int u = 0; u < URGENCIES; u++)
		list_init(&t->jobs[u]);
	s->rules_of(s->arg, name, &t->rules);
	map_put(s->transports, name, t);
	return t;
}

struct transport *schedule_next_transport(struct schedule *s, struct map_at *at)
{
	return map_next(s->transports, at) ? at->value : NULL;
}

struct destination *schedule_destination(struct transport *t, struct str key, struct str nexthop,
					 int64_t now_ms)
{
	struct destination *d = map_get(t->destinations, key);

	if (d != NULL)
		return d;
	d = get_memory(sizeof(*d));
	d->transport = t;
	d->key = copy_text(key);
	d->nexthop = copy_text(nexthop);
	d->is_known = destination_is_known(t, d, now_ms);
	for (int u = 0; u < URGENCIES; u++) {
		list_init(&d->lanes[u].entries);
		d->lanes[u].of = d;
	}
	window_reset(&d->window, &t->rules.window);
	map_put(t->destinations, key, d);
	return d;
}

/* A destination without work and without a standing that matters goes; it may not be used afterwards. */
void release_if_idle(struct destination *d)
{
	if (d->busy > 0 || d->standing != OPEN || destination_waiting(d) != NULL)
		return;
	map_remove(d->transport->destinations, str_of(d->key));
	free_destination(d);
}

/*
 * Brings the ready heaps up to date after any change of the lanes, the window, the standing or the
 * acquaintance.
 */
void update_destination(struct destination *d)
{
	struct transport *t = d->transport;
	bool can = d->standing == OPEN && d->busy < d->window.size;

	for (int u = 0; u < URGENCIES; u++) {
		struct lane *l = &d->lanes[u];
		struct entry *first = LIST_FIRST(&l->entries, struct entry, in_lane);
		struct heap *right = u == NEW_MAIL && !d->is_known ? &t->ready_strangers : &t->ready[u];

		if (!can || first == NULL || l->in != right)
			leave_heap(l);
		if (!can || first == NULL)
			continue;
		heap_set(right, &l->ready, first->job->rank);
		l->in = right;
	}
}

/* ---- jobs and entries ---- */

/* Ranks are milliseconds with room for RANK_GAP places between two that come in the same one. */
static int64_t new_rank(struct transport *t, enum urgency u, int64_t now_ms)
{
	int64_t rank = (now_ms + (u == RETRY ? RETRY_STEPS_BACK_MS : 0)) * RANKS_PER_MS;

	if (!list_is_empty(&t->jobs[u])) {
		const struct job *last = LIST_ENTRY(t->jobs[u].prev, struct job, link);

		rank = MAX(rank, last->rank + RANK_GAP);
	}
	return rank;
}

struct job *job_open(struct transport *t, void *owner, struct list *owners_jobs, enum urgency urgency,
		     int64_t now_ms)
{
	struct job *j = get_memory(sizeof(*j));

	j->transport = t;
	j->owner = owner;
	j->urgency = urgency;
	j->since_ms = now_ms;
	j->rank = new_rank(t, urgency, now_ms);
	j->references = 1;
	j->is_open = true;
	list_init(&j->waiting);
	list_append(&t->jobs[urgency], &j->link);
	list_append(owners_jobs, &j->in_owner);
	return j;
}

static void release_job(struct job *j)
{
	if (--j->references > 0)
		return;
	list_remove(&j->link);
	list_remove(&j->in_owner);
	free(j);
}

void job_close(struct job *j)
{
	j->is_open = false;
	release_job(j);
}

bool job_reopen(struct job *j)
{
	if (j->is_open)
		return true;
	if (j->transport->jobs[j->urgency].prev != &j->link)
		return false;
	j->is_open = true;
	j->references++;
	return true;
}

static struct entry *new_entry(struct job *j, struct destination *d)
{
	struct entry *e = get_memory(sizeof(*e));

	e->job = j;
	e->destination = d;
	list_append(&d->lanes[j->urgency].entries, &e->in_lane);
	list_append(&j->waiting, &e->in_job);
	j->entries++;
	j->references++;
	return e;
}

void job_add(struct job *j, struct destination *d, uint32_t recipient)
{
	struct lane *l = &d->lanes[j->urgency];
	const int limit = j->one_at_a_time ? 1 : d->transport->rules.recipient_limit;
	struct entry *e = list_is_empty(&l->entries) ? NULL
						     : LIST_ENTRY(l->entries.prev, struct entry, in_lane);

	if (e == NULL || e->job != j || (limit > 0 && e->count >= (uint32_t) limit)) {
		e = new_entry(j, d);
		update_destination(d);
	}
	if (e->count == e->cap) {
		e->cap = e->cap == 0 ? 1 : e->cap * 2;
		e->recipients = resize_memory(e->recipients, e->cap * sizeof(*e->recipients));
	}
	e->recipients[e->count++] = recipient;
}

static void free_entry(struct entry *e)
{
	struct job *j = e->job;

	free(e->recipients);
	free(e);
	release_job(j);
}

void entry_drop(struct entry *e)
{
	struct destination *d = e->destination;

	BUG_UNLESS(!e->taken);
	list_remove(&e->in_lane);
	list_remove(&e->in_job);
	free_entry(e);
	update_destination(d);
	release_if_idle(d);
}

struct entry *destination_waiting(struct destination *d)
{
	struct entry *e = LIST_FIRST(&d->lanes[NEW_MAIL].entries, struct entry, in_lane);

	return e != NULL ? e : LIST_FIRST(&d->lanes[RETRY].entries, struct entry, in_lane);
}

struct entry *transport_waiting(struct transport *t)
{
	for (int u = 0; u < URGENCIES; u++)
		LIST_EACH(j, &t->jobs[u], struct job, link)
			if (!list_is_empty(&j->waiting))
				return LIST_ENTRY(j->waiting.next, struct entry, in_job);
	return NULL;
}

/* ---- taking and giving back ---- */

static int limit_of(const struct transport *t)
{
	return t->rules.transport_rate_delay_ms > 0 ? 1 : t->rules.process_limit;
}

/* New mail finds a fifth of the agents free of retries. */
static bool retries_have_room(const struct transport *t)
{
	int limit = limit_of(t);

	return t->busy_retries < limit - limit / 5;
}

static int strangers_share(const struct transport *t)
{
	return limit_of(t) - limit_of(t) / 5;
}

/* What is known to work finds a fifth of them free of strangers, and a twentieth free of both. */
static bool strangers_have_room(const struct transport *t)
{
	int limit = limit_of(t);

	return t->busy_strangers < strangers_share(t)
	       && t->busy_strangers + t->busy_retries < limit - limit / 20;
}

static struct heap_node *earlier(struct heap_node *a, struct heap_node *b)
{
	return b == NULL || (a != NULL && a->key <= b->key) ? a : b;
}

static struct lane *choose_lane(struct transport *t)
{
	struct heap_node *n = heap_first(&t->ready[NEW_MAIL]);

	if (strangers_have_room(t))
		n = earlier(n, heap_first(&t->ready_strangers));
	if (retries_have_room(t))
		n = earlier(n, heap_first(&t->ready[RETRY]));
	return n == NULL ? NULL : CONTAINER_OF(n, struct lane, ready);
}

struct entry *schedule_take(struct transport *t, int64_t now_ms)
{
	struct lane *l;
	struct entry *e;
	struct destination *d;

	if (t->standing != OPEN || t->busy >= limit_of(t))
		return NULL;
	l = choose_lane(t);
	if (l == NULL)
		return NULL;
	e = LIST_FIRST(&l->entries, struct entry, in_lane);
	if (let_pass(e->job, now_ms) != NULL) {
		l = choose_lane(t);
		e = LIST_FIRST(&l->entries, struct entry, in_lane);
	}
	d = e->destination;
	list_remove(&e->in_lane);
	list_remove(&e->in_job);
	e->taken = true;
	e->job->taken++;
	d->busy++;
	t->busy++;
	t->busy_retries += e->job->urgency == RETRY;
	e->by_stranger = e->job->urgency == NEW_MAIL && !d->is_known;
	t->busy_strangers += e->by_stranger;
	update_destination(d);
	e->in_a_hurry = e->by_stranger && t->busy_strangers > strangers_share(t) / 2;
	if (t->rules.transport_rate_delay_ms > 0)
		transport_pause(t, now_ms);
	return e;
}

static void no_longer_busy(struct entry *e)
{
	struct destination *d = e->destination;

	BUG_UNLESS(e->taken);
	d->busy--;
	d->transport->busy--;
	d->transport->busy_retries -= e->job->urgency == RETRY;
	d->transport->busy_strangers -= e->by_stranger;
	e->by_stranger = false;
}

void entry_succeeded(struct entry *e, int64_t now_ms)
{
	struct destination *d = e->destination;
	const struct transport_rules *rules = &d->transport->rules;

	if (d->standing == DEAD)
		destination_revive(d);
	window_success(&d->window, &rules->window, d->busy);
	d->is_known = true;
	destination_succeeded(d->transport, d, now_ms);
	no_longer_busy(e);
	free_entry(e);
	if (rules->rate_delay_ms > 0)
		destination_pause(d, now_ms);
	update_destination(d);
	release_if_idle(d);
}

bool entry_failed(struct entry *e, struct str reason, int64_t now_ms)
{
	struct destination *d = e->destination;
	bool died = d->standing != DEAD && window_failure(&d->window, &d->transport->rules.window);

	no_longer_busy(e);
	free_entry(e);
	d->is_known = false;
	destination_forget(d->transport, d);
	if (died)
		destination_die(d, reason, now_ms);
	else if (d->standing == OPEN && d->transport->rules.rate_delay_ms > 0)
		destination_pause(d, now_ms);
	update_destination(d);
	release_if_idle(d);
	return died;
}

void entry_return(struct entry *e)
{
	struct destination *d = e->destination;

	no_longer_busy(e);
	e->taken = false;
	e->job->taken--;
	list_prepend(&d->lanes[e->job->urgency].entries, &e->in_lane);
	list_prepend(&e->job->waiting, &e->in_job);
	update_destination(d);
}

void entry_forget(struct entry *e)
{
	struct destination *d = e->destination;

	no_longer_busy(e);
	free_entry(e);
	update_destination(d);
	release_if_idle(d);
}
