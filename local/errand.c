/* SPDX-License-Identifier: ISC */
/*
 * What is done as another user. Everything but run_errand() runs in the child, which has that user's rights
 * and no others.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/disk/disk.h"
#include "lib/mail/mail_address.h"
#include "lib/mailbox/path.h"
#include "local/expand.h"
#include "local/reply.h"

enum { MBOX_FORM = LETTER_FROM | LETTER_QUOTE_FROM | LETTER_EMPTY_LINE };
enum { FORWARD_FILE_LIMIT = 1 << 20, REPLY_MOST = 8 << 20, LOCK_SLACK_MS = 600000 };

static unsigned delivered_header(const char *kind)
{
	unsigned others = LETTER_HEADERS & ~LETTER_DELIVERED_TO;

	return list_has(the_local.conf.prepend_delivered_header, kind) ? LETTER_HEADERS : others;
}

static bool ends_with_slash(const char *path)
{
	return *path != 0 && path[strlen(path) - 1] == '/';
}

static void write_mailbox(struct errand *e, const char *path, const struct mailbox_rules *rules,
			  struct mailbox_result *ret)
{
	struct letter l = letter_of(e->task);

	if (ends_with_slash(path))
		maildir_add(&l, path, rules, ret);
	else
		mbox_append(&l, path, MBOX_FORM | delivered_header("file"), rules, ret);
}

static void deliver_to_file(struct errand *e, const char *path, struct buf *reply)
{
	struct mailbox_result result = { .text = BUF_WORDS };
	struct mailbox_rules rules = the_local.rules;

	rules.strict_owner = false;
	write_mailbox(e, path, &rules, &result);
	if (result.status == MAILBOX_SENT)
		mailbox_say(&result, MAILBOX_SENT, "2.0.0", "delivered to file: %s", path);
	reply_result(reply, &result);
}

static void deliver_to_command(struct errand *e, const char *command, struct buf *reply)
{
	struct mailbox_result result = { .text = BUF_WORDS };

	run_command(e, command, &result);
	reply_result(reply, &result);
}

/* ---- the mailbox ---- */

static const char *mailbox_path(const struct errand *e)
{
	struct arena *a = e->task->arena;
	const struct account *who = &e->rights.account;

	if (e->home_mailbox != NULL)
		return str_c(a, arena_fmt(a, "%.*s/%s", PSTR(who->home), e->home_mailbox));
	return str_c(a, arena_fmt(a, "%s/%.*s%s", e->spool, PSTR(who->name),
				  ends_with_slash(e->spool) ? "/" : ""));
}

static void deliver_to_mailbox(struct errand *e, struct buf *reply)
{
	struct mailbox_result result = { .text = BUF_WORDS };
	const char *path;

	if (e->has_transport) {
		reply_transport(reply);
		return;
	}
	if (e->mailbox_command != NULL) {
		deliver_to_command(e, e->mailbox_command, reply);
		return;
	}
	path = mailbox_path(e);
	if (e->home_mailbox == NULL)
		child_use_spool_group(true);
	write_mailbox(e, path, &the_local.rules, &result);
	if (e->home_mailbox == NULL)
		child_use_spool_group(false);
	reply_result(reply, &result);
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
		return is_absence(r) ? 0 : r;
	}
	if (fstat(fd, &st) < 0)
		return -errno;
	unsafe = is_unsafe(&st);
	if (unsafe != NULL) {
		reply_warning(reply, "%s %s: ignored", path, unsafe);
		return 0;
	}
	r = file_read_whole(dir, name, ret_text);
	return r < 0 ? r : 1;
}

/* The first file of forward_path that is there. */
static int find_forward(struct errand *e, struct buf *ret_text, struct buf *reply)
{
	struct str rest = str_of(the_local.conf.forward_path), one;
	int r = 0;

	while (r == 0 && str_token_braced(&rest, ", \t\r\n", &one) > 0) {
		AUTO(buf) path = BUF(PATH_MAX);

		if (expand_names(e->task, &e->rights.account, one, the_local.conf.forward_expansion_filter,
				 &path) < 0)
			reply_warning(reply, "forward_path: cannot use %.*s", PSTR(one));
		else if (path.len > 0 && path.at[0] == '/')
			r = read_forward_file(buf_text(&path), ret_text, reply);
	}
	return r;
}

struct forwarding {
	struct errand *e;
	struct buf *reply;
	const char *where;		/* "forward", "include" */
	bool *to_mailbox;		/* the user himself is on the list */
	int depth;
	size_t *count;
};

static void take_list(struct forwarding *f, struct str text, const char *name);

static bool is_self(const struct errand *e, struct str address)
{
	const struct task *t = e->task;
	struct str local, domain, user, extension;

	if (address_split(address, &local, &domain) && !str_is_nocase(domain, t->domain)
	    && !str_is_nocase(domain, str_of(the_world->common->myhostname)))
		return false;
	local_part_split_at(local, the_local.delimiter, the_local.route.owner_request_special, &user,
			    &extension);
	return str_is_nocase(user, e->rights.account.name) || str_is_nocase(local, e->rights.account.name);
}

static void refuse(struct forwarding *f, const char *what)
{
	struct mailbox_result result = { .text = BUF_WORDS };

	mailbox_say(&result, MAILBOX_BOUNCED, "5.7.1", "mail to %s is restricted", what);
	reply_result(f->reply, &result);
}

static void put_off(struct forwarding *f, const char *path, const char *reason)
{
	struct mailbox_result result = { .text = BUF_WORDS };

	mailbox_say(&result, MAILBOX_DEFERRED, "4.2.0", "cannot use %s: %s", path, reason);
	reply_result(f->reply, &result);
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

	switch (to->kind) {
	case TO_COMMAND:
		if (list_has(the_local.conf.allow_mail_to_commands, f->where))
			deliver_to_command(f->e, str_c(a, to->what), f->reply);
		else
			refuse(f, "command");
		return;
	case TO_FILE:
		if (list_has(the_local.conf.allow_mail_to_files, f->where))
			deliver_to_file(f->e, str_c(a, to->what), f->reply);
		else
			refuse(f, "file");
		return;
	case TO_INCLUDE:
		take_include(f, str_c(a, to->what));
		return;
	default:
		if (is_self(f->e, to->what))
			*f->to_mailbox = true;
		else
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
	for (size_t i = 0; i < list.count && *f->count <= MOST_DESTINATIONS; i++)
		take_item(f, &list.at[i]);
	if (*f->count > MOST_DESTINATIONS)
		put_off(f, name, "too many destinations");
}

/* True when a .forward file has dealt with the mail. */
static bool follow_forward(struct errand *e, struct buf *reply)
{
	bool to_mailbox = false;
	size_t count = 0, before;
	struct forwarding f = { .e = e, .reply = reply, .where = "forward", .to_mailbox = &to_mailbox,
				.count = &count };
	AUTO(buf) text = BUF(FORWARD_FILE_LIMIT);
	int r = find_forward(e, &text, reply);

	if (r < 0)
		put_off(&f, ".forward file", error_text(r));
	if (r <= 0)
		return r < 0;
	before = reply->len;
	take_list(&f, arena_copy(e->task->arena, buf_str(&text)), ".forward file");
	if (to_mailbox)
		deliver_to_mailbox(e, reply);
	return reply->len > before;		/* nothing: an empty file */
}

/* ---- the child ---- */

static bool has_home(const struct errand *e)
{
	struct stat st;

	return stat(str_c(e->task->arena, e->rights.account.home), &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_loop(struct errand *e, struct buf *reply)
{
	struct mailbox_result result = { .text = BUF_WORDS };
	struct letter l = letter_of(e->task);
	int looped = letter_was_delivered_to(&l, e->task->r->address);

	if (looped == 0)
		return false;
	if (looped > 0)
		mailbox_say(&result, MAILBOX_BOUNCED, "5.4.6", "mail forwarding loop for %.*s",
			    PSTR(e->task->r->address));
	else
		mailbox_say_error(&result, looped, "cannot read message");
	reply_result(reply, &result);
	return true;
}

static void errand_in_child(void *arg, struct buf *reply)
{
	struct errand *e = arg;
	struct mailbox_result result = { .text = BUF_WORDS };

	if (is_loop(e, reply))
		return;
	if (!e->is_user && e->kind == TO_COMMAND) {
		deliver_to_command(e, str_c(e->task->arena, e->what), reply);
	} else if (!e->is_user) {
		deliver_to_file(e, str_c(e->task->arena, e->what), reply);
	} else if (the_local.conf.require_home_directory && !has_home(e)) {
		mailbox_say(&result, MAILBOX_DEFERRED, "4.2.0", "home directory is not there");
		reply_result(reply, &result);
	} else if (e->final || !follow_forward(e, reply)) {
		deliver_to_mailbox(e, reply);
	}
}

int run_errand(struct errand *e)
{
	struct task *t = e->task;
	struct child_work work = { .uid = e->rights.uid, .gid = e->rights.gid,
				   .spool_gid = errand_spool_group(e), .run = errand_in_child,
				   .arg = e, .keep_fd = &t->d->message,
				   .time_limit_ms = the_local.conf.command_time_limit * 10 + LOCK_SLACK_MS };
	AUTO(buf) reply = BUF(REPLY_MOST);
	int r = child_run(&work, &reply);

	FAILPOINT("local.errand");
	if (r >= 0)
		r = reply_read(t, buf_str(&reply));
	if (r == -EPERM)
		add_result(t, MAILBOX_DEFERRED, "4.3.5", "cannot become uid %u", (unsigned) e->rights.uid);
	else if (r < 0)
		add_result(t, MAILBOX_DEFERRED, "4.3.0", "delivery process failed: %s",
			   r == -ECHILD ? "it died" : error_text(r));
	return r > 0;
}
