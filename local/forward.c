/* SPDX-License-Identifier: ISC */
/*
 * New messages to the addresses of an alias or a .forward file, made by a hand that is the mail owner: it
 * reads the message, the agent does not.
 */
#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/failpoint.h"
#include "lib/mail/mail_address.h"
#include "lib/peers/cleanup.h"
#include "local/reply.h"

enum { FORWARD_TIME_MS = 1800000 };

/*
 * Success is told by us, as "expanded"; the rest as asked for. Nothing left of it means never (RFC 3461
 * 5.2.7), not "as usual".
 */
static unsigned notify_of(const struct task *t)
{
	unsigned rest = t->r->notify & ~(unsigned) NOTIFY_SUCCESS;

	return rest == 0 && t->r->notify != 0 ? NOTIFY_NEVER : rest;
}

static void make_envelope(struct task *t, struct envelope *e)
{
	const struct envelope *old = &t->d->env;
	bool same_sender = str_is(t->sender, old->sender);

	*e = (struct envelope) {
		.sender = t->sender,
		.arrival_us = wall_us(),
		.flags = old->flags & (ENVELOPE_8BITMIME | ENVELOPE_SMTPUTF8 | ENVELOPE_NOTICE
				       | ENVELOPE_REQUIRETLS),
		/* who sent it is who sent it: commands may ask */
		.client_name = old->client_name, .client_address = old->client_address,
		.client_port = old->client_port, .client_helo = old->client_helo,
		.client_protocol = old->client_protocol, .sasl_method = old->sasl_method,
		.sasl_username = old->sasl_username, .sasl_sender = old->sasl_sender,
		.recipient_count = t->forward.len,
		.recipients = arena_get(t->arena, t->forward.len * sizeof(struct recipient)),
	};
	if (same_sender) {		/* a list's owner wants no reports that the sender asked for */
		e->ret = old->ret;
		e->envid = old->envid;
	}
	for (size_t i = 0; i < t->forward.len; i++)
		e->recipients[i] = (struct recipient) {
			.index = (uint32_t) i,
			.address = t->forward.at[i],
			.original = same_sender ? t->original : STR_NONE,
			.notify = same_sender ? notify_of(t) : 0,
			.orcpt = same_sender ? t->r->orcpt : STR_NONE,
		};
}

static int write_piece(void *arg, struct str bytes)
{
	mail_out_write(arg, bytes, in(FORWARD_TIME_MS));
	return 0;
}

static void submit(struct task *t, const struct letter *l, bool final, struct mailbox_result *ret)
{
	const unsigned maps = final ? CLEANUP_NO_MAPPINGS : 0;
	bool marked = str_lists(str_of(the_local.conf.prepend_delivered_header), STR("forward"));
	struct mail_verdict verdict;
	struct mail_out *out;
	struct envelope e;
	char id[32];
	int r;

	make_envelope(t, &e);
	queue_id_new(id);
	e.queue_id = str_of(id);
	out = mail_out_begin(t->arena, "local",
			     CLEANUP_ADD_RECEIVED | CLEANUP_NO_CHECKS | CLEANUP_NO_BCC | CLEANUP_ANY_SIZE | maps, &e);
	r = letter_copy(l, marked ? LETTER_DELIVERED_TO : 0, write_piece, out);
	if (r < 0) {
		mail_out_abort(out);
		mailbox_say_error(ret, r, "cannot read message");
		return;
	}
	FAILPOINT("local.forward.before_end");
	mail_out_end(out, &verdict, in(FORWARD_TIME_MS));
	FAILPOINT("local.forward.queued");
	if (verdict.code == 250)
		mailbox_say(ret, MAILBOX_SENT, "2.0.0", "forwarded as %s", id);
	else
		mailbox_say(ret, verdict.code >= 500 ? MAILBOX_BOUNCED : MAILBOX_DEFERRED,
			    str_c(t->arena, verdict.dsn),
			    "cannot forward: %.*s", PSTR(verdict.text));
}

int do_forward(struct errand *e, struct buf *reply)
{
	struct task *t = e->task;
	struct mailbox_result result = { .text = BUF_WORDS };
	struct letter l = letter_of(t);
	int looped = letter_was_delivered_to(&l, t->delivered);
	struct str rest = e->what, address;

	while (rest.len > 0 && str_cut(&rest, '\n', &address))
		*vec_add(t->arena, &t->forward) = address;
	if (looped > 0)
		mailbox_say(&result, MAILBOX_BOUNCED, "5.4.6", "mail forwarding loop for %.*s",
			    PSTR(t->delivered));
	else if (looped < 0)
		mailbox_say_error(&result, looped, "cannot read message");
	else
		submit(t, &l, e->final, &result);
	reply_result(reply, &result);
	buf_free(&result.text);
	return 0;
}

static void forward(struct task *t, const struct str *to, size_t count, bool final)
{
	struct errand e = { .kind = ERRAND_FORWARD, .task = t, .final = final,
			    .rights = { .uid = the_local.mail_uid, .gid = the_local.mail_gid } };
	AUTO(buf) addresses = BUF(FRAME_LIMIT / 2);
	struct str reply;
	int r = 0;

	for (size_t i = 0; i < count && r >= 0; i++) {
		r = buf_add(&addresses, to[i]);
		if (r >= 0)
			r = buf_add_byte(&addresses, '\n');
	}
	e.what = buf_str(&addresses);
	if (r >= 0)
		r = run_job(&e, &reply);
	if (r >= 0)
		r = reply_read(t, reply);
	if (r < 0)
		add_result(t, MAILBOX_DEFERRED, "4.3.0", "cannot forward: internal error");
}

/*
 * First what a map may keep from its way: the names should not get the mail again at every further
 * attempt.
 */
void forward_all(struct task *t)
{
	if (t->forward.len > 0)
		forward(t, t->forward.at, t->forward.len, false);
	if (t->names.len > 0 && (!t->has_result || t->result.status != MAILBOX_DEFERRED))
		forward(t, t->names.at, t->names.len, true);
}
