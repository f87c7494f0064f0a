/* SPDX-License-Identifier: ISC */
/*
 * A hand: the process that has become a user. Reads what errands are there, does them one after the
 * other, syncs what they wrote together, and answers them together. It ends when the agent closes
 * its socket.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "lib/agent/hands_private.h"
#include "lib/agent/request.h"
#include "lib/base/die.h"
#include "lib/ipc/channel.h"

enum { SOCKET_FD = 3, REPLY_LIMIT = 8 << 20 };

static const struct trade *the_trade;
static gid_t own_gid, spool_gid = (gid_t) NO_GROUP;

int hand_socket(void)
{
	return SOCKET_FD;
}

bool hand_is_heard(void)
{
	struct pollfd p = { .fd = SOCKET_FD, .events = POLLRDHUP };

	return poll(&p, 1, 0) <= 0;
}

int hand_use_spool_group(bool on)
{
	if (spool_gid == (gid_t) NO_GROUP)
		return 0;
	return setegid(on ? spool_gid : own_gid) < 0 ? -errno : 0;
}

int hand_forget_spool_group(void)
{
	if (spool_gid == (gid_t) NO_GROUP)
		return 0;
	return setresgid(own_gid, own_gid, own_gid) < 0 ? -errno : 0;
}

/* ---- becoming it ---- */

static int become(const struct identity *as)
{
	own_gid = as->gid;
	if (the_trade->chroot != NULL && (chroot(the_trade->chroot) < 0 || chdir("/") < 0))
		return -errno;
	if (as->spool_gid == (gid_t) NO_GROUP || as->spool_gid == as->gid || geteuid() != 0)
		return become_user(as->uid, as->gid);
	spool_gid = as->spool_gid;
	return become_user_of_spool(as->uid, as->gid, as->spool_gid);
}

static void reset_signals(void)
{
	static const int signals[] = { SIGHUP, SIGTERM, SIGINT, SIGCHLD };
	sigset_t none;

	for (size_t i = 0; i < COUNT_OF(signals); i++)
		sigaction(signals[i], &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
	sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	sigaction(SIGXFSZ, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* ---- errands ---- */

struct batch {
	struct channel *ch;
	struct mailbox_batch *writes;
	struct hand_job *at[MOST_AT_ONCE];
	size_t count;
};

static struct hand_job *new_errand(uint32_t number, const struct hand_errand *m)
{
	struct arena *a = arena_new("errand", NULL, (size_t) 256 << 20);
	struct hand_job *e = ARENA_NEW(a, struct hand_job);

	*e = (struct hand_job) { .arena = a, .what = arena_copy(a, m->what), .alone = m->alone != 0,
				 .number = number,
			       .reply = BUF(REPLY_LIMIT) };
	return e;
}

static void free_errand(struct hand_job *e)
{
	if (e->d != NULL) {
		fd_auto(&e->d->content.file);
		buf_free(&e->d->line);
	}
	buf_free(&e->reply);
	arena_free(e->arena);
}

static int take_message(struct channel *ch, struct hand_job *e)
{
	struct deliver_request m;
	struct frame f;
	int r = channel_receive(ch, &f, NEVER);

	if (r > 0)
		r = get_deliver_request(&f, &m, NULL);
	else if (r == 0)
		r = -EPIPE;
	if (r < 0)
		return r;
	e->d = ARENA_NEW(e->arena, struct delivery);
	e->d->content.file = -1;
	r = request_open(&m, e->arena, e->d);
	if (r < 0 && m.message >= 0)
		close(m.message);
	frame_close(&f);
	return r < 0 || e->d->env.recipient_count == 0 ? -EBADMSG : 0;
}

/* 1 one more, 0 the agent needs nothing more, -errno. */
static int take_errand(struct batch *b)
{
	struct hand_errand m;
	struct hand_job *e;
	struct frame f;
	int r = channel_receive(b->ch, &f, NEVER);

	if (r <= 0)
		return r;
	r = get_hand_errand(&f, &m, NULL);
	if (r < 0)
		return r;
	e = new_errand(f.call, &m);
	frame_close(&f);
	if (m.has_message && (r = take_message(b->ch, e)) < 0) {
		free_errand(e);
		return r;
	}
	b->at[b->count++] = e;
	return 1;
}

static void answer(struct batch *b, const struct hand_job *e, int code, bool is_last)
{
	struct hand_result m = { .code = (uint64_t) -code, .text = buf_str(&e->reply) };
	struct frame_out out;

	/* All answers of a batch leave together, with the last. */
	if (put_hand_result(channel_buf(b->ch), e->number, &m, &out) >= 0 && is_last)
		channel_send(b->ch, &out);
}

static void do_batch(struct batch *b)
{
	int code[MOST_AT_ONCE];

	for (size_t i = 0; i < b->count; i++) {
		b->at[i]->batch = b->at[i]->alone ? NULL : b->writes;
		code[i] = the_trade->run(b->at[i]);
	}
	hand_use_spool_group(true);	/* lock files there have to go */
	mailbox_settle(b->writes);
	hand_use_spool_group(false);
	for (size_t i = 0; i < b->count; i++) {
		if (code[i] >= 0 && the_trade->finish != NULL)
			the_trade->finish(b->at[i]);
		answer(b, b->at[i], MIN(code[i], 0), i + 1 == b->count);
		free_errand(b->at[i]);
	}
	b->count = 0;
}

/* What is there, up to a batch; an errand that is alone is one. */
static int take_batch(struct batch *b)
{
	int r = take_errand(b);

	while (r > 0 && b->count < MOST_AT_ONCE && !b->at[b->count - 1]->alone && channel_has_input(b->ch))
		r = take_errand(b);
	return r;
}

/* ---- many, each in a coroutine ---- */

struct one_of_many {
	struct channel *ch;
	struct hand_job *job;
};

static void do_one(void *arg)
{
	struct one_of_many one = *(struct one_of_many *) arg;
	struct batch alone = { .ch = one.ch };
	int code = the_trade->run(one.job);

	if (code >= 0 && the_trade->finish != NULL)
		the_trade->finish(one.job);
	answer(&alone, one.job, MIN(code, 0), true);
	free_errand(one.job);
}

static void do_many(void *arg)
{
	struct batch b = { .ch = arg };
	struct scope *scope = scope_open("errands");

	while (take_errand(&b) > 0) {
		struct one_of_many *one = ARENA_NEW(b.at[0]->arena, struct one_of_many);

		*one = (struct one_of_many) { b.ch, b.at[0] };
		b.count = 0;
		if (scope_start(scope, "errand", do_one, one) < 0)
			do_one(one);
	}
	scope_wait(scope, NEVER);
	_exit(0);
}

/* ---- its life ---- */

static void say_nothing(const char *line)
{
	(void) line;
}

static int settle_in(int socket)
{
	if (dup3(socket, SOCKET_FD, O_CLOEXEC) < 0 && errno != EINVAL)
		return -errno;
	return close_range(SOCKET_FD + 1, ~0U, 0) < 0 ? -errno : 0;
}

/* Number 0 is no errand's: none can be done. */
static void refuse(struct batch *b, int error)
{
	struct hand_job nothing = { .number = 0 };

	answer(b, &nothing, error, true);
}

void hand_live(const struct trade *t, const struct identity *as, int socket)
{
	struct batch b = { .writes = mailbox_batch_new() };
	int r;

	the_trade = t;
	/*
	 * What die() and BUG() say here goes to the agent's ears only through the end of the
	 * socket: the log is not ours.
	 */
	die_set_sink(say_nothing);
	reset_signals();
	setpgid(0, 0);
	if (settle_in(socket) < 0)
		_exit(EX_OSERR);
	b.ch = channel_new(SOCKET_FD);
	r = become(as);
	if (r < 0) {
		refuse(&b, r == -EINVAL ? -EPERM : r);
		_exit(EX_NOPERM);
	}
	if (as->multiplexes)
		loop_run(do_many, b.ch);
	do {
		r = take_batch(&b);
		if (b.count > 0 && hand_is_heard())	/* else whoever gave them will have them done anew */
			do_batch(&b);
	} while (r > 0 && b.count == 0);
	_exit(0);
}
