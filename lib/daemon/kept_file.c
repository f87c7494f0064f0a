/* SPDX-License-Identifier: ISC */
#include "lib/daemon/kept_file.h"

#include <errno.h>
#include <fcntl.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/daemon/daemon.h"
#include "lib/disk/disk.h"

enum { PAUSE_MS = 10000, WARN_EACH_S = 600 };

static void path_of(const struct kept_file *f, struct buf *ret)
{
	buf_addf(ret, "%s/%s", the_world->common->data_directory, f->name);
}

void kept_file_load(struct kept_file *f, size_t most)
{
	AUTO(buf) path = BUF(8192);
	AUTO(buf) text = BUF(most);
	int r;

	path_of(f, &path);
	r = file_read_whole(AT_FDCWD, buf_text(&path), &text);
	if (r == -ENOENT)
		return;
	if (r == 0)
		r = f->parse(buf_str(&text));
	if (r < 0)
		log_warning("%s is not used: %s", buf_text(&path), error_text(r));
	else if (r > 0)
		log_warning("%s: %d malformed lines left out", buf_text(&path), r);
}

static void save(struct kept_file *f)
{
	AUTO(buf) path = BUF(8192);
	AUTO(buf) text = BUF(SIZE_MAX);
	int r;

	path_of(f, &path);
	f->is_dirty = false;			/* what changes from now on is for the next time */
	f->print(&text);
	FAILPOINT("kept_file.write");
	r = file_replace(AT_FDCWD, buf_text(&path), buf_str(&text), 0600);
	if (r >= 0)
		return;
	f->is_dirty = true;
	log_warning_rarely(WARN_EACH_S, "%s cannot be written: %s", buf_text(&path), error_text(r));
}

void kept_file_tend(struct kept_file *f)
{
	if (!f->is_dirty || mono_ms() < f->not_before)
		return;
	save(f);
	f->not_before = in(PAUSE_MS);
}

void kept_file_leave(struct kept_file *f)
{
	if (f->is_dirty)
		save(f);
}
