/* SPDX-License-Identifier: ISC */
/*
 * Opening and checking queue files. What lies in the queue may have been put there by anybody who
 * got that far, so nothing is believed.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/disk/disk.h"
#include "lib/queue/residents.h"

enum { BEING_WRITTEN_S = 1000 };	/* one write and its sync, on however slow a disk */

static int check_kind(int fd, struct stat *ret)
{
	if (fstat(fd, ret) < 0)
		return -errno;
	if (!S_ISREG(ret->st_mode))
		return -EBADF;
	return ret->st_nlink == 1 ? 0 : ret->st_nlink == 0 ? -ESTALE : -EMLINK;
}

/*
 * Files are created in all queues: what leaves the intake log for deferred too. There the time may
 * be that of the next attempt as well.
 */
static bool may_be_in_work(enum queue_name where, const struct stat *st)
{
	return where != QUEUE_CORRUPT && wall_s() - st->st_mtime < BEING_WRITTEN_S;
}

/*
 * A small message is one write, head first, and a reader can see the front of it before the rest is
 * there: a file that is shorter than its head says is damaged only when nobody writes to it any
 * more. Looked at twice, for the head itself may be just being written.
 */
static int read_head(int fd, enum queue_name where, const struct stat *st, struct queue_head *ret)
{
	char data[QUEUE_HEAD_SIZE];
	int r = -EBADMSG;

	for (int look = 0; look < 2 && r == -EBADMSG; look++) {
		ssize_t n = pread_all(fd, data, sizeof(data), 0);

		if (n < 0)
			return (int) n;
		r = queue_head_parse(str_make(data, (size_t) n), (uint64_t) st->st_size, ret);
		if (r == -EBADMSG && may_be_in_work(where, st)
		    && queue_head_parse(str_make(data, (size_t) n), INT64_MAX, ret) == 0)
			r = -ENODATA;
	}
	return r;
}

void queue_file_keep_head(struct queue_file *f, const struct queue_head *h)
{
	memcpy(f->id, h->id, sizeof(f->id));
	f->parts = (struct queue_parts){ .size = queue_head_message_size(h),
					 .headers_at = h->headers.at, .headers_len = h->headers.len,
					 .body_at = h->body.at, .body_len = h->body.len };
	f->arrival_us = h->arrival_us;
	f->recipient_count = h->recipient_count;
	f->envelope_at = h->envelope.at;
	f->envelope_len = h->envelope.len;
	f->journal_at = h->journal_at;
	f->envelope_crc = h->envelope.crc;
	f->headers_crc = h->headers.crc;
	f->body_crc = h->body.crc;
}

int queue_check_part(int fd, uint64_t at, uint64_t len, uint32_t expected)
{
	char *piece = resize_memory(NULL, QUEUE_SMALL);
	uint32_t crc = 0;
	ssize_t n = 0;

	while (len > 0) {
		n = pread_all(fd, piece, (size_t) MIN(len, (uint64_t) QUEUE_SMALL), (off_t) at);
		if (n <= 0)
			break;
		crc = crc32c(crc, piece, (size_t) n);
		at += (uint64_t) n;
		len -= (uint64_t) n;
	}
	free(piece);
	if (n < 0)
		return (int) n;
	return len == 0 && crc == expected ? 0 : -EBADMSG;
}

int queue_file_check(struct queue_file *f)
{
	int r = queue_check_part(f->fd, f->base + f->parts.headers_at, f->parts.headers_len, f->headers_crc);

	if (r == 0)
		r = queue_check_part(f->fd, f->base + f->parts.body_at, f->parts.body_len, f->body_crc);
	if (r == 0)
		r = queue_check_part(f->fd, f->base + f->envelope_at, f->envelope_len, f->envelope_crc);
	return r;
}

int queue_file_take(int fd, enum queue_name where, bool check_all, struct queue_file *ret)
{
	struct queue_file f = { .fd = fd, .where = where };
	struct queue_head h;
	struct stat st;
	int r = check_kind(fd, &st);

	if (r < 0)
		return r;
	f.file_size = (uint64_t) st.st_size;
	f.mtime_s = st.st_mtime;
	r = read_head(fd, where, &st, &h);
	if (r < 0)
		return r;
	queue_file_keep_head(&f, &h);
	f.journal_is_clean = f.file_size == f.journal_at;
	if (check_all && (r = queue_file_check(&f)) < 0)
		return r;
	*ret = f;
	return 0;
}

static struct resident *find_in_log(struct queue *q, enum queue_name where, struct str id)
{
	return where == QUEUE_INCOMING && q->residents != NULL ? residents_find(q->residents, id) : NULL;
}

static int open_in_log(struct resident *r, bool check_all, struct queue_file *ret)
{
	int result = resident_open(r, ret);

	return result == 0 && check_all ? queue_file_check(ret) : result;
}

int queue_file_open(struct queue *q, enum queue_name where, struct str id, bool writable, bool check_all,
		    struct queue_file *ret)
{
	struct resident *resident = find_in_log(q, where, id);
	int dir = queue_dir(q, where);
	struct queue_file f;
	char path[64];
	int r;

	if (dir < 0)
		return dir;
	if (!queue_id_is_valid(id))
		return -EINVAL;
	if (resident != NULL)
		return open_in_log(resident, check_all, ret);
	queue_path(q, where, id, path);
	AUTO_FD fd = writable ? file_open_append(dir, path) : file_open_read(dir, path);
	if (fd < 0)
		return fd;
	r = queue_file_take(fd, where, check_all, &f);
	if (r < 0)
		return r == -ESTALE ? -ENOENT : r;	/* removed since it was opened */
	if (!str_is(str_of(f.id), id))
		return -EBADMSG;	/* renamed by hand: its journal would not count any more */
	fd_take(&fd);
	*ret = f;
	return 0;
}

/* Headers, empty line and body lie side by side there. */
static int read_content(struct resident *r, struct buf *ret)
{
	struct queue_file f;
	int result = resident_open(r, &f);
	char *room = result < 0 ? NULL : buf_room(ret, f.parts.size);
	ssize_t n;

	if (result < 0)
		return result;
	if (room == NULL)
		return -EMSGSIZE;
	n = queue_file_read(&f, f.parts.headers_at, room, f.parts.size);
	if (n != (ssize_t) f.parts.size)
		return n < 0 ? (int) n : -EIO;
	ret->len += f.parts.size;
	return -EISNAM;
}

int queue_content_open(struct queue *q, enum queue_name where, struct str id, struct buf *ret_content)
{
	struct resident *resident = find_in_log(q, where, id);
	int dir = queue_dir(q, where);
	char path[64];

	buf_clear(ret_content);
	if (resident != NULL)
		return read_content(resident, ret_content);

	if (dir < 0)
		return dir;
	if (!queue_id_is_valid(id))
		return -EINVAL;
	queue_path(q, where, id, path);
	return file_open_read(dir, path);
}

/* Twice, since a message that moves meanwhile might be missed where it came from and where it goes. */
int queue_file_find(struct queue *q, struct str id, bool writable, struct queue_file *ret)
{
	int r;

	for (int again = 0; again < 2; again++)
		for (int i = 0; i < QUEUE_COUNT; i++) {
			if (again == 1 && i == QUEUE_INCOMING && q->residents != NULL)
				residents_search(q->residents, id);
			r = queue_file_open(q, (enum queue_name) i, id, writable, false, ret);
			if (r != -ENOENT)
				return r;
		}
	return -ENOENT;
}

ssize_t queue_file_read(const struct queue_file *f, uint64_t at, void *to, size_t n)
{
	return pread_all(f->fd, to, n, (off_t) (f->base + at));
}

int queue_file_is_locked(const struct queue_file *f)
{
	return f->resident != NULL ? lock_is_taken_at(f->fd, (off_t) f->base) : lock_is_taken(f->fd);
}

/* Its name may be another file's, or none: what was opened is not what is there. */
static int look_again(const struct queue *q, struct queue_file *f)
{
	struct stat opened, named;
	char path[64];
	int dir = queue_dir(q, f->where);

	if (dir < 0)
		return dir;
	queue_path(q, f->where, str_of(f->id), path);
	if (fstatat(dir, path, &named, AT_SYMLINK_NOFOLLOW) < 0 || fstat(f->fd, &opened) < 0)
		return -errno;
	if (named.st_ino != opened.st_ino || named.st_dev != opened.st_dev)
		return -ENOENT;
	f->file_size = (uint64_t) opened.st_size;
	f->journal_is_clean = f->file_size == f->journal_at;
	f->mtime_s = opened.st_mtime;
	return 0;
}

int queue_file_is_current(struct queue *q, struct queue_file *f)
{
	return f->resident == NULL ? look_again(q, f) : residents_take_over(f->resident);
}

int queue_lock(struct queue *q, enum queue_name where, struct str id, struct queue_lock *lock)
{
	AUTO(queue_file) f = { .fd = -1 };
	int r = queue_file_open(q, where, id, true, false, &f);

	if (r < 0)
		return r;
	*lock = (struct queue_lock){ .fd_plus_1 = f.fd + 1, .at = f.base, .is_in_log = f.resident != NULL };
	r = lock->is_in_log ? lock_try_at(f.fd, (off_t) f.base) : lock_try(f.fd);
	if (r == 0 && lock->is_in_log)
		f.resident->is_lent = true;
	f.fd = -1;			/* the lock's, which queue_unlock() closes */
	return r;
}

/*
 * Who is being moved stays locked until that has ended (exit.c); who is through was unlocked then, and
 * its segment may have been closed.
 */
static void unlock_in_log(struct queue *q, struct str id, const struct queue_lock *lock)
{
	struct resident *r = residents_find(q->residents, id);

	if (r == NULL)
		return;
	r->is_lent = false;
	if (r->exit == NULL)
		lock_release_at(lock->fd_plus_1 - 1, (off_t) lock->at);
}

void queue_unlock(struct queue *q, struct str id, struct queue_lock *lock)
{
	if (lock->fd_plus_1 > 0 && lock->is_in_log)
		unlock_in_log(q, id, lock);
	else if (lock->fd_plus_1 > 0)
		close(lock->fd_plus_1 - 1);
	*lock = (struct queue_lock){ 0 };
}

int queue_mark_done(struct queue *q, enum queue_name where, struct str id)
{
	AUTO(queue_file) f = { .fd = -1 };
	int r = queue_file_open(q, where, id, true, false, &f);

	return r < 0 ? r : journal_append(&f, &(struct journal_record){ .kind = JOURNAL_DONE }, 1);
}

void queue_file_close(struct queue_file *f)
{
	if (f->fd >= 0 && f->resident == NULL)
		close(f->fd);
	f->fd = -1;
}

void queue_file_auto(struct queue_file *f)
{
	queue_file_close(f);
}

int queue_file_envelope(struct queue_file *f, struct arena *a, struct envelope *ret)
{
	char *packed;
	ssize_t n;
	int r;

	if (arena_left(a) < f->envelope_len + 4096)
		return -EMSGSIZE;
	packed = arena_get(a, f->envelope_len + 1);
	n = queue_file_read(f, f->envelope_at, packed, f->envelope_len);
	if (n < 0)
		return (int) n;
	if ((uint64_t) n != f->envelope_len || crc32c(0, packed, f->envelope_len) != f->envelope_crc)
		return -EBADMSG;
	r = envelope_unpack(str_make(packed, f->envelope_len), a, ret);
	if (r < 0)
		return r;
	ret->queue_id = arena_copy(a, str_of(f->id));
	return ret->recipient_count == f->recipient_count ? 0 : -EBADMSG;
}
