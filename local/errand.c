/* SPDX-License-Identifier: ISC */
/*
 * What is done as another user: all of this runs in a hand, which has that user's rights and no others.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/disk/disk.h"
#include "lib/mail/mail_address.h"
#include "lib/mailbox/path.h"
#include "local/expand.h"
#include "local/reply.h"

enum { MBOX_FORM = LETTER_FROM | LETTER_QUOTE_FROM | LETTER_EMPTY_LINE };
enum { FORWARD_FILE_LIMIT = 1 << 20 };

static unsigned delivered_header(const char *kind)
{
	unsigned others = LETTER_HEADERS & ~LETTER_DELIVERED_TO;

	return str_lists(str_of(the_local.conf.prepend_delivered_header), str_of(kind)) ? LETTER_HEADERS : others;
}

void name_file(struct mailbox_result *result, const char *path)
{
	if (!ends_with_slash(path))
		mailbox_say(result, MAILBOX_SENT, "2.0.0", "delivered to file: %s", path);
}

/*
 * Alone, the result is said at once. Otherwise it is said when the batch has been synced (job.c),
 * and -EAGAIN means that somebody else has locked the file.
 */
static int write_mailbox(struct errand *e, const char *path, const struct mailbox_rules *rules, bool is_file,
			 struct buf *reply)
{
	struct letter l = letter_of(e->task);
	struct mailbox_result *result = ARENA_NEW(e->task->arena, struct mailbox_result);
	int r;

	result->text = BUF_WORDS;
	if (ends_with_slash(path))
		r = maildir_add(&l, path, rules, e->job->batch, result);
	else
		r = mbox_append(&l, path, MBOX_FORM | delivered_header("file"), rules, e->job->batch, result);
	if (r == -EBUSY) {
		buf_free(&result->text);
		return -EAGAIN;
	}
	if (result->lacks_dotlock)
		reply_warning(reply, "unable to create lock file %s.lock: the directory does not let us", path);
	if (!e->job->alone) {
		e->late = result;
		e->late_file = is_file ? path : NULL;
		return 0;
	}
	if (is_file && result->status == MAILBOX_SENT)
		name_file(result, path);
	else if (!is_file)
		announce_new_mail(e, result);
	reply_result(reply, result);
	buf_free(&result->text);
	return 0;
}

bool file_in_home(struct arena *a, const struct account *who, struct str path, struct str *ret)
{
	*ret = arena_fmt(a, "%.*s%.*s", PSTR(who->home), PSTR(path));
	return who->home.len > 0;
}

static int deliver_to_file(struct errand *e, const char *path, struct buf *reply)
{
	struct mailbox_rules rules = the_local.rules;

	rules.strict_owner = false;
	rules.any_file = true;
	return write_mailbox(e, path, &rules, true, reply);
}

static void deliver_to_command(struct errand *e, const char *command, struct buf *reply)
{
	struct mailbox_result result = { .text = BUF_WORDS };

	run_command(e, command, &result);
	reply_result(reply, &result);
	buf_free(&result.text);
}

/* ---- the mailbox ---- */

static int deliver_to_mailbox(struct errand *e, struct buf *reply)
{
	bool in_spool = *the_local.conf.home_mailbox == 0;
	int r;

	if (e->has_transport) {
		reply_transport(reply);
		return 0;
	}
	if (e->mailbox_command != NULL) {
		deliver_to_command(e, e->mailbox_command, reply);
		return 0;
	}
	if (in_spool)
		hand_use_spool_group(true);
	r = write_mailbox(e, mailbox_path(e->task->arena, &e->rights.account), &the_local.rules,
			  false, reply);
	if (in_spool)
		hand_use_spool_group(false);
	return r;
}

/* ---- .forward ---- */

/* A reason not to trust it, or NULL. */
static const char *is_unsafe(const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "not a regular file";
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return "has a foreign owner";
	if (st->st_mode & S_IWOTH)
		return "is world writable";
	return NULL;
}

/* Out of the user's own reach counts as not there. */
static bool is_absence(int error)
{
	switch (-error) {
	case ENOENT: case ENOTDIR: case EACCES: case EPERM: case ELOOP: case ENAMETOOLONG:
		return true;
	default:
		return false;
	}
}

/* 1 with its text, 0 not there or not to be trusted, -errno cannot tell. */
static int read_forward_file(const char *path, struct buf *ret_text, struct buf *reply)
{
	char name[NAME_SIZE];
	AUTO_FD dir = path_open_parent(path, false, name);
	const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	AUTO_FD fd = dir < 0 ? dir : openat(dir, name, flags);
	const char *unsafe;
	struct stat st;
	int r;

	if (fd < 0) {
		r = dir < 0 ? dir : -errno;
		if (dir >= 0 && r == -EACCES)
			reply_warning(reply, "%s cannot be opened (%s): ignored", path, error_text(r));
		return is_absence(r) ? 0 : r;
	}
	if (fstat(fd, &st) < 0)
		return -errno;
	unsafe = is_unsafe(&st);
	if (unsafe != NULL) {
		reply_warning(reply, "%s %s: ignored", path, unsafe);
		return 0;
	}
	r = file_read_opened(fd, ret_text);
	return r < 0 ? r : 1;
}

/* Would it be this file without the extension, too? */
static bool is_for_all(struct errand *e, struct str one, const struct buf *path)
{
	struct task plain = *e->task;
	AUTO(buf) other = BUF(PATH_MAX);

	if (str_is(plain.name, plain.user))
		return true;
	plain.name = plain.user;
	plain.extension = STR_NONE;
	plain.address = arena_fmt(plain.arena, "%.*s@%.*s", PSTR(plain.user), PSTR(plain.domain));
	return expand_for(&plain, &e->rights.account, one, the_local.conf.forward_expansion_filter, &other) >= 0
	       && str_is(buf_str(&other), buf_str(path));
}

/*
 * The first file of forward_path that is there; what names an extension is only for addresses that have one.
 * None, if that has been read already.
 */
static int find_forward(struct errand *e, struct buf *ret_text, struct buf *reply)
{
	struct str rest = str_of(the_local.conf.forward_path), one;
	int r = 0;

	while (r == 0 && str_token_braced(&rest, ", \t\r\n", &one) > 0) {
		AUTO(buf) path = BUF(PATH_MAX);
		int gap = expand_for(e->task, &e->rights.account, one, the_local.conf.forward_expansion_filter, &path);

		if (gap < 0)
			reply_warning(reply, "forward_path: cannot use %.*s", PSTR(one));
		if (gap != 0 || path.len == 0 || path.at[0] != '/')
			continue;
		r = read_forward_file(buf_text(&path), ret_text, reply);
		if (r <= 0 || !is_for_all(e, one, &path))
			continue;
		if (e->files == FORWARD_OF_EXTENSION)
			return 0;
		if (!str_is(e->task->name, e->task->user))
			reply_unmatched(reply);
	}
	return r;
}

struct forwarding {
	struct errand *e;
	struct buf *reply;
	const char *where;		/* "forward", "include" */
	struct str *himself;		/* the user is on the list, by this name; empty: he is not */
	struct map *known;		/* commands, files and includes that were named already */
	int depth;
	size_t *count;
};

static void take_list(struct forwarding *f, struct str text, const char *name);

/* Once is enough, and what includes itself comes to an end. */
static bool is_repeated(struct forwarding *f, const struct destination *to)
{
	struct str key = arena_fmt(f->e->task->arena, "%d %.*s", (int) to->kind, PSTR(to->what));

	return map_put(f->known, key, f) != NULL;
}

static void refuse(struct forwarding *f, const char *dsn, const char *why)
{
	struct mailbox_result result = { .text = BUF_WORDS };

	mailbox_say(&result, MAILBOX_BOUNCED, dsn, "%s", why);
	reply_result(f->reply, &result);
	buf_free(&result.text);
}

static void put_off(struct forwarding *f, const char *path, const char *reason)
{
	struct mailbox_result result = { .text = BUF_WORDS };

	mailbox_say(&result, MAILBOX_DEFERRED, "4.2.0", "cannot use %s: %s", path, reason);
	reply_result(f->reply, &result);
	buf_free(&result.text);
}

static void take_include(struct forwarding *f, const char *path)
{
	struct forwarding inner = *f;
	AUTO(buf) text = BUF(INCLUDE_LIMIT);
	int r;

	inner.where = "include";
	if (++inner.depth > MOST_INCLUDE_DEPTH || !may_include(f->e->task)) {
		put_off(f, path, "include files nested too deeply, too many, or too large");
		return;
	}
	r = read_forward_file(path, &text, f->reply);
	has_included(f->e->task, text.len);
	if (r <= 0)
		put_off(f, path, r == 0 ? "not there, or not to be trusted" : error_text(r));
	else
		take_list(&inner, arena_copy(f->e->task->arena, buf_str(&text)), path);
}

static void take_item(struct forwarding *f, const struct destination *to)
{
	struct arena *a = f->e->task->arena;
	struct str path = to->what;

	if (is_repeated(f, to))
		return;
	switch (to->kind) {
	case TO_COMMAND:
		if (str_lists(str_of(the_local.conf.allow_mail_to_commands), str_of(f->where)))
			deliver_to_command(f->e, str_c(a, to->what), f->reply);
		else
			refuse(f, "5.7.1", "mail to command is restricted");
		return;
	case TO_FILE:
	case TO_HOME_FILE:
		if (!str_lists(str_of(the_local.conf.allow_mail_to_files), str_of(f->where)))
			refuse(f, "5.7.1", "mail to file is restricted");
		else if (to->kind == TO_HOME_FILE && !file_in_home(a, &f->e->rights.account, to->what, &path))
			refuse(f, "5.3.5", str_c(a, arena_fmt(a, "~%.*s: nobody's home", PSTR(to->what))));
		else
			deliver_to_file(f->e, str_c(a, path), f->reply);
		return;
	case TO_INCLUDE:
		take_include(f, str_c(a, to->what));
		return;
	case TO_USER:			/* whether an address means him is for the agent to say */
		if (!is_name_of(to->what, f->e->rights.account.name))
			reply_forward(f->reply, to->what);
		else if (f->himself->len == 0)
			*f->himself = to->what;
		return;
	case TO_ADDRESS:
		reply_forward(f->reply, to->what);
	}
}

static void take_list(struct forwarding *f, struct str text, const char *name)
{
	struct destinations list;
	struct str bad;

	if (destinations_parse(text, MOST_DESTINATIONS, f->e->task->arena, &list, &bad) < 0) {
		put_off(f, name, "cannot be read");
		return;
	}
	*f->count += list.count;
	for (size_t i = 0; i < list.count && *f->count <= MOST_DESTINATIONS && hand_is_heard(); i++)
		take_item(f, &list.at[i]);
	if (*f->count > MOST_DESTINATIONS)
		put_off(f, name, "too many destinations");
}

/* 1 a .forward file has dealt with the mail, 0 there is none, -EAGAIN. */
static int follow_forward(struct errand *e, struct buf *reply)
{
	struct str himself = STR_NONE;
	size_t count = 0, before;
	struct forwarding f = { .e = e, .reply = reply, .where = "forward", .himself = &himself,
				.count = &count };
	AUTO(buf) text = BUF(FORWARD_FILE_LIMIT);
	int r = find_forward(e, &text, reply);

	if (r < 0)
		put_off(&f, ".forward file", error_text(r));
	if (r <= 0)
		return r < 0;
	if (!e->job->alone) {		/* there may be commands in it */
		buf_clear(reply);
		return -EAGAIN;
	}
	before = reply->len;
	f.known = map_new();
	take_list(&f, arena_copy(e->task->arena, buf_str(&text)), ".forward file");
	map_free(f.known, NULL);
	if (himself.len > 0)
		reply_mailbox(reply, himself);
	/* an empty file says nothing, and who is not heard any more has not gone through his */
	return reply->len > before || !hand_is_heard();
}

/* ---- errands ---- */

static bool has_home(const struct errand *e)
{
	struct stat st;

	return stat(str_c(e->task->arena, e->rights.account.home), &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_loop(struct errand *e, struct buf *reply)
{
	struct mailbox_result result = { .text = BUF_WORDS };
	struct letter l = letter_of(e->task);
	int looped = letter_was_delivered_to(&l, e->task->delivered);

	if (looped == 0)
		return false;
	if (looped > 0)
		mailbox_say(&result, MAILBOX_BOUNCED, "5.4.6", "mail forwarding loop for %.*s",
			    PSTR(e->task->delivered));
	else
		mailbox_say_error(&result, looped, "cannot read message");
	reply_result(reply, &result);
	buf_free(&result.text);
	return true;
}

static int deliver_user(struct errand *e, struct buf *reply)
{
	struct mailbox_result result = { .text = BUF_WORDS };
	int r;

	if (the_local.conf.require_home_directory && !has_home(e)) {
		mailbox_say(&result, MAILBOX_DEFERRED, "4.2.0", "home directory is not there");
		reply_result(reply, &result);
		buf_free(&result.text);
		return 0;
	}
	r = e->files == NO_FORWARD ? 0 : follow_forward(e, reply);
	if (r != 0)
		return MIN(r, 0);
	if (e->files == ALL_FORWARDS || e->files == NO_FORWARD)
		return deliver_to_mailbox(e, reply);
	reply_mailbox(reply, e->task->address);
	return 0;
}

int do_errand(struct errand *e, struct buf *reply)
{
	const char *what = str_c(e->task->arena, e->what);

	if (is_loop(e, reply))
		return 0;
	if (e->kind == ERRAND_USER)
		return deliver_user(e, reply);
	if (e->destination == TO_FILE)
		return deliver_to_file(e, what, reply);
	deliver_to_command(e, what, reply);
	return 0;
}

/*
 * The reply is the owner's uid in a line, then the content; or "!" and an error. Both are of one
 * open file: commands and files in it are used with this owner's rights, so its name must not be
 * asked twice.
 */
int do_include(struct errand *e, struct buf *reply)
{
	char name[NAME_SIZE];
	AUTO(buf) text = BUF(INCLUDE_LIMIT);
	AUTO_FD dir = path_open_parent(str_c(e->task->arena, e->what), false, name);
	AUTO_FD fd = dir < 0 ? dir : file_open_read(dir, name);
	struct stat st;

	if (fd == -EBADF) {		/* see file_open_read() */
		buf_add_text(reply, "!not a regular file");
	} else if (fd < 0) {
		buf_addf(reply, "!%s", error_text(fd));
	} else if (fstat(fd, &st) < 0) {
		buf_addf(reply, "!%s", error_text(errno));
	} else if (st.st_mode & S_IWOTH) {
		buf_add_text(reply, "!file is world writable");
	} else if (file_read_opened(fd, &text) < 0) {
		buf_add_text(reply, "!file cannot be read or is too large");
	} else {
		buf_addf(reply, "%u\n", (unsigned) st.st_uid);
		buf_add(reply, buf_str(&text));
	}
	return 0;
}
