/* SPDX-License-Identifier: ISC */
/*
 * A queue file of outside bytes. The head's checksum is put right first (a crafted file has a right
 * one), so that the fuzzer gets behind it; everything the file then says must stay inside the file.
 */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/queue/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void see(void *arg, const struct journal_record *r)
{
	AUTO(buf) b = BUF(1 << 20);

	(void) arg;
	if (r->kind == JOURNAL_OUTCOME)
		BUG_UNLESS(outcome_pack(&r->outcome, &b) == 0);
}

static void read_file(int fd, struct arena *a)
{
	struct queue_file f;
	struct envelope e;
	AUTO(buf) packed = BUF(32 << 20);

	if (queue_file_take(fd, QUEUE_INCOMING, false, &f) < 0)
		return;
	BUG_UNLESS(f.parts.headers_at + f.parts.headers_len <= f.file_size
		   && f.parts.body_at + f.parts.body_len <= f.file_size);
	queue_file_check(&f);
	if (queue_file_envelope(&f, a, &e) == 0)
		BUG_UNLESS(envelope_pack(&e, &packed) == 0);
	journal_read(&f, see, NULL);
}

/*
 * Words of the right kind behind the checksums: the first bytes of the input as a journal and as an
 * envelope.
 */
static void read_text(struct str text, struct arena *a)
{
	struct envelope e;
	struct outcome o;
	struct journal_record r;
	AUTO(buf) packed = BUF(32 << 20);
	AUTO(buf) line = BUF(32 << 20);
	struct str rest = text;

	if (envelope_unpack(text, a, &e) == 0)
		BUG_UNLESS(envelope_pack(&e, &packed) == 0);
	while (outcome_unpack(&rest, &o) == 1)
		;
	buf_addf(&line, "%08x ", crc32c(crc32c(0, "FUZZED", 6), text.at, text.len));
	buf_add(&line, text);
	journal_record_parse(buf_str(&line), "FUZZED", &r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new("fuzz", NULL, 64 << 20);
	int fd = memfd_create("fuzz", 0);
	char head[QUEUE_HEAD_SIZE], check[16];

	BUG_UNLESS(fd >= 0 && write(fd, data, size) == (ssize_t) size);
	if (size >= QUEUE_HEAD_SIZE) {
		memcpy(head, data, sizeof(head));
		snprintf(check, sizeof(check), "check %08x\n", crc32c(0, head, QUEUE_HEAD_SIZE - 15));
		BUG_UNLESS(pwrite(fd, check, 15, QUEUE_HEAD_SIZE - 15) == 15);
	}
	read_file(fd, a);
	read_text(str_make((const char *) data, size), a);
	close(fd);
	arena_free(a);
	return 0;
}
