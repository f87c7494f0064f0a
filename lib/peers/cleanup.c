/* SPDX-License-Identifier: ISC */
/*
 * The client side of cleanup. A small message gathers here and crosses as one call among others on
 * the shared connection; one that outgrows SMALL_MESSAGE gets a connection of its own, and from
 * then on memory holds only what the connection has not taken yet.
 */
#include "lib/peers/cleanup.h"

#include <errno.h>

#include "lib/base/die.h"
#include "lib/log/log.h"

enum { MOST_UNSENT = 256 << 10 };

struct mail_out {
	struct arena *arena;
	const char *origin;
	unsigned flags;
	const struct envelope *e;
	struct buf content;		/* not sent yet */
	struct channel *stream;		/* NULL: still small */
	uint32_t call;
	bool changed;			/* e or flags, since the stream began */
	int error;			/* sticky */
};

static struct client *service;

void mail_out_use(const char *name)
{
	AUTO(buf) path = BUF(4096);

	if (strchr(name, '/') == NULL)
		buf_add_text(&path, "public/");
	buf_add_text(&path, name);
	client_free(service);
	service = client_new(buf_text(&path));
}

struct mail_out *mail_out_begin(struct arena *a, const char *origin, unsigned flags, const struct envelope *e)
{
	struct mail_out *m = get_memory(sizeof(*m));

	BUG_UNLESS(service != NULL);
	*m = (struct mail_out){ .arena = a, .origin = origin, .flags = flags, .e = e,
				.content = BUF(SMALL_MESSAGE) };
	return m;
}

static void fail(struct mail_out *m, int error)
{
	if (m->error == 0)
		m->error = error;
	channel_free(m->stream);
	m->stream = NULL;
	buf_free(&m->content);
}

/* ---- large ---- */

static int send_content(struct mail_out *m, struct str piece, bool last, bool abort)
{
	struct cleanup_content content = { .last = last, .abort = abort, .content = piece };
	struct frame_out out;
	int r = put_cleanup_content(channel_buf(m->stream), 0, &content, &out);

	return r < 0 ? r : channel_send(m->stream, &out);
}

static int start_stream(struct mail_out *m, when_t until)
{
	AUTO(buf) packed = BUF(FRAME_LIMIT / 2);
	struct cleanup_stream begin = { .origin = str_of(m->origin), .flags = m->flags,
					.queue_id = m->e->queue_id };
	struct frame_out out;
	int r = envelope_pack(m->e, &packed);

	if (r < 0)
		return r;
	begin.envelope = buf_str(&packed);
	r = client_channel(service, &m->stream, until);
	if (r < 0)
		return r;
	m->call = 1;			/* alone on its connection */
	r = put_cleanup_stream(channel_buf(m->stream), m->call, &begin, &out);
	return r < 0 ? r : channel_send(m->stream, &out);
}

static int stream_piece(struct mail_out *m, struct str piece, when_t until)
{
	int r = m->stream == NULL ? start_stream(m, until) : 0;

	if (r >= 0 && m->content.len > 0) {
		r = send_content(m, buf_str(&m->content), false, false);
		buf_free(&m->content);
	}
	while (r >= 0 && piece.len > 0) {
		r = send_content(m, str_head(piece, SMALL_MESSAGE), false, false);
		if (r >= 0)
			r = channel_drain(m->stream, MOST_UNSENT, until);
		piece = str_skip(piece, SMALL_MESSAGE);
	}
	return r;
}

void mail_out_write(struct mail_out *m, struct str bytes, when_t until)
{
	int r;

	if (m->error < 0)
		return;
	if (m->stream == NULL && buf_add(&m->content, bytes) >= 0)
		return;
	r = stream_piece(m, bytes, until);
	if (r < 0)
		fail(m, r);
}

static int send_changes(struct mail_out *m)
{
	AUTO(buf) packed = BUF(FRAME_LIMIT / 2);
	struct cleanup_envelope changes = { .flags = m->flags };
	struct frame_out out;
	int r = envelope_pack(m->e, &packed);

	if (r < 0)
		return r;
	changes.envelope = buf_str(&packed);
	r = put_cleanup_envelope(channel_buf(m->stream), 0, &changes, &out);
	return r < 0 ? r : channel_send(m->stream, &out);
}

static int end_stream(struct mail_out *m, struct cleanup_reply *ret, when_t until)
{
	struct frame f;
	int r = m->changed ? send_changes(m) : 0;

	if (r >= 0)
		r = send_content(m, STR_NONE, true, false);
	if (r >= 0)
		r = channel_receive(m->stream, &f, until);
	if (r <= 0)
		return r == 0 ? -EPIPE : r;
	r = get_cleanup_reply(&f, ret, NULL);
	if (r >= 0) {
		ret->dsn = arena_copy(m->arena, ret->dsn);
		ret->text = arena_copy(m->arena, ret->text);
	}
	frame_close(&f);
	return r;
}

void mail_out_changed(struct mail_out *m, unsigned more_flags)
{
	if (m == NULL)
		return;
	m->flags |= more_flags;
	m->changed = true;
}

/* ---- small ---- */

static int send_whole(struct mail_out *m, struct cleanup_reply *ret, when_t until)
{
	AUTO(buf) packed = BUF(FRAME_LIMIT / 2);
	struct cleanup_request request = { .origin = str_of(m->origin), .flags = m->flags,
					   .queue_id = m->e->queue_id,
					   .content = buf_str(&m->content) };
	int r = envelope_pack(m->e, &packed);

	if (r < 0)
		return r;
	request.envelope = buf_str(&packed);
	return CALL(service, cleanup_request, &request, m->arena, cleanup_reply, ret, until);
}

/*
 * Whatever went wrong on the way is temporary, except an envelope that no queue file can hold.
 * Nobody else says that there is no cleanup service.
 */
static void verdict_of_error(int error, struct mail_verdict *ret)
{
	if (error == -EINVAL)
		*ret = (struct mail_verdict){ 554, STR("5.6.0"), STR("Error: control character in envelope"),
					      0 };
	else if (error == -EMSGSIZE)
		*ret = (struct mail_verdict){ 554, STR("5.5.3"), STR("Error: too many recipients"), 0 };
	else
		*ret = (struct mail_verdict){ 451, STR("4.3.0"), STR("Error: queue file write error"), 0 };
	if (ret->code == 451)
		log_warning_rarely(60, "service %s: %s", client_path(service), error_text(error));
}

void mail_out_end(struct mail_out *m, struct mail_verdict *ret, when_t until)
{
	struct cleanup_reply reply;
	int r = m->error;

	if (r == 0)
		r = m->stream == NULL ? send_whole(m, &reply, until) : end_stream(m, &reply, until);
	if (r < 0)
		verdict_of_error(r, ret);
	else
		*ret = (struct mail_verdict){ (int) reply.code, reply.dsn, reply.text, reply.size };
	fail(m, -EPIPE);
	free(m);
}

void mail_out_abort(struct mail_out *m)
{
	if (m == NULL)
		return;
	fail(m, -ECANCELED);		/* a stream that ends before its last frame is no message */
	free(m);
}
