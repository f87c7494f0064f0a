/* SPDX-License-Identifier: ISC */
/* From the first byte of content to the commit, the reply and the announcement. */
#include "cleanup/message.h"

#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/log/log.h"

enum { MOST_CRS = 16 };			/* more no broken program puts before a line's end */

struct cleanup_world the_cleanup;

/* ---- refusing ---- */

void refuse(struct message *m, int code, const char *dsn, const char *text)
{
	if (m->refused.code != 0)
		return;
	if (code >= 500 && the_cleanup.soft_bounce) {
		code -= 100;
		dsn = str_c(m->arena, arena_fmt(m->arena, "4%s", dsn + 1));
	}
	m->refused = (struct refusal){ code, str_of(dsn), str_of(text) };
	queue_writer_free(m->writer);
	m->writer = NULL;
}

void refuse_loudly(struct message *m, int code, const char *dsn, const char *text)
{
	struct str what = str_of(text);

	if (m->refused.code == 0)
		log_warning("%s: message rejected: %.*s", m->id,
			    PSTR(str_starts(what, STR("Error: ")) ? str_skip(what, strlen("Error: ")) : what));
	refuse(m, code, dsn, text);
}

void refuse_error(struct message *m, int error, const char *doing)
{
	if (m->refused.code != 0)
		return;
	if (error == -ENOSPC || error == -EDQUOT || error == -EFBIG) {
		log_warning_rarely(10, "%s: cannot %s: %s", m->id, doing, error_text(error));
		refuse(m, 452, "4.3.1", "Error: insufficient system storage");
		return;
	}
	log_mail(ROAD_ERROR, str_of(m->id), "cannot %s: %s", doing, error_text(error));
	refuse(m, 451, "4.3.0", "Error: queue file write error");
}

void refuse_table(struct message *m, const char *parameter, const char *why)
{
	log_mail(ROAD_WARNING, str_of(m->id),
		 "%s map lookup problem -- message not accepted, try again later: %s", parameter, why);
	refuse(m, 451, "4.3.0", "Error: queue file write error");
}

bool has_memory(struct message *m, size_t bytes)
{
	if (arena_left(m->arena) >= bytes + (4 << 20))
		return true;
	/* as much as any message may have: it would need as much the next time, and pickup has no end of trying */
	refuse_loudly(m, 552, "5.3.4", "Error: message needs too much memory");
	return false;
}

/* ---- beginning ---- */

static void check_free_space(struct message *m)
{
	static int64_t looked_at_ms, free_bytes;

	if (the_cleanup.queue_conf.queue_minfree == 0)
		return;
	if (looked_at_ms == 0 || mono_ms() - looked_at_ms >= 1000) {
		free_bytes = queue_free_bytes(the_cleanup.queue);
		looked_at_ms = mono_ms();
	}
	if (free_bytes < the_cleanup.queue_conf.queue_minfree)
		refuse_error(m, -ENOSPC, "accept mail: less than queue_minfree is left");
}

static void take_id(struct message *m, struct str queue_id)
{
	if (!queue_id_is_valid(queue_id)) {
		queue_id_new(m->id);
		return;
	}
	memcpy(m->id, queue_id.at, queue_id.len);
	m->id[queue_id.len] = '\0';
}

struct message *message_begin(struct arena *a, struct str origin, unsigned flags, struct str queue_id,
			      struct str packed)
{
	struct message *m = ARENA_NEW(a, struct message);

	m->arena = a;
	m->origin = str_c(a, origin);
	m->flags = flags;
	m->held = BUF(MOST_HEADERS + 2 * SMALL_MESSAGE);
	m->mended = BUF(FRAME_LIMIT + MOST_CRS);
	m->prepended = BUF(MOST_HEADERS);
	m->headers = BUF(MOST_HEADERS);
	m->packed = BUF(FRAME_LIMIT / 2);
	m->awaits_prepended = (flags & CLEANUP_PREPENDED) != 0;
	m->hold = (flags & CLEANUP_HOLD) != 0;
	m->discard = (flags & CLEANUP_DISCARD) != 0;
	take_id(m, queue_id);
	co_describe("message %s", m->id);
	if (envelope_unpack(packed, a, &m->e) < 0) {
		log_warning("%s: malformed envelope from %s", m->id, m->origin);
		refuse(m, 451, "4.3.0", "Error: internal protocol error");
	}
	if (m->e.arrival_us == 0)
		m->e.arrival_us = wall_us();
	check_free_space(m);
	return m;
}

/* ---- content ---- */

/* A notification may say much about many recipients: refused, nobody would hear of any of it. */
static bool is_too_big(const struct message *m)
{
	int64_t limit = the_cleanup.common->message_size_limit;

	return limit > 0 && m->size > (uint64_t) limit && (m->e.flags & ENVELOPE_NOTICE) == 0
	       && (m->flags & CLEANUP_ANY_SIZE) == 0;
}

static void begin_storing(struct message *m)
{
	int r;

	if (m->discard || m->refused.code != 0)
		return;
	r = queue_create(the_cleanup.queue, m->hold ? QUEUE_HOLD : QUEUE_INCOMING, str_of(m->id), &m->writer);
	if (r < 0)
		refuse_error(m, r, "create queue file");
}

/* The walker learns the structure from the message's own headers. Headers of parts are no body to body_checks. */
static void begin_mime(struct message *m)
{
	struct str rest = buf_str(&m->headers), line;

	if (!checks_look_at_body(m))
		return;
	m->mime = mime_walker_new(m->arena, (int) the_cleanup.conf.mime_nesting_limit);
	while (rest.len > 0) {
		str_cut(&rest, '\n', &line);
		mime_feed(m->mime, line);
	}
	mime_feed(m->mime, STR_NONE);
}

static void take_content(struct message *m, struct str headers, struct str body)
{
	m->state = IN_BODY;
	m->has_8bit = !str_is_ascii(headers);
	take_headers(m, headers);
	begin_mime(m);
	begin_storing(m);
	begin_body(m);
	take_body(m, body);
}

/* Content whose headers may still go on. */
static void hold_content(struct message *m, struct str bytes, bool is_all)
{
	size_t headers_len, body_at;
	struct str text = bytes;

	/* The usual case looks at the caller's bytes; what comes in pieces gathers first. */
	if (m->held.len > 0 || !is_all) {
		if (buf_add(&m->held, bytes) < 0) {
			refuse_loudly(m, 552, "5.3.4", "Error: message headers too big");
			return;
		}
		text = buf_str(&m->held);
	}
	if (!find_end_of_headers(text, is_all, &m->scanned, &headers_len, &body_at))
		return;
	m->headers_only = headers_len == text.len;
	take_content(m, str_head(text, headers_len), str_skip(text, body_at));
	buf_free(&m->held);
}

static void put_mended(struct message *m, char c)
{
	if (buf_add_byte(&m->mended, c) < 0)
		BUG("a piece of content is too large");
}

/* Whether CRs end a line tells what follows them, maybe in the next piece. */
static void mend_byte(struct message *m, char c)
{
	if (c == '\r' && m->held_crs < MOST_CRS) {
		m->held_crs++;
		return;
	}
	for (; m->held_crs > 0; m->held_crs--)
		if (c != '\n')
			put_mended(m, ' ');
	put_mended(m, c == '\r' ? ' ' : c);
}

/*
 * Lines end with LF here, so every CR is a stray one. Those right before the LF go away: programs that
 * end lines twice over (CR CR LF) must not have blanks for empty lines, which end the headers. The usual
 * content has none and is not copied.
 */
static struct str without_stray_cr(struct message *m, struct str bytes)
{
	if (!the_cleanup.conf.cleanup_replace_stray_cr_lf || (m->held_crs == 0 && str_find(bytes, '\r') < 0))
		return bytes;
	buf_clear(&m->mended);
	for (size_t i = 0; i < bytes.len; i++)
		mend_byte(m, bytes.at[i]);
	return buf_str(&m->mended);
}

/*
 * What the server puts in front is not the message's own, and is not looked at. Lines may come in
 * pieces. The rest is the message.
 */
static struct str take_prepended(struct message *m, struct str bytes)
{
	while (m->awaits_prepended && bytes.len > 0) {
		bool at_start = m->prepended.len == 0 || m->prepended.at[m->prepended.len - 1] == '\n';
		struct str line;
		bool whole = str_cut(&bytes, '\n', &line);

		if (at_start && whole && line.len == 0)
			m->awaits_prepended = false;
		else if (buf_add(&m->prepended, line) < 0 || (whole && buf_add_byte(&m->prepended, '\n') < 0))
			refuse_loudly(m, 552, "5.3.4", "Error: message headers too big");
		if (m->refused.code != 0)
			break;
	}
	return bytes;
}

static void feed(struct message *m, struct str bytes, bool is_all)
{
	bytes = without_stray_cr(m, bytes);
	m->size += bytes.len;
	if (m->refused.code == 0 && m->awaits_prepended)
		bytes = take_prepended(m, bytes);
	if (m->refused.code == 0 && is_too_big(m))
		refuse_loudly(m, 552, "5.3.4", "Error: message file too big");
	if (m->refused.code != 0 || (m->discard && m->state == IN_BODY))
		return;
	if (m->state == IN_HEADERS)
		hold_content(m, bytes, is_all);
	else
		take_body(m, bytes);
}

void message_feed(struct message *m, struct str bytes)
{
	feed(m, bytes, false);
}

void message_feed_all(struct message *m, struct str bytes)
{
	feed(m, bytes, true);
}

/* ---- the end ---- */

static void join_headers(struct message *m)
{
	if (m->prepended.len == 0)
		return;
	if (buf_add(&m->prepended, buf_str(&m->headers)) < 0) {
		refuse_loudly(m, 552, "5.3.4", "Error: message headers too big");
		return;
	}
	buf_free(&m->headers);
	m->headers = m->prepended;
	m->prepended = BUF(MOST_HEADERS);
}

/* smtputf8_autodetect_classes: a local program cannot say that it needs SMTPUTF8. */
static bool is_looked_at(const struct message *m)
{
	static const struct { struct str origin, class; } names[] = {
		{ STR_INIT("pickup"), STR_INIT("sendmail") }, { STR_INIT("smtpd"), STR_INIT("smtpd") },
		{ STR_INIT("bounce"), STR_INIT("bounce") }, { STR_INIT("local"), STR_INIT("forward") } };
	struct str rest = str_of(the_cleanup.conf.smtputf8_autodetect_classes), word;

	while (the_cleanup.smtputf8_enable && str_token(&rest, ", \t\r\n", &word)) {
		if (str_is_nocase(word, STR("all")))
			return true;
		for (size_t i = 0; i < COUNT_OF(names); i++)
			if (str_is(names[i].origin, str_of(m->origin)) && str_is_nocase(word, names[i].class))
				return true;
	}
	return false;
}

static bool has_utf8_address(const struct message *m)
{
	for (size_t i = 0; i < m->e.recipient_count; i++)
		if (!str_is_ascii(m->e.recipients[i].address))
			return true;
	return !str_is_ascii(m->e.sender);
}

static void note_needs(struct message *m)
{
	struct str headers = buf_str(&m->headers);

	if (m->has_8bit)
		m->e.flags |= ENVELOPE_8BITMIME;
	if (is_looked_at(m) && (has_utf8_address(m) || (!str_is_ascii(headers) && str_is_utf8(headers))))
		m->e.flags |= ENVELOPE_SMTPUTF8;
}

/* The notification about an expanded alias is made from it, and what is held does not pass. */
static bool wants_own_file(const struct message *m)
{
	return m->hold || m->expanded.len > 0;
}

static void commit(struct message *m)
{
	int r = envelope_pack(&m->e, &m->packed);

	if (r < 0) {
		refuse_loudly(m, 554, r == -EINVAL ? "5.6.0" : "5.5.3",
			      r == -EINVAL ? "Error: control character in envelope" : "Error: too many recipients");
		return;
	}
	if (m->headers_only)
		queue_no_empty_line(m->writer);
	r = queue_commit(m->writer, &m->e, buf_str(&m->packed), buf_str(&m->headers), &m->parts,
			 wants_own_file(m) ? NULL : &m->place);
	if (r < 0) {
		refuse_error(m, r, "write queue file");
		return;
	}
	m->committed = true;
}

/*
 * HOLD by a line of the body came after the file was begun. It goes there before the commit: what
 * is to be held must never be seen in incoming.
 */
static void place_in_hold(struct message *m)
{
	int r = m->hold ? queue_place_in(m->writer, QUEUE_HOLD) : 0;

	if (r < 0)
		refuse_error(m, r, "move queue file to hold");
}

static void end_content(struct message *m)
{
	if (m->state == IN_HEADERS && m->refused.code == 0)
		hold_content(m, STR_NONE, true);
	if (m->refused.code == 0 && !m->discard)
		end_body(m);
	if (m->refused.code == 0 && !m->discard)
		join_headers(m);
	if (m->refused.code == 0 && !m->discard) {
		make_recipients(m);
		note_needs(m);
	}
	if (m->refused.code == 0 && !m->discard)
		place_in_hold(m);
}

void message_end(struct message *m, struct cleanup_reply *ret)
{
	end_content(m);
	if (m->refused.code == 0 && !m->discard)
		commit(m);
	if (m->refused.code != 0) {
		*ret = (struct cleanup_reply){ .code = (uint64_t) m->refused.code, .dsn = m->refused.dsn,
					       .text = m->refused.text };
		return;
	}
	if (!m->committed)
		log_mail(ROAD_INFO, str_of(m->id), "removed (discarded)");
	*ret = (struct cleanup_reply){ .code = 250, .dsn = STR("2.0.0"), .size = m->parts.size,
				       .text = arena_fmt(m->arena, "Ok: queued as %s", m->id) };
}

static void announce(struct message *m)
{
	struct qmgr_announce news = { .queue_id = str_of(m->id),
				      .queue = str_of(m->hold ? "hold" : "incoming"),
					  .size = m->parts.size, .headers_at = m->parts.headers_at,
					  .headers_len = m->parts.headers_len, .body_at = m->parts.body_at,
					  .body_len = m->parts.body_len, .envelope = buf_str(&m->packed),
					  .segment = str_of(m->place.segment), .place_at = m->place.at,
					  .place_len = m->place.len };
	int r;

	if (news.segment.len > 0) {
		news.headers = buf_str(&m->headers);
		news.body = queue_small_body(m->writer);
	}

	r = TELL(the_cleanup.qmgr, qmgr_announce, &news, in(10000));
	if (r < 0)
		log_warning_rarely(60, "cannot tell the queue manager about new mail, it will find it in the queue: %s",
				   error_text(r));
}

void message_announce(struct message *m)
{
	AUTO_FD fd = open_for_notification(m);

	if (m->committed)
		announce(m);
	if (fd >= 0)
		tell_expanded(m, &fd);
}

void message_free(struct message *m)
{
	queue_writer_free(m->writer);
	buf_free(&m->held);
	buf_free(&m->mended);
	buf_free(&m->prepended);
	buf_free(&m->headers);
	buf_free(&m->packed);
	free_body(m);
	map_free(m->duplicates, NULL);
}
