/* SPDX-License-Identifier: ISC */
/* put_ and get_ of every message, made from lib/ipc/messages.def. */
#include "lib/ipc/message.h"

#include <errno.h>
#include <unistd.h>

/* put_NAME */
#define FIELD_STR(n, max) frame_put_str(ret_frame, #n, m->n);
#define FIELD_U64(n) frame_put_u64(ret_frame, #n, m->n);
#define FIELD_I64(n) frame_put_i64(ret_frame, #n, m->n);
#define FIELD_FD(n) frame_put_fd(ret_frame, #n, m->n);
#define MESSAGE(name, fields) \
	int put_##name(struct buf *b, uint32_t call, const struct name *m, struct frame_out *ret_frame) \
	{ \
		(void) m; \
		frame_begin(ret_frame, b, call, STR(#name)); \
		fields \
		return frame_end(ret_frame); \
	}
#include "lib/ipc/messages.def"
#undef MESSAGE
#undef FIELD_STR
#undef FIELD_U64
#undef FIELD_I64
#undef FIELD_FD

/*
 * put_any_NAME: a request. One with a field that the server would not take is refused here: there
 * it would end the connection, and all other calls on it.
 */
#define FIELD_STR(n, max) fits = fits && m->n.len <= (size_t) (max);
#define FIELD_U64(n)
#define FIELD_I64(n)
#define FIELD_FD(n)
#define MESSAGE(name, fields) \
	int put_any_##name(struct buf *b, uint32_t call, const void *any, struct frame_out *ret_frame) \
	{ \
		const struct name *m = any; \
		bool fits = true; \
		int r = put_##name(b, call, m, ret_frame); \
		(void) m; \
		fields \
		return r < 0 || fits ? r : frame_drop(ret_frame, -EMSGSIZE); \
	}
#include "lib/ipc/messages.def"
#undef MESSAGE
#undef FIELD_STR
#undef FIELD_U64
#undef FIELD_I64
#undef FIELD_FD

static int refuse(struct frame *f, const struct frame_in *in, const char *name, struct buf *why)
{
	if (why != NULL && in->missing == NULL)
		buf_addf(why, "got %.*s where %s was expected", PSTR(f->message), name);
	else if (why != NULL)
		buf_addf(why, "%s without a proper %s", name, in->missing);
	frame_close(f);
	return -EBADMSG;
}

/* Descriptors that were taken out before a later field failed. */
static void close_taken(const int *taken, int count)
{
	for (int i = 0; i < count; i++)
		close(taken[i]);
}

/* get_NAME */
#define FIELD_STR(n, max) got.n = frame_get_str(&in, #n, max);
#define FIELD_U64(n) got.n = frame_get_u64(&in, #n);
#define FIELD_I64(n) got.n = frame_get_i64(&in, #n);
#define FIELD_FD(n) got.n = frame_get_fd(&in, #n); if (got.n >= 0) taken[taken_count++] = got.n;
#define MESSAGE(name, fields) \
	int get_##name(struct frame *f, struct name *ret_m, struct buf *why) \
	{ \
		struct frame_in in = { 0 }; \
		struct name got; \
		int taken[FRAME_FDS]; \
		int taken_count = 0; \
		memset(&got, 0, sizeof(got)); \
		if (!str_is(f->message, STR(#name))) \
			return refuse(f, &in, #name, why); \
		frame_read(&in, f); \
		fields \
		if (in.error < 0) { \
			close_taken(taken, taken_count); \
			return refuse(f, &in, #name, why); \
		} \
		*ret_m = got; \
		return 0; \
	}
#include "lib/ipc/messages.def"
#undef MESSAGE
