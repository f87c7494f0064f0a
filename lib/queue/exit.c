/* SPDX-License-Identifier: ISC */
/*
 * Out of the intake log: a message gets a file of its own. The file is written and synced first, and
 * with it the journal as the ledger has it: what was durable there stays so. Then follows what
 * became of the message meanwhile, and then the ledger says that it is done there. A crash in between
 * leaves it in both: whoever reads the log next completes it. Meanwhile the message is locked in the
 * log, so that a successor sees that there was no crash.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/disk/disk.h"
#include "lib/queue/residents.h"

enum { MOST_JOURNAL = 64 << 20 };

bool queue_is_in_log(const struct queue *q, enum queue_name where, struct str id)
{
	return where == QUEUE_INCOMING && q->residents != NULL && residents_find(q->residents, id) != NULL;
}

struct packing {
	struct queue_exit *x;
	int error;
};

static void pack_record(void *arg, const struct journal_record *record)
{
	struct packing *p = arg;

	if (p->error == 0)
		p->error = journal_record_print(&p->x->journal, p->x->id, record);
}

static int pack_journal(struct queue_exit *x, struct resident *r)
{
	struct packing p = { .x = x };
	int result = resident_read_journal(r, pack_record, &p);

	result = result < 0 ? result : p.error;
	if (result < 0)
		buf_free(&x->journal);
	return result;
}

int queue_exit_begin(struct queue *q, struct str id, enum queue_name to, struct queue_exit *x)
{
	struct resident *r = q->residents == NULL ? NULL : residents_search(q->residents, id);
	int dir = queue_dir(q, to), result;
	bool is_lent;

	if (r == NULL || dir < 0)
		return -ENOENT;
	if (r->exit != NULL || lock_try_at(r->segment->fd, (off_t) r->at) == -EAGAIN)
		return -EBUSY;
	is_lent = r->is_lent;
	*x = (struct queue_exit){ .to = to, .dir = dir, .log_fd = r->segment->fd, .fd = -1,
				  .at = r->at, .journal = BUF(MOST_JOURNAL) };
	memcpy(x->id, r->id, sizeof(x->id));
	memcpy(x->log_name, r->segment->name, sizeof(x->log_name));
	queue_path(q, to, id, x->path);
	/* a predecessor may have delivered it since we read the ledger */
	result = residents_take_over(r);
	if (result == 0) {
		x->notes = r->notes;
		result = pack_journal(x, r);
	}
	if (result < 0) {
		if (!is_lent || result == -ENOENT)
			lock_release_at(x->log_fd, (off_t) x->at);
		return result;
	}
	if (strchr(x->path, '/') != NULL)
		queue_make_hash_directories(q, to, x->path);
	x->q = q;
	r->exit = x;
	x->segment = r->segment;
	segment_keep(x->segment);
	return 0;
}

/* ---- on a pool thread ---- */

static int copy(struct queue_exit *x)
{
	struct queue_head h;
	int r = segment_head(x->log_fd, x->log_name, x->at, INT64_MAX, &h);
	AUTO_PTR char *bytes = NULL;
	ssize_t n;

	if (r < 0)
		return r;
	bytes = get_memory(h.journal_at);
	n = pread_all(x->log_fd, bytes, h.journal_at, (off_t) x->at);
	if (n != (ssize_t) h.journal_at)
		return n < 0 ? (int) n : -EIO;
	h.segment[0] = '\0';
	queue_head_print(&h, bytes);
	return write_all(x->fd, bytes, h.journal_at);
}

int queue_exit_write(struct queue_exit *x)
{
	int r;

	x->fd = file_create(x->dir, x->path, 0600);
	FAILPOINT("queue.log.exit.created");
	r = x->fd < 0 ? x->fd : x->is_pointless ? -ENOENT : copy(x);
	if (r == 0)
		r = write_all(x->fd, x->journal.at, x->journal.len);
	/* allocates the blocks now, so that the first sync of many carries the others' along */
	if (r == 0)
		sync_file_range(x->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	return r;
}

int queue_exit_sync(struct queue_exit *x)
{
	return fsync(x->fd) < 0 ? -errno : 0;
}

/* ---- on the loop again ---- */

/* The pool thread looks once it has created the file: so it is removed here, or never filled. */
void resident_drop_copy(struct resident *r)
{
	struct queue_exit *x = r->exit;

	x->is_pointless = true;
	unlinkat(x->dir, x->path, 0);
}

/*
 * What the journal of a copy lacks of the ledger's lines: from the first on that is not in it, to the last.
 * What it has is not said again, since a death in the middle of that would leave an older state last. It
 * may have more than the ledger, which took nothing for a while.
 */
struct catching_up {
	const char *id;
	struct buf had, lacking;
	size_t next;			/* where in had the search begins: lines are in the same order mostly */
	int error;
};

static void note_had(void *arg, const struct journal_record *record)
{
	struct catching_up *c = arg;

	if (c->error >= 0)
		c->error = journal_record_print(&c->had, c->id, record);
}

/* Each counts once. */
static bool take_from_had(struct catching_up *c, struct str line)
{
	for (size_t looked_at = 0; looked_at < c->had.len;) {
		struct str rest = str_skip(buf_str(&c->had), c->next), here;

		str_cut(&rest, '\n', &here);
		looked_at += here.len + 1;
		if (str_is(here, line)) {
			c->had.at[c->next] = '-';
			c->next = (c->next + here.len + 1) % c->had.len;
			return true;
		}
		c->next = (c->next + here.len + 1) % c->had.len;
	}
	return false;
}

static void note_lacking(void *arg, const struct journal_record *record)
{
	struct catching_up *c = arg;
	const size_t before = c->lacking.len;

	if (record->kind == JOURNAL_DONE)
		return;			/* that it is in a file; there it would mean that everybody has got it */
	if (c->error >= 0)
		c->error = journal_record_print(&c->lacking, c->id, record);
	if (c->error >= 0 && before == 0
	    && take_from_had(c, str_head(buf_str(&c->lacking), c->lacking.len - 1)))
		buf_clear(&c->lacking);
}

/* 1: something was appended, and not synced. */
static int catch_up(struct queue_file *f, struct resident *r)
{
	struct catching_up c = { .id = r->id, .had = BUF(MOST_JOURNAL), .lacking = BUF(MOST_JOURNAL) };
	int result = journal_read(f, note_had, &c);

	if (result >= 0)
		result = resident_read_journal(r, note_lacking, &c);
	result = result < 0 ? result : MIN(c.error, 0);
	if (result == 0 && c.lacking.len > 0) {
		result = journal_append_lines(f, buf_str(&c.lacking));
		result = result < 0 ? result : 1;
	}
	buf_free(&c.had);
	buf_free(&c.lacking);
	return result;
}

/*
 * What came meanwhile. Synced here, since the ledger may have been: it happens rarely, and the ledger
 * will say that nothing in it counts any more.
 */
static int move_journal(struct queue_exit *x, struct resident *r)
{
	AUTO(queue_file) f = { .fd = -1 };
	int result;

	if (r->notes == x->notes)
		return 0;
	result = queue_file_take(x->fd, x->to, false, &f);
	if (result < 0)
		return result;
	x->fd = -1;			/* f's from now on; what is appended follows the copy */
	result = catch_up(&f, r);
	return result == 1 && fdatasync(f.fd) < 0 ? -errno : MIN(result, 0);
}

static int open_copy(int dir, const char *path, enum queue_name where, bool check_all, struct queue_file *ret)
{
	int fd = file_open_append(dir, path);
	int result = fd < 0 ? fd : queue_file_take(fd, where, check_all, ret);

	if (fd >= 0 && result < 0)
		close(fd);
	return result;
}

/*
 * We have handed over: what a successor notes behind our "done" it notes again where the message went
 * (queue_order); what it noted before, and after our last look, is taken along now.
 */
static void say_done_and_look_again(struct queue_exit *x, struct resident *r)
{
	AUTO(queue_file) f = { .fd = -1 };
	int result;

	resident_note(r, &(struct journal_record){ .kind = JOURNAL_DONE }, 1);
	result = open_copy(x->dir, x->path, x->to, false, &f);
	if (result == 0)
		result = catch_up(&f, r);
	if (result < 0)
		queue_say(x->q, "%s: what was ordered last may be lost: %s", x->id, error_text(result));
}

/* The copy is whole, or there is none, and whether it is through stands in the ledger. */
static int end_locked(struct queue_exit *x, struct resident *r, int result)
{
	if (x->fd < 0 && result == 0)
		result = -ECANCELED;		/* nobody wrote it */
	FAILPOINT("queue.log.exit.synced");
	if (result == 0 && r == NULL)
		result = -ENOENT;		/* it was finished meanwhile */
	if (result == 0 && x->to == QUEUE_INCOMING && r->is_lent)
		result = -EBUSY;		/* it is being delivered, and a successor looks for the lock here */
	/* we have handed over: a successor may have noted an order meanwhile, or that it is deleted */
	if (result == 0 && r->segment->ledger.writes_through)
		result = residents_refresh(r);
	if (result == 0)
		result = move_journal(x, r);
	FAILPOINT("queue.log.exit.journal");
	if (x->fd >= 0 && close(x->fd) < 0 && result == 0)
		result = -errno;
	if (result == 0 && r->segment->ledger.writes_through)
		say_done_and_look_again(x, r);
	if (result == 0)
		residents_finish(r);
	else if (result != -EEXIST)
		unlinkat(x->dir, x->path, 0);
	else if (r != NULL)
		residents_resume_exit(r);
	return result;
}

int queue_exit_end(struct queue_exit *x, int result)
{
	struct resident *r = residents_find(x->q->residents, str_of(x->id));
	const bool is_lent = r != NULL && r->is_lent;

	if (r != NULL)
		r->exit = NULL;
	result = end_locked(x, r, result);
	/*
	 * Last: a successor believes what it finds as soon as nobody has it locked. Whom we do not know any
	 * more nobody waits for, and its segment may have been closed.
	 */
	if (r != NULL && (result == 0 || result == -ENOENT || !is_lent))
		lock_release_at(x->log_fd, (off_t) x->at);
	segment_let_go(x->segment);
	buf_free(&x->journal);
	return result;
}

static int exit_job(void *arg)
{
	int r = queue_exit_write(arg);

	return r < 0 ? r : queue_exit_sync(arg);
}

int queue_copy_from_log(struct queue *q, struct str id, int fd)
{
	struct resident *r = q->residents == NULL ? NULL : residents_search(q->residents, id);
	struct queue_exit x = { .q = q, .to = QUEUE_INCOMING, .fd = fd };
	int result;

	if (r == NULL)
		return -ENOENT;
	x.log_fd = r->segment->fd;
	x.at = r->at;
	memcpy(x.log_name, r->segment->name, sizeof(x.log_name));
	result = copy(&x);
	if (result == 0 && r->notes > 0 && (x.fd = dup(fd)) < 0)
		result = -errno;
	return result < 0 ? result : move_journal(&x, r);
}

/* None, or none of ours: links and the like, which nobody delivers. */
static bool is_no_copy(int error)
{
	static const int errors[] = { -ENOENT, -ESTALE, -EBADF, -ELOOP, -EISDIR, -ENXIO, -EMLINK, -ENOTSUP };

	for (size_t i = 0; i < COUNT_OF(errors); i++)
		if (error == errors[i])
			return true;
	return false;
}

/*
 * A copy that a death left beside it. 1: whole, it counts from now on; 0: there is none, or it was half of one
 * and is gone; -errno: not known now.
 */
static int adopt_copy(struct resident *r, enum queue_name where)
{
	int dir = queue_dir(r->segment->of->q, where), result;
	AUTO(queue_file) f = { .fd = -1 };
	char path[64];

	if (dir < 0)
		return 0;
	queue_path(r->segment->of->q, where, str_of(r->id), path);
	result = open_copy(dir, path, where, true, &f);
	if (result == -ENODATA || result == -EBADMSG) {
		unlinkat(dir, path, 0);		/* half a copy: its moving begins anew */
		return 0;
	}
	if (result < 0)
		return is_no_copy(result) ? 0 : result;
	result = catch_up(&f, r);
	return result < 0 ? result : fsync(f.fd) < 0 ? -errno : 1;
}

int residents_resume_exit(struct resident *r)
{
	static const enum queue_name places[] = { QUEUE_HOLD, QUEUE_DEFERRED, QUEUE_INCOMING };
	int result;

	if (r->exit != NULL)
		return 0;		/* we are about it: our own lock we do not see */
	r->was_anothers = lock_is_taken_at(r->segment->fd, (off_t) r->at) != 0;
	if (r->was_anothers)
		return 0;
	result = residents_refresh(r);
	if (result == -ENOENT)
		return 0;		/* a predecessor has ended it since we read the ledger */
	for (size_t i = 0; i < COUNT_OF(places) && result == 0; i++)
		result = adopt_copy(r, places[i]);
	if (result > 0)
		residents_finish(r);
	else
		r->was_anothers = result < 0;
	return MIN(result, 0);
}

int residents_take_over(struct resident *r)
{
	const struct residents *all = r->segment->of;
	char id[32];
	int result = residents_refresh(r);

	if (result < 0 || !r->was_anothers)
		return result;
	memcpy(id, r->id, sizeof(id));
	result = residents_resume_exit(r);
	return residents_find(all, str_of(id)) == NULL ? -ENOENT : result;
}

int queue_leave_log(struct queue *q, struct str id, enum queue_name to)
{
	struct queue_exit x;
	int r = queue_exit_begin(q, id, to, &x);

	return r < 0 ? r : queue_exit_end(&x, co_offload(exit_job, &x));
}
