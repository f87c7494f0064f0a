/* SPDX-License-Identifier: ISC */
/*
 * A segment of the intake log and its ledger, of outside bytes: the first two say how long the
 * ledger is. Checksums of heads and of the ledger's lines are put right first, so that the fuzzer
 * gets behind them. Whatever they say, what is found lies inside the segment, and what is damaged
 * is set aside once.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/base/map.h"
#include "lib/queue/residents.h"
#include "lib/queue/segment.h"

enum { LONGEST_INPUT = 64 << 10, CRC_DIGITS = 8, CHECK_LEN = 15 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char NAME[SEGMENT_NAME_SIZE] = "0123456789abcdef";
static char place[200];			/* a queue directory of our own */
static int top = -1, intake, corrupt;

static void remove_place(void)
{
	for (int i = 0; i < QUEUE_COUNT; i++)
		unlinkat(top, queue_name_text((enum queue_name) i), AT_REMOVEDIR);
	unlinkat(top, "intake", AT_REMOVEDIR);
	rmdir(place);
}

static void make_place(void)
{
	const char *directory = getenv("TMPDIR");

	snprintf(place, sizeof(place), "%s/intake-fuzz-XXXXXX", directory == NULL ? "/tmp" : directory);
	BUG_UNLESS(mkdtemp(place) != NULL);
	top = open(place, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < QUEUE_COUNT; i++)
		BUG_UNLESS(mkdirat(top, queue_name_text((enum queue_name) i), 0700) == 0);
	BUG_UNLESS(mkdirat(top, "intake", 0700) == 0);
	intake = openat(top, "intake", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	corrupt = openat(top, "corrupt", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	BUG_UNLESS(intake >= 0 && corrupt >= 0);
	atexit(remove_place);
}

/* How many files there were. */
static size_t empty(int dir)
{
	DIR *d = fdopendir(openat(dir, ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC));
	size_t count = 0;

	BUG_UNLESS(d != NULL);
	for (struct dirent *entry; (entry = readdir(d)) != NULL;)
		count += unlinkat(dir, entry->d_name, 0) == 0;
	closedir(d);
	return count;
}

static void write_file(enum segment_file kind, struct str content)
{
	char path[SEGMENT_PATH_SIZE];

	segment_path(path, kind, NAME);
	AUTO_FD fd = openat(intake, path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
	BUG_UNLESS(fd >= 0 && write(fd, content.at, content.len) == (ssize_t) content.len);
}

static void mend_heads(char *segment, size_t len)
{
	for (size_t at = 0; at + QUEUE_HEAD_SIZE <= len; at += SEGMENT_ALIGN) {
		char *head = segment + at, check[CHECK_LEN + 1];
		const size_t check_at = QUEUE_HEAD_SIZE - CHECK_LEN;

		if (!str_starts(str_make(head, QUEUE_HEAD_SIZE), STR("postroad")))
			continue;
		snprintf(check, sizeof(check), "check %08x\n", crc32c(0, head, check_at));
		memcpy(head + check_at, check, CHECK_LEN);
	}
}

/* ID CHECKSUM WORDS */
static void mend_lines(char *ledger, size_t len)
{
	struct str rest = str_make(ledger, len), line, id;

	while (rest.len > 0) {
		char check[CRC_DIGITS + 1];
		struct str words;

		str_cut(&rest, '\n', &line);
		if (!str_cut(&line, ' ', &id) || line.len <= CRC_DIGITS)
			continue;
		words = str_skip(line, CRC_DIGITS + 1);
		snprintf(check, sizeof(check), "%08x", crc32c(crc32c(0, id.at, id.len), words.at, words.len));
		memcpy(ledger + (line.at - ledger), check, CRC_DIGITS);
	}
}

static void see(void *arg, const struct journal_record *r)
{
	(void) arg;
	(void) r;
}

static void read_resident(struct resident *r, size_t segment_size)
{
	struct arena *a = arena_new("fuzz", NULL, 64 << 20);
	struct queue_file f;
	struct envelope e;

	BUG_UNLESS(r->at % SEGMENT_ALIGN == 0 && r->len > 0 && r->at + QUEUE_HEAD_SIZE <= segment_size);
	if (resident_open(r, &f) == 0) {
		BUG_UNLESS(f.parts.headers_at + f.parts.headers_len <= segment_size
			   && f.parts.body_at + f.parts.body_len <= segment_size);
		queue_file_check(&f);
		queue_file_envelope(&f, a, &e);
		resident_read_journal(r, see, NULL);
	}
	arena_free(a);
}

/* How many messages there are. */
static size_t look(size_t segment_size)
{
	AUTO(buf) why = BUF_WORDS;
	struct map_at at = { 0 };
	struct queue *q;
	size_t count;

	BUG_UNLESS(queue_open(top, 1, (1u << QUEUE_COUNT) - 1, &q, &why) == 0
		   && queue_open_intake(q, top, true, true) == 0);
	BUG_UNLESS(residents_look(q->residents) == 0);
	count = map_count(q->residents->by_id);
	while (map_next(q->residents->by_id, &at))
		read_resident(at.value, segment_size);
	BUG_UNLESS(residents_look(q->residents) == 0 && map_count(q->residents->by_id) == count);
	queue_close(q);
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char bytes[LONGEST_INPUT];
	size_t ledger_len, set_aside, count;

	if (size < 2 || size > sizeof(bytes))
		return 0;
	if (top < 0)
		make_place();
	memcpy(bytes, data, size);
	ledger_len = MIN((size_t) data[0] << 8 | data[1], size - 2);
	mend_lines(bytes + 2, ledger_len);
	mend_heads(bytes + 2 + ledger_len, size - 2 - ledger_len);
	write_file(SEGMENT_DONE, str_make(bytes + 2, ledger_len));
	write_file(SEGMENT_LOG, str_make(bytes + 2 + ledger_len, size - 2 - ledger_len));
	count = look(size - 2 - ledger_len);
	set_aside = empty(corrupt);
	/* a restart comes to the same */
	BUG_UNLESS(look(size - 2 - ledger_len) == count && empty(corrupt) == set_aside);
	empty(intake);
	return 0;
}
