/* SPDX-License-Identifier: ISC */
/* Orders: command.c. */
#include "lib/queue/manager_parts_for_test.h"

#include <errno.h>
#include <string.h>

#include "lib/queue/orders.h"

enum { LOOKS = 3 };

static int record_fate(struct manager *m, enum queue_name where, size_t i, enum order order)
{
	static const enum journal_kind kinds[] = { JOURNAL_HELD, JOURNAL_REQUEUED, JOURNAL_RELEASED };
	AUTO(queue_file) f = { .fd = -1 };
	int r = queue_file_open(m->q, where, id_of(m, i), true, false, &f);

	return r < 0 ? r : queue_order(&f, kinds[order]);
}

static int carry_away(struct manager *m, size_t i, enum queue_name from, enum order order)
{
	int r;

	m->mails[i] = (struct mail){ .state = IN_HAND, .is_handed_in = order == ORDER_REQUEUE };
	r = order == ORDER_REQUEUE ? requeue(m, i, from) : queue_move(m->q, from, QUEUE_HOLD, id_of(m, i));
	m->mails[i] = (struct mail){ 0 };
	if (r < 0 && r != -ENOENT && from != QUEUE_HOLD)
		put_to_sleep(m, i, from);
	return r;
}

static int leave_to_predecessor(struct manager *m, size_t i, struct queue_file *f, enum order order)
{
	int r = record_fate(m, f->where, i, order);

	return r >= 0 && queue_file_is_current(m->q, f) == -ENOENT ? -ENOENT : r;
}

static int set_aside_on_disk(struct manager *m, size_t i, enum order order)
{
	AUTO(queue_file) f = { .fd = -1 };
	int r = queue_file_find(m->q, id_of(m, i), false, &f);

	if (r < 0)
		return r == -ENODATA ? -ENOENT : r;
	if (f.where != QUEUE_INCOMING && f.where != QUEUE_DEFERRED
	    && (f.where != QUEUE_HOLD || order != ORDER_REQUEUE))
		return -ENOENT;
	if (queue_file_is_locked(&f) > 0)
		return leave_to_predecessor(m, i, &f, order);
	return carry_away(m, i, f.where, order);
}

static int set_aside(struct manager *m, size_t i, enum order order)
{
	struct mail *mail = &m->mails[i];
	int r = -ENOENT;

	if (mail->state == ACTIVE) {
		if (mail->fate == MAIL_GONE)
			return -ENOENT;
		r = record_fate(m, mail->where, i, order);
		if (r >= 0)
			mail->fate = order == ORDER_HOLD ? MAIL_HELD : MAIL_REQUEUED;
		if (r >= 0 && mail->waiting != 0)
			drop_waiting_entries(m, i);
		return r;
	}
	for (int look = 0; look < LOOKS && r == -ENOENT; look++)
		r = set_aside_on_disk(m, i, order);
	return r;
}

static int release(struct manager *m, size_t i)
{
	int r;

	if (m->mails[i].state == ACTIVE) {
		if (m->mails[i].fate != MAIL_HELD)
			return -ENOENT;
		r = record_fate(m, m->mails[i].where, i, ORDER_RELEASE);
		if (r >= 0)
			m->mails[i].fate = MAIL_STAYS;
		return r;
	}
	r = queue_release(m->q, id_of(m, i));
	if (r == 0)
		put_to_sleep(m, i, QUEUE_DEFERRED);
	return r;
}

/* run_on_each() */
static void run_orders(void *manager)
{
	static const char *const words[] = { "hold", "requeue", "release" };
	struct manager *m = manager;

	while (m->order_count > 0 && !m->leaving && !is_dead(m)) {
		const enum order order = m->orders[0].order;
		const size_t i = m->orders[0].i;
		int r;

		if (is_in_hand(&m->mails[i])) {
			task_sleep();
			continue;
		}
		memmove(m->orders, m->orders + 1, --m->order_count * sizeof(m->orders[0]));
		r = order == ORDER_RELEASE ? release(m, i) : set_aside(m, i, order);
		TELL(m, i, "ordered to %s: %d", words[order], r);
		if (one_in(m, 2))
			task_sleep();
	}
}

void serve_orders(struct manager *m)
{
	if (m->order_count > 0 && m->order_count < MOST_ORDERS)
		task_start(&m->process, run_orders, m);
}
