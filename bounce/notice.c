/* SPDX-License-Identifier: ISC */
/*
 * Who is told what. A notification has the null sender, and there is never one about another (RFC
 * 5321 6.1): what cannot be returned goes to the postmaster when notify_classes asks for it, from
 * double_bounce_sender, and what cannot be delivered for that one is dropped. NOTIFY (RFC 3461 4.1)
 * is the sender's wish, and honoured recipient by recipient in what senders get; what the postmaster
 * hears of is his own affair.
 */
#include "bounce/notice.h"

#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/base/map.h"
#include "lib/log/log.h"
#include "lib/mail/mail_address.h"

enum { MOST_TEXT = 64 << 20 };	/* as much as a request of the largest size can come to */

static const struct kind_row {
	struct str name;
	const char *logged;
	unsigned notify;		/* the recipients that asked for it */
	bool by_default;		/* also those that said nothing */
} kinds[] = {
	[BOUNCE_FAILURE] = { STR_INIT("failure"), "non-delivery notification", NOTIFY_FAILURE, true },
	[BOUNCE_DELAY] = { STR_INIT("delay"), "delay notification", NOTIFY_DELAY, true },
	[BOUNCE_SUCCESS] = { STR_INIT("success"), "delivery status notification", NOTIFY_SUCCESS, false },
	[BOUNCE_VERIFY] = { STR_INIT("trace"), "delivery status notification", 15, true },
};

/* ---- decoding ---- */

static int decode_kind(struct str name, enum bounce_kind *ret)
{
	for (size_t i = 0; i < COUNT_OF(kinds); i++)
		if (str_is(name, kinds[i].name)) {
			*ret = (enum bounce_kind) i;
			return 0;
		}
	return -EBADMSG;
}

/* Outcomes come in any order; a recipient without one is of no concern. */
static int pair_outcomes(struct notice *n, struct str packed)
{
	const size_t room = (n->e.recipient_count + 1) * sizeof(*n->outcomes);
	struct map *by_index;
	struct outcome o, *kept;
	size_t count = 0;
	char key[16];
	int r;

	/* twice: as they come, and in the recipients' order */
	if (arena_left(n->arena) / 2 < room + (2 << 20))
		return -EMSGSIZE;
	by_index = map_new();
	while ((r = outcome_unpack(&packed, &o)) > 0) {
		if (arena_left(n->arena) < room + (1 << 20)) {
			r = -EMSGSIZE;
			break;
		}
		kept = ARENA_NEW(n->arena, struct outcome);
		*kept = o;
		snprintf(key, sizeof(key), "%u", o.index);
		map_put(by_index, str_of(key), kept);
	}
	n->outcomes = arena_get(n->arena, room);
	for (size_t i = 0; i < n->e.recipient_count && r == 0; i++) {
		snprintf(key, sizeof(key), "%u", n->e.recipients[i].index);
		kept = map_get(by_index, str_of(key));
		if (kept == NULL)
			continue;
		n->e.recipients[count] = n->e.recipients[i];
		n->outcomes[count++] = *kept;
	}
	n->e.recipient_count = count;
	map_free(by_index, NULL);
	return r;
}

int notice_decode(struct arena *a, struct bounce_request *request, struct notice *ret)
{
	struct notice n = { .arena = a, .retry_until_s = request->retry_until_s,
			    .content = { .bytes = request->content, .file = request->message,
					 .parts = { .size = request->size, .headers_at = request->headers_at,
						    .headers_len = request->headers_len,
						    .body_at = request->body_at,
						    .body_len = request->body_len } } };
	int r = decode_kind(request->kind, &n.kind);

	if (r == 0)
		r = envelope_unpack(request->envelope, a, &n.e);
	if (r == 0)
		r = pair_outcomes(&n, request->outcomes);
	if (r == 0 && !content_is_whole(&n.content))
		r = -EBADMSG;
	if (r < 0)
		return r;
	n.e.queue_id = request->queue_id;
	*ret = n;
	return 0;
}

/* ---- deciding ---- */

static bool wants(const struct notice *n, const struct recipient *r)
{
	if (r->notify == 0)
		return kinds[n->kind].by_default;
	return (r->notify & kinds[n->kind].notify) != 0 && (r->notify & NOTIFY_NEVER) == 0;
}

/* Those recipients come first whose NOTIFY asks for this kind. How many. */
static size_t put_wanted_first(struct notice *n)
{
	size_t wanted = 0;

	for (size_t i = 0; i < n->e.recipient_count; i++) {
		const struct recipient r = n->e.recipients[i];
		const struct outcome o = n->outcomes[i];

		if (n->kind != BOUNCE_VERIFY && !wants(n, &r))
			continue;
		n->e.recipients[i] = n->e.recipients[wanted];
		n->outcomes[i] = n->outcomes[wanted];
		n->e.recipients[wanted] = r;
		n->outcomes[wanted++] = o;
	}
	return wanted;
}

static bool is_double_bounce(const struct notice *n)
{
	struct str local, domain;

	if (!address_split(n->e.sender, &local, &domain))
		return str_is_nocase(n->e.sender, str_of(n->conf->double_bounce_sender));
	if (!str_is_nocase(local, str_of(n->conf->double_bounce_sender)))
		return false;
	return n->common->myorigin[0] == '/' || str_is_nocase(domain, str_of(n->common->myorigin))
	       || str_is_nocase(domain, str_of(n->common->myhostname));
}

static bool needs_utf8(const struct notice *n)
{
	if ((n->e.flags & ENVELOPE_SMTPUTF8) != 0 || !str_is_ascii(n->e.sender))
		return true;
	for (size_t i = 0; i < n->e.recipient_count; i++)
		if (!str_is_ascii(n->e.recipients[i].address) || !str_is_ascii(n->e.recipients[i].original))
			return true;
	return false;
}

static const struct bounce_template *choose_template(const struct notice *n)
{
	const struct bounce_template *t = &n->templates->of[n->kind];
	const bool fits = !n->is_utf8 || str_is_nocase(t->charset, STR("us-ascii"))
			  || str_is_nocase(t->charset, STR("utf-8"));

	return fits ? t : &n->templates->built_in[n->kind];
}

/* ---- composing ---- */

static void add_address_header(struct buf *b, const char *name, struct str address)
{
	buf_addf(b, "%s: ", name);
	address_quote_822(b, address);
	buf_add_byte(b, '\n');
}

/*
 * Composite parts and reports are not encoded (RFC 2045 6.4, RFC 3464 2.1): 8bit is said only where
 * it is so.
 */
static const char *encoding(bool is_8bit)
{
	return is_8bit ? "Content-Transfer-Encoding: 8bit\n" : "";
}

/* The template's text is for the sender only. */
static bool has_8bit_words(const struct notice *n, enum notice_audience who)
{
	return n->is_utf8 || (who == TO_SENDER && !str_is_ascii(n->template->text));
}

static bool has_8bit_original(const struct notice *n)
{
	return n->is_utf8 || (n->e.flags & ENVELOPE_8BITMIME) != 0;
}

static void add_headers(const struct notice *n, enum notice_audience who, struct str to,
			const char *boundary, struct buf *b)
{
	const struct bounce_template *t = n->template;

	buf_addf(b, "From: %.*s\n", PSTR(t->from));
	buf_addf(b, "Subject: %.*s\n", PSTR(who == TO_SENDER ? t->subject : t->postmaster_subject));
	add_address_header(b, "To", to);
	if (n->conf->enable_threaded_bounces && n->e.message_id.len > 0)
		buf_addf(b, "In-Reply-To: %.*s\nReferences: %.*s\n", PSTR(n->e.message_id),
			 PSTR(n->e.message_id));
	if ((n->e.flags & ENVELOPE_TLS_OPTIONAL) != 0 && n->common->tls_required_enable)
		buf_add_text(b, "TLS-Required: No\n");
	buf_addf(b, "Auto-Submitted: auto-%s\nMIME-Version: 1.0\n",
		 who == TO_SENDER ? "replied" : "generated");	/* RFC 3834 5 */
	buf_addf(b, "Content-Type: multipart/report; report-type=%sdelivery-status;\n\tboundary=\"%s\"\n",
		 n->is_utf8 ? "global-" : "", boundary);
	buf_addf(b, "%s\nThis is a MIME-encapsulated message.\n",
		 encoding(has_8bit_words(n, who) || has_8bit_original(n)));
}

static void add_part(struct buf *b, const char *boundary, const char *description,
		     const char *type, bool is_8bit)
{
	buf_addf(b, "\n--%s\nContent-Description: %s\nContent-Type: %s\n%s\n", boundary, description, type,
		 encoding(is_8bit));
}

static const char *words_type(const struct notice *n, enum notice_audience who)
{
	const struct str charset = n->is_utf8 ? STR("utf-8") : who == TO_SENDER
				   ? n->template->charset : STR("us-ascii");

	return arena_fmt(n->arena, "text/plain; charset=%.*s", PSTR(charset)).at;
}

static const char *original_type(const struct notice *n, bool whole)
{
	if (n->is_utf8)
		return whole ? "message/global" : "message/global-headers";
	return whole ? "message/rfc822" : "text/rfc822-headers";
}

static void compose(const struct notice *n, enum notice_audience who, struct str to, const char *boundary,
		    bool whole, struct buf *b)
{
	static const char *const descriptions[] = { "Undelivered Message", "Delayed Message",
						    "Message", "Message" };
	char description[64];

	add_headers(n, who, to, boundary, b);
	add_part(b, boundary, "Notification", words_type(n, who), has_8bit_words(n, who));
	add_words(n, who, b);
	add_part(b, boundary, "Delivery report",
		 n->is_utf8 ? "message/global-delivery-status" : "message/delivery-status", n->is_utf8);
	add_report(n, b);
	if (n->original != IS_ATTACHED)
		return;		/* RFC 3462: the third part is optional */
	snprintf(description, sizeof(description), "%s%s", descriptions[n->kind], whole ? "" : " Headers");
	add_part(b, boundary, description, original_type(n, whole), has_8bit_original(n));
}

/* ---- sending ---- */

static void fill_envelope(const struct notice *n, enum notice_audience who, struct recipient *to,
			  struct envelope *ret)
{
	*ret = (struct envelope){ .sender = who == TO_SENDER
				  ? STR_NONE : str_of(n->conf->double_bounce_sender),
				  .arrival_us = wall_us(), .flags = ENVELOPE_NOTICE | ENVELOPE_LOCAL,
				  .recipient_count = 1, .recipients = to };
	if (n->is_utf8)
		ret->flags |= ENVELOPE_SMTPUTF8;
	ret->flags |= n->e.flags & ENVELOPE_REQUIRETLS;
}

/* Checks are asked about other people's words, when at all. */
static unsigned cleanup_flags(const struct notice *n)
{
	const struct str filtered = str_of(n->conf->internal_mail_filter_classes);
	const bool checks = n->original != IS_REFUSED && str_lists_nocase(filtered, STR("bounce"));

	return CLEANUP_ADD_RECEIVED | CLEANUP_NO_BCC | (checks ? 0 : CLEANUP_NO_CHECKS);
}

/* EAGAIN: try again later; EPERM: refused for good. */
static int verdict_to_error(const struct notice *n, const struct mail_verdict *v, struct str to)
{
	if (v->code >= 200 && v->code < 300)
		return 0;
	log_mail(ROAD_WARNING, n->e.queue_id, "notification to <%.*s> was not queued: %d %.*s %.*s", PSTR(to),
		 v->code, PSTR(v->dsn), PSTR(v->text));
	return v->code >= 500 ? EPERM : EAGAIN;
}

static int send_one(const struct notice *n, enum notice_audience who, struct str to, char ret_id[32])
{
	const when_t until = in(n->common->ipc_timeout);
	struct recipient recipient = { .address = to };
	bool whole = wants_whole_message(n, who);
	AUTO(buf) text = BUF(MOST_TEXT);
	struct mail_verdict verdict;
	struct envelope e;
	struct mail_out *m;
	char boundary[71];		/* RFC 2046 5.1.1 */
	int error;

	queue_id_new(ret_id);
	fill_envelope(n, who, &recipient, &e);
	e.queue_id = str_of(ret_id);
	snprintf(boundary, sizeof(boundary), "%s/%.38s", ret_id, n->common->myhostname);
	compose(n, who, to, boundary, whole, &text);
	log_mail(ROAD_INFO, n->e.queue_id, "%s %s: %s", who == TO_SENDER ? "sender" : "postmaster",
		 kinds[n->kind].logged, ret_id);

	m = mail_out_begin(n->arena, "bounce", cleanup_flags(n), &e);
	mail_out_write(m, buf_str(&text), until);
	error = n->original != IS_ATTACHED ? 0 : write_original(n, whole, m, until);
	if (error < 0) {
		log_mail(ROAD_WARNING, n->e.queue_id,
			 "the message cannot be read for its notification now: %s", error_text(error));
		mail_out_abort(m);
		return EAGAIN;
	}
	mail_out_write(m, arena_fmt(n->arena, "\n--%s--\n", boundary), until);
	FAILPOINT("bounce.before_end");
	mail_out_end(m, &verdict, until);
	FAILPOINT("bounce.queued");
	return verdict_to_error(n, &verdict, to);
}

/*
 * What is refused for good would be refused for ever: the message must not stay in the queue for
 * it. But what others say in it (a check found something in the original, it is too large) must not
 * keep its sender from hearing of it at all.
 */
static int tell(struct notice *n, enum notice_audience who, struct str to, char ret_id[32])
{
	int error = send_one(n, who, to, ret_id);

	if (error == EPERM) {
		n->original = IS_REFUSED;
		error = send_one(n, who, to, ret_id);
	}
	return error == EPERM ? 0 : error;
}

/* Before it is sent, to somebody else too: it is about the first so many of its recipients. */
static void make_about(struct notice *n, size_t count)
{
	if (n->original == IS_DAMAGED && n->template == NULL)		/* said once */
		log_mail(ROAD_ERROR, n->e.queue_id,
			 "the message's file is cut off: its notification goes without it");
	n->e.recipient_count = count;
	n->is_utf8 = needs_utf8(n);
	n->template = choose_template(n);
}

static bool has_class(const struct notice *n, const char *class)
{
	return str_lists_nocase(str_of(n->conf->notify_classes), str_of(class));
}

/* What cannot be returned: to the postmaster, or nobody. */
static int send_double_bounce(struct notice *n, char ret_id[32])
{
	if (is_double_bounce(n)) {
		log_mail(ROAD_WARNING, n->e.queue_id, "undeliverable postmaster notification discarded");
		return 0;
	}
	if (n->kind != BOUNCE_FAILURE || (!has_class(n, "2bounce") && !has_class(n, "bounce")))
		return 0;
	make_about(n, n->e.recipient_count);
	return tell(n, TO_POSTMASTER_INSTEAD, str_of(n->conf->two_bounce_notice_recipient), ret_id);
}

static void send_copy(struct notice *n, size_t all)
{
	const char *class = n->kind == BOUNCE_FAILURE ? "bounce" : n->kind == BOUNCE_DELAY ? "delay" : NULL;
	char id[32];

	if (class == NULL || !has_class(n, class))
		return;
	make_about(n, all);
	/* The sender knows: failing now would tell him twice. */
	send_one(n, TO_POSTMASTER,
		 str_of(n->kind == BOUNCE_DELAY ? n->conf->delay_notice_recipient
			: n->conf->bounce_notice_recipient), id);
}

int notice_send(struct notice *n, char ret_id[32])
{
	const size_t all = n->e.recipient_count;
	size_t wanted;
	int error = 0;

	ret_id[0] = '\0';
	if (all == 0)
		return 0;
	n->original = content_is_cut_off(&n->content) ? IS_DAMAGED : IS_ATTACHED;
	if (n->e.sender.len == 0 || (n->e.flags & ENVELOPE_NOTICE) != 0 || is_double_bounce(n))
		return send_double_bounce(n, ret_id);
	wanted = put_wanted_first(n);
	if (wanted > 0) {
		make_about(n, wanted);
		error = tell(n, TO_SENDER, n->e.sender, ret_id);
	}
	if (error == 0)
		send_copy(n, all);
	return error;
}
