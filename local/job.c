/* SPDX-License-Identifier: ISC */
/*
 * Errands on their way: put into words in the agent, made out and done in a hand, and the answer
 * added to the task.
 */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/ipc/message.h"
#include "lib/mail/mail_address.h"
#include "local/reply.h"

enum { LOCK_SLACK_MS = 600000, FORWARD_TIME_MS = 3600000 };

/* ---- in the agent ---- */

bool ends_with_slash(const char *path)
{
	return *path != 0 && path[strlen(path) - 1] == '/';
}

const char *mailbox_path(struct arena *a, const struct account *who)
{
	const char *spool = the_local.conf.mail_spool_directory;

	if (*the_local.conf.home_mailbox != 0)
		return str_c(a, arena_fmt(a, "%.*s/%s", PSTR(who->home), the_local.conf.home_mailbox));
	return str_c(a, arena_fmt(a, "%s/%.*s%s", spool, PSTR(who->name), ends_with_slash(spool) ? "/" : ""));
}

/* Commands have all the time that they are allowed: nobody else should wait for that. */
static bool is_slow(const struct errand *e)
{
	if (e->kind == ERRAND_USER)
		return e->mailbox_command != NULL;
	return e->kind == ERRAND_DESTINATION && e->destination == TO_COMMAND;
}

/* The mbox file that it is about, as far as can be told from here. */
static struct str place_of(const struct errand *e)
{
	const char *path = "/";

	if (e->kind == ERRAND_USER)
		path = mailbox_path(e->task->arena, &e->rights.account);
	else if (e->kind == ERRAND_DESTINATION && e->destination == TO_FILE)
		path = str_c(e->task->arena, e->what);
	return ends_with_slash(path) ? STR_NONE : str_of(path);
}

static int put_into_words(const struct errand *e, struct buf *b)
{
	const struct task *t = e->task;
	const struct account *who = &e->rights.account;
	struct local_job m = {
		.kind = e->kind, .is_final = e->final, .forward_files = e->files, .has_transport = e->has_transport,
		.destination = e->destination, .what = e->what,
		.mailbox_command = str_of(e->mailbox_command == NULL ? "" : e->mailbox_command),
		.account_name = who->name, .home = who->home, .shell = who->shell,
		.address = t->address, .name = t->name, .user = t->user, .extension = t->extension, .domain = t->domain,
		.sender = t->sender, .original = t->original,
		.delivered = t->delivered,
	};
	struct frame_out out;

	return put_local_job(b, 0, &m, &out);
}

int run_job(struct errand *e, struct str *ret_reply)
{
	struct task *t = e->task;
	AUTO(buf) words = BUF(FRAME_LIMIT);
	struct hand_order order = {
		.as = { .uid = e->rights.uid, .gid = e->rights.gid, .spool_gid = e->kind == ERRAND_USER
			? spool_group() : (gid_t) NO_GROUP,
			.multiplexes = e->kind == ERRAND_FORWARD },
		.whom = e->kind == ERRAND_USER ? e->rights.account.name : t->r->address,
		.most_alone = the_local.most_slow,
		.d = e->kind == ERRAND_INCLUDE ? NULL : t->d, .r = t->r, .place = place_of(e),
		.alone = is_slow(e),
		.time_limit_ms = e->kind == ERRAND_FORWARD
				 ? FORWARD_TIME_MS : the_local.conf.command_time_limit * 10 + LOCK_SLACK_MS,
	};
	int r = put_into_words(e, &words);

	if (r < 0)
		return r;
	order.what = buf_str(&words);
	hands_send(&order, t->arena);
	r = hands_wait(&order);
	*ret_reply = order.reply;
	return r;
}

enum errand_wish run_errand(struct errand *e)
{
	struct task *t = e->task;
	struct str reply;
	int r = run_job(e, &reply);

	FAILPOINT("local.errand");
	if (r >= 0)
		r = reply_read(t, reply);
	if (r == -EPERM)
		add_result(t, MAILBOX_DEFERRED, "4.3.5", "cannot become uid %u", (unsigned) e->rights.uid);
	else if (r < 0)
		add_result(t, MAILBOX_DEFERRED, "4.3.0", "delivery process failed: %s",
			   r == -ECHILD ? "it died" : error_text(r));
	return (enum errand_wish) MAX(r, (int) NO_WISH);
}

/* ---- in the hand ---- */

static int make_out(struct hand_job *j, struct errand *ret)
{
	struct local_job m;
	struct frame f;
	struct task *t = ARENA_NEW(j->arena, struct task);

	if (frame_split(j->what, &f) <= 0 || get_local_job(&f, &m, NULL) < 0)
		return -EBADMSG;
	if (j->d == NULL && m.kind != ERRAND_INCLUDE)
		return -EBADMSG;
	*t = (struct task) {
		.d = j->d, .r = j->d == NULL ? NULL : j->d->env.recipients, .arena = j->arena,
		.address = m.address, .name = m.name, .user = m.user,
		.extension = m.extension, .domain = m.domain, .sender = m.sender, .original = m.original,
		.delivered = m.delivered,
		.result = { .text = BUF_WORDS },
	};
	*ret = (struct errand) {
		.kind = (enum errand_kind) m.kind, .task = t, .final = m.is_final,
		.files = (enum forward_files) m.forward_files,
		.has_transport = m.has_transport,
		.destination = (enum destination_kind) m.destination, .what = m.what, .job = j,
		.mailbox_command = m.mailbox_command.len > 0 ? str_c(j->arena, m.mailbox_command) : NULL,
		.rights = { .uid = getuid(), .gid = getgid(),
			    .account = { .uid = getuid(), .gid = getgid(), .name = m.account_name,
					 .home = m.home, .shell = m.shell } },
	};
	return 0;
}

static int run(struct hand_job *j)
{
	struct errand *e = j->state = ARENA_NEW(j->arena, struct errand);
	int r = make_out(j, e);

	if (r < 0)
		return r;
	switch (e->kind) {
	case ERRAND_INCLUDE:
		return do_include(e, &j->reply);
	case ERRAND_FORWARD:
		return do_forward(e, &j->reply);
	default:
		return do_errand(e, &j->reply);
	}
}

static void finish(struct hand_job *j)
{
	struct errand *e = j->state;

	if (e->late == NULL)
		return;
	if (e->late_file != NULL && e->late->status == MAILBOX_SENT)
		name_file(e->late, e->late_file);
	else if (e->late_file == NULL)
		announce_new_mail(e, e->late);
	reply_result(&j->reply, e->late);
	buf_free(&e->late->text);
}

const struct trade local_trade = { .run = run, .finish = finish };
