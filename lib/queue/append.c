/* SPDX-License-Identifier: ISC */
/*
 * The writer's side of the intake log. While one batch is written and synced on a pool thread,
 * whatever becomes ready gathers for the next: one write, one sync, many messages. There is no
 * thread or coroutine of its own: one of those who wait leads, and when it is through, the next who
 * still waits does. Who is alone waits for nobody, and needs no thread.
 *
 * What must stay true: a batch is written only when the one before it is durable; after a failure
 * nothing more is written to that segment.
 */
#include "lib/queue/append.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/disk/disk.h"
#include "lib/queue/segment.h"

enum {
	MOST_PIECES = 4,
	MOST_AT_ONCE = 128,		/* messages in a batch */
	GROWTH = 1 << 20,		/* a segment's blocks are allocated in such steps */
	MOST_TRIES = 20,
	LOOK_AGAIN_MS = 100,		/* when the log is full */
};

/* One message that waits: on the stack of the coroutine that commits it. */
struct append {
	struct list link;
	struct queue_head *head;
	const struct iovec *pieces;
	int count;
	uint64_t len;			/* filled up */
	bool taken, done;		/* taken: a pool thread may be reading it */
	int result;
	struct bell bell;
};

struct appender {
	int dir;
	struct intake_limits limits;
	struct list waiting;
	struct append *leader;		/* NULL: nobody waits */
	when_t full_until;

	/* the segment: touched by the pool thread while a batch is under way */
	int fd;				/* -1: none */
	char name[SEGMENT_NAME_SIZE];
	uint64_t at, allocated;
};

struct batch {
	struct appender *a;
	struct append *members[MOST_AT_ONCE];
	int count;
	uint64_t len;
};

struct appender *appender_new(int intake_dir, const struct intake_limits *limits)
{
	struct appender *a = get_memory(sizeof(*a));

	*a = (struct appender){ .dir = intake_dir, .limits = *limits, .fd = -1 };
	list_init(&a->waiting);
	return a;
}

static void seal(struct appender *a)
{
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
}

void appender_free(struct appender *a)
{
	if (a == NULL)
		return;
	seal(a);
	free(a);
}

/* ---- on the pool thread: which segment ---- */

static int sync_directory(int dir)
{
	AUTO_FD fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/*
 * Makes path ours under a new name. The lock comes before the name log-: a segment that has no
 * owner is one that qmgr may free. -EAGAIN, -ENOENT: somebody else was quicker.
 */
static int take(struct appender *a, int fd, const char *path)
{
	char name[SEGMENT_NAME_SIZE], log_path[SEGMENT_PATH_SIZE];
	struct stat st;
	int r = segment_own(fd);

	if (r < 0)
		return r;
	segment_name_new(name);
	segment_path(log_path, SEGMENT_LOG, name);
	if (fstat(fd, &st) < 0 || renameat(a->dir, path, a->dir, log_path) < 0 || fsync(fd) < 0)
		return -errno;
	if ((r = sync_directory(a->dir)) < 0)
		return r;
	FAILPOINT("queue.log.taken");
	memcpy(a->name, name, sizeof(name));
	a->fd = fd;
	a->at = 0;
	a->allocated = (uint64_t) st.st_size;
	return 0;
}

static int take_free(struct appender *a, const char *path)
{
	AUTO_FD fd = openat(a->dir, path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	int r = fd < 0 ? -errno : take(a, fd, path);

	if (r == 0)
		fd_take(&fd);
	return r;
}

static int create(struct appender *a)
{
	char name[SEGMENT_NAME_SIZE], path[SEGMENT_PATH_SIZE];
	int r;

	segment_name_new(name);
	segment_path(path, SEGMENT_FREE, name);
	AUTO_FD fd = file_create(a->dir, path, 0600);
	if (fd < 0)
		return fd;
	r = take(a, fd, path);
	if (r == 0)
		fd_take(&fd);
	return r;
}

static int find_segment(struct appender *a)
{
	struct directory *d;
	unsigned char type;
	const char *path, *name;
	enum segment_file kind;
	int count = 0, r;

	seal(a);
	r = directory_open(a->dir, ".", &d);
	if (r < 0)
		return r;
	while (a->fd < 0 && directory_next(d, &path, &type)) {
		if (!segment_path_parse(path, &kind, &name) || kind == SEGMENT_DONE)
			continue;
		count++;
		if (kind == SEGMENT_FREE)
			r = take_free(a, path);
	}
	directory_close(d);
	if (a->fd >= 0)
		return 0;
	return count >= a->limits.segments ? -EXFULL : create(a);
}

/* Another process that looks at the same moment may take the one that we have just made. */
static int next_segment(struct appender *a)
{
	int r = -EAGAIN;

	for (int i = 0; i < MOST_TRIES && (r == -EAGAIN || r == -ENOENT); i++)
		r = find_segment(a);
	return r;
}

/*
 * Writing zeros ahead makes later syncs a matter of data alone: the file system's journal has
 * nothing to do.
 */
static int make_room(struct appender *a, uint64_t len)
{
	static const char zeros[64 << 10];
	uint64_t upto = MIN((a->at + len + GROWTH - 1) / GROWTH * GROWTH,
			    MAX(a->limits.segment_size, a->at + len));

	while (a->allocated < upto) {
		struct iovec piece = { (char *) (uintptr_t) zeros, MIN(sizeof(zeros), upto - a->allocated) };
		size_t n = piece.iov_len;
		int r = pwritev_all(a->fd, &piece, 1, (off_t) a->allocated);

		if (r < 0)
			return r;
		a->allocated += n;
	}
	return 0;
}

/* ---- on the pool thread, or on the loop's for who is alone: the write and the sync ---- */

static int gather(struct batch *b, struct iovec *v, char (*heads)[QUEUE_HEAD_SIZE])
{
	static const char filler[SEGMENT_ALIGN];
	uint64_t at = b->a->at;
	int n = 0;

	for (int i = 0; i < b->count; i++) {
		struct append *m = b->members[i];

		memcpy(m->head->segment, b->a->name, SEGMENT_NAME_SIZE);
		m->head->segment_at = at;
		queue_head_print(m->head, heads[i]);
		v[n++] = (struct iovec){ heads[i], QUEUE_HEAD_SIZE };
		for (int p = 0; p < m->count; p++)
			v[n++] = m->pieces[p];
		v[n++] = (struct iovec){ (char *) (uintptr_t) filler, m->len - m->head->journal_at };
		at += m->len;
	}
	return n;
}

static int write_pieces(struct batch *b)
{
	struct appender *a = b->a;
	size_t pieces = (size_t) b->count * (MOST_PIECES + 2);
	AUTO_PTR char *memory = get_memory(pieces * sizeof(struct iovec)
					   + (size_t) b->count * QUEUE_HEAD_SIZE);
	struct iovec *v = (struct iovec *) memory;
	int n = gather(b, v, (char (*)[QUEUE_HEAD_SIZE]) (memory + pieces * sizeof(struct iovec)));
	int r = pwritev_all(a->fd, v, n, (off_t) a->at);

	FAILPOINT("queue.log.written");
	if (r == 0 && fdatasync(a->fd) < 0)
		r = -errno;
	FAILPOINT("queue.log.synced");
	return r;
}

static int write_batch(void *arg)
{
	struct batch *b = arg;
	struct appender *a = b->a;
	int r = 0;

	if (a->fd < 0 || a->at + b->len > a->limits.segment_size)
		r = next_segment(a);
	if (r == 0)
		r = make_room(a, b->len);
	if (r < 0)
		return r;		/* a full disk, say: what was written is as good as before */
	r = write_pieces(b);
	if (r == 0) {
		a->at += b->len;
		return 0;
	}
	/* whoever reads the segment need not find what was not promised */
	if (ftruncate(a->fd, (off_t) a->at) == 0)
		fdatasync(a->fd);
	seal(a);
	return r;
}

/* ---- on the loop ---- */

static void take_waiting(struct appender *a, struct batch *b)
{
	*b = (struct batch){ .a = a };
	LIST_EACH(m, &a->waiting, struct append, link) {
		if (b->count == MOST_AT_ONCE || (b->count > 0 && b->len + m->len > a->limits.segment_size))
			break;
		list_remove(&m->link);
		m->taken = true;
		b->members[b->count++] = m;
		b->len += m->len;
	}
}

static void end_batch(struct batch *b, int result)
{
	for (int i = 0; i < b->count; i++) {
		b->members[i]->result = result;
		b->members[i]->done = true;
		bell_ring(&b->members[i]->bell);
	}
}

/*
 * The one who waits longest leads next, also when somebody new comes before it runs: so messages
 * are announced in their order.
 */
static void pass_lead(struct appender *a)
{
	a->leader = LIST_FIRST(&a->waiting, struct append, link);
	if (a->leader != NULL)
		bell_ring(&a->leader->bell);
}

/* 0 done; -ECANCELED: nothing of mine was or will be written, and the others are not drawn into it. */
static int lead(struct appender *a, struct append *me, bool alone)
{
	struct batch b;
	int r;

	co_pass();		/* who becomes ready in the same turn comes along */
	while (!me->done && !co_is_cancelled()) {
		take_waiting(a, &b);
		r = alone ? write_batch(&b) : co_offload(write_batch, &b);
		if (r == -EXFULL)
			a->full_until = in(LOOK_AGAIN_MS);
		end_batch(&b, r);
	}
	if (!me->done)
		list_remove(&me->link);
	pass_lead(a);
	return me->done ? 0 : -ECANCELED;
}

/* 0 my turn to lead, or done; -ECANCELED: nothing of mine was or will be written. */
static int wait_for_turn(struct appender *a, struct append *me)
{
	while (!me->done && a->leader != me)
		if (bell_wait(&me->bell, NEVER) < 0) {
			if (!me->taken) {
				list_remove(&me->link);
				if (a->leader == me)
					pass_lead(a);
				return -ECANCELED;
			}
			co_pass();	/* the pool thread has my bytes: there is no leaving yet */
		}
	return 0;
}

int appender_commit(struct appender *a, struct queue_head *head, const struct iovec *pieces,
		    int count, bool alone)
{
	struct append me = { .head = head, .pieces = pieces, .count = count,
			     .len = segment_record_len(head) };

	BUG_UNLESS(count <= MOST_PIECES);
	if (me.len > a->limits.segment_size || in(0) < a->full_until)
		return -EXFULL;
	bell_init(&me.bell);
	list_append(&a->waiting, &me.link);
	if (a->leader == NULL)
		a->leader = &me;
	if (wait_for_turn(a, &me) < 0 || (!me.done && lead(a, &me, alone) < 0))
		return -ECANCELED;
	return me.result;
}
