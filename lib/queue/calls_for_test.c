/* SPDX-License-Identifier: ISC */
/* See calls_for_test.h. */
#include "lib/queue/calls_for_test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/co/co.h"

enum { FIRST_FD = 1 << 20, MOST_FILES = 2000, MOST_LOCKS = 1000 };

struct calls_trouble calls_trouble;
uint64_t calls_failed, calls_dice;
bool calls_outside_loop, calls_are_of_the_dead;
int calls_process;
void (*calls_before)(void);
int (*calls_offload)(int (*work)(void *), void *arg);

static struct watch watch;

struct open_file {
	struct disk *d;			/* NULL: free */
	int node, process;
	uint64_t at;
	bool appends;
	/* a walk through its names, taken down when it began */
	char (*names)[64];
	size_t name_count, next_name;
	struct dirent entry;
};

static struct open_file files[MOST_FILES];

struct lock {
	const struct open_file *owner;	/* NULL: none */
	off_t at;
};

static struct lock locks[MOST_LOCKS];

struct watch calls_watch(struct watch w)
{
	struct watch before = watch;

	watch = w;
	return before;
}

static void stepped(const struct disk *d)
{
	if (watch.d == d && watch.step != NULL)
		watch.step(watch.arg);
}

/* ---- trouble ---- */

static void begin_next_trouble(void)
{
	calls_trouble.countdown = calls_trouble.then;
	calls_trouble.failing = 1;
	calls_trouble.then = 0;
}

/* Does this call fail? With one of the errors that it may have. */
static bool fails(const int *errors, size_t count)
{
	if (calls_are_of_the_dead) {
		errno = EIO;
		return true;
	}
	if (calls_trouble.countdown == 0)
		return false;
	if (calls_trouble.countdown > 1) {
		calls_trouble.countdown--;
		return false;
	}
	if (calls_trouble.failing == 0 || --calls_trouble.failing == 0)
		begin_next_trouble();
	calls_failed++;
	errno = errors[roll(&calls_dice, count)];
	return true;
}

static bool has_no_room(void)
{
	if (calls_trouble.is_full)
		errno = ENOSPC;
	return calls_trouble.is_full;
}

static const int of_disks[] = { EIO, ENOSPC, EROFS };
static const int of_writes[] = { EIO, ENOSPC, EINTR };
static const int of_reads[] = { EIO };

#define FAILS(errors) fails(errors, COUNT_OF(errors))

/* ---- descriptors ---- */

static struct open_file *file_of(int fd)
{
	if (fd < FIRST_FD || fd >= FIRST_FD + MOST_FILES || files[fd - FIRST_FD].d == NULL)
		return NULL;
	if (calls_before != NULL)
		calls_before();
	return &files[fd - FIRST_FD];
}

static int new_file(struct disk *d, int node, bool appends)
{
	int i = 0;

	while (i < MOST_FILES && files[i].d != NULL)
		i++;
	BUG_UNLESS(i < MOST_FILES);
	files[i] = (struct open_file){ .d = d, .node = node, .process = calls_process, .appends = appends };
	return FIRST_FD + i;
}

static void close_file(struct open_file *f)
{
	for (size_t i = 0; i < MOST_LOCKS; i++)
		if (locks[i].owner == f)
			locks[i].owner = NULL;
	free(f->names);
	*f = (struct open_file){ 0 };
}

int calls_mount(struct disk *d)
{
	return new_file(d, DISK_ROOT, false);
}

void calls_close_all(const struct disk *d)
{
	for (size_t i = 0; i < MOST_FILES; i++)
		if (files[i].d == d)
			close_file(&files[i]);
}

void calls_drop_locks(int process)
{
	for (size_t i = 0; i < MOST_LOCKS; i++)
		if (locks[i].owner != NULL && locks[i].owner->process == process)
			locks[i].owner = NULL;
}

static int result(int r)
{
	if (r < 0)
		errno = -r;
	return r < 0 ? -1 : r;
}

/* ---- names ---- */

#define WRAPPED(type, name, ...) \
	type __real_##name(__VA_ARGS__); \
	type __wrap_##name(__VA_ARGS__); \
	type __wrap_##name(__VA_ARGS__)

static int open_node(struct open_file *dir, const char *path, int flags)
{
	int node = disk_find(dir->d, dir->node, path);

	if (node >= 0 && (flags & O_CREAT) != 0 && (flags & O_EXCL) != 0)
		return -EEXIST;
	if (node >= 0 && (flags & O_DIRECTORY) != 0 && !disk_is_directory(dir->d, node))
		return -ENOTDIR;
	if (node != -ENOENT || (flags & O_CREAT) == 0)
		return node;
	if (has_no_room())
		return -ENOSPC;
	node = disk_make(dir->d, dir->node, path, false);
	if (node >= 0)
		stepped(dir->d);
	return node;
}

static int open_at(struct open_file *dir, const char *path, int flags)
{
	int node;

	if ((flags & O_CREAT) != 0 ? FAILS(of_disks) : FAILS(of_reads))
		return -1;
	node = open_node(dir, path, flags);
	return node < 0 ? result(node) : new_file(dir->d, node, (flags & O_APPEND) != 0);
}

WRAPPED(int, __openat_2, int dir, const char *path, int flags)
{
	struct open_file *f = file_of(dir);

	return f != NULL ? open_at(f, path, flags) : __real___openat_2(dir, path, flags);
}

WRAPPED(int, openat, int dir, const char *path, int flags, ...)
{
	struct open_file *f = file_of(dir);
	mode_t mode = 0;
	va_list more;

	if (f != NULL)
		return open_at(f, path, flags);
	if ((flags & O_CREAT) != 0) {
		va_start(more, flags);
		mode = va_arg(more, mode_t);
		va_end(more);
	}
	return __real_openat(dir, path, flags, mode);
}

WRAPPED(int, close, int fd)
{
	struct open_file *f = file_of(fd);

	if (f == NULL)
		return __real_close(fd);
	close_file(f);
	return 0;
}

WRAPPED(int, dup, int fd)
{
	struct open_file *f = file_of(fd);

	return f != NULL ? new_file(f->d, f->node, f->appends) : __real_dup(fd);
}

static void describe(const struct disk *d, int node, struct stat *ret)
{
	*ret = (struct stat){ .st_mode = disk_is_directory(d, node) ? S_IFDIR | 0700 : S_IFREG | 0600,
			      .st_ino = (ino_t) node + 1, .st_nlink = (nlink_t) disk_links(d, node),
			      .st_size = (off_t) disk_size(d, node), .st_mtime = disk_mtime(d, node) };
}

WRAPPED(int, fstat, int fd, struct stat *ret)
{
	struct open_file *f = file_of(fd);

	if (f == NULL)
		return __real_fstat(fd, ret);
	if (FAILS(of_reads))
		return -1;
	describe(f->d, f->node, ret);
	return 0;
}

WRAPPED(int, fstatat, int dir, const char *path, struct stat *ret, int flags)
{
	struct open_file *f = file_of(dir);
	int node;

	if (f == NULL)
		return __real_fstatat(dir, path, ret, flags);
	if (FAILS(of_reads))
		return -1;
	node = disk_find(f->d, f->node, path);
	if (node >= 0)
		describe(f->d, node, ret);
	return result(MIN(node, 0));
}

static int rename_at(struct open_file *from, const char *old, struct open_file *to, const char *new,
		     bool replace)
{
	int r;

	if (FAILS(of_disks))
		return -1;
	if (!replace && disk_find(to->d, to->node, new) >= 0)
		return result(-EEXIST);
	r = disk_rename(from->d, from->node, old, to->node, new);
	if (r == 0)
		stepped(from->d);
	return result(r);
}

WRAPPED(int, renameat, int from, const char *old, int to, const char *new)
{
	struct open_file *f = file_of(from), *t = file_of(to);

	return f != NULL && t != NULL ? rename_at(f, old, t, new, true) : __real_renameat(from, old, to, new);
}

WRAPPED(int, renameat2, int from, const char *old, int to, const char *new, unsigned flags)
{
	struct open_file *f = file_of(from), *t = file_of(to);

	return f != NULL && t != NULL ? rename_at(f, old, t, new, flags == 0)
				      : __real_renameat2(from, old, to, new, flags);
}

WRAPPED(int, unlinkat, int dir, const char *path, int flags)
{
	struct open_file *f = file_of(dir);
	int r;

	if (f == NULL)
		return __real_unlinkat(dir, path, flags);
	if (FAILS(of_disks))
		return -1;
	r = disk_unlink(f->d, f->node, path);
	if (r == 0)
		stepped(f->d);
	return result(r);
}

WRAPPED(int, mkdirat, int dir, const char *path, mode_t mode)
{
	struct open_file *f = file_of(dir);
	int node;

	if (f == NULL)
		return __real_mkdirat(dir, path, mode);
	if (FAILS(of_disks) || has_no_room())
		return -1;
	node = disk_make(f->d, f->node, path, true);
	if (node >= 0)
		stepped(f->d);
	return result(MIN(node, 0));
}

WRAPPED(int, fchmod, int fd, mode_t mode)
{
	return file_of(fd) != NULL ? 0 : __real_fchmod(fd, mode);
}

WRAPPED(int, fchmodat, int dir, const char *path, mode_t mode, int flags)
{
	return file_of(dir) != NULL ? 0 : __real_fchmodat(dir, path, mode, flags);
}

WRAPPED(int, utimensat, int dir, const char *path, const struct timespec times[2], int flags)
{
	struct open_file *f = file_of(dir);
	int node;

	if (f == NULL)
		return __real_utimensat(dir, path, times, flags);
	if (FAILS(of_disks))
		return -1;
	node = disk_find(f->d, f->node, path);
	if (node < 0)
		return result(node);
	disk_set_mtime(f->d, node, times[1].tv_sec);
	stepped(f->d);
	return 0;
}

/* ---- walks ---- */

static struct open_file *file_of_walk(DIR *walk)
{
	struct open_file *f = (struct open_file *) (void *) walk;

	return f >= files && f < files + MOST_FILES ? f : NULL;
}

WRAPPED(DIR *, fdopendir, int fd)
{
	struct open_file *f = file_of(fd);

	if (f == NULL)
		return __real_fdopendir(fd);
	while (disk_name_at(f->d, f->node, f->name_count) != NULL)
		f->name_count++;
	f->names = get_memory((f->name_count + 1) * sizeof(*f->names));
	for (size_t i = 0; i < f->name_count; i++)
		snprintf(f->names[i], sizeof(f->names[i]), "%s", disk_name_at(f->d, f->node, i));
	return (DIR *) (void *) f;
}

WRAPPED(struct dirent *, readdir, DIR *walk)
{
	struct open_file *f = file_of_walk(walk);

	if (f == NULL)
		return __real_readdir(walk);
	if (f->next_name == f->name_count)
		return NULL;
	snprintf(f->entry.d_name, sizeof(f->entry.d_name), "%s", f->names[f->next_name++]);
	f->entry.d_type = DT_UNKNOWN;
	return &f->entry;
}

WRAPPED(int, dirfd, DIR *walk)
{
	struct open_file *f = file_of_walk(walk);

	return f != NULL ? FIRST_FD + (int) (f - files) : __real_dirfd(walk);
}

WRAPPED(int, closedir, DIR *walk)
{
	struct open_file *f = file_of_walk(walk);

	if (f == NULL)
		return __real_closedir(walk);
	close_file(f);
	return 0;
}

/* ---- data ---- */

/* Whole, or on a disk that is in trouble the first part of it. */
static ssize_t write_at(struct open_file *f, uint64_t at, const void *data, size_t len)
{
	bool is_beyond = calls_trouble.is_full && at + len > disk_size(f->d, f->node);
	bool falls_short = (is_beyond || calls_trouble.countdown == 1) && len > 1 && roll(&calls_dice, 3) == 0;

	if (falls_short)
		len = 1 + roll(&calls_dice, len - 1);	/* the next call fails, or never writes the last byte */
	else if (FAILS(of_writes) || (is_beyond && has_no_room()))
		return -1;
	disk_write(f->d, f->node, at, data, len);
	stepped(f->d);
	return (ssize_t) len;
}

WRAPPED(ssize_t, write, int fd, const void *data, size_t len)
{
	struct open_file *f = file_of(fd);
	uint64_t at;
	ssize_t n;

	if (f == NULL)
		return __real_write(fd, data, len);
	at = f->appends ? disk_size(f->d, f->node) : f->at;
	n = write_at(f, at, data, len);
	f->at = n < 0 ? f->at : at + (uint64_t) n;
	return n;
}

WRAPPED(ssize_t, pwritev, int fd, const struct iovec *pieces, int count, off_t at)
{
	struct open_file *f = file_of(fd);
	size_t len = 0;
	AUTO_PTR char *data = NULL;

	if (f == NULL)
		return __real_pwritev(fd, pieces, count, at);
	for (int i = 0; i < count; i++)
		len += pieces[i].iov_len;
	data = get_memory(len + 1);
	len = 0;
	for (int i = 0; i < count; i++) {
		memcpy(data + len, pieces[i].iov_base, pieces[i].iov_len);
		len += pieces[i].iov_len;
	}
	return write_at(f, (uint64_t) at, data, len);
}

WRAPPED(ssize_t, pread, int fd, void *to, size_t len, off_t at)
{
	struct open_file *f = file_of(fd);

	if (f == NULL)
		return __real_pread(fd, to, len, at);
	if (FAILS(of_reads))
		return -1;
	return (ssize_t) disk_read(f->d, f->node, (uint64_t) at, to, len);
}

WRAPPED(int, ftruncate, int fd, off_t size)
{
	struct open_file *f = file_of(fd);

	if (f == NULL)
		return __real_ftruncate(fd, size);
	if (FAILS(of_disks))
		return -1;
	disk_truncate(f->d, f->node, (uint64_t) size);
	stepped(f->d);
	return 0;
}

const void *calls_sync_sites[MOST_SYNC_SITES];
int calls_sync_site_count;

/* Its number. */
static int note_site(const void *site)
{
	int i = 0;

	while (i < calls_sync_site_count && calls_sync_sites[i] != site)
		i++;
	BUG_UNLESS(i < MOST_SYNC_SITES);
	if (i == calls_sync_site_count)
		calls_sync_sites[calls_sync_site_count++] = site;
	return i + 1;
}

static bool lies(bool data_only, int site)
{
	return calls_trouble.lie == (data_only ? FDATASYNC_LIES : FSYNC_LIES) || calls_trouble.lying_site == site;
}

static int sync_file(struct open_file *f, bool data_only, const void *from)
{
	const int site = note_site(from);

	if (FAILS(of_reads)) {
		if (calls_are_of_the_dead)
			return -1;
		disk_fail_sync(f->d, f->node, &calls_dice);
		stepped(f->d);
		return -1;
	}
	if (!lies(data_only, site))
		disk_sync(f->d, f->node, data_only);
	stepped(f->d);
	return 0;
}

WRAPPED(int, fsync, int fd)
{
	struct open_file *f = file_of(fd);

	return f != NULL ? sync_file(f, false, __builtin_return_address(0)) : __real_fsync(fd);
}

WRAPPED(int, fdatasync, int fd)
{
	struct open_file *f = file_of(fd);

	return f != NULL ? sync_file(f, true, __builtin_return_address(0)) : __real_fdatasync(fd);
}

WRAPPED(int, sync_file_range, int fd, off64_t at, off64_t len, unsigned flags)
{
	return file_of(fd) != NULL ? 0 : __real_sync_file_range(fd, at, len, flags);
}

/* ---- locks: one byte each, or all of the file (at 0, which no message's lock collides with) ---- */

static struct lock *lock_of_other(const struct open_file *f, off_t at)
{
	for (size_t i = 0; i < MOST_LOCKS; i++) {
		const struct open_file *owner = locks[i].owner;

		if (owner != NULL && owner != f && owner->d == f->d && owner->node == f->node
		    && locks[i].at == at)
			return &locks[i];
	}
	return NULL;
}

static void set_lock(const struct open_file *f, off_t at, bool wanted)
{
	size_t i = 0;

	for (size_t k = 0; k < MOST_LOCKS; k++)
		if (locks[k].owner == f && locks[k].at == at)
			locks[k].owner = NULL;
	while (wanted && i < MOST_LOCKS && locks[i].owner != NULL)
		i++;
	BUG_UNLESS(i < MOST_LOCKS);
	if (wanted)
		locks[i] = (struct lock){ f, at };
}

static int control_lock(const struct open_file *f, int command, struct flock *lock)
{
	bool is_taken = lock_of_other(f, lock->l_start) != NULL;

	if (calls_are_of_the_dead)
		return result(-EIO);
	if (command == F_OFD_GETLK) {
		lock->l_type = is_taken ? F_WRLCK : F_UNLCK;
		return 0;
	}
	BUG_UNLESS(command == F_OFD_SETLK);
	if (lock->l_type == F_WRLCK && is_taken)
		return result(-EAGAIN);
	set_lock(f, lock->l_start, lock->l_type == F_WRLCK);
	return 0;
}

WRAPPED(int, fcntl, int fd, int command, ...)
{
	struct open_file *f = file_of(fd);
	va_list more;
	void *argument;

	va_start(more, command);
	argument = va_arg(more, void *);
	va_end(more);
	return f != NULL ? control_lock(f, command, argument) : __real_fcntl(fd, command, argument);
}

/* ---- the process ---- */

WRAPPED(ssize_t, getrandom, void *to, size_t len, unsigned flags)
{
	unsigned char *at = to;

	(void) flags;
	for (size_t i = 0; i < len; i++)
		at[i] = (unsigned char) roll(&calls_dice, 256);
	return (ssize_t) len;
}

/* Whoever becomes ready in the same turn does so before it, as with a thread that takes its time. */
WRAPPED(int, co_offload, int (*work)(void *), void *arg)
{
	if (calls_offload != NULL)
		return calls_offload(work, arg);
	if (!calls_outside_loop && co_self() != NULL)
		co_pass();
	return work(arg);
}

WRAPPED(bool, loop_is_running, void)
{
	return !calls_outside_loop && __real_loop_is_running();
}
