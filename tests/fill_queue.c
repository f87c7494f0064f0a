/* SPDX-License-Identifier: ISC */
/*
 * For tests: copies one message of a stopped system many times under ids of their own, without syncing.
 *
 *   fill_queue QUEUE-DIRECTORY ID COUNT NEXT-ATTEMPT       (seconds since 1970)
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/disk/disk.h"
#include "lib/queue/format.h"

static void write_copy(struct queue *q, struct queue_head *head, struct str rest, int64_t next_attempt,
		       const struct stat *like)
{
	struct timespec times[2] = { { .tv_sec = next_attempt }, { .tv_sec = next_attempt } };
	int dir = queue_dir(q, QUEUE_DEFERRED);
	char text[QUEUE_HEAD_SIZE], path[64], *slash;
	AUTO_FD fd = -1;

	queue_head_print(head, text);
	queue_path(q, QUEUE_DEFERRED, str_of(head->id), path);
	fd = openat(dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 && errno == ENOENT && queue_make_hash_directories(q, QUEUE_DEFERRED, path) >= 0) {
		fd = openat(dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if ((slash = strrchr(path, '/')) != NULL) {
			*slash = 0;
			if (fchownat(dir, path, like->st_uid, like->st_gid, 0) < 0)
				die(EX_CANTCREAT, "%s: %s", path, error_text(errno));
		}
	}
	if (fd < 0 || write_all(fd, text, sizeof(text)) < 0 || write_all(fd, rest.at, rest.len) < 0
	    || fchown(fd, like->st_uid, like->st_gid) < 0 || fchmod(fd, like->st_mode & 07777) < 0
	    || futimens(fd, times) < 0)
		die(EX_CANTCREAT, "%s: %s", path, error_text(errno));
}

int main(int argc, char **argv)
{
	struct buf file = BUF(1 << 20);
	struct buf why = BUF_WORDS;
	struct queue_head head;
	struct queue_file template;
	struct queue *q;
	struct stat like;
	int64_t count, next_attempt;
	int directory;

	if (argc != 5 || str_to_int(str_of(argv[3]), 1, 10000000, &count) < 0
	    || str_to_int(str_of(argv[4]), 1, INT64_MAX, &next_attempt) < 0)
		die(EX_USAGE, "usage: fill_queue QUEUE-DIRECTORY ID COUNT NEXT-ATTEMPT");
	directory = openat(AT_FDCWD, argv[1], O_DIRECTORY | O_CLOEXEC);
	if (directory < 0 || queue_open(directory, 1, 1 << QUEUE_DEFERRED, &q, &why) < 0)
		die(EX_NOINPUT, "%s: %s", argv[1], buf_text(&why));
	if (queue_file_open(q, QUEUE_DEFERRED, str_of(argv[2]), false, true, &template) < 0
	    || fstat(template.fd, &like) < 0)
		die(EX_NOINPUT, "no such message: %s", argv[2]);
	if (template.file_size > file.limit
	    || pread_all(template.fd, buf_room(&file, (size_t) template.file_size),
			 (size_t) template.file_size, 0) < 0)
		die(EX_NOINPUT, "%s cannot be read", argv[2]);
	file.len = (size_t) template.file_size;
	if (queue_head_parse(buf_str(&file), template.file_size, &head) < 0)
		die(EX_DATAERR, "%s has no valid head", argv[2]);
	for (int64_t i = 0; i < count; i++) {
		struct str rest = str_make(file.at + QUEUE_HEAD_SIZE,
					   (size_t) head.journal_at - QUEUE_HEAD_SIZE);

		queue_id_new(head.id);
		write_copy(q, &head, rest, next_attempt, &like);
	}
	return 0;
}
