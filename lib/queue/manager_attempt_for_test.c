/* SPDX-License-Identifier: ISC */
/* The end of an attempt: conclude.c, leave.c. */
#include "lib/queue/manager_parts_for_test.h"

#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/queue/orders.h"

static void run_leaver(void *arg);

static void leave(struct manager *m, size_t i)
{
	struct mail *mail = &m->mails[i];

	mail->is_kept = mail->is_leaving = true;
	if (m->is_busy_leaving)
		return;
	m->is_busy_leaving = true;
	task_start(&m->process, run_leaver, m);
}

static void move_out_of_log(struct manager *m, size_t i, enum queue_name to)
{
	m->mails[i].leaves = to == QUEUE_HOLD ? TO_HOLD : TO_DEFERRED;
	leave(m, i);
}

static void defer_in_place(struct manager *m, size_t i, enum queue_name where)
{
	int r = where == QUEUE_DEFERRED ? queue_set_next_attempt(m->q, where, id_of(m, i), wall_s()) : 0;

	forget(m, i);
	if (r != -ENOENT)
		put_to_sleep(m, i, where);
	TELL(m, i, "deferred in %s: %d", queue_name_text(where), r);
}

static void defer_message(struct manager *m, size_t i)
{
	struct mail *mail = &m->mails[i];
	int r = 0;

	if (queue_is_in_log(m->q, mail->where, id_of(m, i))) {
		move_out_of_log(m, i, QUEUE_DEFERRED);
		return;
	}
	if (mail->where != QUEUE_DEFERRED)
		r = queue_move(m->q, mail->where, QUEUE_DEFERRED, id_of(m, i));
	if (r == -ENOENT)
		forget(m, i);
	else
		defer_in_place(m, i, r < 0 ? mail->where : QUEUE_DEFERRED);
}

static void move_away(struct manager *m, size_t i, enum queue_name to)
{
	int r;

	if (queue_is_in_log(m->q, m->mails[i].where, id_of(m, i))) {
		move_out_of_log(m, i, to);
		return;
	}
	r = queue_move(m->q, m->mails[i].where, to, id_of(m, i));
	TELL(m, i, "moved to %s: %d", queue_name_text(to), r);
	if (r < 0 && r != -ENOENT) {
		m->mails[i].fate = MAIL_STAYS;
		defer_message(m, i);
		return;
	}
	forget(m, i);
}

struct errand {
	struct manager *m;
	size_t i;
};

/* That it is gone from the log is written at the end of the turn. */
int requeue(struct manager *m, size_t i, enum queue_name from)
{
	const bool is_in_log = queue_is_in_log(m->q, from, id_of(m, i));
	int r = queue_requeue(m->q, from, id_of(m, i));

	if (r == 0 && is_in_log)
		m->unrecorded[i] = ~0u;
	return r;
}

static void hand_in_again(void *arg)
{
	struct errand *errand = arg;
	struct manager *m = errand->m;
	size_t i = errand->i;
	int r = requeue(m, i, m->mails[i].where);

	free(errand);
	TELL(m, i, "handed in again: %d", r);
	m->mails[i].is_kept = m->mails[i].is_handed_in = false;
	if (r < 0 && r != -ENOENT) {
		m->mails[i].fate = MAIL_STAYS;
		defer_message(m, i);
	} else {
		forget(m, i);
	}
}

static void start_errand(struct manager *m, size_t i, void (*run)(void *arg))
{
	struct errand *errand = get_memory(sizeof(*errand));

	*errand = (struct errand){ m, i };
	task_start(&m->process, run, errand);
}

void note_recorded(struct manager *m, size_t i)
{
	m->unrecorded[i] = 0;
}

static void remove_message(struct manager *m, size_t i)
{
	struct mail *mail = &m->mails[i];

	if (queue_is_in_log(m->q, mail->where, id_of(m, i))) {
		queue_finish(m->q, mail->where, id_of(m, i));
		TELL(m, i, "removed from the log");
		forget(m, i);
		return;
	}
	if (queue_mark_done(m->q, mail->where, id_of(m, i)) == 0 && !is_dead(m))
		note_recorded(m, i);
	mail->leaves = TO_BE_REMOVED;
	leave(m, i);
}

static void end_attempt(struct manager *m, size_t i)
{
	struct mail *mail = &m->mails[i];

	if (mail->fate == MAIL_GONE) {
		forget(m, i);
	} else if (mail->open == 0) {
		remove_message(m, i);
	} else if (mail->fate == MAIL_HELD) {
		move_away(m, i, QUEUE_HOLD);
	} else if (mail->fate == MAIL_REQUEUED) {
		mail->is_kept = mail->is_handed_in = true;
		start_errand(m, i, hand_in_again);
	} else {
		defer_message(m, i);
	}
}

void entries_done(struct manager *m, size_t i)
{
	const struct mail *mail = &m->mails[i];

	if (mail->waiting == 0 && mail->under_way == 0 && !mail->is_kept)
		end_attempt(m, i);
}

struct departure {
	size_t i;
	int result;
	struct queue_exit exit;
};

struct batch {
	struct manager *m;
	size_t count;
	struct departure at[MOST_AT_ONCE];
};

static int carry_out(void *arg)
{
	struct batch *b = arg;
	struct manager *m = b->m;

	for (size_t k = 0; k < b->count; k++) {
		struct departure *d = &b->at[k];

		if (m->mails[d->i].leaves == TO_BE_REMOVED)
			d->result = queue_finish(m->q, m->mails[d->i].where, id_of(m, d->i));
		else if (d->result == 0)
			d->result = queue_exit_write(&d->exit);
	}
	for (size_t k = 0; k < b->count; k++)
		if (m->mails[b->at[k].i].leaves != TO_BE_REMOVED && b->at[k].result == 0)
			b->at[k].result = queue_exit_sync(&b->at[k].exit);
	return 0;
}

static void take_batch(struct manager *m, struct batch *b)
{
	*b = (struct batch){ .m = m };
	for (size_t i = 0; i < m->w->promises.count && b->count < MOST_AT_ONCE; i++) {
		struct mail *mail = &m->mails[i];
		struct departure *d = &b->at[b->count];

		if (!mail->is_leaving)
			continue;
		*d = (struct departure){ .i = i };
		if (mail->leaves != TO_BE_REMOVED)
			d->result = queue_exit_begin(m->q, id_of(m, i),
						     mail->leaves == TO_HOLD ? QUEUE_HOLD : QUEUE_DEFERRED, &d->exit);
		if (d->result == -EBUSY)
			continue;
		mail->is_leaving = false;
		mail->is_departing = true;
		b->count++;
	}
}

static void moved(struct manager *m, struct departure *d)
{
	struct mail *mail = &m->mails[d->i];
	enum queue_name to = mail->leaves == TO_HOLD ? QUEUE_HOLD : QUEUE_DEFERRED;
	int r = d->result == 0 || d->exit.q != NULL ? queue_exit_end(&d->exit, d->result) : d->result;

	TELL(m, d->i, "left the log for %s: %d", queue_name_text(to), r);
	if (r < 0 && r != -ENOENT) {
		mail->fate = MAIL_STAYS;
		defer_in_place(m, d->i, mail->where);
	} else if (r == -ENOENT || (to == QUEUE_HOLD && mail->fate == MAIL_HELD)
		   || (m->leaving && mail->fate == MAIL_REQUEUED)) {
		forget(m, d->i);
	} else {
		mail->where = to;
		end_attempt(m, d->i);
	}
}

static void end_departure(struct manager *m, struct departure *d)
{
	struct mail *mail = &m->mails[d->i];

	mail->is_kept = mail->is_departing = false;
	if (mail->leaves != TO_BE_REMOVED) {
		moved(m, d);
		return;
	}
	TELL(m, d->i, "removed from %s: %d", queue_name_text(mail->where), d->result);
	forget(m, d->i);
}

static bool has_leaving(const struct manager *m)
{
	for (size_t i = 0; i < m->w->promises.count; i++)
		if (m->mails[i].is_leaving)
			return true;
	return false;
}

static void run_leaver(void *arg)
{
	struct manager *m = arg;
	struct batch *b = get_memory(sizeof(*b));

	while (has_leaving(m) && !is_dead(m)) {
		take_batch(m, b);
		if (b->count == 0)
			task_sleep();
		else
			offload(carry_out, b);
		for (size_t k = 0; k < b->count; k++)
			end_departure(m, &b->at[k]);
	}
	free(b);
	m->is_busy_leaving = false;
}
