/* SPDX-License-Identifier: ISC */
/* Destinations and transports that pause (rate delays) or are dead for a while, and how they come back. */
#include "lib/base/die.h"
#include "qmgr/schedule_private.h"

void destination_pause(struct destination *d, int64_t now_ms)
{
	if (d->standing == DEAD)
		return;
	d->standing = PAUSING;
	heap_set(&d->transport->of->waking_destinations, &d->wake,
		 now_ms + d->transport->rules.rate_delay_ms);
}

void transport_pause(struct transport *t, int64_t now_ms)
{
	t->standing = PAUSING;
	heap_set(&t->of->waking_transports, &t->wake, now_ms + t->rules.transport_rate_delay_ms);
}

void destination_die(struct destination *d, struct str reason, int64_t now_ms)
{
	d->standing = DEAD;
	free(d->reason);
	d->reason = copy_text(reason);
	heap_set(&d->transport->of->waking_destinations, &d->wake, now_ms + d->transport->rules.dead_ms);
}

void transport_die(struct transport *t, struct str reason, int64_t now_ms)
{
	t->standing = DEAD;
	free(t->reason);
	t->reason = copy_text(reason);
	heap_set(&t->of->waking_transports, &t->wake, now_ms + t->rules.transport_dead_ms);
}

void destination_revive(struct destination *d)
{
	if (d->standing == DEAD)
		window_reset(&d->window, &d->transport->rules.window);
	d->standing = OPEN;
	heap_remove(&d->transport->of->waking_destinations, &d->wake);
	free(d->reason);
	d->reason = NULL;
	update_destination(d);
}

void transport_revive(struct transport *t)
{
	t->standing = OPEN;
	heap_remove(&t->of->waking_transports, &t->wake);
	free(t->reason);
	t->reason = NULL;
}

/* Those without work need no memory any more. */
static void revive_or_release(struct destination *d)
{
	destination_revive(d);
	release_if_idle(d);
}

void schedule_revive_all(struct schedule *s)
{
	struct map_at at = { 0 };
	struct transport *t;

	while ((t = schedule_next_transport(s, &at)) != NULL) {
		struct map_at in = { 0 };

		if (t->standing == DEAD)
			transport_revive(t);
		while (map_next(t->destinations, &in))
			if (((struct destination *) in.value)->standing == DEAD)
				revive_or_release(in.value);
	}
}

int64_t schedule_wake(struct schedule *s, int64_t now_ms, void (*woken)(void *arg, struct transport *t),
		      void *arg)
{
	struct heap_node *n;
	int64_t next = INT64_MAX;

	while ((n = heap_first(&s->waking_destinations)) != NULL && n->key <= now_ms) {
		struct destination *d = CONTAINER_OF(n, struct destination, wake);
		struct transport *t = d->transport;

		revive_or_release(d);
		woken(arg, t);
	}
	while ((n = heap_first(&s->waking_transports)) != NULL && n->key <= now_ms) {
		struct transport *t = CONTAINER_OF(n, struct transport, wake);

		transport_revive(t);
		woken(arg, t);
	}
	if ((n = heap_first(&s->waking_destinations)) != NULL)
		next = n->key;
	if ((n = heap_first(&s->waking_transports)) != NULL)
		next = MIN(next, n->key);
	return next;
}
