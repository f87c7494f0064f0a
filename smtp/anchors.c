/* SPDX-License-Identifier: ISC */
/*
 * Trust anchors in files (smtp_tls_trust_anchor_file, tafile=): read when first asked for, kept,
 * and read again when they change.
 */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/table/source.h"
#include "lib/table/watch.h"
#include "smtp/policy_sources.h"

enum { MOST_FILES = 100, LARGEST_FILE = 1 << 20 };

static struct file {
	struct watch *watch;
	struct arena *arena;
	struct tls_anchors anchors;	/* empty: it could not be read, and will be tried again */
} files[MOST_FILES];
static size_t count;

static int file_of(struct str path, struct file **ret, struct buf *why)
{
	int r;

	for (size_t i = 0; i < count; i++)
		if (str_is(str_of(files[i].watch->path), path)) {
			*ret = &files[i];
			return 0;
		}
	if (count == MOST_FILES) {
		buf_add_text(why, "too many files with trust anchors");
		return -E2BIG;
	}
	r = watch_new(path, &files[count].watch, why);
	if (r < 0)
		return r;
	files[count].arena = arena_new("trust anchors", NULL, 4 * LARGEST_FILE);
	*ret = &files[count++];
	return 0;
}

static int read_file(struct file *f, struct buf *why)
{
	AUTO(buf) text = BUF(LARGEST_FILE + 65536);
	struct stat st;
	AUTO_FD fd = watch_open(f->watch, &st, why);
	int r = fd < 0 ? fd : source_read_file(fd, LARGEST_FILE, &text);

	arena_reset(f->arena);
	f->anchors = (struct tls_anchors){ 0 };
	if (fd >= 0 && r >= 0) {
		watch_saw(f->watch, &st);
		r = tls_anchors_parse(f->arena, buf_str(&text), &f->anchors, why);
	} else if (fd >= 0) {
		buf_add_text(why, error_text(r));
	}
	return r < 0 ? r : 0;
}

static int add_file(struct arena *a, struct str path, struct tls_anchors *ret, struct buf *why)
{
	AUTO(buf) words = BUF_WORDS;
	struct file *f = NULL;
	int r = file_of(path, &f, &words);

	if (r >= 0 && (f->anchors.len == 0 || watch_changed(f->watch, true)))
		r = read_file(f, &words);
	if (r < 0) {
		buf_addf(why, "trust anchors in %.*s: %s", PSTR(path), buf_text(&words));
		return r;
	}
	for (size_t i = 0; i < f->anchors.len; i++) {
		struct tls_tlsa one = f->anchors.at[i];

		one.data = arena_copy(a, one.data);		/* a later reading replaces the file's */
		*vec_add(a, ret) = one;
	}
	return 0;
}

int anchors_of_files(struct arena *a, struct str paths, struct tls_anchors *ret, struct buf *why)
{
	struct str path;
	int r = 0;

	while (r >= 0 && str_token(&paths, ", \t\r\n", &path))
		r = add_file(a, path, ret, why);
	return r;
}
