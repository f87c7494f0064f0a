/* SPDX-License-Identifier: ISC */
/* Random bytes as a frame: every message's decoder must refuse or give back what its encoder made. */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/ipc/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a decoder accepted must survive encoding and decoding again. */
#define MESSAGE(name, fields) \
	static void try_##name(const struct frame *original) \
	{ \
		AUTO(buf) once = BUF(FRAME_LIMIT); \
		AUTO(buf) twice = BUF(FRAME_LIMIT); \
		struct frame f = *original; \
		struct frame_out out; \
		struct name m; \
		memset(&m, 0, sizeof(m)); \
		if (get_##name(&f, &m, NULL) < 0) \
			return; \
		if (put_##name(&once, 1, &m, &out) < 0) \
			return; \
		BUG_UNLESS(frame_split(buf_str(&once), &f) == (ssize_t) once.len); \
		BUG_UNLESS(get_##name(&f, &m, NULL) == 0); \
		BUG_UNLESS(put_##name(&twice, 1, &m, &out) == 0); \
		BUG_UNLESS(str_is(buf_str(&once), buf_str(&twice))); \
	}
#define FIELD_STR(n, max)
#define FIELD_U64(n)
#define FIELD_I64(n)
#define FIELD_FD(n)
#include "lib/ipc/messages.def"
#undef MESSAGE

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame f;

	if (frame_split(str_make((const char *) data, size), &f) <= 0)
		return 0;
	f.fd_count = 0;
#define MESSAGE(name, fields) try_##name(&f);
#include "lib/ipc/messages.def"
	return 0;
}
