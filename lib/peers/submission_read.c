/* SPDX-License-Identifier: ISC */
/* postdrop's side of a submission: whoever writes it may be hostile. See submission.h. */
#include <errno.h>

#include "lib/peers/submission.h"

/* "name LENGTH LF" */
static int read_length(struct str line, struct str name, size_t most, size_t *ret_len)
{
	int64_t n;

	if (line.len == 0 || line.at[line.len - 1] != '\n' || !str_starts(line, name))
		return -EBADMSG;
	line = str_make(line.at + name.len, line.len - name.len - 1);
	if (line.len < 2 || line.at[0] != ' ' || str_to_int(str_skip(line, 1), 0, INT64_MAX, &n) < 0)
		return -EBADMSG;
	if ((uint64_t) n > most)
		return -EMSGSIZE;
	*ret_len = (size_t) n;
	return 0;
}

static int read_exactly(struct input *in, char *at, size_t len)
{
	struct str piece;

	while (len > 0) {
		if (!input_bytes(in, len, &piece))
			return -EPIPE;
		memcpy(at, piece.at, piece.len);
		at += piece.len;
		len -= piece.len;
	}
	return 0;
}

static int fail(int error, struct buf *why)
{
	buf_addf(why, error == -EPIPE ? "the input ends before its end" : error == -EMSGSIZE
		 ? "too many recipients" : "the input is malformed");
	return error;
}

int submission_read_envelope(struct input *in, struct arena *a, struct str *ret_packed, struct buf *why)
{
	struct str line;
	size_t len;
	char *at;
	int r;

	if (!input_line(in, &line))
		return fail(-EPIPE, why);
	if (!str_is(line, STR("postroad-submission 1\n")))
		return fail(-EBADMSG, why);
	if (!input_line(in, &line))
		return fail(-EPIPE, why);
	r = read_length(line, STR("envelope"), SUBMISSION_MOST_ENVELOPE, &len);
	if (r < 0)
		return fail(r, why);
	at = arena_get(a, len + 1);
	r = read_exactly(in, at, len);
	if (r < 0)
		return fail(r, why);
	*ret_packed = str_make(at, len);
	return 0;
}

bool submission_is_bounded(const struct envelope *e)
{
	size_t longest = MAX(e->sender.len, e->envid.len);

	for (size_t i = 0; i < e->recipient_count; i++) {
		longest = MAX(longest, e->recipients[i].address.len);
		longest = MAX(longest, e->recipients[i].orcpt.len);
	}
	return longest <= SUBMISSION_LONGEST;
}

int submission_read_piece(struct input *in, size_t *left, struct str *ret_piece)
{
	struct str line;
	int r;

	while (*left == 0) {
		if (!input_line(in, &line))
			return -EPIPE;
		if (str_is(line, STR("end\n")))
			return 0;
		r = read_length(line, STR("data"), SUBMISSION_PIECE, left);
		if (r < 0)
			return -EBADMSG;
	}
	if (!input_bytes(in, *left, ret_piece))
		return -EPIPE;
	*left -= ret_piece->len;
	return 1;
}
