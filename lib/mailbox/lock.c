/* SPDX-License-Identifier: ISC */
#include "lib/mailbox/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/co/co.h"
#include "lib/disk/disk.h"
#include "lib/mailbox/path.h"

enum { FIRST_PAUSE_MS = 4 };

int mailbox_locks_parse(struct str text, unsigned *ret_locks, struct buf *why)
{
	struct str word;

	*ret_locks = 0;
	while (str_token(&text, ", \t\r\n", &word)) {
		if (str_is(word, STR("fcntl"))) {
			*ret_locks |= LOCK_FCNTL;
		} else if (str_is(word, STR("flock"))) {
			*ret_locks |= LOCK_FLOCK;
		} else if (str_is(word, STR("dotlock"))) {
			*ret_locks |= LOCK_DOTLOCK;
		} else {
			buf_addf(why, "\"%.*s\" is no kind of mailbox lock (fcntl, flock, dotlock)",
				 PSTR(word));
			return -EINVAL;
		}
	}
	return 0;
}

static void lock_name(const char *name, char text[NAME_SIZE + 8])
{
	snprintf(text, NAME_SIZE + 8, "%s.lock", name);
}

/* Removes a lock whose owner must have died. */
static void remove_stale(int dir, const char *lock, const struct mailbox_rules *rules)
{
	struct stat st;

	if (fstatat(dir, lock, &st, AT_SYMLINK_NOFOLLOW) == 0
	    && wall_s() - st.st_ctime > rules->stale_lock_ms / 1000)
		unlinkat(dir, lock, 0);
}

/*
 * Most locks are held for milliseconds, so the first looks come soon; in all the wait is attempts
 * times delay. False: it is over.
 */
static bool wait_for_lock(const struct mailbox_rules *rules, int64_t *pause_ms, int64_t *waited_ms)
{
	const int64_t most = (MAX(rules->lock_attempts, 1) - 1) * rules->lock_delay_ms;

	if (*waited_ms >= most)
		return false;
	*pause_ms = MIN(MAX(*pause_ms * 2, (int64_t) FIRST_PAUSE_MS), rules->lock_delay_ms);
	*pause_ms = MIN(*pause_ms, most - *waited_ms);
	*waited_ms += *pause_ms;
	co_sleep(in(*pause_ms));
	return true;
}

int dotlock_take(int dir, const char *name, const struct mailbox_rules *rules)
{
	char lock[NAME_SIZE + 8];
	int64_t pause = 0, waited = 0;
	int fd;

	lock_name(name, lock);
	do {
		fd = file_create(dir, lock, 0400);
		if (fd == -EEXIST)
			remove_stale(dir, lock, rules);
	} while (fd == -EEXIST && wait_for_lock(rules, &pause, &waited));
	if (fd >= 0)
		close(fd);
	return MIN(fd, 0);
}

void dotlock_drop(int dir, const char *name)
{
	char lock[NAME_SIZE + 8];

	lock_name(name, lock);
	unlinkat(dir, lock, 0);
}

static int lock_once(int fd, unsigned locks)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if ((locks & LOCK_FCNTL) && fcntl(fd, F_SETLK, &whole) < 0)
		return errno == EACCES ? -EAGAIN : -errno;
	if ((locks & LOCK_FLOCK) && flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	return 0;
}

int file_lock(int fd, const struct mailbox_rules *rules)
{
	int64_t pause = 0, waited = 0;
	int r;

	do
		r = lock_once(fd, rules->locks);
	while (r == -EAGAIN && wait_for_lock(rules, &pause, &waited));
	return r;
}
