/* SPDX-License-Identifier: ISC */
/* See segment.h. */
#include "lib/queue/segment.h"

#include <errno.h>
#include <sys/random.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/disk/disk.h"

/* Far behind any message, so that it is in nobody's way who locks messages one by one. */
static const off_t OWNERS_BYTE = (off_t) 1 << 40;

enum { PIECE = 64 << 10 };

static const struct str prefixes[] = {
	[SEGMENT_LOG] = STR_INIT("log-"), [SEGMENT_DONE] = STR_INIT("done-"),
	[SEGMENT_FREE] = STR_INIT("free-"),
};

void segment_path(char path[SEGMENT_PATH_SIZE], enum segment_file kind, const char *name)
{
	snprintf(path, SEGMENT_PATH_SIZE, "%s%s", prefixes[kind].at, name);
}

bool segment_path_parse(const char *path, enum segment_file *ret_kind, const char **ret_name)
{
	for (size_t i = 0; i < COUNT_OF(prefixes); i++) {
		struct str name = str_skip(str_of(path), prefixes[i].len);
		uint64_t ignored;

		if (!str_starts(str_of(path), prefixes[i]) || name.len != SEGMENT_NAME_SIZE - 1
		    || str_to_uint64(name, 16, &ignored) < 0)
			continue;
		*ret_kind = (enum segment_file) i;
		*ret_name = name.at;
		return true;
	}
	return false;
}

void segment_name_new(char name[SEGMENT_NAME_SIZE])
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != (ssize_t) sizeof(random))
		die(EX_OSERR, "the kernel gives no random bytes");
	snprintf(name, SEGMENT_NAME_SIZE, "%016llx", (unsigned long long) random);
}

uint64_t segment_align(uint64_t at)
{
	return (at + SEGMENT_ALIGN - 1) / SEGMENT_ALIGN * SEGMENT_ALIGN;
}

uint64_t segment_record_len(const struct queue_head *h)
{
	return segment_align(h->journal_at);
}

int segment_own(int fd)
{
	return lock_try_at(fd, OWNERS_BYTE);
}

bool segment_has_owner(int fd)
{
	return lock_is_taken_at(fd, OWNERS_BYTE) != 0;		/* cannot tell: better not touched */
}

static bool is_of(const struct queue_head *h, const char *name, uint64_t at)
{
	return strcmp(h->segment, name) == 0 && h->segment_at == at;
}

/*
 * What is left of a former use may look like anything; what says that it was put here in this use,
 * and cannot be read, is a message all the same.
 */
static bool claims_to_be_of(struct str data, const char *name, uint64_t at)
{
	char line[80];

	snprintf(line, sizeof(line), QUEUE_SEGMENT_LINE, name, (unsigned long long) at);
	return str_find_str(data, str_of(line)) >= 0;
}

int segment_head(int fd, const char *name, uint64_t at, uint64_t size, struct queue_head *ret)
{
	char data[QUEUE_HEAD_SIZE];
	ssize_t n = at >= size ? 0 : pread_all(fd, data, sizeof(data), (off_t) at);
	int r;

	if (n < 0)
		return (int) n;
	r = queue_head_parse(str_make(data, (size_t) n), size - MIN(at, size), ret);
	if (r == 0)
		return is_of(ret, name, at) ? 0 : -ENODATA;
	return (r == -EBADMSG || r == -ENOTSUP) && claims_to_be_of(str_make(data, (size_t) n), name, at)
	       ? r : -ENODATA;
}

int segment_check(int fd, const struct queue_head *h)
{
	const struct queue_part *parts[] = { &h->headers, &h->body, &h->envelope };
	int r = 0;

	for (size_t i = 0; i < COUNT_OF(parts) && r == 0; i++)
		r = queue_check_part(fd, h->segment_at + parts[i]->at, parts[i]->len, parts[i]->crc);
	return r;
}

static bool holds_head(struct str data, const char *name, uint64_t at, uint64_t size)
{
	struct queue_head h;

	return queue_head_parse(str_head(data, QUEUE_HEAD_SIZE), size - at, &h) == 0 && is_of(&h, name, at);
}

int segment_next_head(int fd, const char *name, uint64_t at, uint64_t size, uint64_t *ret_at)
{
	AUTO_PTR char *piece = get_memory(PIECE);

	for (at = segment_align(at); at < size; at += PIECE) {
		ssize_t n = pread_all(fd, piece, PIECE, (off_t) at);

		if (n < 0)
			return (int) n;
		for (size_t i = 0; i + QUEUE_HEAD_SIZE <= (size_t) n; i += SEGMENT_ALIGN)
			if (holds_head(str_make(piece + i, (size_t) n - i), name, at + i, size)) {
				*ret_at = at + i;
				return 0;
			}
	}
	return -ENODATA;
}
