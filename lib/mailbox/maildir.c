/* SPDX-License-Identifier: ISC */
/*
 * A new message in a Maildir: written in tmp/, renamed into new/, and then synced. The order matters: after
 * a power cut a file that was synced before the rename may be found in tmp/ only, where no reader looks.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/failpoint.h"
#include "lib/disk/disk.h"
#include "lib/mailbox/batch.h"

enum { HOST_MAX = 100 };

struct maildir {
	const struct letter *letter;
	const char *path;
	const struct mailbox_rules *rules;
	int tmp, new;
	char temporary[NAME_SIZE], final[NAME_SIZE];
	char host[HOST_MAX];
};

static int add_host_octet(struct buf *b, char c)
{
	switch (c) {
	case '/':
		return buf_add_text(b, "\\057");
	case ':':
		return buf_add_text(b, "\\072");
	default:
		return buf_add_byte(b, c);
	}
}

/* A host name that may stand in a file name (the Maildir description has these two replacements). */
static void set_host(struct maildir *m)
{
	AUTO(buf) b = BUF(HOST_MAX - 1);

	for (size_t i = 0; i < m->rules->host.len; i++)
		if (add_host_octet(&b, m->rules->host.at[i]) < 0)
			break;
	snprintf(m->host, sizeof(m->host), "%s", b.at);
}

/* *made: whether it was not there. */
static int open_directory(int at, const char *name, bool *made)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(at, name, flags), r;

	if (fd < 0 && errno == ENOENT) {
		*made = true;
		r = make_directory(at, name, 0700);
		if (r < 0)
			return r;
		fd = openat(at, name, flags);
	}
	return fd < 0 ? -errno : fd;
}

/* tmp/, new/ and cur/ of the directory, which is made when missing. */
static int open_maildir(struct maildir *m, const char *path)
{
	char name[NAME_SIZE];
	bool made = false;
	AUTO_FD parent = path_open_parent(path, true, name);
	AUTO_FD top = parent < 0 ? parent : open_directory(parent, name, &made);

	if (top < 0)
		return top;
	m->tmp = open_directory(top, "tmp", &made);
	m->new = m->tmp < 0 ? m->tmp : open_directory(top, "new", &made);
	if (m->new < 0 || !made)
		return MIN(m->new, 0);
	return make_directory(top, "cur", 0700);	/* readers want it, we do not */
}

static int create(struct maildir *m)
{
	int64_t now = wall_us();
	struct stat st;
	int fd, r;

	snprintf(m->temporary, sizeof(m->temporary), "%lld.P%dM%lld.%s", (long long) (now / 1000000),
		 (int) getpid(),
		 (long long) (now % 1000000), m->host);
	fd = file_create(m->tmp, m->temporary, 0600);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	snprintf(m->final, sizeof(m->final), "%lld.V%llxI%llxM%lld.%s", (long long) (now / 1000000),
		 (unsigned long long) st.st_dev,
		 (unsigned long long) st.st_ino, (long long) (now % 1000000), m->host);
	return fd;
}

static int move_to_new(struct maildir *m)
{
	int r = 0;

	if (renameat2(m->tmp, m->temporary, m->new, m->final, RENAME_NOREPLACE) < 0)
		r = -errno;
	/* a file system without RENAME_NOREPLACE */
	if (r == -EINVAL && linkat(m->tmp, m->temporary, m->new, m->final, 0) == 0) {
		unlinkat(m->tmp, m->temporary, 0);
		r = 0;
	}
	return r;
}

static int add(struct maildir *m, struct mailbox_batch *b, struct mailbox_result *ret)
{
	AUTO_FD fd = create(m);
	struct unsynced *u;
	int r;

	if (fd < 0)
		return fd;
	r = letter_write(m->letter, LETTER_HEADERS, fd);
	FAILPOINT("maildir.written");
	if (r >= 0)
		r = move_to_new(m);
	if (r < 0) {
		unlinkat(m->tmp, m->temporary, 0);
		return r;
	}
	FAILPOINT("maildir.renamed");
	u = batch_add(b, fd_take(&fd), fd_take(&m->new), m->final, m->path);
	unsynced_result(b, u, ret);
	return 0;
}

static void add_to_maildir(struct maildir *m, struct mailbox_batch *b, struct mailbox_result *ret)
{
	int r;

	if (m->rules->size_limit > 0 && m->letter->size > (uint64_t) m->rules->size_limit) {
		mailbox_say_error(ret, -EFBIG, "maildir delivery failed: error writing message");
		return;
	}
	mailbox_say(ret, MAILBOX_SENT, "2.0.0", "delivered to maildir");
	set_host(m);
	r = open_maildir(m, m->path);
	if (r >= 0)
		r = add(m, b, ret);
	fd_auto(&m->tmp);
	fd_auto(&m->new);
	if (r < 0)
		mailbox_say_error(ret, r, "maildir delivery failed: create maildir file in %s", m->path);
}

int maildir_add(const struct letter *l, const char *path, const struct mailbox_rules *rules,
		struct mailbox_batch *b, struct mailbox_result *ret)
{
	struct maildir m = { .letter = l, .path = path, .rules = rules, .tmp = -1, .new = -1 };
	struct mailbox_batch *own = NULL;

	ret->at = -1;
	if (b == NULL)
		b = own = mailbox_batch_new();
	add_to_maildir(&m, b, ret);
	if (own != NULL)
		mailbox_settle(own);
	mailbox_batch_free(own);
	return 0;
}
