/* SPDX-License-Identifier: ISC */
/*
 * postlogd: takes log lines from the datagram socket public/postlog and appends them to
 * maillog_file. The file is opened before the jail closes, with the rights that master had. When it
 * has lost its name (it was rotated), the process ends, and its successor opens a new one; lines
 * wait in the socket meanwhile.
 *
 * A busy suite says something several times a millisecond. So after each write the process rests
 * for a moment, and the next read and write take all that has come since; senders that find the
 * socket full keep their lines until it is not.
 *
 * Senders are everybody in setgid_group: what they send is cut into lines, cleaned and bounded, and
 * cannot look like anybody else's writing than a log line.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/conf/params/postlogd.h"
#include "lib/daemon/daemon.h"

enum { DATAGRAM = 64 << 10, AT_ONCE = 16, GATHERED = 2 * (AT_ONCE + 1) * DATAGRAM, LOOK_MS = 1000,
       STUCK_MS = 1000, REST_MS = 1 };

static struct postlogd_conf conf;
static int file = -1;
static bool has_name;			/* a regular file whose name can be seen from inside the jail */
static struct stat ours;		/* what `file` is */
static const char *path;

static void insist_on_prefix(void)
{
	struct str rest = str_of(conf.maillog_file_prefixes), prefix;

	while (str_token(&rest, ", \t\r\n", &prefix))
		if (str_starts(str_of(path), prefix))
			return;
	die(EX_CONFIG, "maillog_file = %s does not begin with any of maillog_file_prefixes = %s", path,
	    conf.maillog_file_prefixes);
}

static mode_t file_mode(void)
{
	uint64_t mode;

	if (str_to_uint64(str_of(conf.maillog_file_permissions), 8, &mode) < 0 || mode > 0777)
		die(EX_CONFIG, "maillog_file_permissions = %s is not an octal mode",
		    conf.maillog_file_permissions);
	return (mode_t) mode;
}

/*
 * Opened by number rather than by name: the name is a symbolic link to something that may not be
 * ours to open again (a pipe).
 */
static int open_standard(void)
{
	if (str_is(str_of(path), STR("/dev/stdout")))
		return dup(STDOUT_FILENO);
	if (str_is(str_of(path), STR("/dev/stderr")))
		return dup(STDERR_FILENO);
	return -1;
}

static void add_directory(struct buf *b)
{
	buf_add(b, str_head(str_of(path), (size_t) MAX(str_find_last(str_of(path), '/'), 0)));
}

static bool is_ours_alone(const struct stat *st)
{
	return st->st_uid == 0 || st->st_uid == geteuid();
}

/*
 * An administrator may keep the log elsewhere. Whoever else could place a link would choose what
 * root appends to: so it is followed, once, if it and the directory it is in are nobody else's.
 */
static int open_link(int flags)
{
	AUTO(buf) directory = BUF(4096);
	struct stat in, link;
	char target[2048];
	ssize_t n;
	int fd;

	add_directory(&directory);
	AUTO_FD dir = open(buf_text(&directory), O_PATH | O_DIRECTORY | O_CLOEXEC);
	const char *name = path + directory.len + 1;

	if (dir < 0 || fstat(dir, &in) < 0 || fstatat(dir, name, &link, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!is_ours_alone(&in) || (in.st_mode & (S_IWGRP | S_IWOTH)) != 0 || !is_ours_alone(&link))
		return -ELOOP;
	n = readlinkat(dir, name, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	fd = openat(dir, target, flags, file_mode());
	return fd < 0 ? -errno : fd;
}

static int open_file(void)
{
	const int flags = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	int fd = open(path, flags, file_mode());

	if (fd < 0)
		return errno == ELOOP ? open_link(flags) : -errno;
	return fd;
}

/* The file would be made, but not by a rehearsal. */
static void rehearse(void)
{
	AUTO(buf) directory = BUF(4096);

	add_directory(&directory);
	if (access(buf_text(&directory), W_OK | X_OK) < 0)
		die(EX_CANTCREAT, "maillog_file: %s: %s", path, error_text(errno));
	file_mode();
}

static void start(void)
{
	path = the_world->common->maillog_file;
	if (path[0] == 0)
		die(EX_CONFIG, "maillog_file is not set: nothing to write to");
	insist_on_prefix();
	if (the_world->rehearsing && access(path, F_OK) < 0) {
		rehearse();
		return;
	}
	file = open_standard();
	if (file < 0)
		file = open_file();
	if (file == -ELOOP)
		die(EX_CANTCREAT, "cannot open %s: a symbolic link that others than root could have placed, or to another one",
		    path);
	if (file < 0)
		die(EX_CANTCREAT, "cannot open %s: %s", path, error_text(file));
	if (fstat(file, &ours) < 0)
		die(EX_OSERR, "%s: %s", path, error_text(errno));
}

/*
 * Asked before every read, since what is still in the socket starts the successor, who begins the
 * new file.
 */
static bool is_still_named(void)
{
	struct stat named;

	return stat(path, &named) == 0 && named.st_ino == ours.st_ino && named.st_dev == ours.st_dev;
}

/*
 * What was not written is lost, but for the rest of a line that was begun: the next write starts
 * with that, lest two lines become one. b consists of whole lines, or such a rest and whole lines.
 */
static void drop_what_was_not_begun(struct buf *b, size_t done)
{
	static bool is_torn;			/* the file ends within a line */

	if (done > 0)
		is_torn = b->at[done - 1] != '\n';
	buf_cut_front(b, done);
	if (is_torn) {
		b->len = (size_t) str_find(buf_str(b), '\n') + 1;
		b->at[b->len] = '\0';
	} else {
		buf_clear(b);
	}
}

/*
 * A full disk or a pipe that nobody reads must not stop the mail: lines are lost, and the next ones
 * tried again.
 */
static void write_out(struct buf *b)
{
	size_t done = 0;

	while (done < b->len) {
		ssize_t n = write(file, b->at + done, b->len - done);

		if (n > 0)
			done += (size_t) n;
		else if (n < 0 && errno == EAGAIN && co_wait_fd(file, POLLOUT, in(STUCK_MS)) > 0)
			continue;
		else if (n < 0 && errno != EINTR)
			break;
	}
	drop_what_was_not_begun(b, done);
}

static void add_datagram(struct buf *out, struct str text)
{
	struct str line;

	while (text.len > 0) {
		str_cut(&text, '\n', &line);
		if (line.len == 0)
			continue;
		buf_add_printable(out, line);
		buf_add_byte(out, '\n');
	}
}

/* What waits in the socket, as much as one call brings; how many datagrams. */
static int gather(int socket, struct buf *out)
{
	static char datagrams[AT_ONCE][DATAGRAM];	/* only what was ever written to takes memory */
	struct iovec pieces[AT_ONCE];
	struct mmsghdr messages[AT_ONCE];
	int n;

	memset(messages, 0, sizeof(messages));
	for (int i = 0; i < AT_ONCE; i++) {
		pieces[i] = (struct iovec){ datagrams[i], DATAGRAM };
		messages[i].msg_hdr.msg_iov = &pieces[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	do
		n = recvmmsg(socket, messages, AT_ONCE, MSG_DONTWAIT, NULL);
	while (n < 0 && errno == EINTR);
	for (int i = 0; i < n; i++)
		add_datagram(out, str_make(datagrams[i], messages[i].msg_len));
	return MAX(n, 0);
}

/* The whole process: nothing else happens here, and the loop would wake with each line. */
static void rest(void)
{
	static const struct timespec a_moment = { .tv_nsec = REST_MS * 1000000L };

	nanosleep(&a_moment, NULL);
}

static void serve(struct session_socket *s)
{
	AUTO(buf) out = BUF(GATHERED);
	int result = 0;

	has_name = S_ISREG(ours.st_mode) && is_still_named();
	while (result != -ECANCELED) {
		int n = gather(s->fd, &out);

		if (n > 0)
			write_out(&out);
		if (n == 0)
			result = co_wait_fd(s->fd, POLLIN, in(LOOK_MS));
		else if (n < AT_ONCE)
			rest();
		if (has_name && !is_still_named())
			return;
	}
	while (gather(s->fd, &out) > 0)		/* the last words of those who ended before us */
		write_out(&out);
}

static const struct param_group *const groups[] = { &postlogd_group, NULL };
static void *const structs[] = { &conf };

static const struct daemon postlogd = {
	.name = "postlogd",
	.shape = DAEMON_DATAGRAMS,
	.singleton = true,
	.groups = groups,
	.structs = structs,
	.jail = { .user = AS_MAIL_OWNER, .syscalls = SYS_CORE, .most_memory = 256 << 20 },
	.start = start,
	.serve = serve,
};

int main(int argc, char **argv)
{
	return daemon_main(argc, argv, &postlogd);
}
