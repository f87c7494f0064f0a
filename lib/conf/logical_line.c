/* SPDX-License-Identifier: ISC */
/*
 * Logical lines of main.cf and master.cf, and reading such a file into memory. Used by main_cf.c
 * and master_cf.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/conf/conf_private.h"

static int read_all(int fd, struct arena *a, size_t size, struct str *ret_text)
{
	char *at = arena_get(a, size + 1);
	size_t have = 0;

	while (have < size) {
		ssize_t n = pread(fd, at + have, size - have, (off_t) have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += (size_t) n;
	}
	*ret_text = str_make(at, have);
	return 0;
}

int conf_read_file(struct arena *a, const char *path, struct str *ret_text, struct buf *why)
{
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int r;

	if (fd >= 0)
		return conf_read_open(a, fd, path, ret_text, why);
	r = -errno;
	buf_addf(why, "open %s: %s", path, error_text(r));
	return r;
}

static int line_at(struct str text, size_t at)
{
	int line = 1;

	for (size_t i = 0; i < at; i++)
		line += text.at[i] == '\n';
	return line;
}

int conf_read_open(struct arena *a, int fd, const char *path, struct str *ret_text, struct buf *why)
{
	struct stat st;
	ssize_t nul;
	int r;

	if (fstat(fd, &st) < 0) {
		r = -errno;
		buf_addf(why, "open %s: %s", path, error_text(r));
		return r;
	}
	if (!S_ISREG(st.st_mode)) {
		buf_addf(why, "%s: not a regular file", path);
		return -EINVAL;
	}
	if (st.st_size > CONF_MOST_FILE) {
		buf_addf(why, "%s: larger than %d bytes", path, CONF_MOST_FILE);
		return -EFBIG;
	}
	r = read_all(fd, a, (size_t) st.st_size, ret_text);
	if (r < 0) {
		buf_addf(why, "read %s: %s", path, error_text(r));
		return r;
	}
	nul = str_find(*ret_text, '\0');
	if (nul >= 0) {
		buf_addf(why, "%s, line %d: contains a NUL byte: this is not a text file", path,
			 line_at(*ret_text, (size_t) nul));
		return -EINVAL;
	}
	return 0;
}

/* Blank lines and comments. */
static bool counts_for_nothing(struct str line)
{
	struct str text = str_trim(line);

	return text.len == 0 || text.at[0] == '#';
}

static struct str take_line(struct logical_lines *l)
{
	struct str line;

	str_cut(&l->rest, '\n', &line);
	l->next_line++;
	return str_trim_end(line);
}

/*
 * Takes what follows as long as it is continuation or nothing. Lines of nothing at the end are
 * taken too: no harm.
 */
static bool take_continuation(struct logical_lines *l, struct str *ret_part)
{
	while (l->rest.len > 0) {
		if (!is_space(l->rest.at[0]) && l->rest.at[0] != '#')
			return false;
		*ret_part = take_line(l);
		if (!counts_for_nothing(*ret_part))
			return true;
	}
	return false;
}

bool logical_line_next(struct logical_lines *l, struct arena *a, struct str *ret_text, int *ret_line)
{
	AUTO(buf) joined = BUF(CONF_MOST_FILE + 1);
	struct str first, part;

	do {
		if (l->rest.len == 0)
			return false;
		*ret_line = l->next_line;
		first = take_line(l);
	} while (counts_for_nothing(first));
	if (!take_continuation(l, &part)) {
		*ret_text = arena_copy(a, first);
		return true;
	}
	buf_add(&joined, first);
	do {
		buf_add_byte(&joined, ' ');
		buf_add(&joined, str_trim(part));
	} while (take_continuation(l, &part));
	*ret_text = arena_copy(a, buf_str(&joined));
	return true;
}
