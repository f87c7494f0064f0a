/* SPDX-License-Identifier: ISC */
/*
 * Several deliveries for the price of about one sync: all files are written and have their final
 * names before the first of them is synced. The first sync commits the file system's journal with
 * everything that is in it by then, so the others find little left to do.
 */
#include "lib/mailbox/batch.h"

#include <fcntl.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/disk/disk.h"
#include "lib/mailbox/lock.h"

struct mailbox_batch {
	struct list files;
	size_t count;
	struct arena *arena;
};

struct mailbox_batch *mailbox_batch_new(void)
{
	struct mailbox_batch *b = get_memory(sizeof(*b));

	list_init(&b->files);
	b->arena = arena_new("mailbox batch", NULL, 64 << 20);
	return b;
}

void mailbox_batch_free(struct mailbox_batch *b)
{
	if (b == NULL)
		return;
	BUG_UNLESS(list_is_empty(&b->files));
	arena_free(b->arena);
	free(b);
}

struct unsynced *batch_add(struct mailbox_batch *b, int fd, int dir, const char *name, const char *path)
{
	struct unsynced *u = ARENA_NEW(b->arena, struct unsynced);

	u->fd = fd;
	u->dir = dir;
	u->path = (char *) str_c(b->arena, str_of(path));
	snprintf(u->name, sizeof(u->name), "%s", name);
	list_append(&b->files, &u->link);
	b->count++;
	return u;
}

void unsynced_result(struct mailbox_batch *b, struct unsynced *u, struct mailbox_result *result)
{
	*vec_add(b->arena, &u->results) = result;
}

struct unsynced *batch_find_mbox(struct mailbox_batch *b, const char *path, int dir, const char *name)
{
	struct stat st;

	LIST_EACH(u, &b->files, struct unsynced, link)
		if (u->is_mbox && strcmp(u->path, path) == 0)
			return u;
	/*
	 * A second descriptor of the same file would take the first one's fcntl lock away when it
	 * is closed.
	 */
	if (list_is_empty(&b->files) || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return NULL;
	LIST_EACH(u, &b->files, struct unsynced, link)
		if (u->is_mbox && u->device == st.st_dev && u->inode == st.st_ino)
			return u;
	return NULL;
}

void batch_drop(struct unsynced *u)
{
	list_remove(&u->link);
	close(u->fd);
	if (u->has_dotlock)
		dotlock_drop(u->dir, u->name);
	close(u->dir);
}

static void undo_mbox(const struct unsynced *u, int error)
{
	bool is_cut = ftruncate(u->fd, u->old_size) == 0;

	for (size_t i = 0; i < u->results.len; i++) {
		mailbox_say_error(u->results.at[i], error, "cannot update mailbox %s. error writing message",
				  u->path);
		if (!is_cut)
			buf_addf(&u->results.at[i]->text, " (and the file could not be cut back)");
	}
}

static void undo_maildir(const struct unsynced *u, int error)
{
	unlinkat(u->dir, u->name, 0);
	for (size_t i = 0; i < u->results.len; i++)
		mailbox_say_error(u->results.at[i], error,
				  "maildir delivery failed: create maildir file in %s", u->path);
}

static void sync_one(const struct unsynced *u)
{
	int r = file_sync(u->fd);

	if (r < 0 && u->is_mbox)
		undo_mbox(u, r);
	else if (r < 0)
		undo_maildir(u, r);
	if (u->is_mbox)
		FAILPOINT("mbox.synced");
	else
		FAILPOINT("maildir.synced");
}

void mailbox_settle(struct mailbox_batch *b)
{
	/*
	 * Blocks are given out when writing starts: before the first sync for all, or each sync
	 * would have something new to commit.
	 */
	if (b->count > 1)
		LIST_EACH(u, &b->files, struct unsynced, link)
			sync_file_range(u->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	LIST_EACH(u, &b->files, struct unsynced, link) {
		sync_one(u);
		batch_drop(u);
	}
	b->count = 0;
	arena_reset(b->arena);
}
