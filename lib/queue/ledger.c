/* SPDX-License-Identifier: ISC */
/* See ledger.h. */
#include "lib/queue/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/disk/disk.h"

enum { MOST_UNWRITTEN = 16 << 20, MOST_UNSYNCED = 4 << 20, MOST_REWRITTEN = 16 << 20, PIECE = 256 << 10 };

void ledger_init(struct ledger *l, int dir, const char *segment)
{
	*l = (struct ledger){ .dir = dir, .fd = -1, .sync_fd = -1, .lines = BUF(MOST_UNWRITTEN),
			      .unsynced = BUF(MOST_UNSYNCED), .in_sync = BUF(MOST_UNSYNCED) };
	memcpy(l->segment, segment, SEGMENT_NAME_SIZE);
}

void ledger_close(struct ledger *l)
{
	turn_cancel(&l->turn);
	buf_free(&l->lines);
	buf_free(&l->unsynced);
	buf_free(&l->in_sync);
	if (l->sync_fd >= 0 && l->sync_fd != l->fd)
		close(l->sync_fd);
	if (l->fd >= 0)
		close(l->fd);
	l->fd = l->sync_fd = -1;
}

/* ---- writing ---- */

static int open_for_writing(struct ledger *l)
{
	char path[SEGMENT_PATH_SIZE], last = '\n';
	struct stat st;
	int fd;

	segment_path(path, SEGMENT_DONE, l->segment);
	fd = openat(l->dir, path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size > 0 && pread_all(fd, &last, 1, st.st_size - 1) != 1)
		last = 0;
	l->ends_whole = last == '\n';
	if (l->fd >= 0 && l->fd != l->sync_fd)
		close(l->fd);		/* it was open for reading only */
	l->fd = fd;
	return 0;
}

static int write_lines(struct ledger *l)
{
	int r = 0;

	if (!l->ends_whole)
		r = open_for_writing(l);
	if (r == 0 && !l->ends_whole)
		r = write_all(l->fd, JOURNAL_SPOILT, strlen(JOURNAL_SPOILT));
	FAILPOINT("queue.ledger.before");
	if (r == 0)
		r = write_all(l->fd, l->lines.at, l->lines.len);
	FAILPOINT("queue.ledger.after");
	if (r < 0) {
		/* half of it may be there; the lines stay, and repeating some does no harm */
		l->ends_whole = false;
		if (!l->in_trouble && l->trouble != NULL)
			l->trouble(l, r);
		l->in_trouble = true;
		return r;
	}
	l->ends_whole = true;
	l->is_unsynced = true;
	l->in_trouble = false;
	l->count = 0;
	/* more than a second's worth: who does not sync needs no second try */
	buf_add(&l->unsynced, buf_str(&l->lines));
	buf_clear(&l->lines);
	return 0;
}

int ledger_flush(struct ledger *l)
{
	return l->lines.len == 0 ? 0 : write_lines(l);
}

static void write_at_turn_end(struct turn *turn)
{
	ledger_flush(CONTAINER_OF(turn, struct ledger, turn));
}

int ledger_add(struct ledger *l, const char *id, const struct journal_record *r)
{
	size_t before = l->lines.len;
	int result = buf_addf(&l->lines, "%s ", id);

	if (result >= 0)
		result = journal_record_print(&l->lines, id, r);
	if (result < 0) {
		l->lines.len = before;
		return result;
	}
	l->count++;
	if (l->writes_through || !loop_is_running())
		return write_lines(l);
	l->turn.run = write_at_turn_end;
	at_turn_end(&l->turn);
	return 0;
}

int ledger_write(struct ledger *l, const char *id, const struct journal_record *r)
{
	int result = ledger_flush(l);

	if (result < 0)
		return result;
	result = ledger_add(l, id, r);
	if (result >= 0)
		result = ledger_flush(l);
	if (result < 0) {
		buf_clear(&l->lines);
		l->count = 0;
	}
	return result;
}

/* ---- syncing ---- */

int ledger_sync_begin(struct ledger *l)
{
	const struct buf empty = l->in_sync;

	if (!l->is_unsynced || l->fd < 0)
		return -ENODATA;
	l->is_unsynced = false;
	l->in_sync = l->unsynced;
	l->unsynced = empty;
	l->sync_fd = l->fd;
	return l->fd;
}

static size_t count_lines(struct str text)
{
	size_t n = 0;
	struct str line;

	while (str_cut(&text, '\n', &line))
		n++;
	return n;
}

static int put_before(struct buf *b, struct str front)
{
	struct buf both = BUF(b->limit);

	if (buf_add(&both, front) < 0 || buf_add(&both, buf_str(b)) < 0) {
		buf_free(&both);
		return -EMSGSIZE;
	}
	buf_free(b);
	*b = both;
	return 0;
}

/* In front of what came since: in the order in which it happened. Not for ever, on a disk that goes on failing. */
static void write_again(struct ledger *l)
{
	l->rewritten += l->unsynced.len;
	if (l->rewritten > MOST_REWRITTEN || put_before(&l->lines, buf_str(&l->unsynced)) < 0)
		return;
	l->count += count_lines(buf_str(&l->unsynced));
	buf_clear(&l->unsynced);
	ledger_flush(l);
}

void ledger_sync_end(struct ledger *l, int result)
{
	if (l->sync_fd != l->fd)
		close(l->sync_fd);
	l->sync_fd = -1;
	if (result < 0) {
		l->is_unsynced = true;
		put_before(&l->unsynced, buf_str(&l->in_sync));
	}
	if (result < 0 && result != -ECANCELED)
		write_again(l);
	buf_clear(&l->in_sync);
}

/* ---- reading ---- */

static int open_for_reading(struct ledger *l)
{
	char path[SEGMENT_PATH_SIZE];

	if (l->fd >= 0)
		return 0;
	segment_path(path, SEGMENT_DONE, l->segment);
	l->fd = file_open_read(l->dir, path);
	l->is_unsynced |= l->fd >= 0;		/* a predecessor may not have come to it */
	return MIN(l->fd, 0);
}

/* Hands out whole lines and returns how many bytes they took. */
static size_t hand_out(struct str text, void (*each)(void *arg, struct str id, struct str line), void *arg)
{
	struct str rest = text, line, id;

	while (str_find(rest, '\n') >= 0) {
		str_cut(&rest, '\n', &line);
		if (str_cut(&line, ' ', &id))
			each(arg, id, line);
	}
	return text.len - rest.len;
}

static int read_from(struct ledger *l, uint64_t *from, void (*each)(void *arg, struct str id,
								    struct str line), void *arg)
{
	AUTO_PTR char *piece = NULL;
	int r = open_for_reading(l);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	piece = resize_memory(NULL, PIECE);
	for (;;) {
		ssize_t n = pread_all(l->fd, piece, PIECE, (off_t) *from);
		size_t whole = n <= 0 ? 0 : hand_out(str_make(piece, (size_t) n), each, arg);

		if (n < 0)
			return (int) n;
		if (whole == 0 && n < PIECE)
			return 0;
		*from += whole > 0 ? whole : (size_t) n;	/* no line is that long */
	}
}

int ledger_read_new(struct ledger *l, void (*each)(void *arg, struct str id, struct str line), void *arg)
{
	return read_from(l, &l->read_upto, each, arg);
}

void ledger_rewind(struct ledger *l)
{
	l->read_upto = 0;
}

int ledger_read_all(struct ledger *l, void (*each)(void *arg, struct str id, struct str line), void *arg)
{
	uint64_t from = 0;
	int r = read_from(l, &from, each, arg);

	if (r == 0)
		hand_out(buf_str(&l->lines), each, arg);
	return r;
}
