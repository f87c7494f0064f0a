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

int dotlock_take(int dir, const char *name, const struct mailbox_rules *rules)
{
	char lock[NAME_SIZE + 8];
	int fd = -EEXIST;

	lock_name(name, lock);
	for (int i = 0; i < MAX(rules->lock_attempts, 1); i++) {
		if (i > 0)
			co_sleep(in(rules->lock_delay_ms));
		fd = file_create(dir, lock, 0400);
		if (fd != -EEXIST)
			break;
		remove_stale(dir, lock, rules);
	}
	if (fd == -EACCES || fd == -EPERM || fd == -EROFS)
		return 0;
	if (fd < 0)
		return fd;
	close(fd);
	return 1;
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
	int r = -EAGAIN;

	for (int i = 0; i < MAX(rules->lock_attempts, 1) && r == -EAGAIN; i++) {
		if (i > 0)
			co_sleep(in(rules->lock_delay_ms));
		r = lock_once(fd, rules->locks);
	}
	return r;
}
