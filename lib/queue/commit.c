/* SPDX-License-Identifier: ISC */
/*
 * The commit point. A message becomes durable in one of these ways, and one sync at the end is the
 * promise behind 250:
 *
 *   small   everything is assembled in memory; it goes into the intake log together with its neighbours (append.c). Where there is none, or it is
 *           full, open, one pwritev, fsync, close are one job on a pool thread
 *   large   once the body outgrows memory the file is created and the body streamed behind room for the head; headers, envelope and
 *           head follow at the commit
 *
 * Whatever fails, the file is removed, and a failed fsync is never tried again: the kernel may have
 * dropped the data already.
 */
#include <errno.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/disk/disk.h"
#include "lib/queue/append.h"
#include "lib/queue/private.h"
#include "lib/queue/segment.h"

struct queue_writer {
	struct queue *q;
	enum queue_name where;
	char id[32];
	char path[64];
	int dir;
	int fd;				/* -1: not created yet */
	bool no_empty_line;
	bool created;			/* a file of that name is ours to remove */
	int error;			/* sticky */
	struct buf pending;		/* body bytes not yet in the file */
	uint64_t body_len;		/* pending ones included */
	uint64_t in_file;		/* body bytes in the file */
	uint32_t body_crc;
};

int queue_create(struct queue *q, enum queue_name where, struct str id, struct queue_writer **ret)
{
	struct queue_writer *w;
	int dir = queue_dir(q, where);

	if (dir < 0)
		return dir;
	if (!queue_id_is_valid(id))
		return -EINVAL;
	w = get_memory(sizeof(*w));
	*w = (struct queue_writer){ .q = q, .where = where, .dir = dir, .fd = -1,
				    .pending = BUF(2 * QUEUE_SMALL) };
	memcpy(w->id, id.at, id.len);
	queue_path(q, where, id, w->path);
	q->writers++;
	*ret = w;
	return 0;
}

void queue_no_empty_line(struct queue_writer *w)
{
	w->no_empty_line = true;
}

int queue_place_in(struct queue_writer *w, enum queue_name where)
{
	int dir = queue_dir(w->q, where), r = 0;

	if (dir < 0)
		return dir;
	if (w->created)
		r = queue_move(w->q, w->where, where, str_of(w->id));
	if (r < 0)
		return r;
	w->where = where;
	w->dir = dir;
	queue_path(w->q, where, str_of(w->id), w->path);
	return 0;
}

uint64_t queue_written(const struct queue_writer *w)
{
	return w->body_len;
}

/*
 * A file in maildrop was written by a user and is read by the mail owner; the directory keeps
 * everybody else out.
 */
static int create_file(struct queue_writer *w)
{
	mode_t mode = w->where == QUEUE_MAILDROP ? 0644 : 0600;
	int fd = file_create(w->dir, w->path, mode);

	if (fd == -ENOENT && queue_make_hash_directories(w->q, w->where, w->path) == 0)
		fd = file_create(w->dir, w->path, mode);
	if (fd < 0)
		return fd;
	w->fd = fd;
	w->created = true;
	/* the user's umask is not asked */
	return w->where == QUEUE_MAILDROP && fchmod(fd, mode) < 0 ? -errno : 0;
}

static void remove_file(struct queue_writer *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	if (w->created)
		unlinkat(w->dir, w->path, 0);
	w->created = false;
}

/* ---- pool jobs: they touch the writer only, and the coroutine waits ---- */

static int spill_job(void *arg)
{
	struct queue_writer *w = arg;
	struct iovec piece = { w->pending.at, w->pending.len };
	int r = w->fd < 0 ? create_file(w) : 0;

	FAILPOINT("queue.spill.created");
	if (r == 0)
		r = pwritev_all(w->fd, &piece, 1, (off_t) (QUEUE_HEAD_SIZE + w->in_file));
	return r;
}

static int spill(struct queue_writer *w)
{
	int r = co_offload(spill_job, w);

	if (r < 0)
		return r;
	w->in_file += w->pending.len;
	buf_clear(&w->pending);
	return 0;
}

int queue_write_body(struct queue_writer *w, struct str bytes)
{
	while (bytes.len > 0 && w->error == 0) {
		struct str piece = str_head(bytes, QUEUE_SMALL - w->pending.len);

		w->body_crc = crc32c(w->body_crc, piece.at, piece.len);
		if (buf_add(&w->pending, piece) < 0)
			BUG("the body outgrew its buffer");
		w->body_len += piece.len;
		bytes = str_skip(bytes, piece.len);
		if (w->pending.len == QUEUE_SMALL && bytes.len > 0)
			w->error = spill(w);
	}
	return w->error;
}

struct commit {
	struct queue_writer *w;
	struct iovec pieces[5];
	int count;
	/* the pieces are the whole file from offset 0; else what follows the body, and `head` */
	bool in_one;
	off_t at;
	const char *head;
};

static int still_has_a_name(const struct queue_writer *w)
{
	struct stat st;

	if (fstat(w->fd, &st) < 0)
		return -errno;
	return st.st_nlink > 0 ? 0 : -ESTALE;
}

/*
 * A large message may take so long that somebody held its file for debris: then nothing may be
 * promised. But what was whole and is gone although it is too young for debris has been found by a
 * queue manager that has just started, and is through.
 */
static int is_not_debris(const struct queue_writer *w)
{
	int64_t made_us;

	if (queue_id_time(str_of(w->id), &made_us) == 0
	    && wall_us() - made_us < QUEUE_DEBRIS_AGE_S * INT64_C(1000000))
		return 0;
	return still_has_a_name(w);
}

static int write_pieces_and_head(struct commit *c)
{
	struct iovec head = { (char *) (uintptr_t) c->head, QUEUE_HEAD_SIZE };
	int r = pwritev_all(c->w->fd, c->pieces, c->count, c->at);

	if (c->in_one || r < 0)
		return r;
	FAILPOINT("queue.commit.before_head");
	r = still_has_a_name(c->w);
	return r < 0 ? r : pwritev_all(c->w->fd, &head, 1, 0);
}

static int commit_job(void *arg)
{
	struct commit *c = arg;
	struct queue_writer *w = c->w;
	int r = w->fd < 0 ? create_file(w) : 0;

	FAILPOINT("queue.commit.created");
	if (r == 0)
		r = write_pieces_and_head(c);
	FAILPOINT("queue.commit.written");
	if (r == 0)
		r = FAILS_AT("queue.commit.sync");
	if (r == 0 && fsync(w->fd) < 0)
		r = -errno;
	FAILPOINT("queue.commit.synced");
	if (r == 0 && !c->in_one)
		r = is_not_debris(w);
	if (r == 0) {
		/* some file systems tell of trouble only now; a signal says nothing about the data */
		if (close(w->fd) < 0 && errno != EINTR)
			r = -errno;
		w->fd = -1;
	}
	if (r < 0)
		remove_file(w);
	return r;
}

/* Lays out a file whose body is still in memory: head, headers, LF, body, envelope. */
static void lay_out_small(struct queue_head *h)
{
	h->headers.at = QUEUE_HEAD_SIZE;
	h->body.at = h->headers.at + h->headers.len + 1;
	h->envelope.at = h->body.at + h->body.len;
}

/* The body is in the file, the last piece of it perhaps not: that, headers, LF, envelope follow. */
static void lay_out_large(struct queue_head *h)
{
	h->body.at = QUEUE_HEAD_SIZE;
	h->headers.at = h->body.at + h->body.len;
	h->envelope.at = h->headers.at + h->headers.len;
}

static struct iovec piece_of(struct str s)
{
	return (struct iovec){ (char *) (uintptr_t) s.at, s.len };
}

static int run_commit(struct queue_writer *w, struct queue_head *h, struct str headers, struct str envelope)
{
	struct commit c = { .w = w, .in_one = w->in_file == 0 };
	char head[QUEUE_HEAD_SIZE];

	if (c.in_one)
		lay_out_small(h);
	else
		lay_out_large(h);
	h->journal_at = h->envelope.at + h->envelope.len;
	queue_head_print(h, head);
	c.head = head;
	if (c.in_one) {
		c.pieces[c.count++] = piece_of(str_make(head, QUEUE_HEAD_SIZE));
		c.pieces[c.count++] = piece_of(headers);
		c.pieces[c.count++] = piece_of(STR("\n"));
		c.pieces[c.count++] = piece_of(buf_str(&w->pending));
	} else {
		c.at = (off_t) (QUEUE_HEAD_SIZE + w->in_file);
		c.pieces[c.count++] = piece_of(buf_str(&w->pending));
		c.pieces[c.count++] = piece_of(headers);
	}
	c.pieces[c.count++] = piece_of(envelope);
	return co_offload(commit_job, &c);
}

/* ---- into the intake log ---- */

enum { MOST_IN_LOG = QUEUE_SMALL };	/* headers and body; the envelope may have as much again */

static bool fits_into_log(const struct queue_writer *w, const struct queue_head *h)
{
	return w->q->appender != NULL && w->where == QUEUE_INCOMING && w->in_file == 0
	       && h->headers.len + h->body.len <= MOST_IN_LOG && h->envelope.len <= MOST_IN_LOG;
}

static int append_to_log(struct queue_writer *w, struct queue_head *h, struct str headers,
			 struct str envelope, struct queue_place *place)
{
	const struct iovec pieces[] = { piece_of(headers), piece_of(STR("\n")),
					piece_of(buf_str(&w->pending)), piece_of(envelope) };
	int r;

	lay_out_small(h);
	h->journal_at = h->envelope.at + h->envelope.len;
	r = appender_commit(w->q->appender, h, pieces, COUNT_OF(pieces), w->q->writers == 1);
	if (r < 0)
		return r;
	*place = (struct queue_place){ .at = h->segment_at, .len = segment_record_len(h) };
	memcpy(place->segment, h->segment, sizeof(place->segment));
	return 0;
}

struct str queue_small_body(const struct queue_writer *w)
{
	return buf_str(&w->pending);
}

/* ---- the end ---- */

static int store(struct queue_writer *w, struct queue_head *h, struct str headers, struct str envelope,
		 struct queue_place *place)
{
	int r = -EXFULL;

	if (place != NULL) {
		*place = (struct queue_place){ 0 };
		if (fits_into_log(w, h))
			r = append_to_log(w, h, headers, envelope, place);
	}
	if (r == -EXFULL) {
		h->segment[0] = '\0';
		r = run_commit(w, h, headers, envelope);
	}
	return r;
}

static void parts_of_head(const struct queue_head *h, struct queue_parts *ret)
{
	*ret = (struct queue_parts){ .size = queue_head_message_size(h),
				     .headers_at = h->headers.at, .headers_len = h->headers.len,
				     .body_at = h->body.at, .body_len = h->body.len };
}

int queue_commit(struct queue_writer *w, const struct envelope *e, struct str packed, struct str headers,
		 struct queue_parts *ret, struct queue_place *ret_place)
{
	struct queue_head h = { .arrival_us = e->arrival_us, .flags = e->flags,
				.recipient_count = (uint32_t) e->recipient_count,
				.headers = { .len = headers.len, .crc = crc32c(0, headers.at, headers.len) },
				.body = { .len = w->body_len, .crc = w->body_crc },
				.envelope = { .len = packed.len, .crc = crc32c(0, packed.at, packed.len) } };

	if (w->error == 0 && (headers.len > QUEUE_MOST_HEADERS || packed.len > QUEUE_MOST_ENVELOPE))
		w->error = -EMSGSIZE;
	if (w->error < 0)
		return w->error;
	BUG_UNLESS(!w->no_empty_line || w->body_len == 0);
	if (w->no_empty_line)
		h.flags |= QUEUE_NO_EMPTY_LINE;
	memcpy(h.id, w->id, sizeof(h.id));
	w->error = store(w, &h, headers, packed, ret_place);
	if (w->error < 0)
		return w->error;
	w->created = false;		/* not ours to remove any more */
	w->error = -EALREADY;
	parts_of_head(&h, ret);
	return 0;
}

void queue_writer_free(struct queue_writer *w)
{
	if (w == NULL)
		return;
	w->q->writers--;
	remove_file(w);
	buf_free(&w->pending);
	free(w);
}
