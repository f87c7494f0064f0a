/* SPDX-License-Identifier: ISC */
/*
 * A message from maildrop/ to cleanup. The file was written by postdrop for some local user, so
 * only two things about it are taken as true: its owner, which the kernel wrote, and what any user
 * may say about his own message. It is unlinked when cleanup promised to keep the message, or when
 * bounce promised to tell its sender why it is refused; whatever else happens, it stays and is
 * tried again.
 *
 * Every attempt has a queue id of its own: what a cleanup that was killed left of an earlier one
 * under its id is nobody's any more, and must not stand in the way of the next. A requeued
 * message's former id is logged as orig_id.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/agent/delays.h"
#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/disk/disk.h"
#include "lib/log/log.h"
#include "lib/mail/mail_address.h"
#include "lib/peers/cleanup.h"
#include "lib/peers/submission.h"
#include "pickup/pickup.h"

enum {
	MESSAGE_MEMORY = 64 << 20,
	PIECE = 64 << 10,
	CLEANUP_MS = 3600 * 1000,
	BOUNCE_MS = 600 * 1000,
	/* a file without a valid head that nobody wrote to for so long is debris */
	STALE_S = 24 * 3600,
	MOST_HEADERS_LOOKED_AT = 256 << 10,
	DELAY_DIGITS = 2,
};

/* ---- what the file is ---- */

static enum fate not_a_message(struct pickup *p, struct str id, int error)
{
	AUTO(buf) words = BUF_WORDS;
	struct stat st;

	if (error == -ENOENT)
		return PICKED_UP;		/* somebody was quicker: postsuper, say */
	if (error == -ENODATA) {
		AUTO(buf) path = BUF(100);

		/* Being written, or left by a postdrop that was killed. */
		buf_addf(&path, "maildrop/%.*s", PSTR(id));
		if (lstat(buf_text(&path), &st) == 0 && st.st_mtime + STALE_S < wall_s()) {
			log_warning("%.*s: removing an unfinished file of uid %ld", PSTR(id),
				    (long) st.st_uid);
			queue_finish(p->queue, QUEUE_MAILDROP, id);
		}
		return PICKUP_UNFINISHED;
	}
	if (error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -EIO)
		return PICKUP_LATER;
	buf_addf(&words, "maildrop/%.*s: %s; left alone", PSTR(id),
		 error == -EMLINK ? "has more than one link" : error == -EBADF
		 || error == -ELOOP ? "not a regular file" :
		 error == -EBADMSG ? "damaged, or not made by postdrop" : error == -ENOTSUP
		 ? "written by Postfix, or by a newer version" : error_text(error));
	warn_once(buf_text(&words));
	return PICKUP_NEVER;
}

static struct str new_id(struct arena *a)
{
	char id[32];

	queue_id_new(id);
	return arena_copy(a, str_of(id));
}

/* As postdrop does it: the file may have been made by something else. */
static int read_envelope(struct queue_file *f, struct arena *a, struct envelope *ret, bool *ret_is_requeued)
{
	struct envelope theirs;
	struct stat st;
	int r = queue_file_envelope(f, a, &theirs);

	if (r < 0)
		return r;
	if (!submission_is_bounded(&theirs))
		return -EBADMSG;
	if (fstat(f->fd, &st) < 0)
		return -errno;
	*ret = (struct envelope){
		.queue_id = new_id(a), .sender = theirs.sender, .arrival_us = f->arrival_us,
		.flags = theirs.flags & SUBMISSION_FLAGS, .ret = theirs.ret, .notify = theirs.notify,
		.envid = theirs.envid,
		.verp = theirs.verp, .full_name = theirs.full_name, .client_name = STR("localhost"),
		.client_address = STR("127.0.0.1"), .uid = st.st_uid,
		.recipient_count = theirs.recipient_count, .recipients = theirs.recipients,
	};
	/* postdrop knows of no client; what came from the queue has gone through cleanup */
	*ret_is_requeued = theirs.client_name.len > 0 && st.st_uid == geteuid();
	for (size_t i = 0; i < ret->recipient_count; i++) {
		ret->recipients[i].index = (uint32_t) i;
		if (!*ret_is_requeued)
			ret->recipients[i].original = STR_NONE;
		if (ret->recipients[i].address.len == 0)
			return -EBADMSG;
	}
	if (ret->recipient_count == 0 && (ret->flags & ENVELOPE_EXTRACT) == 0)
		return -EBADMSG;
	if (ret->arrival_us > wall_us() || ret->arrival_us <= 0)
		ret->arrival_us = (int64_t) st.st_mtime * 1000000;
	return 0;
}

/* ---- to cleanup ---- */

static int copy_range(struct queue_file *f, uint64_t at, uint64_t len, struct mail_out *out, char *piece)
{
	while (len > 0) {
		ssize_t n = pread_all(f->fd, piece, (size_t) MIN(len, (uint64_t) PIECE), (off_t) at);

		if (n <= 0)
			return n == 0 ? -EIO : (int) n;
		mail_out_write(out, str_make(piece, (size_t) n), in(CLEANUP_MS));
		at += (uint64_t) n;
		len -= (uint64_t) n;
	}
	return 0;
}

/* postdrop writes the whole message as body; another writer may have divided it. */
static int copy_content(struct queue_file *f, struct mail_out *out)
{
	char *piece = get_memory(PIECE);
	int r = copy_range(f, f->parts.headers_at, f->parts.headers_len, out, piece);

	if (r == 0 && f->parts.headers_len > 0 && f->parts.size > f->parts.headers_len)
		mail_out_write(out, STR("\n"), in(CLEANUP_MS));
	if (r == 0)
		r = copy_range(f, f->parts.body_at, f->parts.body_len, out, piece);
	free(piece);
	return r;
}

static int give_to_cleanup(const struct pickup *p, struct queue_file *f, struct arena *a, struct envelope *e,
			   struct mail_verdict *ret)
{
	unsigned flags = CLEANUP_ADD_RECEIVED | p->receive.cleanup_flags;
	struct mail_out *out;
	int r;

	if (!(e->flags & ENVELOPE_LOCAL))
		flags |= CLEANUP_EXTERNAL;
	if (e->flags & ENVELOPE_EXTRACT)
		flags |= CLEANUP_EXTRACT;
	e->flags &= ~(unsigned) ENVELOPE_EXTRACT;
	if (e->flags & ENVELOPE_VERIFY)
		flags |= CLEANUP_NO_BCC;
	if (e->filter_transport.len == 0)
		e->filter_transport = p->receive.filter;
	out = mail_out_begin(a, "pickup", flags, e);
	r = copy_content(f, out);
	if (r < 0) {
		mail_out_abort(out);
		return r;
	}
	FAILPOINT("pickup.before_end");
	mail_out_end(out, ret, in(CLEANUP_MS));
	FAILPOINT("pickup.after_end");
	return 0;
}

/* ---- refused: the sender is told ---- */

/* Where the headers end in what postdrop wrote: for the notification, which quotes them. */
static void divide(struct queue_file *f, struct queue_parts *ret)
{
	size_t most = (size_t) MIN(f->parts.body_len, (uint64_t) MOST_HEADERS_LOOKED_AT);
	char *text = get_memory(most + 1);
	ssize_t n = pread_all(f->fd, text, most, (off_t) f->parts.body_at), end = -1;

	*ret = f->parts;
	if (n > 0)
		end = str_find_str(str_make(text, (size_t) n), STR("\n\n"));
	free(text);
	if (ret->headers_len > 0 || end < 0)
		return;
	ret->headers_at = f->parts.body_at;
	ret->headers_len = (uint64_t) end + 1;
	ret->body_at = f->parts.body_at + (uint64_t) end + 2;
	ret->body_len = f->parts.body_len - (uint64_t) end - 2;
	ret->size = f->parts.body_len;
}

static int pack(const struct envelope *e, const struct mail_verdict *v, struct buf *envelope, struct buf *b)
{
	int r;

	buf_clear(envelope);
	buf_clear(b);
	r = envelope_pack(e, envelope);
	for (size_t i = 0; i < e->recipient_count && r == 0; i++)
		r = outcome_pack(&(struct outcome){ .index = (uint32_t) i, .status = OUTCOME_BOUNCED,
						    .dsn = v->dsn, .relay = STR("none"),
						    .text = v->text, .at_us = wall_us() }, b);
	return r;
}

/* With -t and no recipient on the command line nobody knows yet for whom it was. */
static void name_a_recipient(struct arena *a, struct envelope *e)
{
	struct recipient *unknown;

	if (e->recipient_count > 0)
		return;
	unknown = ARENA_NEW(a, struct recipient);
	unknown->address = STR("unknown");
	e->recipients = unknown;
	e->recipient_count = 1;
}

/* The lines that an agent would have written: log analysers count by them. */
static void log_bounced(const struct envelope *e, const struct mail_verdict *v)
{
	const int64_t now = wall_us();
	const struct stations stations = { .arrival = e->arrival_us, .active = now, .dispatch = now, .done = now };
	AUTO(buf) line = BUF(8192);

	for (size_t i = 0; i < e->recipient_count; i++) {
		buf_clear(&line);
		buf_add_text(&line, "to=<");
		address_quote_822(&line, e->recipients[i].address);
		buf_add_text(&line, ">, relay=none, ");
		delays_add(&line, &stations, DELAY_DIGITS);
		log_mail(ROAD_INFO, e->queue_id, "%s, dsn=%.*s, status=bounced (%.*s)", buf_text(&line), PSTR(v->dsn), PSTR(v->text));
	}
}

/*
 * The descriptor in f is bounce's afterwards. What was refused for its very many recipients names
 * as many of them as one request holds.
 */
static int tell_sender(struct pickup *p, struct queue_file *f, struct arena *a, struct envelope *e,
		       const struct mail_verdict *v)
{
	AUTO(buf) packed = BUF(FRAME_LIMIT / 4);
	AUTO(buf) outcomes = BUF(FRAME_LIMIT / 4);
	struct bounce_request request;
	struct bounce_reply answer;
	struct queue_parts parts;
	int r;

	name_a_recipient(a, e);
	while ((r = pack(e, v, &packed, &outcomes)) == -EMSGSIZE && e->recipient_count > 1)
		e->recipient_count /= 2;
	if (r < 0)
		return r;
	divide(f, &parts);
	request = (struct bounce_request){
		.kind = STR("failure"), .queue_id = e->queue_id, .envelope = buf_str(&packed),
		.outcomes = buf_str(&outcomes),
		.size = parts.size, .headers_at = parts.headers_at, .headers_len = parts.headers_len,
		.body_at = parts.body_at,
		.body_len = parts.body_len, .message = fd_take(&f->fd),
	};
	r = CALL(p->bounce, bounce_request, &request, a, bounce_reply, &answer, in(BOUNCE_MS));
	return r < 0 ? r : answer.code == 0 ? 0 : -EAGAIN;
}

int remove_sent(struct pickup *p, struct str id)
{
	int r = queue_finish(p->queue, QUEUE_MAILDROP, id);

	FAILPOINT("pickup.removed");
	return r == -ENOENT ? 0 : r;
}

static enum fate finish(struct pickup *p, struct str id)
{
	int r = remove_sent(p, id);

	if (r < 0)
		log_mail(ROAD_ERROR, id, "cannot remove maildrop file: %s; will try again", error_text(r));
	return r < 0 ? PICKUP_SENT : PICKED_UP;
}

static enum fate act_on(struct pickup *p, struct queue_file *f, struct arena *a, struct envelope *e,
			const struct mail_verdict *v)
{
	struct str file = str_of(f->id);
	int r;

	if (v->code / 100 == 2)
		return finish(p, file);
	if (v->code / 100 != 5) {
		log_mail(ROAD_WARNING, e->queue_id, "message not accepted now: %d %.*s %.*s", v->code,
			 PSTR(v->dsn), PSTR(v->text));
		return PICKUP_LATER;
	}
	log_mail(ROAD_INFO, e->queue_id, "refused: %d %.*s %.*s; returning it to the sender", v->code,
		 PSTR(v->dsn), PSTR(v->text));
	r = tell_sender(p, f, a, e, v);
	if (r == 0) {
		log_bounced(e, v);
		return finish(p, file);
	}
	log_mail(ROAD_WARNING, e->queue_id, "the sender cannot be told now: %s", error_text(r));
	return PICKUP_LATER;
}

static enum fate carry_file(struct pickup *p, struct queue_file *f, struct str id, struct arena *a)
{
	struct mail_verdict verdict;
	struct envelope e;
	bool is_requeued;
	int r = read_envelope(f, a, &e, &is_requeued);

	if (r < 0)
		return not_a_message(p, id, r == -EMSGSIZE ? -EBADMSG : r);
	log_mail(ROAD_INFO, e.queue_id, "uid=%llu from=<%.*s>%s%.*s", (unsigned long long) e.uid,
		 PSTR(e.sender), is_requeued ? " orig_id=" : "", PSTR(is_requeued ? id : STR_NONE));
	r = give_to_cleanup(p, f, a, &e, &verdict);
	if (r < 0) {
		log_mail(ROAD_WARNING, id, "reading maildrop file: %s", error_text(r));
		return PICKUP_LATER;
	}
	return act_on(p, f, a, &e, &verdict);
}

static int check_job(void *arg)
{
	return queue_file_check(arg);
}

/* Reading all of a large file takes a while: others go on meanwhile. */
static int check(struct queue_file *f)
{
	return f->parts.size <= PIECE ? queue_file_check(f) : co_offload(check_job, f);
}

enum fate carry(struct pickup *p, struct str id)
{
	struct queue_file f;
	struct arena *a;
	enum fate fate;
	int r = queue_file_open(p->queue, QUEUE_MAILDROP, id, false, false, &f);

	if (r < 0)
		return not_a_message(p, id, r);
	a = arena_new("message", NULL, MESSAGE_MEMORY);
	r = check(&f);
	fate = r < 0 ? not_a_message(p, id, r) : carry_file(p, &f, id, a);
	arena_free(a);
	queue_file_close(&f);
	return fate;
}
