/* SPDX-License-Identifier: ISC */
/* The locks that tell whether a mail system runs. */
#include "lib/daemon/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/daemon/daemon.h"
#include "lib/disk/disk.h"

enum { WRITER_MS = 1000, COUNT_SIZE = 32 /* of pid/master.reload; behind it why the last one failed */ };

#define PID_FILE "pid/master.pid"	/* the number alone, as scripts read it */
#define RELOAD_FILE "pid/master.reload"

static int lock_whole(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

/* F_WRLCK: a master; F_RDLCK: somebody who may only read the file, as everybody may; F_UNLCK; or -errno. */
static int held_for(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_GETLK, &lock) < 0 ? -errno : lock.l_type;
}

static int reload_fd = -1;			/* master's */
static int64_t reload_count;

static int read_pid(int fd, pid_t *ret)
{
	char text[32];
	ssize_t n = pread(fd, text, sizeof(text), 0);
	struct str rest = str_make(text, (size_t) MAX(n, (ssize_t) 0)), number;
	int64_t pid;

	if (!str_token(&rest, " \n", &number) || str_to_int(number, 1, INT32_MAX, &pid) < 0)
		return -EINVAL;
	*ret = (pid_t) pid;
	return 0;
}

/* Who holds the lock writes its number right after it got it. */
static int wait_for_pid(int fd, pid_t *ret)
{
	when_t until = in(WRITER_MS);

	while (read_pid(fd, ret) < 0) {
		if (mono_ms() >= until)
			return -EINVAL;
		co_sleep(in(5));
	}
	return 0;
}

/* "RELOADS[ failed]". What is not there is no error: that keeps nobody from stopping the system. */
static void read_reloads(const struct common_conf *common, struct instance_state *ret)
{
	AUTO(buf) path = BUF(4096);
	char text[COUNT_SIZE];
	struct str rest, count;
	AUTO_FD fd = -1;
	ssize_t n;

	buf_addf(&path, "%s/" RELOAD_FILE, common->queue_directory);
	fd = file_open_read(AT_FDCWD, buf_text(&path));
	n = fd < 0 ? -1 : pread(fd, text, sizeof(text), 0);
	rest = str_make(text, (size_t) MAX(n, (ssize_t) 0));
	if (!str_token(&rest, " \n", &count) || str_to_int(count, 0, INT64_MAX, &ret->reloads) < 0)
		ret->reloads = RELOADS_UNKNOWN;
	ret->last_failed = str_is(str_trim(rest), STR("failed"));
}

/*
 * In one write of constant length, so that a reader never sees two halves. Where there is no room for
 * it nothing stands there, so that nobody waits for it to change.
 */
static void write_reloads(bool failed)
{
	char text[COUNT_SIZE];
	int n = snprintf(text, sizeof(text), "%lld%s", (long long) reload_count, failed ? " failed" : "");

	memset(text + n, ' ', sizeof(text) - (size_t) n);
	text[sizeof(text) - 1] = '\n';
	if (pwrite(reload_fd, text, sizeof(text), 0) == sizeof(text))
		return;
	log_warning(RELOAD_FILE ": %s", error_text(errno));
	(void) !ftruncate(reload_fd, 0);
}

static int write_pid(int fd)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%d\n", (int) getpid());
	ssize_t written;

	if (ftruncate(fd, 0) < 0)
		return -errno;
	written = pwrite(fd, text, (size_t) n, 0);
	return written < 0 ? -errno : written == n ? 0 : -EIO;
}

/*
 * The words stand there before the count says that there are any. Without room for them, whoever
 * asked for the reload hears at least how it ended.
 */
void instance_note_reload(bool failed, const char *words)
{
	const size_t len = strlen(words);

	reload_count++;
	if (reload_fd < 0)
		return;
	if (ftruncate(reload_fd, COUNT_SIZE) < 0
	    || (len > 0 && pwrite(reload_fd, words, len, COUNT_SIZE) != (ssize_t) len))
		log_warning(RELOAD_FILE ": %s", error_text(errno));
	write_reloads(failed);
}

void instance_reload_words(const struct common_conf *common, struct buf *ret)
{
	AUTO(buf) path = BUF(4096), text = BUF(64 << 10);

	buf_addf(&path, "%s/" RELOAD_FILE, common->queue_directory);
	if (file_read_whole(AT_FDCWD, buf_text(&path), &text) >= 0)
		buf_add(ret, str_trim(str_skip(buf_str(&text), COUNT_SIZE)));
}

static int open_own(const char *directory, const char *name, int flags, struct buf *why)
{
	AUTO(buf) path = BUF(4096);
	struct stat st;
	int fd;

	buf_addf(&path, "%s/%s", directory, name);
	fd = open(buf_text(&path), flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0644);
	if (fd < 0) {
		int error = -errno;

		buf_addf(why, "%s: %s", buf_text(&path), error_text(error));
		return error;
	}
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		buf_addf(why, "%s is not a regular file", buf_text(&path));
		close(fd);
		return -EINVAL;
	}
	return fd;
}

/* Without it, as on a full disk, nobody hears what becomes of a reload. */
static void open_reloads(const struct common_conf *common)
{
	AUTO(buf) why = BUF_WORDS;

	reload_fd = open_own(common->queue_directory, RELOAD_FILE, O_RDWR | O_CREAT, &why);
	if (reload_fd < 0) {
		log_warning("%s", buf_text(&why));
		return;
	}
	write_reloads(false);
}

/* A file that some user has locked for reading makes room for one that nobody has. */
static int replace_pid_file(const struct common_conf *common, int *fd, struct buf *why)
{
	AUTO(buf) path = BUF(4096);
	int result;

	close(*fd);
	buf_addf(&path, "%s/" PID_FILE, common->queue_directory);
	unlink(buf_text(&path));
	*fd = open_own(common->queue_directory, PID_FILE, O_RDWR | O_CREAT | O_EXCL, why);
	if (*fd < 0)
		return *fd;
	result = lock_whole(*fd);
	if (result < 0)
		buf_addf(why, PID_FILE ": %s", error_text(result));
	return result;
}

int instance_lock(const struct common_conf *common, pid_t *ret_pid, struct buf *why)
{
	int queue = open_own(common->queue_directory, PID_FILE, O_RDWR | O_CREAT, why), data, result;
	bool is_locked;

	if (queue < 0)
		return queue;
	is_locked = lock_whole(queue) == 0;
	if (!is_locked && held_for(queue) == F_WRLCK) {
		*ret_pid = 0;
		wait_for_pid(queue, ret_pid);
		close(queue);
		buf_addf(why, "the mail system is running already: PID %d", (int) *ret_pid);
		return -EAGAIN;
	}
	data = open_own(common->data_directory, "master.lock", O_RDWR | O_CREAT, why);
	if (data < 0)
		return data;
	result = lock_whole(data);
	if (result < 0) {
		buf_addf(why, "data_directory %s is in use by another mail system", common->data_directory);
		return -EBUSY;
	}
	/* not before that: of two that start at once the second would take away what the first has locked */
	result = is_locked ? 0 : replace_pid_file(common, &queue, why);
	if (result < 0)
		return result;
	/* Both descriptors stay open as long as we live: they are the locks. */
	fchmod(queue, 0644);		/* anybody may ask whether it runs */
	open_reloads(common);
	result = write_pid(queue);
	if (result < 0)
		buf_addf(why, PID_FILE ": %s", error_text(result));
	return result;
}

int instance_running(const struct common_conf *common, struct instance_state *ret, struct buf *why)
{
	int fd = open_own(common->queue_directory, PID_FILE, O_RDONLY, why), result;

	if (fd == -ENOENT) {
		buf_clear(why);
		return 0;
	}
	if (fd < 0)
		return fd;
	result = held_for(fd);
	if (result == F_WRLCK)
		result = wait_for_pid(fd, &ret->pid) == 0 ? 1 : -EAGAIN;
	else if (result >= 0)
		result = 0;
	close(fd);
	if (result < 0)
		buf_addf(why, PID_FILE ": %s", error_text(result));
	if (result > 0)
		read_reloads(common, ret);
	return result;
}
