/* SPDX-License-Identifier: ISC */
/*
 * See residents.h. A segment is read from its beginning, message after message, each by its head.
 * Where no head stands, the owner has not written yet; when there is no owner any more, the rest is
 * searched, since a damaged message must not hide those behind it.
 */
#include "lib/queue/residents.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/base/map.h"
#include "lib/disk/disk.h"

struct residents *residents_new(struct queue *q, int dir, bool writable, bool verify)
{
	struct residents *all = get_memory(sizeof(*all));

	*all = (struct residents){ .q = q, .dir = dir, .writable = writable, .verify = verify,
				   .by_id = map_new() };
	list_init(&all->segments);
	return all;
}

/* ---- one message ---- */

static void forget(struct resident *r)
{
	r->segment->unfinished--;
	map_remove(r->segment->of->by_id, str_of(r->id));
	free(r);
}

static void remember(struct segment *s, const char *id, uint64_t at, uint64_t len)
{
	struct resident *r;

	if (map_get(s->of->by_id, str_of(id)) != NULL) {
		queue_say(s->of->q, "%s lies twice in the intake log: one of them is left out", id);
		return;
	}
	r = get_memory(sizeof(*r));
	*r = (struct resident){ .segment = s, .at = at, .len = len };
	snprintf(r->id, sizeof(r->id), "%s", id);
	map_put(s->of->by_id, str_of(id), r);
	s->unfinished++;
}

struct resident *residents_find(const struct residents *all, struct str id)
{
	return map_get(all->by_id, id);
}

struct resident *residents_search(struct residents *all, struct str id)
{
	struct resident *r = residents_find(all, id);

	if (r != NULL || all->verify)
		return r;
	residents_look(all);
	return residents_find(all, id);
}

void residents_finish(struct resident *r)
{
	int error;

	if (r->exit != NULL)
		resident_drop_copy(r);
	error = ledger_add(&r->segment->ledger, r->id, &(struct journal_record){ .kind = JOURNAL_DONE });
	if (error < 0)
		queue_say(r->segment->of->q,
			  "%s: cannot record that it is through, it may be delivered twice: %s", r->id,
			  error_text(error));
	if (r->is_lent)
		lock_release_at(r->segment->fd, (off_t) r->at);
	forget(r);
}

int resident_open(struct resident *r, struct queue_file *ret)
{
	struct segment *s = r->segment;
	struct queue_head h;
	int result = segment_head(s->fd, s->name, r->at, r->at + r->len, &h);

	if (result < 0)
		return result == -ENODATA ? -ENOENT : result;	/* used anew meanwhile */
	if (strcmp(h.id, r->id) != 0)
		return -EBADMSG;
	*ret = (struct queue_file){ .fd = s->fd, .where = QUEUE_INCOMING, .resident = r, .base = r->at,
				    .file_size = h.journal_at };
	queue_file_keep_head(ret, &h);
	return 0;
}

int resident_note(struct resident *r, const struct journal_record *records, size_t n)
{
	int result = 0;

	for (size_t i = 0; i < n && result == 0; i++)
		result = ledger_add(&r->segment->ledger, r->id, &records[i]);
	r->notes++;
	return result;
}

int resident_order(struct resident *r, const struct journal_record *record)
{
	int result = ledger_write(&r->segment->ledger, r->id, record);

	r->notes += result == 0;
	return result;
}

struct reading {
	const struct resident *r;
	void (*each)(void *arg, const struct journal_record *record);
	void *arg;
	int skipped;
};

static void read_own_line(void *arg, struct str id, struct str line)
{
	struct reading *reading = arg;
	struct journal_record record;

	if (!str_is(id, str_of(reading->r->id)))
		return;
	if (journal_record_parse(line, reading->r->id, &record) < 0)
		reading->skipped++;
	else
		reading->each(reading->arg, &record);
}

int resident_read_journal(struct resident *r, void (*each)(void *arg, const struct journal_record *record),
			  void *arg)
{
	struct reading reading = { r, each, arg, 0 };
	int result = r->notes > 0 ? ledger_read_all(&r->segment->ledger, read_own_line, &reading) : 0;

	return result < 0 ? result : reading.skipped;
}

/* ---- a segment ---- */

static void ledger_in_trouble(struct ledger *l, int error)
{
	struct segment *s = CONTAINER_OF(l, struct segment, ledger);

	queue_say(s->of->q, "cannot write intake/done-%s: %s", s->name, error_text(error));
}

static int open_segment(struct residents *all, const char *name, struct segment **ret)
{
	char path[SEGMENT_PATH_SIZE];
	struct segment *s;
	int fd;

	segment_path(path, SEGMENT_LOG, name);
	fd = openat(all->dir, path,
		    (all->writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	s = get_memory(sizeof(*s));
	*s = (struct segment){ .of = all, .fd = fd };
	memcpy(s->name, name, SEGMENT_NAME_SIZE);
	ledger_init(&s->ledger, all->dir, name);
	s->ledger.trouble = ledger_in_trouble;
	list_append(&all->segments, &s->link);
	*ret = s;
	return 0;
}

static void close_segment(struct segment *s)
{
	struct map_at at = { 0 };

	while (s->unfinished > 0 && map_next(s->of->by_id, &at))
		if (((struct resident *) at.value)->segment == s)
			forget(at.value);
	list_remove(&s->link);
	turn_cancel(&s->ledger.turn);
	s->is_closed = true;
	segment_keep(s);
	segment_let_go(s);
}

void segment_keep(struct segment *s)
{
	s->users++;
}

void segment_let_go(struct segment *s)
{
	if (--s->users > 0 || !s->is_closed)
		return;
	ledger_close(&s->ledger);
	close(s->fd);
	free(s);
}

/* As when the process ends: nobody uses them any more, and locks in them are gone. */
void residents_free(struct residents *all)
{
	if (all == NULL)
		return;
	LIST_EACH(s, &all->segments, struct segment, link) {
		s->users = 0;
		close_segment(s);
	}
	map_free(all->by_id, NULL);
	free(all);
}

static uint64_t size_of(const struct segment *s)
{
	struct stat st;

	return fstat(s->fd, &st) < 0 ? 0 : (uint64_t) st.st_size;
}

/* For certain: a directory that can be read in part only, or a file that cannot be opened now, says nothing. */
static bool is_gone(const struct residents *all, const char *name)
{
	char path[SEGMENT_PATH_SIZE];
	struct stat st;

	segment_path(path, SEGMENT_LOG, name);
	return fstatat(all->dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

static int copy_to_corrupt(const struct segment *s, uint64_t from, size_t len, int dir, const char *id)
{
	AUTO_PTR char *bytes = get_memory(len);
	ssize_t n = pread_all(s->fd, bytes, len, (off_t) from);
	AUTO_FD fd = n < 0 ? (int) n : file_create(dir, id, 0600);
	int r;

	if (fd < 0)
		return fd;
	r = write_all(fd, bytes, (size_t) n);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dir, id, 0);
	return r;
}

/*
 * What is damaged was promised perhaps: a person may look at it. As long as it lies nowhere else
 * the segment is not used again.
 */
static void set_aside(struct segment *s, uint64_t from, uint64_t to, const char *id)
{
	int dir = queue_dir(s->of->q, QUEUE_CORRUPT), r;

	if (is_gone(s->of, s->name))
		return;			/* freed since we opened it: what we read belongs to its next use */
	r = dir < 0 ? dir : copy_to_corrupt(s, from, (size_t) MIN(to - from, (uint64_t) 1 << 20), dir, id);
	if (r == -EEXIST)
		return;			/* by a predecessor */
	s->is_needed |= r < 0;
	queue_say(s->of->q, "intake/log-%s is damaged from byte %llu to %llu: %s corrupt/%s%s%s", s->name,
		  (unsigned long long) from,
		  (unsigned long long) to, r < 0 ? "cannot be set aside as" : "set aside as", id,
		  r < 0 ? ": " : "", r < 0 ? error_text(r) : "");
}

/* One message more. 0, -ENODATA, -EBADMSG: its head counts, and its parts do not; -errno. */
static int take_next(struct segment *s, uint64_t size)
{
	struct queue_head h;
	int r = segment_head(s->fd, s->name, s->known_upto, size, &h);

	if (r < 0)
		return r;
	if (s->of->verify && (r = segment_check(s->fd, &h)) < 0)
		return r;
	remember(s, h.id, s->known_upto, segment_record_len(&h));
	s->known_upto += segment_record_len(&h);
	ledger_rewind(&s->ledger);	/* what it says of this one may have been read over */
	return 0;
}

/* 0: as far as there are messages, one after the other; -errno: cannot be read. */
static int read_chain(struct segment *s)
{
	uint64_t size = size_of(s);
	int r;

	do
		r = take_next(s, size);
	while (r == 0);
	return r == -ENODATA || r == -EBADMSG || r == -ENOTSUP ? 0 : r;
}

static void set_aside_unnamed(struct segment *s, uint64_t from, uint64_t to)
{
	char name[32];

	snprintf(name, sizeof(name), "%.8sat%llu", s->name, (unsigned long long) from);
	set_aside(s, from, to, name);
}

/*
 * At known_upto there was a message once, or nothing ever. What is damaged is set aside, and
 * known_upto is behind it. 0 go on reading; -ENODATA: no message from there to `upto`; -errno:
 * cannot be read now.
 */
static int pass_damage(struct segment *s, uint64_t upto)
{
	uint64_t from = s->known_upto, next;
	struct queue_head h;
	bool is_damaged;
	int r = segment_head(s->fd, s->name, from, upto, &h);

	if (r == 0) {
		r = segment_check(s->fd, &h);
		if (r != -EBADMSG)
			return r;
		set_aside(s, from, from + segment_record_len(&h), h.id);
		s->known_upto = from + segment_record_len(&h);
		return 0;
	}
	if (r != -ENODATA && r != -EBADMSG)
		return r;
	is_damaged = r == -EBADMSG;
	r = segment_next_head(s->fd, s->name, from, upto, &next);
	if (r == -ENODATA && is_damaged)
		next = upto;		/* it was the last one */
	else if (r < 0)
		return r;
	set_aside_unnamed(s, from, next);
	s->known_upto = next;
	return 0;
}

/* Nobody writes here any more: a message may follow wherever one is damaged. */
static void search_rest(struct segment *s)
{
	uint64_t size = size_of(s);

	while (!s->is_searched) {
		int r = pass_damage(s, size);

		if (r < 0 && r != -ENODATA) {
			if (r != s->said)
				queue_say(s->of->q, "intake/log-%s cannot be read: %s; left alone", s->name,
					  r == -ENOTSUP ? "written by a newer version" : error_text(r));
			s->said = r;
			return;
		}
		s->is_searched = r == -ENODATA;
		read_chain(s);
	}
}

/* What lies before an announced message is written, whole and synced. */
static int read_gap(struct segment *s, uint64_t upto)
{
	while (s->known_upto < upto) {
		int r = take_next(s, upto) == 0 ? 0 : pass_damage(s, upto);

		if (r == -ENODATA) {
			set_aside_unnamed(s, s->known_upto, upto);
			s->known_upto = upto;
		} else if (r < 0) {
			return r;
		}
	}
	return 0;
}

static void take_line(void *arg, struct str id, struct str line)
{
	struct segment *s = arg;
	struct resident *r = residents_find(s->of, id);
	struct journal_record record;

	if (r == NULL || r->segment != s || journal_record_parse(line, r->id, &record) < 0)
		return;
	if (record.kind == JOURNAL_DONE)
		forget(r);
	else
		r->notes++;
}

/*
 * Who freed the segment knew that all of it was through, and removed the ledger, which we had perhaps
 * never opened.
 */
int residents_refresh(struct resident *r)
{
	struct segment *s = r->segment;
	AUTO(buf) id = BUF(64);
	int result;

	buf_add_text(&id, r->id);
	result = ledger_read_new(&s->ledger, take_line, s);
	if (result < 0)
		return result;
	r = residents_find(s->of, buf_str(&id));
	if (r != NULL && is_gone(s->of, s->name)) {
		forget(r);
		r = NULL;
	}
	return r == NULL ? -ENOENT : 0;
}

/*
 * A crash may have left messages of it in files of their own as well: looked for once, when the
 * segment is met.
 */
static void resume_exits(struct segment *s)
{
	const size_t before = s->unfinished;
	AUTO(buf) ids = BUF((size_t) 64 << 20);
	struct map_at at = { 0 };
	struct str rest, id;

	/* taken down first: the ledger may tell of the end of any of them meanwhile */
	while (map_next(s->of->by_id, &at))
		if (((struct resident *) at.value)->segment == s)
			buf_addf(&ids, "%.*s\n", PSTR(at.key));
	rest = buf_str(&ids);
	while (str_cut(&rest, '\n', &id)) {
		struct resident *r = residents_find(s->of, id);

		if (r != NULL)
			residents_resume_exit(r);
	}
	/*
	 * Before anybody removes these files: with them would go what their journals say, and the log
	 * would have the messages still.
	 */
	if (s->unfinished < before && ledger_flush(&s->ledger) == 0 && ledger_sync_begin(&s->ledger) >= 0)
		ledger_sync_end(&s->ledger, fdatasync(s->ledger.fd) < 0 ? -errno : 0);
}

static int look_into(struct segment *s)
{
	int r = read_chain(s), of_ledger;

	if (s->of->verify && !segment_has_owner(s->fd))
		search_rest(s);
	of_ledger = ledger_read_new(&s->ledger, take_line, s);
	s->is_unclear = of_ledger < 0;
	if (s->is_unclear) {
		queue_say(s->of->q, "intake/done-%s cannot be read: %s", s->name, error_text(of_ledger));
		return of_ledger;
	}
	if (!s->was_resumed && s->of->verify)
		resume_exits(s);
	s->was_resumed = true;
	return r;
}

/* ---- the directory ---- */

static struct segment *find_segment(const struct residents *all, const char *name)
{
	LIST_EACH(s, &all->segments, struct segment, link)
		if (strcmp(s->name, name) == 0)
			return s;
	return NULL;
}

static int see(struct residents *all, const char *name)
{
	struct segment *s = find_segment(all, name);
	int r = s == NULL ? open_segment(all, name, &s) : 0;

	if (r < 0 && r != -ENOENT)
		queue_say(all->q, "intake/log-%s cannot be opened: %s", name, error_text(r));
	return r == -ENOENT ? 0 : r;
}

static int each_of_kind(struct residents *all, enum segment_file wanted,
			int (*each)(struct residents *all, const char *name))
{
	struct directory *d;
	unsigned char type;
	const char *path, *name;
	enum segment_file kind;
	int r = directory_open(all->dir, ".", &d);

	if (r < 0)
		return r;
	while (directory_next(d, &path, &type))
		if (segment_path_parse(path, &kind, &name) && kind == wanted)
			r = MIN(r, each(all, name));
	directory_close(d);
	return r;
}

/* Its segment was freed, and then there was a crash. */
static int remove_orphan(struct residents *all, const char *name)
{
	char path[SEGMENT_PATH_SIZE];

	segment_path(path, SEGMENT_DONE, name);
	if (find_segment(all, name) == NULL && is_gone(all, name))
		unlinkat(all->dir, path, 0);
	return 0;
}

int residents_look(struct residents *all)
{
	int r = each_of_kind(all, SEGMENT_LOG, see);

	if (all->verify)
		each_of_kind(all, SEGMENT_DONE, remove_orphan);
	LIST_EACH(s, &all->segments, struct segment, link)
		if (is_gone(all, s->name))
			close_segment(s);
		else
			r = MIN(r, look_into(s));
	return r;
}

/* ---- what qmgr does ---- */

int queue_announced(struct queue *q, const struct queue_place *place, struct str id, bool *ret_missed)
{
	struct residents *all = q->residents;
	struct segment *s;
	size_t before;
	char text[32];
	int r;

	*ret_missed = false;
	if (all == NULL)
		return -ENOENT;
	s = find_segment(all, place->segment);
	if (s == NULL) {
		r = open_segment(all, place->segment, &s);
		if (r < 0)
			return r;
		s->was_resumed = true;		/* it has begun in our own time: there was no crash */
	}
	before = s->unfinished;
	/* What cannot be read now is read by the next look, and this message with it. */
	r = read_gap(s, place->at);
	*ret_missed = s->unfinished > before;
	if (r < 0)
		return r;
	if (place->at < s->known_upto)
		return residents_find(all, id) != NULL;
	snprintf(text, sizeof(text), "%.*s", PSTR(id));
	remember(s, text, place->at, place->len);
	s->known_upto = place->at + place->len;
	return 1;
}

void queue_write_through(struct queue *q)
{
	if (q->residents == NULL)
		return;
	LIST_EACH(s, &q->residents->segments, struct segment, link) {
		s->ledger.writes_through = true;
		ledger_flush(&s->ledger);
	}
}

size_t queue_flush_ledgers(struct queue *q)
{
	size_t left = 0;

	if (q->residents == NULL)
		return 0;
	LIST_EACH(s, &q->residents->segments, struct segment, link)
		if (s->ledger.in_trouble && ledger_flush(&s->ledger) < 0)
			left += s->ledger.count;
	return left;
}

size_t queue_unwritten(const struct queue *q)
{
	size_t n = 0;

	if (q->residents == NULL)
		return 0;
	LIST_EACH(s, &q->residents->segments, struct segment, link)
		if (s->ledger.in_trouble)
			n += s->ledger.count;
	return n;
}

static void free_segment(struct segment *s)
{
	char log_path[SEGMENT_PATH_SIZE], free_path[SEGMENT_PATH_SIZE], done_path[SEGMENT_PATH_SIZE];
	struct residents *all = s->of;
	int r;

	segment_path(log_path, SEGMENT_LOG, s->name);
	segment_path(free_path, SEGMENT_FREE, s->name);
	segment_path(done_path, SEGMENT_DONE, s->name);
	r = renameat(all->dir, log_path, all->dir, free_path) < 0 ? -errno : 0;
	if (r == -ENOENT) {	/* a predecessor, or a successor, was quicker */
		close_segment(s);
		return;
	}
	if (r < 0) {		/* tried again: perhaps nobody but us knows that all of it is through */
		if (r != s->said)
			queue_say(all->q, "intake/%s cannot be renamed: %s", log_path, error_text(r));
		s->said = r;
		return;
	}
	FAILPOINT("queue.log.freed");
	unlinkat(all->dir, done_path, 0);
	close_segment(s);
}

/*
 * In order: who has no owner any more cannot get another message after it was searched. What its
 * ledger says is durable first, since the new name may not be for half a minute.
 */
static void free_what_is_empty(struct residents *all)
{
	LIST_EACH(s, &all->segments, struct segment, link) {
		if (s->unfinished > 0 || s->ledger.is_unsynced || segment_has_owner(s->fd))
			continue;
		look_into(s);
		if (s->unfinished == 0 && s->is_searched && !s->is_needed)
			free_segment(s);
	}
}

enum { MOST_LEDGERS = 64 };

struct ledger_sync {
	struct {
		char segment[SEGMENT_NAME_SIZE];
		int fd, result;
	} at[MOST_LEDGERS];
	size_t count;
};

static int sync_ledgers(void *arg)
{
	struct ledger_sync *sync = arg;

	for (size_t i = 0; i < sync->count; i++)
		sync->at[i].result = fdatasync(sync->at[i].fd) < 0 ? -errno : 0;
	return 0;
}

static void begin_sync(struct residents *all, struct ledger_sync *sync)
{
	LIST_EACH(s, &all->segments, struct segment, link) {
		int fd = sync->count < MOST_LEDGERS ? ledger_sync_begin(&s->ledger) : -ENODATA;

		if (fd < 0)
			continue;
		memcpy(sync->at[sync->count].segment, s->name, SEGMENT_NAME_SIZE);
		sync->at[sync->count].result = -ECANCELED;
		/* ours: the loop may close or reopen the ledger meanwhile */
		sync->at[sync->count++].fd = dup(fd);
	}
}

/* A segment that is known no more is through. */
static void end_sync(struct residents *all, const struct ledger_sync *sync)
{
	for (size_t i = 0; i < sync->count; i++) {
		struct segment *s = find_segment(all, sync->at[i].segment);

		if (sync->at[i].result < 0 && sync->at[i].result != -ECANCELED)
			queue_say(all->q, "cannot sync intake/done-%s: %s", sync->at[i].segment,
				  error_text(sync->at[i].result));
		if (s != NULL)
			ledger_sync_end(&s->ledger, sync->at[i].result);
		if (sync->at[i].fd >= 0)
			close(sync->at[i].fd);
	}
}

size_t queue_keep_intake(struct queue *q)
{
	struct residents *all = q->residents;
	struct ledger_sync sync = { .count = 0 };

	if (all == NULL)
		return 0;
	queue_flush_ledgers(q);
	begin_sync(all, &sync);
	if (sync.count > 0)
		co_offload(sync_ledgers, &sync);
	end_sync(all, &sync);
	free_what_is_empty(all);
	return map_count(all->by_id) + queue_unwritten(q);
}

void queue_crowding(struct queue *q, int most_segments, void (*each)(void *arg, struct str id), void *arg)
{
	struct residents *all = q->residents;
	struct segment *best = NULL;
	struct map_at at = { 0 };
	int count = 0;

	if (all == NULL)
		return;
	LIST_EACH(s, &all->segments, struct segment, link) {
		count++;
		if ((best == NULL || s->unfinished < best->unfinished) && !segment_has_owner(s->fd))
			best = s;
	}
	if (count <= most_segments || best == NULL)
		return;
	while (map_next(all->by_id, &at)) {
		struct resident *r = at.value;

		/* whom a predecessor still delivers stays where that one has locked it */
		if (r->segment == best && r->exit == NULL && lock_is_taken_at(best->fd, (off_t) r->at) <= 0)
			each(arg, at.key);
	}
}
