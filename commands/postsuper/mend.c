/* SPDX-License-Identifier: ISC */
/*
 * The check of the queue's structure. Safe at any time: it touches only what is no mail, or is one message
 * under two names. What a crash left half-written is removed when it is old; the walk brings files of
 * deferred/ to their right directories.
 */
#include <errno.h>

#include "commands/postsuper/postsuper.h"
#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/log/log.h"

struct check {
	struct super *s;
	enum queue_name where;
	bool mend, purge;
	uint64_t mended, purged, set_aside;
};

static void mend_links(struct check *c, struct str id)
{
	int r = queue_mend(c->s->queue, c->where, id);

	if (r >= 0 || r == -ENOENT)
		c->mended++;
	else
		log_mail(ROAD_WARNING, id, "in %s: the file has another name elsewhere: left alone",
			 queue_name_text(c->where));
}

static void put_aside(struct check *c, struct str id)
{
	int r = c->where == QUEUE_CORRUPT ? 0 : queue_move(c->s->queue, c->where, QUEUE_CORRUPT, id);

	log_mail(ROAD_WARNING, id, "damaged file in %s%s%s", queue_name_text(c->where),
		 r < 0 ? ": cannot be moved to corrupt: " : ": moved to corrupt", r < 0 ? error_text(r) : "");
	c->set_aside += r >= 0;
}

/* What was deferred has been whole before. */
static void end_debris(struct check *c, struct str id, int64_t mtime_s)
{
	if (wall_s() - mtime_s < QUEUE_DEBRIS_AGE_S)
		return;
	if (c->where == QUEUE_DEFERRED) {
		if (c->mend)
			put_aside(c, id);
		return;
	}
	if (!c->purge)
		return;
	log_mail(ROAD_INFO, id, "unfinished file in %s: it was never accepted", queue_name_text(c->where));
	c->purged += queue_finish(c->s->queue, c->where, id) >= 0;
}

static int check_file(void *arg, struct str id, int64_t mtime_s)
{
	struct check *c = arg;
	AUTO(queue_file) f = { .fd = -1 };
	int r = queue_file_open(c->s->queue, c->where, id, false, false, &f);

	if (r == -ENODATA)
		end_debris(c, id, mtime_s);
	else if (r == -EMLINK && c->mend)
		mend_links(c, id);
	else if (r == -EBADMSG && c->mend)
		put_aside(c, id);
	else if (r < 0 && r != -ENOENT)
		log_mail(ROAD_WARNING, id, "in %s: %s", queue_name_text(c->where),
			 r == -ENOTSUP ? "written by Postfix, or by a newer version" : error_text(r));
	return 0;
}

static void say(const char *words)
{
	log_warning("%s", words);
}

static void say_total(uint64_t n, const char *what)
{
	if (n > 0)
		log_info("%s: %llu file%s", what, (unsigned long long) n, n == 1 ? "" : "s");
}

void super_mend(struct super *s, bool mend, bool purge)
{
	struct check c = { .s = s, .mend = mend, .purge = purge };

	queue_set_say(s->queue, say);
	for (int q = 0; q < QUEUE_COUNT; q++) {
		if (q == QUEUE_CORRUPT || (s->only != 0 && (s->only & (1u << q)) == 0))
			continue;
		c.where = (enum queue_name) q;
		queue_scan(s->queue, c.where, check_file, &c);
	}
	say_total(c.mended, "Two names made one");
	say_total(c.set_aside, "Moved to corrupt");
	say_total(c.purged, "Purged unfinished");
}
