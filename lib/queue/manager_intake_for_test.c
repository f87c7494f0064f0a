/* SPDX-License-Identifier: ISC */
/* From disk into memory: message.c, intake.c, scan.c. */
#include "lib/queue/manager_parts_for_test.h"

#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"

static int fill_from_file(struct queue_file *f, struct mail *mail)
{
	static const int fates[] = { [NO_ORDER] = MAIL_STAYS, [ORDERED_TO_HOLD] = MAIL_HELD,
				     [ORDERED_TO_REQUEUE] = MAIL_REQUEUED };
	struct arena *a = arena_new("message", NULL, MOST_MEMORY);
	struct sight s = { .open = 0 };
	struct envelope e;
	int r = queue_file_envelope(f, a, &e);

	if (r == 0)
		r = sight_replay(f, &e, &s);
	mail->where = f->where;
	mail->open = s.open;
	mail->fate = fates[s.fate];
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

/* sweep_debris(): half a message of a process that was killed. */
static void sweep_debris(struct manager *m, enum queue_name where, size_t i)
{
	int64_t written_s;

	if (where == QUEUE_DEFERRED)
		put_to_sleep(m, i, where);	/* a person is to look at it in the end */
	else if (queue_last_written(m->q, where, id_of(m, i), &written_s) == 0
		 && wall_s() - written_s > DEBRIS_AGE_S)
		queue_finish(m->q, where, id_of(m, i));
}

static void scan_troubled(struct manager *m, enum queue_name where, size_t i, int error)
{
	TELL(m, i, "cannot be loaded from %s: %d", queue_name_text(where), error);
	if (error == -ENOENT)
		look_elsewhere(m, i);
	else if (error == -EBADMSG && !is_dead(m))
		buf_addf(&m->w->why, "%zu in %s is damaged; ", i, queue_name_text(where));
	else if (error == -ENODATA)
		sweep_debris(m, where, i);
	else
		put_to_sleep(m, i, where);
}

void activate(struct manager *m, size_t i)
{
	struct mail *mail = &m->mails[i];

	mail->waiting = mail->fate == MAIL_STAYS ? mail->open : 0;
	TELL(m, i, "taken in from %s, open %x", queue_name_text(mail->where), mail->open);
	entries_done(m, i);
}

/* A large one is read on a pool thread. */
static int check_content(struct manager *m, enum queue_name where, size_t i);

void load_and_activate(struct manager *m, size_t i)
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

void scan(struct manager *m, enum queue_name where, int64_t older_than_s)
{
	queue_scan(m->q, where, take_name, &(struct walk){ m, where, older_than_s });
}

void walk_deferred(void *manager)
{
	scan(manager, QUEUE_DEFERRED, INT64_MAX);
}

/* intake_announced(), take_arrival() */
void take_announcement(struct manager *m)
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
