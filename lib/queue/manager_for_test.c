/* SPDX-License-Identifier: ISC */
/* See manager_for_test.h. */
#include "lib/queue/manager_for_test.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/disk/disk.h"
#include "lib/queue/orders.h"

enum { MOST_AT_ONCE = 4, MOST_MEMORY = 1 << 20, LOOKS = 3 };

static bool one_in(struct manager *m, uint64_t n)
{
	return roll(&m->w->dice, n) == 0;
}

static struct str id_of(const struct manager *m, size_t i)
{
	return str_of(m->w->promises.at[i].id);
}

static size_t number_of(const struct manager *m, struct str id)
{
	const struct promise *p = promise_of(&m->w->promises, id);

	BUG_UNLESS(p != NULL);
	return (size_t) (p - m->w->promises.at);
}

static bool is_dead(const struct manager *m)
{
	return m->process.is_dead;
}

#define TELL(m, i, ...) tell_of(m, i, __VA_ARGS__)

__attribute__((format(printf, 3, 4)))
static void tell_of(const struct manager *m, size_t i, const char *format, ...)
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
static bool is_worked_on(const struct mail *mail)
{
	return mail->under_way != 0 || mail->is_kept;
}

static void forget(struct manager *m, size_t i)
{
	struct mail *mail = &m->mails[i];

	queue_unlock(m->q, id_of(m, i), &mail->lock);
	*mail = (struct mail){ 0 };
}

static void put_to_sleep(struct manager *m, size_t i, enum queue_name where)
{
	m->mails[i] = (struct mail){ .state = ASLEEP, .where = where };
}

/* in_hand.c */
static bool is_in_hand(const struct mail *mail)
{
	return mail->state == IN_HAND || mail->is_handed_in;
}

static bool is_known(const struct manager *m, size_t i)
{
	return m->mails[i].state != STRANGER && !m->mails[i].is_announced;
}

/* ---- the end of an attempt: conclude.c, leave.c ---- */

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
static int requeue(struct manager *m, size_t i, enum queue_name from)
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

static void note_recorded(struct manager *m, size_t i)
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

static void entries_done(struct manager *m, size_t i)
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
	} else if (r == -ENOENT || (to == QUEUE_HOLD && mail->fate == MAIL_HELD)) {
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

static int offload(int (*work)(void *), void *arg)
{
	return calls_offload(work, arg);
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

/* ---- from disk into memory: message.c, intake.c, scan.c ---- */

unsigned bits_of_envelope(const struct envelope *e)
{
	unsigned bits = 0;

	for (size_t i = 0; i < e->recipient_count; i++)
		bits |= 1u << (e->recipients[i].address.at[1] - '0');
	return bits;
}

struct replay {
	const struct envelope *e;
	struct mail *mail;
};

static void replay_record(void *arg, const struct journal_record *r)
{
	struct replay *p = arg;
	int at;

	switch (r->kind) {
	case JOURNAL_OUTCOME:
		at = envelope_position(p->e, r->outcome.index);
		if (at >= 0 && r->outcome.status == OUTCOME_DELIVERED)
			p->mail->open &= ~(1u << (p->e->recipients[at].address.at[1] - '0'));
		break;
	case JOURNAL_DONE:
		p->mail->open = 0;
		break;
	case JOURNAL_HELD:
		p->mail->fate = MAIL_HELD;
		break;
	case JOURNAL_REQUEUED:
		p->mail->fate = MAIL_REQUEUED;
		break;
	case JOURNAL_RELEASED:
		p->mail->fate = MAIL_STAYS;
		break;
	default:
		break;
	}
}

static int fill_from_file(struct queue_file *f, struct mail *mail)
{
	struct arena *a = arena_new("message", NULL, MOST_MEMORY);
	struct envelope e;
	int r = queue_file_envelope(f, a, &e);

	if (r == 0) {
		mail->open = bits_of_envelope(&e);
		mail->where = f->where;
		r = MIN(journal_read(f, replay_record, &(struct replay){ &e, mail }), 0);
	}
	arena_free(a);
	return r;
}

static int message_load(struct manager *m, enum queue_name where, size_t i, struct mail *ret)
{
	AUTO(queue_file) f = { .fd = -1 };
	int r = queue_file_open(m->q, where, id_of(m, i), false, false, &f);

	*ret = (struct mail){ .state = ACTIVE };
	if (r < 0)
		return r;
	if (queue_file_is_locked(&f) > 0)
		return -EBUSY;
	if ((r = queue_file_is_current(m->q, &f)) < 0)
		return r;
	return fill_from_file(&f, ret);
}

static void look_elsewhere(struct manager *m, size_t i)
{
	static const enum queue_name places[] = { QUEUE_INCOMING, QUEUE_DEFERRED };

	for (size_t k = 0; k < COUNT_OF(places); k++) {
		AUTO(queue_file) f = { .fd = -1 };

		if (queue_file_open(m->q, places[k], id_of(m, i), false, false, &f) < 0)
			continue;
		put_to_sleep(m, i, places[k]);
		return;
	}
}

static void scan_troubled(struct manager *m, enum queue_name where, size_t i, int error)
{
	TELL(m, i, "cannot be loaded from %s: %d", queue_name_text(where), error);
	if (error == -ENOENT)
		look_elsewhere(m, i);
	else if (error == -EBADMSG && !is_dead(m))
		buf_addf(&m->w->why, "%zu in %s is damaged; ", i, queue_name_text(where));
	else if (error != -ENODATA || where == QUEUE_DEFERRED)
		put_to_sleep(m, i, where);
}

static void activate(struct manager *m, size_t i)
{
	struct mail *mail = &m->mails[i];

	mail->waiting = mail->fate == MAIL_STAYS ? mail->open : 0;
	TELL(m, i, "taken in from %s, open %x", queue_name_text(mail->where), mail->open);
	entries_done(m, i);
}

/* A large one is read on a pool thread. */
static int check_content(struct manager *m, enum queue_name where, size_t i);

static void load_and_activate(struct manager *m, size_t i)
{
	const enum queue_name where = m->mails[i].where;
	struct mail mail;
	int r;

	m->mails[i] = (struct mail){ 0 };
	r = check_content(m, where, i);
	if (r == -ECANCELED || m->leaving)
		return;
	if (r == 0)
		r = message_load(m, where, i, &mail);
	if (r == -EBUSY) {
		TELL(m, i, "in %s is busy", queue_name_text(where));
		put_to_sleep(m, i, where);
	} else if (r < 0) {
		scan_troubled(m, where, i, r);
	} else {
		m->mails[i] = mail;
		activate(m, i);
	}
}

static int check_job(void *file)
{
	return queue_file_check(file);
}

static int check_content(struct manager *m, enum queue_name where, size_t i)
{
	AUTO(queue_file) f = { .fd = -1 };
	int r = queue_is_in_log(m->q, where, id_of(m, i)) ? 1
		: queue_file_open(m->q, where, id_of(m, i), false, false, &f);

	if (r != 0)
		return MIN(r, 0);
	if (!one_in(m, 3))
		return queue_file_check(&f);
	m->mails[i].state = IN_HAND;
	r = offload(check_job, &f);
	m->mails[i].state = STRANGER;
	return r;
}

struct walk {
	struct manager *m;
	enum queue_name where;
	int64_t older_than_s;
};

static int take_name(void *arg, struct str id, int64_t mtime_s)
{
	const struct walk *walk = arg;
	struct manager *m = walk->m;
	size_t i = number_of(m, id);

	if (m->leaving || is_dead(m))
		return -ECANCELED;
	if (mtime_s >= walk->older_than_s || is_known(m, i))
		return 0;
	put_to_sleep(m, i, walk->where);
	TELL(m, i, "found in %s", queue_name_text(walk->where));
	return 0;
}

static void scan(struct manager *m, enum queue_name where, int64_t older_than_s)
{
	queue_scan(m->q, where, take_name, &(struct walk){ m, where, older_than_s });
}

static void walk_deferred(void *manager)
{
	scan(manager, QUEUE_DEFERRED, INT64_MAX);
}

/* intake_announced(), take_arrival() */
static void take_announcement(struct manager *m)
{
	const size_t i = m->announced[0].i;
	const struct queue_place place = m->announced[0].place;
	const bool in_log = place.segment[0] != '\0';
	bool missed = false;
	int r = 1;

	m->announced_count--;
	memmove(m->announced, m->announced + 1, m->announced_count * sizeof(m->announced[0]));
	if (in_log)
		r = queue_announced(m->q, &place, id_of(m, i), &missed);
	TELL(m, i, "announced: %d", r);
	if ((missed || r < 0) && !m->leaving)	/* who leaves looks no more: run() */
		scan(m, QUEUE_INCOMING, wall_s());
	if (r <= 0 || m->leaving || is_known(m, i))
		return;
	if ((in_log && !queue_is_in_log(m->q, QUEUE_INCOMING, id_of(m, i))) || one_in(m, 3)) {
		put_to_sleep(m, i, QUEUE_INCOMING);
		return;
	}
	m->mails[i] = (struct mail){ .state = ACTIVE, .where = QUEUE_INCOMING, .open = m->w->promises.at[i].to,
				     .has_content = in_log && one_in(m, 2) };
	activate(m, i);
}

/* ---- deliveries: dispatch.c, agents.c, account.c ---- */

/* One that `bits` of a mail say; SIZE_MAX: none. */
static size_t some_mail(struct manager *m, bool (*is_right)(const struct mail *mail))
{
	const size_t count = m->w->promises.count, first = count == 0 ? 0 : roll(&m->w->dice, count);

	for (size_t k = 0; k < count; k++)
		if (is_right(&m->mails[(first + k) % count]))
			return (first + k) % count;
	return SIZE_MAX;
}

static bool is_asleep(const struct mail *mail)
{
	return mail->state == ASLEEP;
}

static bool has_waiting(const struct mail *mail)
{
	return mail->state == ACTIVE && mail->waiting != 0;
}

static bool has_under_way(const struct mail *mail)
{
	return mail->state == ACTIVE && mail->under_way != 0;
}

static unsigned one_of(struct manager *m, unsigned bits)
{
	unsigned bit;

	do
		bit = 1u << roll(&m->w->dice, MOST_RECIPIENTS);
	while ((bits & bit) == 0);
	return bit;
}

static void begin_delivery(struct manager *m)
{
	const size_t i = some_mail(m, has_waiting);
	struct mail *mail;
	AUTO(buf) content = BUF(MOST_MEMORY);
	int fd = -EISNAM;
	unsigned bit;

	if (i == SIZE_MAX)
		return;
	mail = &m->mails[i];
	bit = one_of(m, mail->waiting);
	if (!mail->has_content)
		fd = queue_content_open(m->q, mail->where, id_of(m, i), &content);
	mail->waiting &= ~bit;
	if (fd >= 0)
		close(fd);
	if (fd >= 0 || fd == -EISNAM) {
		mail->under_way |= bit;
		TELL(m, i, "is on its way to %x", bit);
		return;
	}
	TELL(m, i, "has no content: %d", fd);
	if (fd == -ENOENT)
		mail->fate = MAIL_GONE;
	entries_done(m, i);
}

static void deliver(struct world *w, size_t i, unsigned bit, int by)
{
	struct fortune *fortune = &w->fortunes[w->fortunes[i].origin];
	unsigned char *times = &fortune->times[__builtin_ctz(bit)];

	tell(w, "manager %d: %zu DELIVERED to %x", by, i, bit);
	if (++*times > 1 + fortune->excused[__builtin_ctz(bit)])
		buf_addf(&w->why, "%zu came to %x %d times; ", i, bit, *times);
}

/* account.c: settle() */
static void settle(struct manager *m, size_t i, unsigned bit, bool is_delivered)
{
	AUTO(queue_file) f = { .fd = -1 };
	struct mail *mail = &m->mails[i];
	const unsigned to = m->w->promises.at[i].to;
	const struct journal_record record = { .kind = JOURNAL_OUTCOME, .outcome = {
		.index = (uint32_t) __builtin_popcount(to & (bit - 1)), .dsn = STR("2.0.0"), .text = STR("words"),
		.status = is_delivered ? OUTCOME_DELIVERED : OUTCOME_DEFERRED, .at_us = 5 } };
	const bool is_last = mail->waiting == 0 && mail->under_way == bit;
	int r;

	if (is_delivered)
		mail->open &= ~bit;
	if (mail->fate == MAIL_GONE || (is_last && mail->fate == MAIL_STAYS && mail->open == 0))
		return;
	r = queue_file_open(m->q, mail->where, id_of(m, i), true, false, &f);
	if (r == 0)
		r = journal_append(&f, &record, 1);
	if (r == -ENOENT)
		mail->fate = MAIL_GONE;
	if (r == 0 && !is_dead(m) && f.resident == NULL)
		note_recorded(m, i);
	TELL(m, i, "recorded in %s: %d", queue_name_text(mail->where), r);
}

static void end_delivery(struct manager *m)
{
	const size_t i = some_mail(m, has_under_way);
	struct mail *mail;
	bool is_delivered;
	unsigned bit;

	if (i == SIZE_MAX)
		return;
	mail = &m->mails[i];
	bit = one_of(m, mail->under_way);
	is_delivered = m->w->is_calm || one_in(m, 2);
	mail->answered |= bit;
	if (is_delivered) {
		m->unrecorded[i] |= bit;
		deliver(m->w, i, bit, m->process.number);
	}
	settle(m, i, bit, is_delivered);
	mail->under_way &= ~bit;
	mail->answered &= ~bit;
	entries_done(m, i);
}

static void drop_waiting_entries(struct manager *m, size_t i)
{
	m->mails[i].waiting = 0;
	entries_done(m, i);
}

/* dispatch_untouched(): its agent is going */
static void take_back(struct manager *m)
{
	const size_t i = some_mail(m, has_under_way);
	struct mail *mail;
	unsigned bit;

	if (i == SIZE_MAX)
		return;
	mail = &m->mails[i];
	bit = one_of(m, mail->under_way);
	TELL(m, i, "was not taken up");
	mail->under_way &= ~bit;
	mail->waiting |= bit;
	if (mail->fate != MAIL_STAYS)
		drop_waiting_entries(m, i);
	else if (m->leaving && !is_worked_on(mail))
		queue_unlock(m->q, id_of(m, i), &mail->lock);
}

/* ---- the log: log.c ---- */

struct eviction {
	struct manager *m;
	size_t count;
	struct queue_exit exits[MOST_AT_ONCE];
	int results[MOST_AT_ONCE];
};

static void note_lingering(void *arg, struct str id)
{
	struct eviction *e = arg;

	if (e->count < MOST_AT_ONCE
	    && queue_exit_begin(e->m->q, id, QUEUE_INCOMING, &e->exits[e->count]) == 0)
		TELL(e->m, number_of(e->m, str_of(e->exits[e->count++].id)), "has to make room");
}

static int write_all_files(void *arg)
{
	struct eviction *e = arg;

	for (size_t k = 0; k < e->count; k++)
		e->results[k] = queue_exit_write(&e->exits[k]);
	for (size_t k = 0; k < e->count; k++)
		if (e->results[k] == 0)
			e->results[k] = queue_exit_sync(&e->exits[k]);
	return 0;
}

static void make_room(struct manager *m)
{
	struct eviction *e = get_memory(sizeof(*e));

	e->m = m;
	m->is_making_room = true;
	queue_crowding(m->q, MANAGER_SEGMENTS / 2, note_lingering, e);
	if (e->count > 0)
		offload(write_all_files, e);
	for (size_t k = 0; k < e->count; k++) {
		int r = queue_exit_end(&e->exits[k], e->results[k]);

		TELL(m, number_of(m, str_of(e->exits[k].id)), "made room: %d", r);
	}
	free(e);
	m->is_making_room = false;
}

static void run_keeper(void *manager)
{
	struct manager *m = manager;

	task_sleep();
	if (!m->leaving && queue_keep_intake(m->q) > 0 && !m->leaving)
		make_room(m);
	m->is_keeping = false;
}

static void log_keep(struct manager *m)
{
	if (m->is_keeping || m->leaving)
		return;
	m->is_keeping = true;
	task_start(&m->process, run_keeper, m);
}

/* ---- orders: command.c ---- */

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

static void serve_orders(struct manager *m)
{
	if (m->order_count > 0 && m->order_count < MOST_ORDERS)
		task_start(&m->process, run_orders, m);
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
