/* SPDX-License-Identifier: ISC */
/*
 * Appending to an mbox file.
 *
 *   dotlock -> open -> checks -> fcntl lock -> still the same file? -> append, and others of the batch -> fsync -> unlock
 *
 * Whatever fails after the first byte cuts the file back to its old length.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/failpoint.h"
#include "lib/disk/disk.h"
#include "lib/mailbox/batch.h"
#include "lib/mailbox/lock.h"

struct mbox {
	const struct letter *letter;
	const struct mailbox_rules *rules;
	const char *path;
	unsigned flags;
	int dir;
	char name[NAME_SIZE];
	bool never_waits;		/* other files of the batch are locked meanwhile */
	struct mailbox_result *ret;
};

static void refuse(struct mbox *m, const char *reason)
{
	bool waits = m->rules->waits_until_fit;

	mailbox_say(m->ret, waits ? MAILBOX_DEFERRED : MAILBOX_BOUNCED, waits ? "4.2.0" : "5.2.0",
		    "cannot update mailbox %s: %s", m->path, reason);
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
	else if (m->rules->any_file && (st->st_mode & 0111))
		refuse(m, "destination is executable");
	else if (m->rules->strict_owner && st->st_uid != geteuid())	/* a restored backup, say: nobody's mail need be returned for it */
		mailbox_say(m->ret, MAILBOX_DEFERRED, "4.2.0",
			    "cannot update mailbox %s: destination is not owned by recipient", m->path);
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
		return n == -EBADF ? 0 : (int) n;		/* see open_file() */
	if (!(m->flags & LETTER_EMPTY_LINE) || size == 0)
		return 0;
	if (size == 1)
		end[1] = end[0];
	if (end[1] != '\n')
		return write_all(fd, "\n\n", 2);
	return end[0] != '\n' ? write_all(fd, "\n", 1) : 0;
}

/* fd's write position is at its end afterwards, whatever happens. */
static void append(struct mbox *m, struct mailbox_batch *b, struct unsynced *u, const struct stat *st)
{
	int r = lseek(u->fd, st->st_size, SEEK_SET) < 0 ? -errno : separate(m, u->fd, st->st_size);

	FAILPOINT("mbox.locked");
	if (r >= 0)
		r = letter_write(m->letter, m->flags, u->fd);
	FAILPOINT("mbox.written");
	if (r >= 0) {
		m->ret->at = st->st_size;
		unsynced_result(b, u, m->ret);
		return;
	}
	fail(m, r, "error writing message");
	if (ftruncate(u->fd, st->st_size) < 0)
		buf_addf(&m->ret->text, " (and the file could not be cut back)");
}

static int open_file(struct mbox *m, struct stat *st)
{
	const int flags = O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	AUTO_FD fd = openat(m->dir, m->name, O_RDWR | flags, 0600);
	int r;

	if (fd < 0 && errno == EACCES)		/* we may write to it, perhaps, and not read */
		fd = openat(m->dir, m->name, O_WRONLY | flags, 0600);
	r = fd < 0 ? -errno : 0;
	if (r == -EISDIR || r == -ENXIO || r == -ELOOP)
		refuse(m, "destination is not a regular file");
	else if (r < 0 || fstat(fd, st) < 0)
		fail(m, r < 0 ? r : -errno, "error opening file");
	else if (is_fit(m, st))
		return fd_take(&fd);
	return -1;
}

/* -EBUSY, or 0: the file is open and locked, or *m->ret says why not. */
static int open_and_lock(struct mbox *m, struct mailbox_batch *b, bool has_dotlock,
			 struct unsynced **ret_file)
{
	struct stat st;
	AUTO_FD fd = open_file(m, &st);
	struct unsynced *u;
	int r;

	if (fd < 0)
		return 0;
	r = file_lock(fd, m->rules);
	if (r == -EAGAIN && m->never_waits)
		return -EBUSY;
	if (r >= 0 && !is_still_there(m, &st))
		r = -EAGAIN;
	if (r < 0) {
		fail(m, r, "unable to lock for exclusive access");
		return 0;
	}
	u = batch_add(b, fd_take(&fd), fd_take(&m->dir), m->name, m->path);
	u->is_mbox = true;
	u->has_dotlock = has_dotlock;
	u->device = st.st_dev;
	u->inode = st.st_ino;
	u->old_size = -1;
	*ret_file = u;
	return 0;
}

/*
 * In a directory that does not let us the other kinds of lock have to do. Without any only a file that a
 * list names is written to: who lets others deliver to it so must know.
 */
static bool does_without_dotlock(const struct mbox *m, int error)
{
	bool has_others = (m->rules->locks & (LOCK_FCNTL | LOCK_FLOCK)) != 0;

	return (error == -EACCES || error == -EPERM || error == -EROFS) && (has_others || m->rules->any_file);
}

/* The same, with the lock file around it. */
static int take_mbox(struct mbox *m, struct mailbox_batch *b, struct unsynced **ret_file)
{
	bool wants_dotlock = m->rules->locks & LOCK_DOTLOCK, has_dotlock;
	int locked = wants_dotlock ? dotlock_take(m->dir, m->name, m->rules) : 0, r;

	if (locked == -EEXIST && m->never_waits)
		return -EBUSY;
	if (locked < 0 && !does_without_dotlock(m, locked)) {
		fail(m, locked, "unable to create lock file");
		return 0;
	}
	has_dotlock = wants_dotlock && locked >= 0;
	m->ret->lacks_dotlock = wants_dotlock && !has_dotlock;
	r = open_and_lock(m, b, has_dotlock, ret_file);
	if (has_dotlock && *ret_file == NULL)
		dotlock_drop(m->dir, m->name);
	return r;
}

static void add_to_file(struct mbox *m, struct mailbox_batch *b, struct unsynced *u)
{
	struct stat st;

	if (fstat(u->fd, &st) < 0) {
		fail(m, -errno, "error opening file");
	} else if (is_fit(m, &st) && fits_limit(m, &st)) {
		if (u->old_size < 0)
			u->old_size = st.st_size;
		append(m, b, u, &st);
	}
	if (u->results.len == 0)
		batch_drop(u);
}

static int append_to(struct mbox *m, struct mailbox_batch *b)
{
	struct unsynced *u;
	int r = 0;

	m->dir = path_open_parent(m->path, false, m->name);
	if (m->dir < 0) {
		fail(m, m->dir, m->dir == -EPERM ? "a symbolic link that belongs to somebody else"
		     : "error opening file");
		return 0;
	}
	u = batch_find_mbox(b, m->path, m->dir, m->name);
	if (u == NULL)
		r = take_mbox(m, b, &u);
	if (u != NULL)
		add_to_file(m, b, u);
	fd_auto(&m->dir);
	return r;
}

int mbox_append(const struct letter *l, const char *path, unsigned flags, const struct mailbox_rules *rules,
		struct mailbox_batch *b, struct mailbox_result *ret)
{
	struct mailbox_rules own_rules = *rules;
	struct mbox m = { .letter = l, .rules = &own_rules, .path = path, .flags = flags, .ret = ret,
			  .never_waits = b != NULL };
	struct mailbox_batch *own = NULL;
	int r;

	mailbox_say(ret, MAILBOX_SENT, "2.0.0", "delivered to mailbox");
	ret->at = -1;
	ret->lacks_dotlock = false;
	if (strcmp(path, "/dev/null") == 0)
		return 0;
	if (b == NULL)
		b = own = mailbox_batch_new();
	else
		own_rules.lock_attempts = 1;
	r = append_to(&m, b);
	if (own != NULL)
		mailbox_settle(own);
	mailbox_batch_free(own);
	return r;
}
