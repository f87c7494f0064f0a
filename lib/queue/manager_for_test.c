/* SPDX-License-Identifier: ISC */
/* See manager_for_test.h. What it knows of a message, and its life: qmgr.c, handover.c. */
#include "lib/queue/manager_parts_for_test.h"

#include <errno.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/disk/disk.h"

bool one_in(struct manager *m, uint64_t n)
{
	return roll(&m->w->dice, n) == 0;
}

struct str id_of(const struct manager *m, size_t i)
{
	return str_of(m->w->promises.at[i].id);
}

size_t number_of(const struct manager *m, struct str id)
{
	const struct promise *p = promise_of(&m->w->promises, id);

	BUG_UNLESS(p != NULL);
	return (size_t) (p - m->w->promises.at);
}

bool is_dead(const struct manager *m)
{
	return m->process.is_dead;
}

void tell_of(const struct manager *m, size_t i, const char *format, ...)
{
	char words[200];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(words, sizeof(words), format, arguments);
	va_end(arguments);
	tell(m->w, "manager %d: %zu %s", m->process.number, i, words);
}

/* ---- what is known of a message ---- */

/* handover.c: is_worked_on() */
bool is_worked_on(const struct mail *mail)
{
	return mail->under_way != 0 || mail->is_kept;
}

void forget(struct manager *m, size_t i)
{
	struct mail *mail = &m->mails[i];

	queue_unlock(m->q, id_of(m, i), &mail->lock);
	*mail = (struct mail){ 0 };
}

void put_to_sleep(struct manager *m, size_t i, enum queue_name where)
{
	m->mails[i] = (struct mail){ .state = ASLEEP, .where = where };
}

/* in_hand.c */
bool is_in_hand(const struct mail *mail)
{
	return mail->state == IN_HAND || mail->is_handed_in;
}

bool is_known(const struct manager *m, size_t i)
{
	return m->mails[i].state != STRANGER && !m->mails[i].is_announced;
}

int offload(int (*work)(void *), void *arg)
{
	return calls_offload(work, arg);
}

/* ---- its life: qmgr.c ---- */

struct queue *open_queue_for_test(int root)
{
	struct queue *q;

	return queue_open(root, 1, (1u << QUEUE_COUNT) - 1, &q, NULL) < 0 ? NULL : q;
}

/* What is written at the end of the turn is written: whoever dies now has told. */
static void turn_has_ended(struct process *p)
{
	struct manager *m = CONTAINER_OF(p, struct manager, process);

	for (size_t i = 0; i < m->w->promises.count && m->q != NULL; i++)
		if (m->mails[i].state != ACTIVE || queue_is_in_log(m->q, m->mails[i].where, id_of(m, i)))
			m->unrecorded[i] = 0;
}

static bool is_asleep(const struct mail *mail)
{
	return mail->state == ASLEEP;
}

static void wake_somebody(struct manager *m)
{
	const size_t i = some_mail(m, is_asleep);

	if (i != SIZE_MAX && !m->leaving)
		load_and_activate(m, i);
}

static void do_something(struct manager *m)
{
	switch (roll(&m->w->dice, 16)) {
	case 0: case 1: case 2: case 3:
		wake_somebody(m);
		break;
	case 4: case 5: case 6: case 7:
		begin_delivery(m);
		break;
	case 8:
		end_delivery(m);
		break;
	case 9: case 10:
		if (m->announced_count > 0)
			take_announcement(m);
		break;
	case 11: case 12:
		log_keep(m);
		break;
	case 13:
		if (one_in(m, m->w->is_calm ? 2 : 5))
			scan(m, QUEUE_INCOMING, wall_s() - 5);
		break;
	case 14:
		if (one_in(m, 4))
			take_back(m);
		break;
	default:
		process_end_turn(&m->process);
	}
}

/* What goes on after it has given up the queue. */
static void go_on_leaving(struct manager *m)
{
	switch (roll(&m->w->dice, 12)) {
	case 0:
		end_delivery(m);
		break;
	case 1:
		if (one_in(m, 4))
			take_back(m);
		break;
	case 2:
		if (m->announced_count > 0)
			take_announcement(m);
		break;
	default:
		process_end_turn(&m->process);
	}
}

static bool be_the_only_one(struct manager *m)
{
	while (!is_dead(m) && !m->leaving) {
		if (lock_try(m->lock_fd) == 0 && !is_dead(m))
			return true;
		task_sleep();
	}
	return false;
}

static void give_up_the_queue(struct manager *m)
{
	while (some_mail(m, is_in_hand) != SIZE_MAX || m->is_making_room)
		task_sleep();
	for (size_t i = 0; i < m->w->promises.count; i++) {
		struct mail *mail = &m->mails[i];

		if (mail->state == ACTIVE && is_worked_on(mail))
			TELL(m, i, "is locked in %s: %d", queue_name_text(mail->where),
			     queue_lock(m->q, mail->where, id_of(m, i), &mail->lock));
	}
	queue_write_through(m->q);
	close(m->lock_fd);
	m->lock_fd = -1;
	tell(m->w, "manager %d has handed over", m->process.number);
}

static void work(struct manager *m)
{
	m->is_ready = true;
	scan(m, QUEUE_INCOMING, INT64_MAX);
	task_start(&m->process, walk_deferred, m);
	log_keep(m);
	while (!m->leaving && !is_dead(m)) {
		do_something(m);
		task_sleep();
	}
	if (!is_dead(m))
		give_up_the_queue(m);
	while (!is_dead(m) && (some_mail(m, has_under_way) != SIZE_MAX || m->process.tasks > 1)) {
		go_on_leaving(m);
		task_sleep();
	}
}

static void run_manager(void *arg)
{
	struct manager *m = arg;

	m->root = calls_mount(m->w->d);
	m->q = open_queue_for_test(m->root);
	m->lock_fd = file_open_append(m->root, "pid/qmgr.lock");
	if (m->q != NULL && queue_open_intake(m->q, m->root, true, true) == 0 && be_the_only_one(m))
		work(m);
	m->is_ready = false;
	while (m->process.tasks > 1)
		task_sleep();
	process_end_turn(&m->process);
	if (m->lock_fd >= 0)
		close(m->lock_fd);
	for (size_t i = 0; i < MOST_PROMISES && m->q != NULL; i++)
		queue_unlock(m->q, id_of(m, i), &m->mails[i].lock);
	queue_close(m->q);
	close(m->root);
	m->q = NULL;
	m->has_ended = true;
	tell(m->w, "manager %d has ended", m->process.number);
}

struct manager *manager_start(struct world *w, int number)
{
	struct manager *m = get_memory(sizeof(*m));

	m->w = w;
	m->lock_fd = m->root = -1;
	process_init(&m->process, number);
	m->process.when_turn_has_ended = turn_has_ended;
	task_start(&m->process, run_manager, m);
	return m;
}

void manager_free(struct manager *m)
{
	free(m);
}

void manager_announce(struct manager *m, size_t i, const struct queue_place *place)
{
	if (m->announced_count == MOST_ANNOUNCED)
		return;
	m->announced[m->announced_count].i = i;
	m->announced[m->announced_count++].place = *place;
}

void manager_order(struct manager *m, enum order order, size_t i)
{
	if (m->order_count == MOST_ORDERS || m->q == NULL || !m->is_ready)
		return;
	m->orders[m->order_count].order = order;
	m->orders[m->order_count++].i = i;
	serve_orders(m);
}

static void excuse(struct fortune *fortune, unsigned bits)
{
	for (unsigned k = 0; k < MOST_RECIPIENTS; k++)
		fortune->excused[k] += (bits & 1u << k) != 0;
}

/* What is on its way arrives, or it does not: nobody hears of it. */
static unsigned arrive(struct manager *m, size_t i)
{
	const unsigned unknown = m->mails[i].under_way & ~m->mails[i].answered;
	unsigned arrived = 0;

	for (unsigned bit = 1; bit < 1u << MOST_RECIPIENTS; bit <<= 1)
		if ((unknown & bit) != 0 && roll(&m->w->dice, 2) == 0) {
			deliver(m->w, i, bit, m->process.number);
			arrived |= bit;
		}
	return arrived;
}

/* Repeated is what arrived and was not written down; and of a requeue there are two files, of which one was to go. */
void manager_kill(struct manager *m)
{
	for (size_t i = 0; i < m->w->promises.count; i++) {
		const unsigned arrived = arrive(m, i);

		excuse(&m->w->fortunes[m->w->fortunes[i].origin],
		       m->mails[i].is_handed_in ? ~0u : m->unrecorded[i] | arrived);
	}
	tell(m->w, "manager %d is killed", m->process.number);
	process_kill(&m->process);
}
