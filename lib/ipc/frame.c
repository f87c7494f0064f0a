/* SPDX-License-Identifier: ISC */
/* Building and taking apart frames. Everything that is read is checked against the frame's end. */
#include "lib/ipc/frame.h"

#include <arpa/inet.h>
#include <errno.h>
#include <unistd.h>

#include "lib/base/format.h"

static void put_u32(struct frame_out *f, uint32_t value)
{
	uint32_t wire = htonl(value);

	if (f->error >= 0)
		f->error = buf_add(f->b, str_make((const char *) &wire, sizeof(wire)));
}

static void put_short(struct frame_out *f, struct str name)
{
	if (f->error < 0)
		return;
	if (name.len > 255)
		f->error = -EINVAL;
	else if ((f->error = buf_add_byte(f->b, (char) name.len)) >= 0)
		f->error = buf_add(f->b, name);
}

void frame_begin(struct frame_out *f, struct buf *b, uint32_t call, struct str message)
{
	*f = (struct frame_out){ .b = b, .start = b->len };
	put_u32(f, 0);			/* the length, known at the end */
	put_u32(f, call);
	put_short(f, message);
	if (f->error >= 0)
		f->error = buf_add_byte(b, 0);	/* the number of descriptors */
	f->fd_count_at = b->len - 1;
}

void frame_put_str(struct frame_out *f, const char *name, struct str value)
{
	put_short(f, str_of(name));
	if (f->error >= 0 && value.len > FRAME_LIMIT)
		f->error = -EMSGSIZE;
	put_u32(f, (uint32_t) value.len);
	if (f->error >= 0)
		f->error = buf_add(f->b, value);
}

void frame_put_u64(struct frame_out *f, const char *name, uint64_t value)
{
	char digits[24];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char) ('0' + value % 10);
	while ((value /= 10) > 0);
	frame_put_str(f, name, str_make(digits + at, sizeof(digits) - at));
}

void frame_put_i64(struct frame_out *f, const char *name, int64_t value)
{
	char digits[24];
	int n = format_text(digits, sizeof(digits), "%lld", (long long) value);

	frame_put_str(f, name, str_make(digits, (size_t) n));
}

void frame_put_fd(struct frame_out *f, const char *name, int fd)
{
	if (f->error >= 0 && fd >= 0 && f->fd_count == FRAME_FDS)
		f->error = -EMFILE;
	frame_put_str(f, name, fd >= 0 ? STR("1") : STR("0"));
	if (fd < 0)
		return;
	if (f->fd_count < FRAME_FDS)
		f->fds[f->fd_count++] = fd;
	else
		close(fd);
}

int frame_drop(struct frame_out *f, int error)
{
	if (f->b->len > f->start) {
		f->b->len = f->start;
		f->b->at[f->start] = 0;
	}
	while (f->fd_count > 0)
		close(f->fds[--f->fd_count]);
	return error;
}

int frame_end(struct frame_out *f)
{
	size_t length = f->b->len - f->start - sizeof(uint32_t);
	uint32_t wire = htonl((uint32_t) length);

	if (f->error >= 0 && length > FRAME_LIMIT)
		f->error = -EMSGSIZE;
	if (f->error < 0)
		return frame_drop(f, f->error);
	memcpy(f->b->at + f->start, &wire, sizeof(wire));
	f->b->at[f->fd_count_at] = (char) f->fd_count;
	return 0;
}

/* ---- reading ---- */

static bool take_u32(struct str *rest, uint32_t *ret)
{
	uint32_t wire;

	if (rest->len < sizeof(wire))
		return false;
	memcpy(&wire, rest->at, sizeof(wire));
	*ret = ntohl(wire);
	*rest = str_skip(*rest, sizeof(wire));
	return true;
}

static bool take_bytes(struct str *rest, size_t n, struct str *ret)
{
	if (rest->len < n)
		return false;
	*ret = str_head(*rest, n);
	*rest = str_skip(*rest, n);
	return true;
}

static bool take_short(struct str *rest, struct str *ret)
{
	struct str length;

	return take_bytes(rest, 1, &length) && take_bytes(rest, (unsigned char) length.at[0], ret);
}

static bool take_attribute(struct str *rest, struct str *ret_name, struct str *ret_value)
{
	uint32_t length;

	return take_short(rest, ret_name) && take_u32(rest, &length) && take_bytes(rest, length, ret_value);
}

ssize_t frame_split(struct str bytes, struct frame *ret_frame)
{
	struct str rest = bytes, count;
	struct frame f = { 0 };
	uint32_t length;

	if (!take_u32(&rest, &length))
		return 0;
	if (length > FRAME_LIMIT)
		return -EBADMSG;
	if (rest.len < length)
		return 0;
	rest.len = length;
	if (!take_u32(&rest, &f.call) || !take_short(&rest, &f.message) || !take_bytes(&rest, 1, &count))
		return -EBADMSG;
	f.fds_wanted = (unsigned char) count.at[0];
	if (f.fds_wanted > FRAME_FDS)
		return -EBADMSG;
	f.attributes = rest;
	*ret_frame = f;
	return (ssize_t) (length + sizeof(length));
}

void frame_close(struct frame *f)
{
	for (int i = 0; i < f->fd_count; i++)
		if (f->fds[i] >= 0)
			close(f->fds[i]);
	f->fd_count = 0;
}

void frame_read(struct frame_in *in, struct frame *f)
{
	*in = (struct frame_in){ .f = f, .rest = f->attributes };
}

static void fail(struct frame_in *in, const char *name)
{
	if (in->error < 0)
		return;
	in->error = -EBADMSG;
	in->missing = name;
}

/* Looks where it should be, and then everywhere. */
static bool find_attribute(struct frame_in *in, const char *name, struct str *ret_value)
{
	struct str wanted = str_of(name), found, rest = in->rest;

	if (take_attribute(&rest, &found, ret_value) && str_is(found, wanted)) {
		in->rest = rest;
		return true;
	}
	rest = in->f->attributes;
	while (take_attribute(&rest, &found, ret_value)) {
		if (str_is(found, wanted)) {
			in->rest = rest;
			return true;
		}
	}
	return false;
}

struct str frame_get_str(struct frame_in *in, const char *name, size_t max)
{
	struct str value;

	if (in->error >= 0 && find_attribute(in, name, &value) && value.len <= max)
		return value;
	fail(in, name);
	return STR_NONE;
}

uint64_t frame_get_u64(struct frame_in *in, const char *name)
{
	uint64_t value;

	if (str_to_uint64(frame_get_str(in, name, 20), 10, &value) >= 0)
		return value;
	fail(in, name);
	return 0;
}

int64_t frame_get_i64(struct frame_in *in, const char *name)
{
	int64_t value;

	if (str_to_int(frame_get_str(in, name, 20), INT64_MIN, INT64_MAX, &value) >= 0)
		return value;
	fail(in, name);
	return 0;
}

int frame_get_fd(struct frame_in *in, const char *name)
{
	uint64_t present = frame_get_u64(in, name);
	int fd;

	if (in->error < 0 || present == 0)
		return -1;
	if (present != 1 || in->next_fd >= in->f->fd_count) {
		fail(in, name);
		return -1;
	}
	fd = in->f->fds[in->next_fd];
	/* the caller's from now on: frame_close must not close it */
	in->f->fds[in->next_fd++] = -1;
	return fd;
}
