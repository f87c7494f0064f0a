/* SPDX-License-Identifier: ISC */
/*
 * The journal at the end of a queue file: one checksummed line per record, see format.h. Not
 * synced: a killed process loses nothing, a power cut at most what happened in the last seconds,
 * and then a recipient may get the message twice, never not at all.
 */
#include <errno.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/base/format.h"
#include "lib/disk/disk.h"
#include "lib/queue/residents.h"

static const struct str kinds[] = {
	[JOURNAL_OUTCOME] = STR_INIT("outcome"),    [JOURNAL_TOLD] = STR_INIT("told"),
	[JOURNAL_DELAY_WARNED] = STR_INIT("delay"), [JOURNAL_EXPIRE] = STR_INIT("expire"),
	[JOURNAL_HELD] = STR_INIT("held"),	    [JOURNAL_REQUEUED] = STR_INIT("requeued"),
	[JOURNAL_RELEASED] = STR_INIT("released"),  [JOURNAL_DONE] = STR_INIT("done"),
};

enum { CRC_DIGITS = 8 };

static uint32_t record_crc(const char *id, struct str text)
{
	return crc32c(crc32c(0, id, strlen(id)), text.at, text.len);
}

/* ---- appending ---- */

static int add_text(struct buf *b, const struct journal_record *r)
{
	int result = buf_add(b, kinds[r->kind]);

	if (result < 0)
		return result;
	switch (r->kind) {
	case JOURNAL_OUTCOME:
		result = buf_add_byte(b, ' ');
		if (result >= 0)
			result = outcome_pack(&r->outcome, b);
		if (result >= 0)
			b->len--;		/* its own line end */
		return result;
	case JOURNAL_TOLD:
		return buf_addf(b, " %u", r->outcome.index);
	default:
		return 0;
	}
}

int journal_record_print(struct buf *b, const char *id, const struct journal_record *r)
{
	size_t start = b->len;
	char crc[CRC_DIGITS + 1];
	int result = buf_addf(b, "%08x ", 0U);

	if (result >= 0)
		result = add_text(b, r);
	if (result < 0)
		return result;
	format_text(crc, sizeof(crc), "%08x", record_crc(id, str_skip(buf_str(b), start + CRC_DIGITS + 1)));
	memcpy(b->at + start, crc, CRC_DIGITS);
	return buf_add_byte(b, '\n');
}

/* Does the file end with a whole line, or did a crash tear the last one? */
static int look_at_end(struct queue_file *f)
{
	char last = 0;
	ssize_t n;

	if (f->journal_is_clean)
		return 0;
	n = pread_all(f->fd, &last, 1, (off_t) f->file_size - 1);
	if (n < 0)
		return (int) n;
	f->journal_is_clean = last == '\n';
	return 0;
}

int journal_append_lines(struct queue_file *f, struct str lines)
{
	AUTO(buf) with_end = BUF(JOURNAL_MOST_LINES + sizeof(JOURNAL_SPOILT));
	int r = look_at_end(f);

	if (r == 0 && !f->journal_is_clean) {
		r = buf_add_text(&with_end, JOURNAL_SPOILT);
		if (r == 0)
			r = buf_add(&with_end, lines);
		lines = buf_str(&with_end);
	}
	if (r < 0)
		return r;
	FAILPOINT("queue.journal.before");
	r = write_all(f->fd, lines.at, lines.len);
	FAILPOINT("queue.journal.after");
	if (r < 0) {
		/* on a full disk half of it may be there: whoever appends next is told to look */
		if (ftruncate(f->fd, (off_t) f->file_size) < 0)
			f->journal_is_clean = false;
		return r;
	}
	f->file_size += lines.len;
	f->journal_is_clean = true;
	return 0;
}

int journal_append(struct queue_file *f, const struct journal_record *records, size_t n)
{
	AUTO(buf) lines = BUF(JOURNAL_MOST_LINES);
	int r = 0;

	if (f->resident != NULL)
		return resident_note(f->resident, records, n);
	for (size_t i = 0; i < n && r >= 0; i++)
		r = journal_record_print(&lines, f->id, &records[i]);
	return r < 0 ? r : journal_append_lines(f, buf_str(&lines));
}

/* ---- reading ---- */

static int parse_kind(struct str word, enum journal_kind *ret)
{
	for (size_t i = 0; i < COUNT_OF(kinds); i++)
		if (str_is(word, kinds[i])) {
			*ret = (enum journal_kind) i;
			return 0;
		}
	return -EBADMSG;
}

int journal_record_parse(struct str line, const char *id, struct journal_record *ret)
{
	struct journal_record record = { 0 };
	struct str crc_text, word, rest;
	int64_t index;
	uint64_t crc;

	if (!str_cut(&line, ' ', &crc_text) || crc_text.len != CRC_DIGITS
	    || str_to_uint64(crc_text, 16, &crc) < 0 || crc != record_crc(id, line))
		return -EBADMSG;
	rest = line;
	str_cut(&rest, ' ', &word);
	if (parse_kind(word, &record.kind) < 0)
		return -EBADMSG;
	if (record.kind == JOURNAL_OUTCOME && outcome_unpack(&rest, &record.outcome) != 1)
		return -EBADMSG;
	if (record.kind == JOURNAL_TOLD) {
		if (str_to_int(rest, 0, UINT32_MAX, &index) < 0)
			return -EBADMSG;
		record.outcome.index = (uint32_t) index;
	}
	*ret = record;
	return 0;
}

struct reading {
	struct queue_file *f;
	void (*each)(void *arg, const struct journal_record *r);
	void *arg;
	int skipped;
};

static void read_record(struct reading *rd, struct str line)
{
	struct journal_record record;

	if (line.len == 0)
		return;			/* what made a fresh line after a torn one */
	if (journal_record_parse(line, rd->f->id, &record) < 0)
		rd->skipped++;
	else
		rd->each(rd->arg, &record);
}

/*
 * Hands out the whole lines at the front of b and drops them. At the end a last one without its LF
 * does not count, even if all the rest of it is there: whoever wrote it was told that it is not.
 */
static void read_lines(struct reading *rd, struct buf *b, bool is_end)
{
	struct str rest = buf_str(b), line;

	while (str_find(rest, '\n') >= 0) {
		str_cut(&rest, '\n', &line);
		read_record(rd, line);
	}
	if (is_end && rest.len > 0) {
		rd->skipped++;
		rest = STR_NONE;
	}
	buf_cut_front(b, b->len - rest.len);
	if (b->len >= JOURNAL_MOST_LINE) {
		rd->skipped++;			/* no record is that long */
		buf_clear(b);
	}
}

int journal_read(struct queue_file *f, void (*each)(void *arg, const struct journal_record *r), void *arg)
{
	struct reading rd = { f, each, arg, 0 };
	AUTO(buf) b = BUF(2 * JOURNAL_MOST_LINE);
	uint64_t at = f->journal_at;

	if (f->resident != NULL)
		return resident_read_journal(f->resident, each, arg);
	while (at < f->file_size) {
		size_t want = (size_t) MIN(f->file_size - at, (uint64_t) JOURNAL_MOST_LINE);
		char *room = buf_room(&b, want);
		ssize_t n;

		BUG_UNLESS(room != NULL);
		n = pread_all(f->fd, room, want, (off_t) at);
		if (n < 0)
			return (int) n;
		if (n == 0)
			break;			/* cut shorter meanwhile */
		b.len += (size_t) n;
		at += (uint64_t) n;
		read_lines(&rd, &b, at == f->file_size);
	}
	return rd.skipped;
}
