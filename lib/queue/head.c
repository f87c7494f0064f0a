/* SPDX-License-Identifier: ISC */
/*
 * The head of a queue file, see format.h: printed once at the commit, parsed by everybody who opens
 * the file.
 */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/base/format.h"
#include "lib/queue/format.h"

#define MAGIC "postroad-queue-file "

static const char check_word[] = "check ";

enum { CHECK_LEN = sizeof(check_word) - 1 + 8 + 1, CHECK_AT = QUEUE_HEAD_SIZE - CHECK_LEN };

uint64_t queue_head_message_size(const struct queue_head *h)
{
	return h->headers.len + (h->flags & QUEUE_NO_EMPTY_LINE ? 0 : 1 + h->body.len);
}

void queue_head_print(const struct queue_head *h, char out[QUEUE_HEAD_SIZE])
{
	char text[QUEUE_HEAD_SIZE + 1];
	int n = format_text(text, sizeof(text),
			 MAGIC "%d\nid %s\narrival %lld flags %08x recipients %010u\n"
			 "headers %020llu %020llu %08x\nbody %020llu %020llu %08x\nenvelope %020llu %020llu %08x\n"
			 "journal %020llu\n",
			 QUEUE_VERSION, h->id, (long long) h->arrival_us, h->flags, h->recipient_count,
			 (unsigned long long) h->headers.at, (unsigned long long) h->headers.len,
			 h->headers.crc,
			 (unsigned long long) h->body.at, (unsigned long long) h->body.len, h->body.crc,
			 (unsigned long long) h->envelope.at, (unsigned long long) h->envelope.len,
			 h->envelope.crc,
			 (unsigned long long) h->journal_at);

	if (n > 0 && n < CHECK_AT && h->segment[0] != '\0')
		n += format_text(text + n, sizeof(text) - (size_t) n, QUEUE_SEGMENT_LINE, h->segment,
			      (unsigned long long) h->segment_at);
	BUG_UNLESS(n > 0 && n < CHECK_AT);
	memset(text + n, ' ', (size_t) (CHECK_AT - n));
	text[CHECK_AT - 1] = '\n';
	format_text(text + CHECK_AT, CHECK_LEN + 1, "%s%08x\n", check_word, crc32c(0, text, CHECK_AT));
	memcpy(out, text, QUEUE_HEAD_SIZE);
}

static bool is_all_zero(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] != 0)
			return false;
	return true;
}

static int get_word(struct str *rest, const char *name)
{
	struct str word = str_of(name);

	if (!str_starts(*rest, word))
		return -EBADMSG;
	*rest = str_skip(*rest, word.len);
	return 0;
}

/* Digits up to the byte `end`. */
static int get_number(struct str *rest, char end, unsigned base, uint64_t max, uint64_t *ret)
{
	struct str word;

	if (!str_cut(rest, end, &word) || str_to_uint64(word, base, ret) < 0 || *ret > max)
		return -EBADMSG;
	return 0;
}

static int get_part(struct str *rest, const char *name, uint64_t most, struct queue_part *ret)
{
	uint64_t crc;

	if (get_word(rest, name) < 0 || get_number(rest, ' ', 10, INT64_MAX, &ret->at) < 0
	    || get_number(rest, ' ', 10, most, &ret->len) < 0
	    || get_number(rest, '\n', 16, UINT32_MAX, &crc) < 0)
		return -EBADMSG;
	ret->crc = (uint32_t) crc;
	return 0;
}

static bool part_fits(const struct queue_part *p, const struct queue_head *h)
{
	return p->at >= QUEUE_HEAD_SIZE && p->at <= h->journal_at && p->len <= h->journal_at - p->at;
}

static int get_id(struct str *rest, char id[32])
{
	struct str word;

	if (get_word(rest, "id ") < 0 || !str_cut(rest, '\n', &word) || !queue_id_is_valid(word))
		return -EBADMSG;
	memcpy(id, word.at, word.len);
	id[word.len] = '\0';
	return 0;
}

/* Only messages in the intake log have it. */
static int get_segment(struct str rest, struct queue_head *h)
{
	struct str name;

	if (get_word(&rest, "segment ") < 0)
		return 0;
	if (!str_cut(&rest, ' ', &name) || name.len == 0 || name.len >= sizeof(h->segment)
	    || get_number(&rest, '\n', 10, INT64_MAX, &h->segment_at) < 0)
		return -EBADMSG;
	memcpy(h->segment, name.at, name.len);
	return 0;
}

static int get_fields(struct str rest, uint64_t file_size, struct queue_head *h)
{
	uint64_t arrival, flags, recipients;

	if (get_id(&rest, h->id) < 0 || get_word(&rest, "arrival ") < 0
	    || get_number(&rest, ' ', 10, INT64_MAX, &arrival) < 0 || get_word(&rest, "flags ") < 0
	    || get_number(&rest, ' ', 16, UINT32_MAX, &flags) < 0 || get_word(&rest, "recipients ") < 0
	    || get_number(&rest, '\n', 10, UINT32_MAX, &recipients) < 0
	    || get_part(&rest, "headers ", QUEUE_MOST_HEADERS, &h->headers) < 0
	    || get_part(&rest, "body ", INT64_MAX, &h->body) < 0
	    || get_part(&rest, "envelope ", QUEUE_MOST_ENVELOPE, &h->envelope) < 0
	    || get_word(&rest, "journal ") < 0
	    || get_number(&rest, '\n', 10, file_size, &h->journal_at) < 0 || get_segment(rest, h) < 0)
		return -EBADMSG;
	if (!part_fits(&h->headers, h) || !part_fits(&h->body, h) || !part_fits(&h->envelope, h))
		return -EBADMSG;
	h->arrival_us = (int64_t) arrival;
	h->flags = (uint32_t) flags;
	h->recipient_count = (uint32_t) recipients;
	return 0;
}

/*
 * Postfix begins its files with a record of numbers: sizes ('C'), or in maildrop a time ('T'); a
 * type, a length, and that many digits and blanks.
 */
static bool is_of_postfix(struct str data)
{
	const size_t len = data.len < 2 ? 0 : (unsigned char) data.at[1];

	if (len < 2 || data.len < 2 + len || (data.at[0] != 'C' && data.at[0] != 'T'))
		return false;
	for (size_t i = 2; i < 2 + len; i++)
		if (!is_digit(data.at[i]) && data.at[i] != ' ')
			return false;
	return true;
}

int queue_head_parse(struct str data, uint64_t file_size, struct queue_head *ret)
{
	struct queue_head h = { 0 };
	struct str rest = data;
	uint64_t version;
	char check[CHECK_LEN + 1];

	if (is_of_postfix(data))
		return -ENOTSUP;
	if (data.len < QUEUE_HEAD_SIZE || is_all_zero(data))
		return -ENODATA;
	if (get_word(&rest, MAGIC) < 0 || get_number(&rest, '\n', 10, UINT32_MAX, &version) < 0)
		return -EBADMSG;
	format_text(check, sizeof(check), "%s%08x\n", check_word, crc32c(0, data.at, CHECK_AT));
	if (!str_is(str_make(data.at + CHECK_AT, CHECK_LEN), str_of(check)))
		return -EBADMSG;
	if (version > QUEUE_VERSION)
		return -ENOTSUP;
	if (get_fields(rest, file_size, &h) < 0)
		return -EBADMSG;
	*ret = h;
	return 0;
}

int queue_head_guess(struct str data, uint64_t file_size, struct queue_head *ret)
{
	struct queue_head h = { 0 };
	struct str rest = data, first;

	if (data.len < QUEUE_HEAD_SIZE || is_all_zero(data))
		return -ENODATA;
	if (!str_cut(&rest, '\n', &first) || get_fields(rest, file_size, &h) < 0)
		return -EBADMSG;
	*ret = h;
	return 0;
}
