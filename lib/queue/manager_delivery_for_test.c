/* SPDX-License-Identifier: ISC */
/* Deliveries: dispatch.c, agents.c, account.c. */
#include "lib/queue/manager_parts_for_test.h"

#include <errno.h>
#include <unistd.h>

/* One that `bits` of a mail say; SIZE_MAX: none. */
size_t some_mail(struct manager *m, bool (*is_right)(const struct mail *mail))
{
	const size_t count = m->w->promises.count, first = count == 0 ? 0 : roll(&m->w->dice, count);

	for (size_t k = 0; k < count; k++)
		if (is_right(&m->mails[(first + k) % count]))
			return (first + k) % count;
	return SIZE_MAX;
}

static bool has_waiting(const struct mail *mail)
{
	return mail->state == ACTIVE && mail->waiting != 0;
}

bool has_under_way(const struct mail *mail)
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

void begin_delivery(struct manager *m)
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

void deliver(struct world *w, size_t i, unsigned bit, int by)
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

void end_delivery(struct manager *m)
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

void drop_waiting_entries(struct manager *m, size_t i)
{
	m->mails[i].waiting = 0;
	entries_done(m, i);
}

/* dispatch_untouched(): its agent is going */
void take_back(struct manager *m)
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
