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

enum { WRITER_MS = 1000, STATE_SIZE = 64 /* bytes of pid/master.pid; behind them why the last reload failed */ };

static int lock_whole(int fd, int operation, struct flock *ret)
{
	*ret = (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET };
	return fcntl(fd, operation, ret) < 0 ? -errno : 0;
}

static int lock_fd = -1;			/* master's */
static int64_t reload_count;

/* "PID RELOADS[ failed]" */
static int read_state(int fd, struct instance_state *ret)
{
	char text[STATE_SIZE];
	ssize_t n = pread(fd, text, sizeof(text), 0);
	struct str rest = str_make(text, (size_t) MAX(n, (ssize_t) 0)), pid_text, count_text;
	int64_t pid;

	if (!str_token(&rest, " \n", &pid_text) || str_to_int(pid_text, 1, INT32_MAX, &pid) < 0 ||
	    !str_token(&rest, " \n", &count_text) || str_to_int(count_text, 0, INT64_MAX, &ret->reloads) < 0)
		return -EINVAL;
	ret->pid = (pid_t) pid;
	ret->last_failed = str_is(str_trim(rest), STR("failed"));
	return 0;
}

/* Who holds the lock writes its state right after it got it. */
static int wait_for_state(int fd, struct instance_state *ret)
{
	when_t until = in(WRITER_MS);

	while (read_state(fd, ret) < 0) {
		if (mono_ms() >= until)
			return -EINVAL;
		co_sleep(in(5));
	}
	return 0;
}

/* In one write of constant length, so that a reader never sees two halves. */
static int write_state(int fd, bool failed)
{
	char text[STATE_SIZE];
	int n = snprintf(text, sizeof(text), "%d %lld%s", (int) getpid(), (long long) reload_count,
			 failed ? " failed" : "");

	memset(text + n, ' ', sizeof(text) - (size_t) n);
	text[sizeof(text) - 1] = '\n';
	return pwrite(fd, text, sizeof(text), 0) == sizeof(text) ? 0 : -EIO;
}

/*
 * The words stand there before the count says that there are any. Without room for them, whoever
 * asked for the reload hears at least how it ended.
 */
void instance_note_reload(bool failed, const char *words)
{
	const size_t len = strlen(words);

	reload_count++;
	if (lock_fd < 0)
		return;
	if (ftruncate(lock_fd, STATE_SIZE) < 0
	    || (len > 0 && pwrite(lock_fd, words, len, STATE_SIZE) != (ssize_t) len))
		log_warning("pid/master.pid: %s", error_text(errno));
	if (write_state(lock_fd, failed) < 0)
		log_warning("pid/master.pid: %s", error_text(errno));
}

void instance_reload_words(const struct common_conf *common, struct buf *ret)
{
	AUTO(buf) path = BUF(4096), text = BUF(64 << 10);

	buf_addf(&path, "%s/pid/master.pid", common->queue_directory);
	if (file_read_whole(AT_FDCWD, buf_text(&path), &text) >= 0)
		buf_add(ret, str_trim(str_skip(buf_str(&text), STATE_SIZE)));
}

static int open_lock(const char *directory, const char *name, int flags, struct buf *why)
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

int instance_lock(const struct common_conf *common, pid_t *ret_pid, struct buf *why)
{
	struct instance_state other;
	struct flock lock;
	int queue = open_lock(common->queue_directory, "pid/master.pid", O_RDWR | O_CREAT, why), data, result;

	if (queue < 0)
		return queue;
	result = lock_whole(queue, F_OFD_SETLK, &lock);
	if (result < 0) {
		other.pid = 0;
		wait_for_state(queue, &other);
		*ret_pid = other.pid;
		close(queue);
		buf_addf(why, "the mail system is running already: PID %d", (int) *ret_pid);
		return -EAGAIN;
	}
	data = open_lock(common->data_directory, "master.lock", O_RDWR | O_CREAT, why);
	if (data < 0)
		return data;
	result = lock_whole(data, F_OFD_SETLK, &lock);
	if (result < 0) {
		buf_addf(why, "data_directory %s is in use by another mail system", common->data_directory);
		return -EBUSY;
	}
	/* Both descriptors stay open as long as we live: they are the locks. */
	lock_fd = queue;
	fchmod(queue, 0644);		/* anybody may ask whether it runs */
	result = ftruncate(queue, 0) < 0 ? -errno : write_state(queue, false);
	if (result < 0)
		buf_addf(why, "pid/master.pid: %s", error_text(result));
	return result;
}

int instance_running(const struct common_conf *common, struct instance_state *ret, struct buf *why)
{
	struct flock lock;
	int fd = open_lock(common->queue_directory, "pid/master.pid", O_RDWR, why), result;

	if (fd == -EACCES) {		/* not ours to write: asking needs reading only */
		buf_clear(why);
		fd = open_lock(common->queue_directory, "pid/master.pid", O_RDONLY, why);
	}
	if (fd == -ENOENT) {
		buf_clear(why);
		return 0;
	}
	if (fd < 0)
		return fd;
	result = lock_whole(fd, F_OFD_GETLK, &lock);
	if (result == 0 && lock.l_type != F_UNLCK)
		result = wait_for_state(fd, ret) == 0 ? 1 : -EAGAIN;
	close(fd);
	if (result < 0)
		buf_addf(why, "pid/master.pid: %s", error_text(result));
	return result;
}
