/* SPDX-License-Identifier: ISC */
#include "smtpd/content.h"

#include "lib/base/failpoint.h"
#include "lib/log/log.h"
#include "lib/mail/dsn.h"
#include "smtpd/smtpd.h"
#include "smtpd/transaction.h"

static when_t cleanup_patience(void)
{
	return in(the_smtpd->common->ipc_timeout);
}

bool content_allowed(struct session *s, struct verdict *ret)
{
	*ret = restrict_now(s, STAGE_DATA);
	return ret->act != REJECT;
}

/*
 * The recipients with what REDIRECT and BCC made of them: the one replaces them all, the other's
 * among them, which never hear of the delivery. Restrictions go on to see those that the client named.
 */
static void make_envelope_recipients(struct transaction *tx)
{
	const struct effects *fx = &tx->effects;
	size_t count = fx->redirect.len > 0 ? 1 : tx->recipients.len;
	size_t copies = fx->redirect.len > 0 ? 0 : fx->bcc.len;
	struct recipient *to = tx->recipients.at;

	if (fx->redirect.len > 0 || copies > 0) {
		to = arena_get(tx->arena, (count + copies) * sizeof(*to));
		memcpy(to, tx->recipients.at, count * sizeof(*to));
	}
	if (fx->redirect.len > 0) {		/* log and DSNs say for whom it was meant */
		to[0].original = to[0].original.len > 0 ? to[0].original : to[0].address;
		to[0].address = fx->redirect;
	}
	for (size_t i = 0; i < copies; i++, count++)
		to[count] = (struct recipient){ .index = (uint32_t) count, .address = fx->bcc.at[i],
						.original = STR_NONE, .notify = NOTIFY_NEVER,
						.orcpt = STR_NONE };
	tx->envelope.recipients = to;
	tx->envelope.recipient_count = count;
}

/* Applied anew when the end of data brings more of them. */
static void apply_effects(struct transaction *tx)
{
	make_envelope_recipients(tx);
	tx->envelope.filter_transport = tx->effects.filter.len > 0 ? tx->effects.filter
					: the_smtpd->receive.filter;
	tx->envelope.queue_id = str_of(tx->queue_id);
}

void content_begin(struct session *s, bool dots)
{
	struct transaction *tx = s->tx;
	unsigned flags = tx->effects.cleanup_flags | CLEANUP_ADD_RECEIVED | (s->is_local
			? 0 : CLEANUP_EXTERNAL) | the_smtpd->receive.cleanup_flags;

	apply_effects(tx);
	if (the_smtpd->conf.smtpd_sasl_authenticated_header)
		flags |= CLEANUP_SHOW_LOGIN;
	if (tx->effects.prepend.len > 0)
		flags |= CLEANUP_PREPENDED;
	tx->content = CONTENT_COMING;
	dot_in_begin(&tx->decoder, dots);
	tx->out = mail_out_begin(tx->arena, "smtpd", flags, &tx->envelope);
	for (size_t i = 0; i < tx->effects.prepend.len; i++) {
		mail_out_write(tx->out, tx->effects.prepend.at[i], cleanup_patience());
		mail_out_write(tx->out, STR("\n"), cleanup_patience());
	}
	if (tx->effects.prepend.len > 0)
		mail_out_write(tx->out, STR("\n"), cleanup_patience());
}

/* The rest of a message that is too big is read and thrown away. */
static void give_up_if_too_big(struct transaction *tx)
{
	uint64_t limit = (uint64_t) the_smtpd->common->message_size_limit;

	if (limit == 0 || tx->too_big || tx->decoder.bytes + tx->decoder.lines <= limit)
		return;
	log_warning("%s: queue file size limit exceeded", tx->queue_id);
	tx->too_big = true;
	mail_out_abort(tx->out);
	tx->out = NULL;
}

size_t content_take(struct session *s, struct str bytes)
{
	struct transaction *tx = s->tx;
	size_t used = dot_in_feed(&tx->decoder, str_head(bytes, SMALL_MESSAGE), &tx->piece);

	give_up_if_too_big(tx);
	if (tx->out != NULL)
		mail_out_write(tx->out, buf_str(&tx->piece), cleanup_patience());
	buf_clear(&tx->piece);
	return used;
}

uint64_t content_most_discarded(void)
{
	enum { TIMES = 10, LEAST = 1 << 20, WITHOUT_LIMIT = 1 << 30 };
	uint64_t limit = (uint64_t) the_smtpd->common->message_size_limit;

	return limit == 0 ? WITHOUT_LIMIT : MAX(TIMES * limit, (uint64_t) LEAST);
}

enum next content_too_much(struct session *s, const struct verdict *v)
{
	reply_verdict(s, v);
	s->end_reason = "too much data";
	s->hang_up = true;
	return FAILED;
}

void content_deadline(struct session *s, when_t began, uint64_t received)
{
	const struct smtpd_conf *conf = &the_smtpd->conf;

	if (!conf->smtpd_per_request_deadline)
		stream_deadline(s->stream, in(conf->smtpd_timeout));
	else
		stream_deadline(s->stream, began + conf->smtpd_timeout +
				(when_t) (MIN(received, (uint64_t) 1 << 50) * 1000 / (uint64_t) conf->smtpd_min_data_rate));
}

/* ---- the end ---- */

struct verdict content_too_big(struct session *s)
{
	return reject(s->step, 552, STR("5.3.4"), "Error: message too big");
}

/* What is wrong with the content as such, and what the end-of-data list says. */
static struct verdict judge(struct session *s)
{
	struct question q;
	int code;

	if (s->tx->too_big)
		return content_too_big(s);
	code = s->tx->decoder.bare_lf ? bare_newline_code(s) : 0;
	if (code == 0)
		return restrict_now(s, STAGE_END_OF_DATA);
	question_begin(&q, s, only_recipient(s));
	log_check(&q, "reject", STR("bare <LF> received"));
	return reject(s->step, code, STR("5.5.2"), "%s Error: bare <LF> received",
		      the_smtpd->common->myhostname);
}

static struct verdict hand_over(struct session *s, bool by_chunks)
{
	struct transaction *tx = s->tx;
	struct mail_verdict m;
	struct mail_out *out = tx->out;

	/* said at the end of data, too late for cleanup */
	if ((tx->effects.cleanup_flags & CLEANUP_DISCARD) != 0 && out != NULL) {
		mail_out_abort(out);
		m = (struct mail_verdict){ .code = 250, .dsn = STR("2.0.0"),
					   .text = arena_fmt(s->step, "Ok: queued as %s", tx->queue_id) };
	} else {
		if (tx->effects.is_late) {
			apply_effects(tx);
			mail_out_changed(out, tx->effects.cleanup_flags);
		}
		FAILPOINT("smtpd.before_end");
		mail_out_end(out, &m, cleanup_patience());
		FAILPOINT("smtpd.promised");
	}
	tx->out = NULL;
	if (m.code == 250 && by_chunks)
		m.text = arena_fmt(s->step, "Ok: %llu bytes queued as %s",
				   (unsigned long long) (tx->decoder.bytes + tx->decoder.lines),
				   tx->queue_id);
	return (struct verdict){ .act = m.code < 400 ? PERMIT : REJECT, .code = m.code, .dsn = m.dsn,
				 .text = m.text };
}

enum next content_finish(struct session *s, bool by_chunks)
{
	struct verdict v;
	enum next next;

	dot_in_finish(&s->tx->decoder, &s->tx->piece);
	if (s->tx->out != NULL)
		mail_out_write(s->tx->out, buf_str(&s->tx->piece), cleanup_patience());
	s->where = "END-OF-MESSAGE";
	v = judge(s);
	if (v.act != REJECT)
		v = hand_over(s, by_chunks);
	if (v.act != REJECT)
		s->errors = s->junk = 0;
	next = reply_verdict(s, &v);
	FAILPOINT("smtpd.replied");
	transaction_end(s);
	return next;
}
