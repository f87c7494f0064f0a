/* SPDX-License-Identifier: ISC */
#include "lib/table/files_value.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/base64.h"
#include "lib/base/die.h"
#include "lib/table/source.h"

enum { MOST_CONTENT = 16 << 20 };

static int start_directory = AT_FDCWD;

void files_value_start_in(int directory)
{
	start_directory = directory;
}

int files_value(struct str value, struct buf *ret, struct buf *why)
{
	AUTO(buf) content = BUF(MOST_CONTENT);
	struct str name;
	bool first = true;

	while (str_token(&value, ", \t\r\n", &name)) {
		AUTO(buf) path = BUF(4096), one = BUF(MOST_CONTENT);
		AUTO_FD fd = -1;
		int r;

		if (buf_add(&path, name) < 0) {
			buf_addf(why, "open %.*s...: %s", PSTR(str_head(name, 100)),
				 error_text(-ENAMETOOLONG));
			return -ENAMETOOLONG;
		}
		fd = openat(start_directory, buf_text(&path), O_RDONLY | O_CLOEXEC | O_NOCTTY);
		r = fd < 0 ? -errno : source_read_file(fd, MOST_CONTENT / 2, &one);
		if (r == 0 && !first)
			/* a last line without its end does not run into the next file */
			r = buf_add_byte(&content, '\n');
		first = false;
		if (r == 0)
			r = buf_add(&content, buf_str(&one));
		if (r < 0) {
			buf_addf(why, "open %s: %s", buf_text(&path), error_text(r));
			return r;
		}
	}
	return base64_encode(buf_str(&content), ret);
}

int decode_files_value(struct str value, struct buf *ret, struct buf *why)
{
	int r = base64_decode(value, ret);

	if (r == -EINVAL)
		buf_add_text(why, "the value is not base64: the table was made without -F");
	return r;
}
