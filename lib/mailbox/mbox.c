/* SPDX-License-Identifier: ISC */
/*
 * Appending to an mbox file.
 *
 *   dotlock -> open -> checks -> fcntl lock -> still the same file? -> append -> fsync -> unlock
 *
 * Whatever fails after the first byte cuts the file back to its old length.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/failpoint.h"
#include "lib/disk/disk.h"
#include "lib/mailbox/lock.h"
#include "lib/mailbox/path.h"

struct mbox {
	const struct letter *letter;
	const struct mailbox_rules *rules;
	const char *path;
	unsigned flags;
	int dir;
	char name[NAME_SIZE];
	struct mailbox_result *ret;
};

static void refuse(struct mbox *m, const char *reason)
{
	mailbox_say(m->ret, MAILBOX_BOUNCED, "5.2.0", "cannot update mailbox %s: %s", m->path, reason);
}

static void fail(struct mbox *m, int error, const char *doing)
{
	mailbox_say_error(m->ret, error, "cannot update mailbox %s. %s", m->path, doing);
}

/* Is this something that mail may be appended to? */
static bool is_fit(struct mbox *m, const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		refuse(m, "destination is not a regular file");
	else if (st->st_nlink > 1)
		refuse(m, "destination has multiple hard links");
	else if (st->st_mode & 0111)
		refuse(m, "destination is executable");
	else if (m->rules->strict_owner && st->st_uid != geteuid())
		refuse(m, "destination is not owned by recipient");
	else
		return true;
	return false;
}

static bool fits_limit(struct mbox *m, const struct stat *st)
{
	int64_t limit = m->rules->size_limit;

	if (limit == 0 || (uint64_t) st->st_size + m->letter->size <= (uint64_t) limit)
		return true;
	fail(m, -EFBIG, "error writing message");
	return false;
}

/* A mail reader may have put another file in its place while we waited for the lock. */
static bool is_still_there(struct mbox *m, const struct stat *opened)
{
	struct stat st;

	if (fstatat(m->dir, m->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	return st.st_dev == opened->st_dev && st.st_ino == opened->st_ino;
}

/*
 * A writer that was killed may have left half a message. It cannot be told from mail, so it stays; but
 * ours starts on a line of its own.
 */
static int separate(struct mbox *m, int fd, off_t size)
{
	char end[2] = "\n\n";
	ssize_t n = size == 0 ? 0 : pread_all(fd, end, MIN(size, 2), MAX(size - 2, 0));

	if (n < 0)
		return (int) n;
	if (!(m->flags & LETTER_EMPTY_LINE) || size == 0)
		return 0;
	if (size == 1)
		end[1] = end[0];
	if (end[1] != '\n')
		return write_all(fd, "\n\n", 2);
	return end[0] != '\n' ? write_all(fd, "\n", 1) : 0;
}

static void append(struct mbox *m, int fd, off_t old_size)
{
	int r = lseek(fd, old_size, SEEK_SET) < 0 ? -errno : separate(m, fd, old_size);

	FAILPOINT("mbox.locked");
	if (r >= 0)
		r = letter_write(m->letter, m->flags, fd);
	FAILPOINT("mbox.written");
	if (r >= 0)
		r = file_sync(fd);
	FAILPOINT("mbox.synced");
	if (r >= 0)
		return;
	fail(m, r, "error writing message");
	if (ftruncate(fd, old_size) < 0)
		buf_addf(&m->ret->text, " (and the file could not be cut back)");
}

static void open_and_append(struct mbox *m)
{
	AUTO_FD fd = openat(m->dir, m->name,
			    O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
	struct stat st;
	int r;

	if (fd < 0) {
		r = -errno;
		if (r == -EISDIR || r == -ENXIO || r == -ELOOP)
			refuse(m, "destination is not a regular file");
		else
			fail(m, r, "error opening file");
		return;
	}
	if (fstat(fd, &st) < 0) {
		fail(m, -errno, "error opening file");
		return;
	}
	if (!is_fit(m, &st))
		return;
	r = file_lock(fd, m->rules);
	if (r >= 0 && (fstat(fd, &st) < 0 || !is_still_there(m, &st)))
		r = -EAGAIN;
	if (r < 0)
		fail(m, r, "unable to lock for exclusive access");
	else if (is_fit(m, &st) && fits_limit(m, &st))
		append(m, fd, st.st_size);
}

void mbox_append(const struct letter *l, const char *path, unsigned flags, const struct mailbox_rules *rules,
		 struct mailbox_result *ret)
{
	struct mbox m = { .letter = l, .rules = rules, .path = path, .flags = flags, .ret = ret };
	int locked = 0;

	mailbox_say(ret, MAILBOX_SENT, "2.0.0", "delivered to mailbox");
	if (strcmp(path, "/dev/null") == 0)
		return;
	m.dir = path_open_parent(path, false, m.name);
	if (m.dir < 0) {
		fail(&m, m.dir, m.dir == -EPERM ? "a symbolic link that belongs to somebody else"
		     : "error opening file");
		return;
	}
	if (rules->locks & LOCK_DOTLOCK)
		locked = dotlock_take(m.dir, m.name, rules);
	if (locked < 0)
		fail(&m, locked, "unable to create lock file");
	else
		open_and_append(&m);
	if (locked > 0)
		dotlock_drop(m.dir, m.name);
	close(m.dir);
}
