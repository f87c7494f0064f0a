/* SPDX-License-Identifier: ISC */
/* DATA (RFC 5321 4.1.1.4) and BDAT (RFC 3030): the content. */
#include <errno.h>

#include "lib/log/log.h"
#include "smtpd/content.h"
#include "smtpd/smtpd.h"
#include "smtpd/transaction.h"
#include "smtpd/verbs.h"

/* ---- DATA ---- */

/*
 * Until the final dot. False: the stream has failed, and the session loop says how; or the client
 * went on and on, and was told.
 */
static bool read_until_dot(struct session *s)
{
	when_t began = in(0);
	uint64_t received = 0;

	while (!dot_in_ended(&s->tx->decoder)) {
		struct str bytes;
		size_t used;

		content_deadline(s, began, received);
		bytes = stream_peek(s->stream);
		if (bytes.len == 0)
			return false;
		used = content_take(s, bytes);
		received += used;
		stream_skip(s->stream, used);
		if (s->tx->too_big && received > content_most_discarded()) {
			struct verdict v = content_too_big(s);

			content_too_much(s, &v);
			return false;
		}
	}
	return true;
}

enum next verb_data(struct session *s, const struct command *c)
{
	struct verdict v;

	if (s->tx != NULL && s->tx->content != CONTENT_NONE)
		return reply(s, 503, "5.5.1", "Error: DATA after BDAT");
	if (s->tx == NULL)
		return reply(s, 503, "5.5.1", "Error: need RCPT command");
	if (s->tx->recipients.len == 0)
		return reply(s, 554, "5.5.1", "Error: no valid recipients");
	if (c->args.len > 0)
		return reply(s, 501, "5.5.4", "Syntax: DATA");
	if (!content_allowed(s, &v))
		return reply_verdict(s, &v);
	content_begin(s, true);
	reply(s, 354, NULL, "End data with <CR><LF>.<CR><LF>");
	return read_until_dot(s) ? content_finish(s, false) : FAILED;
}

/* ---- BDAT ---- */

/*
 * Reads a chunk of exactly `size` bytes, whatever becomes of it, because the next command stands
 * behind it. use: pass it on. False: the stream has failed.
 */
static bool read_chunk(struct session *s, uint64_t size, bool use)
{
	when_t began = in(0);
	uint64_t received = 0;

	while (received < size) {
		struct str bytes;
		size_t used;

		content_deadline(s, began, received);
		bytes = stream_peek(s->stream);
		if (bytes.len == 0)
			return false;
		bytes = str_head(bytes, (size_t) MIN(size - received, (uint64_t) SIZE_MAX));
		used = use ? content_take(s, bytes) : bytes.len;
		received += used;
		stream_skip(s->stream, used);
	}
	return true;
}

/*
 * A chunk that is not wanted. The transaction cannot succeed any more (RFC 3030 2): with the last
 * chunk it ends, otherwise the chunks that follow are thrown away too.
 */
static enum next skip_chunk(struct session *s, uint64_t size, bool last, const struct verdict *v)
{
	if (size > content_most_discarded())
		return content_too_much(s, v);
	if (!read_chunk(s, size, false))
		return FAILED;
	if (last && s->tx != NULL) {
		reply_verdict(s, v);		/* its texts may be the transaction's */
		transaction_end(s);
		return FAILED;
	}
	if (s->tx != NULL) {
		mail_out_abort(s->tx->out);
		s->tx->out = NULL;
		s->tx->content = CONTENT_FAILED;
	}
	return reply_verdict(s, v);
}

/* May this chunk come? Otherwise *ret is the refusal. */
static bool chunk_allowed(struct session *s, uint64_t size, bool last, struct verdict *ret)
{
	struct transaction *tx = s->tx;
	uint64_t limit = (uint64_t) the_smtpd->common->message_size_limit;

	if (tx == NULL) {
		*ret = reject(s->step, 503, STR("5.5.1"), "Error: need RCPT command");
	} else if (tx->content == CONTENT_FAILED) {
		*ret = reject(s->step, 551, STR("5.0.0"), "Discarded %llu bytes after earlier error",
			      (unsigned long long) size);
	} else if (tx->recipients.len == 0) {
		*ret = reject(s->step, 554, STR("5.5.1"), "Error: no valid recipients");
	} else if (size == 0 && !last) {		/* costs us more than the client: nobody has a reason to */
		log_warning("%s: null BDAT request from %s", tx->queue_id, buf_text(&s->peer.shown));
		*ret = reject(s->step, 551, STR("5.7.1"), "Null BDAT request");
	} else if (tx->content == CONTENT_NONE && !content_allowed(s, ret)) {
		return false;
	} else if (limit > 0 && (size > limit || tx->decoder.bytes + tx->decoder.lines > limit - size)) {
		log_warning("%s: BDAT request from %s exceeds message size limit", tx->queue_id,
			    buf_text(&s->peer.shown));
		*ret = reject(s->step, 552, STR("5.3.4"), "Chunk exceeds message size limit");
	} else {
		return true;
	}
	return false;
}

/* What stands behind a malformed BDAT is content, and nobody knows how much: there is no way to go on. */
static enum next refuse_bdat(struct session *s, const struct command *c)
{
	log_warning("%.*s: malformed BDAT command syntax from %s: %.*s", PSTR(session_queue_id(s)),
		    buf_text(&s->peer.shown), PSTR(str_head(c->line, 100)));
	return reply(s, 521, "5.5.4", "Syntax: BDAT count [LAST]");
}

enum next verb_bdat(struct session *s, const struct command *c)
{
	struct verdict v;
	uint64_t size;
	bool last;

	if ((s->discard_ehlo & EHLO_CHUNKING) != 0)
		return reply(s, 521, "5.5.1", "Error: command not implemented");
	if (command_bdat(c->args, &size, &last) < 0)
		return refuse_bdat(s, c);
	if (!chunk_allowed(s, size, last, &v))
		return skip_chunk(s, size, last, &v);
	if (s->tx->content == CONTENT_NONE)
		content_begin(s, false);
	if (!read_chunk(s, size, true))
		return FAILED;
	if (last)
		return content_finish(s, true);
	return reply(s, 250, "2.0.0", "Ok: %llu bytes", (unsigned long long) size);
}
