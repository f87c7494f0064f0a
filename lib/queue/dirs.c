/* SPDX-License-Identifier: ISC */
/*
 * The queue's directories: which message lies where, moving, ending, walking, and mending what a
 * crash or a person left behind. Everything goes through descriptors opened before the jail closed;
 * no path with a remote party's text is ever built.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/base/map.h"
#include "lib/disk/disk.h"
#include "lib/queue/append.h"
#include "lib/queue/residents.h"

static const struct str names[QUEUE_COUNT] = {
	[QUEUE_INCOMING] = STR_INIT("incoming"), [QUEUE_DEFERRED] = STR_INIT("deferred"),
	[QUEUE_HOLD] = STR_INIT("hold"),
	[QUEUE_CORRUPT] = STR_INIT("corrupt"), [QUEUE_MAILDROP] = STR_INIT("maildrop"),
};

const char *queue_name_text(enum queue_name q)
{
	return names[q].at;
}

int queue_name_parse(struct str text, enum queue_name *ret)
{
	for (int i = 0; i < QUEUE_COUNT; i++)
		if (str_is(text, names[i])) {
			*ret = (enum queue_name) i;
			return 0;
		}
	return -EINVAL;
}

int queue_open(int dir, int depth, unsigned which, struct queue **ret, struct buf *why)
{
	struct queue *q = get_memory(sizeof(*q));

	q->depth = depth;
	q->intake_dir = -1;
	for (int i = 0; i < QUEUE_COUNT; i++)
		q->dirs[i] = -1;
	for (int i = 0; i < QUEUE_COUNT; i++) {
		int fd;

		if ((which & (1u << i)) == 0)
			continue;
		/*
		 * a message may be created here by someone who may not list the directory: maildrop
		 * and postdrop
		 */
		fd = directory_handle(dir, names[i].at);
		if (fd < 0) {
			if (why != NULL)
				buf_addf(why, "queue directory %s: %s", names[i].at, error_text(fd));
			queue_close(q);
			return fd;
		}
		q->dirs[i] = fd;
	}
	*ret = q;
	return 0;
}

void queue_close(struct queue *q)
{
	if (q == NULL)
		return;
	for (int i = 0; i < QUEUE_COUNT; i++)
		if (q->dirs[i] >= 0)
			close(q->dirs[i]);
	appender_free(q->appender);
	residents_free(q->residents);
	if (q->intake_dir >= 0)
		close(q->intake_dir);
	free(q);
}

static int open_intake_directory(struct queue *q, int dir)
{
	if (q->intake_dir < 0)
		q->intake_dir = directory_handle(dir, "intake");
	return MIN(q->intake_dir, 0);
}

int queue_open_intake(struct queue *q, int dir, bool writable, bool verify)
{
	int r = open_intake_directory(q, dir);

	if (r == 0)
		q->residents = residents_new(q, q->intake_dir, writable, verify);
	return r;
}

void queue_refresh(struct queue *q)
{
	if (q->residents != NULL)
		residents_look(q->residents);
}

int queue_append_to_intake(struct queue *q, int dir, const struct intake_limits *limits)
{
	int r = open_intake_directory(q, dir);

	if (r == 0)
		q->appender = appender_new(q->intake_dir, limits);
	return r;
}

void queue_set_say(struct queue *q, void (*say)(const char *words))
{
	q->say = say;
}

void queue_say(const struct queue *q, const char *format, ...)
{
	AUTO(buf) line = BUF(1024);
	va_list arguments;

	if (q->say == NULL)
		return;
	va_start(arguments, format);
	buf_addv(&line, format, arguments);
	va_end(arguments);
	q->say(buf_text(&line));
}

int queue_dir(const struct queue *q, enum queue_name where)
{
	return q->dirs[where] < 0 ? -ENOENT : q->dirs[where];
}

int64_t queue_free_bytes(const struct queue *q)
{
	for (int i = 0; i < QUEUE_COUNT; i++)
		if (q->dirs[i] >= 0)
			return disk_free_bytes(q->dirs[i]);
	return -ENOENT;
}

/* ---- hashed directories ---- */

/*
 * The hash is the microseconds in hex, lowest digit first, as these spread evenly. Ids without a
 * time: their own last characters.
 */
void queue_path(const struct queue *q, enum queue_name where, struct str id, char path[64])
{
	int depth = where == QUEUE_DEFERRED ? q->depth : 0;
	static const char hex[] = "0123456789ABCDEF";
	int64_t us;
	bool timed = depth > 0 && queue_id_time(id, &us) == 0;
	char *at = path;

	BUG_UNLESS(id.len < 32 && depth <= 5);
	for (int i = 0; i < depth; i++) {
		*at++ = timed ? hex[us % 1000000 >> (4 * i) & 15] : id.at[id.len - 1 - (size_t) i];
		*at++ = '/';
	}
	memcpy(at, id.at, id.len);
	at[id.len] = '\0';
}

int queue_make_hash_directories(struct queue *q, enum queue_name where, const char *path)
{
	char part[64];
	int r;

	for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int) (slash - path), path);
		r = make_directory(q->dirs[where], part, 0700);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- moving and ending ---- */

int queue_finish(struct queue *q, enum queue_name where, struct str id)
{
	int dir = queue_dir(q, where), r;
	char path[64];

	if (dir < 0)
		return dir;
	if (!queue_id_is_valid(id))
		return -EINVAL;
	if (queue_is_in_log(q, where, id)) {
		residents_finish(residents_find(q->residents, id));
		return 0;
	}
	queue_path(q, where, id, path);
	FAILPOINT("queue.finish.before");
	r = unlinkat(dir, path, 0) < 0 ? -errno : 0;
	FAILPOINT("queue.finish.after");
	return r;
}

/*
 * Never over another file. Where the file system cannot promise that, a look before has to do: ids
 * are unique anyhow.
 */
static int rename_quietly(int from_dir, const char *from, int to_dir, const char *to)
{
	struct stat st;

	if (renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (fstatat(to_dir, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	return renameat(from_dir, from, to_dir, to) < 0 ? -errno : 0;
}

static int rename_making_room(struct queue *q, int from_dir, const char *from, enum queue_name to,
			      struct str id)
{
	char path[64];
	int r;

	queue_path(q, to, id, path);
	r = rename_quietly(from_dir, from, q->dirs[to], path);
	if (r != -ENOENT || strchr(path, '/') == NULL)
		return r;
	r = queue_make_hash_directories(q, to, path);
	return r < 0 ? r : rename_quietly(from_dir, from, q->dirs[to], path);
}

int queue_move(struct queue *q, enum queue_name from, enum queue_name to, struct str id)
{
	int from_dir = queue_dir(q, from), to_dir = queue_dir(q, to), r;
	char path[64];

	if (from_dir < 0 || to_dir < 0)
		return -ENOENT;
	if (!queue_id_is_valid(id))
		return -EINVAL;
	if (queue_is_in_log(q, from, id))
		return queue_leave_log(q, id, to);
	queue_path(q, from, id, path);
	FAILPOINT("queue.move.before");
	r = rename_making_room(q, from_dir, path, to, id);
	FAILPOINT("queue.move.after");
	return r;
}

int queue_set_next_attempt(struct queue *q, enum queue_name where, struct str id, int64_t at_s)
{
	struct timespec times[2] = { { .tv_sec = at_s }, { .tv_sec = at_s } };
	int dir = queue_dir(q, where);
	char path[64];

	if (dir < 0)
		return dir;
	if (!queue_id_is_valid(id))
		return -EINVAL;
	queue_path(q, where, id, path);
	FAILPOINT("queue.next_attempt");
	return utimensat(dir, path, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* ---- one message under two names ---- */

static int look_at(const struct queue *q, enum queue_name where, struct str id, struct stat *ret)
{
	char path[64];

	if (q->dirs[where] < 0)
		return -ENOENT;
	queue_path(q, where, id, path);
	return fstatat(q->dirs[where], path, ret, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int queue_last_written(struct queue *q, enum queue_name where, struct str id, int64_t *ret_s)
{
	struct stat st;
	int r = queue_id_is_valid(id) ? look_at(q, where, id, &st) : -EINVAL;

	if (r < 0)
		return r;
	*ret_s = st.st_mtime;
	return 0;
}

/*
 * A rename that a power cut caught half-way can leave both names (btrfs does). They are one file,
 * so either may go; the one that stays is the one a person or qmgr wanted last: hold before
 * deferred before incoming.
 */
int queue_mend(struct queue *q, enum queue_name where, struct str id)
{
	static const int rank[QUEUE_COUNT] = { [QUEUE_INCOMING] = 1, [QUEUE_DEFERRED] = 2, [QUEUE_HOLD] = 3,
					       [QUEUE_CORRUPT] = 4 };
	struct stat here, there;
	int r = queue_id_is_valid(id) ? look_at(q, where, id, &here) : -EINVAL;

	if (r < 0)
		return r;
	for (int i = 0; i < QUEUE_COUNT; i++) {
		enum queue_name other = (enum queue_name) i;

		if (other == where || other == QUEUE_MAILDROP || look_at(q, other, id, &there) < 0)
			continue;
		if (there.st_ino != here.st_ino || there.st_dev != here.st_dev)
			return -EEXIST;
		queue_say(q, "%.*s lies in %s and in %s after a crash: one name is removed", PSTR(id),
			  names[where].at, names[other].at);
		if (rank[other] < rank[where])
			return queue_finish(q, other, id);
		r = queue_finish(q, where, id);
		return r < 0 ? r : -ENOENT;
	}
	return here.st_nlink == 1 ? 0 : -EMLINK;
}

/* ---- walking ---- */

struct walk {
	struct queue *q;
	enum queue_name where;
	int (*each)(void *arg, struct str id, int64_t mtime_s);
	void *arg;
};

static bool is_hash_name(const char *name)
{
	return is_alnum(name[0]) && name[1] == '\0';
}

/* A file in the wrong hash directory (the depth was changed) is brought to where it is looked for. */
static void bring_home(const struct walk *w, const char *path, struct str id)
{
	char home[64];
	int r;

	queue_path(w->q, w->where, id, home);
	if (strcmp(path, home) == 0)
		return;
	r = rename_making_room(w->q, w->q->dirs[w->where], path, w->where, id);
	if (r < 0)
		queue_say(w->q, "%s/%s cannot be moved to %s: %s", names[w->where].at, path, home,
			  error_text(r));
}

static int walk_entry(const struct walk *w, const char *path, const char *name)
{
	struct str id = str_of(name);
	struct stat st;

	if (!queue_id_is_valid(id)) {
		queue_say(w->q, "%s/%s: not the name of a message; left alone", names[w->where].at, path);
		return 0;
	}
	if (fstatat(w->q->dirs[w->where], path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;			/* gone meanwhile */
	if (!S_ISREG(st.st_mode)) {
		queue_say(w->q, "%s/%s: not a regular file; left alone", names[w->where].at, path);
		return 0;
	}
	if (w->where == QUEUE_DEFERRED)
		bring_home(w, path, id);
	return w->each(w->arg, id, st.st_mtime);
}

static int walk_directory(const struct walk *w, const char *prefix, int depth)
{
	struct directory *d;
	unsigned char type;
	const char *name;
	char path[300];
	int r = directory_open(w->q->dirs[w->where], prefix[0] == '\0' ? "." : prefix, &d);

	if (r < 0 && depth > 0) {
		queue_say(w->q, "%s/%s: %s; left alone", names[w->where].at, prefix, error_text(r));
		return 0;
	}
	if (r < 0)
		return r;
	while (r >= 0 && directory_next(d, &name, &type)) {
		snprintf(path, sizeof(path), "%s%s%s", prefix, prefix[0] == '\0' ? "" : "/", name);
		if (w->where == QUEUE_DEFERRED && depth < 5 && is_hash_name(name))
			r = walk_directory(w, path, depth + 1);
		else
			r = walk_entry(w, path, name);
	}
	directory_close(d);
	return r;
}

/*
 * The callback may finish or move what it is shown, and others may while it waits: so the ids are
 * taken down first.
 */
static int walk_log(const struct walk *w)
{
	const struct residents *all = w->q->residents;
	AUTO(buf) ids = BUF((size_t) 64 << 20);
	struct map_at at = { 0 };
	struct str rest, id;
	int r = 0;

	while (map_next(all->by_id, &at))
		buf_addf(&ids, "%.*s\n", PSTR(at.key));
	rest = buf_str(&ids);
	while (r >= 0 && str_cut(&rest, '\n', &id)) {
		const struct resident *one = residents_find(all, id);

		if (one != NULL && !(all->verify && one->segment->is_unclear))
			r = w->each(w->arg, id, 0);
	}
	return r;
}

int queue_scan(struct queue *q, enum queue_name where, int (*each)(void *arg, struct str id,
								   int64_t mtime_s), void *arg)
{
	struct walk w = { q, where, each, arg };
	int r = queue_dir(q, where), of_log = 0;

	if (r < 0)
		return r;
	if (where == QUEUE_INCOMING && q->residents != NULL) {
		of_log = residents_look(q->residents);
		r = walk_log(&w);
	}
	if (r >= 0)
		r = walk_directory(&w, "", 0);
	return MIN(r < 0 ? r : of_log, 0);
}
