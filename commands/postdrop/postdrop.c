/* SPDX-License-Identifier: ISC */
/*
 * postdrop(1): writes a local user's message into maildrop/. It is installed setgid, so that nobody
 * else can enter that directory, and must therefore expect the worst of its caller: command_start()
 * puts process and environment in order, and what comes in on standard input
 * (lib/peers/submission.h) is rebuilt from the few fields that a user may decide about. It exits
 * with 0 only when the message is durable. It needs no running mail system; if there is one, pickup
 * is woken.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <unistd.h>

#include "commands/postdrop/allowed.h"
#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/conf/params/submit.h"
#include "lib/daemon/daemon.h"
#include "lib/peers/submission.h"
#include "lib/peers/trigger.h"
#include "lib/queue/queue.h"

enum { MOST_MEMORY = 256 << 20 };

struct drop {
	struct command_world world;
	struct submit_conf conf;
	struct queue *queue;
	struct arena *arena;
	char id[32];
};

/* Words that both the user and the administrator see. */
static __attribute__((noreturn)) void refuse(int status, const char *words)
{
	die(status, "uid=%ld: %s", (long) getuid(), words);
}

static int status_of(int error)
{
	switch (error) {
	case -EFBIG: return EX_DATAERR;
	case -EACCES:
	case -EPERM: return EX_NOPERM;
	default: return EX_TEMPFAIL;
	}
}

/* Empty: an account without a name. */
static struct str login_name(struct drop *d)
{
	struct account account = { .name = STR_NONE };

	if (account_by_uid(d->arena, getuid(), &account) < 0)
		refuse(EX_TEMPFAIL, "the account database cannot be read");
	return account.name;
}

static void insist_on(int answer, const struct buf *why, const char *refusal)
{
	if (answer < 0)
		die(EX_CONFIG, "%s", buf_text(why));
	if (answer == 0)
		refuse(EX_NOPERM, refusal);
}

static void insist_on_authorized(struct drop *d)
{
	const char *list = d->conf.authorized_submit_users;
	AUTO(buf) why = BUF_WORDS;

	if (getuid() != 0 && strcmp(list, "static:anyone") != 0)
		insist_on(may_submit(d->arena, list, login_name(d), &why), &why,
			  "this account is not allowed to submit mail");
}

static void insist_on_sender(struct drop *d, struct str sender)
{
	const struct sender_rules rules = { .maps = d->conf.local_login_sender_maps,
					    .null_pattern = d->conf.empty_address_local_login_sender_maps_lookup_key,
					    .delimiter = str_of(d->world.common.recipient_delimiter) };
	AUTO(buf) why = BUF_WORDS;
	struct str login;

	if (strcmp(rules.maps, "static:*") == 0)
		return;
	login = login_name(d);
	if (login.len == 0)
		login = arena_fmt(d->arena, "uid:%ld", (long) getuid());
	insist_on(may_send_as(d->arena, &rules, login, sender, &why), &why,
		  arena_fmt(d->arena, "this account may not send mail as <%.*s>", PSTR(sender)).at);
}

static void open_queue(struct drop *d)
{
	const char *dir = d->world.common.queue_directory;
	AUTO(buf) why = BUF_WORDS;
	AUTO_FD fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0 || fchdir(fd) < 0)
		die(EX_TEMPFAIL, "queue_directory %s: %s", dir, error_text(errno));
	r = queue_open(fd, (int) d->world.common.hash_queue_depth, 1u << QUEUE_MAILDROP, &d->queue, &why);
	if (r < 0)
		die(status_of(r), "%s", buf_text(&why));
}

/* What the user may say about his message, and no more. */
static void rebuild_envelope(struct drop *d, const struct envelope *theirs, struct envelope *ret)
{
	*ret = (struct envelope){
		.sender = theirs->sender, .arrival_us = wall_us(),
		.flags = theirs->flags & SUBMISSION_FLAGS,
		.ret = theirs->ret, .notify = theirs->notify, .envid = theirs->envid,
		.full_name = theirs->full_name, .uid = getuid(),
		.recipient_count = theirs->recipient_count,
		.verp = theirs->verp.len == 2 ? theirs->verp : STR_NONE,
	};
	ret->recipients = arena_get(d->arena, (theirs->recipient_count + 1) * sizeof(*ret->recipients));
	for (size_t i = 0; i < theirs->recipient_count; i++) {
		const struct recipient *r = &theirs->recipients[i];

		if (r->address.len == 0)
			refuse(EX_DATAERR, "empty recipient address");
		ret->recipients[i] = (struct recipient){ .index = (uint32_t) i, .address = r->address,
							 .notify = r->notify, .orcpt = r->orcpt };
	}
	if (ret->recipient_count == 0 && (ret->flags & ENVELOPE_EXTRACT) == 0)
		refuse(EX_DATAERR, "no recipients specified");
}

static void read_envelope(struct drop *d, struct input *in, struct envelope *ret)
{
	AUTO(buf) why = BUF_WORDS;
	struct envelope theirs;
	struct str packed;

	if (submission_read_envelope(in, d->arena, &packed, &why) < 0)
		refuse(EX_DATAERR, buf_text(&why));
	if (envelope_unpack(packed, d->arena, &theirs) < 0 || !submission_is_bounded(&theirs))
		refuse(EX_DATAERR, "the envelope is malformed");
	insist_on_sender(d, theirs.sender);
	rebuild_envelope(d, &theirs, ret);
}

static struct queue_writer *writer;

/* However the process ends, a message that was not committed leaves no file. */
static __attribute__((noreturn, format(printf, 2, 3))) void give_up(int status, const char *format, ...)
{
	AUTO(buf) words = BUF_WORDS;
	va_list arguments;

	va_start(arguments, format);
	buf_addv(&words, format, arguments);
	va_end(arguments);
	queue_writer_free(writer);
	refuse(status, buf_text(&words));
}

static void give_up_errno(const struct drop *d, int error)
{
	give_up(status_of(error), "cannot write maildrop/%s: %s", d->id, error_text(error));
}

static void copy_content(struct drop *d, struct input *in)
{
	const uint64_t limit = (uint64_t) d->world.common.message_size_limit;
	struct str piece;
	size_t left = 0;
	int r, w;

	while ((r = submission_read_piece(in, &left, &piece)) > 0) {
		if (limit > 0 && queue_written(writer) + piece.len > limit)
			give_up(EX_DATAERR, "message file too big: more than message_size_limit (%" PRIu64 ") bytes",
				limit);
		w = queue_write_body(writer, piece);
		if (w < 0)
			give_up_errno(d, w);
	}
	if (r < 0)
		give_up(EX_DATAERR, "the message on standard input %s: nothing is queued",
			r == -EPIPE ? "ends before its end" : "is malformed");
}

/* The whole message is the file's body: where its headers end, cleanup decides. */
static void drop_message(struct drop *d, struct input *in)
{
	AUTO(buf) packed = BUF(SUBMISSION_MOST_ENVELOPE);
	struct queue_parts parts;
	struct envelope e;
	int r;

	read_envelope(d, in, &e);
	queue_id_new(d->id);
	r = envelope_pack(&e, &packed);
	if (r < 0)
		refuse(EX_DATAERR, "the envelope is malformed");
	r = queue_create(d->queue, QUEUE_MAILDROP, str_of(d->id), &writer);
	if (r < 0)
		give_up_errno(d, r);
	copy_content(d, in);
	FAILPOINT("postdrop.before_commit");
	r = queue_commit(writer, &e, buf_str(&packed), STR_NONE, &parts, NULL);
	if (r < 0)
		give_up_errno(d, r);
	FAILPOINT("postdrop.committed");
	queue_writer_free(writer);
}

int main(int argc, char **argv)
{
	static struct drop d;
	const char *dir = NULL;
	struct input in;
	int option;

	while ((option = getopt(argc, argv, "c:rv")) != -1) {
		if (option == 'c')
			dir = optarg;
		else if (option == '?')
			die(EX_USAGE, "usage: postdrop [-c config_dir] [-r] [-v]");
	}
	d.arena = arena_new("postdrop", NULL, MOST_MEMORY);
	command_start("postdrop", dir, (const struct param_group *const[]){ &submit_group, NULL },
		      (void *const[]){ &d.conf }, &d.world);
	insist_on_authorized(&d);
	open_queue(&d);
	input_begin(&in, STDIN_FILENO);
	drop_message(&d, &in);
	input_free(&in);
	queue_close(d.queue);
	trigger("public/pickup");	/* nobody there: the message waits */
	printf("%s\n", d.id);
	fflush(stdout);
	return EX_OK;			/* the message is queued, whether anybody still listens or not */
}
