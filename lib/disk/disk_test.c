/* SPDX-License-Identifier: ISC */
#include "tests/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/disk/disk.h"
#include "tests/scratch.h"

static char path[SCRATCH_PATH];
static int dir;

static int set_up(void **unused)
{
	(void) unused;
	scratch_directory(path);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0;
}

static int tear_down(void **unused)
{
	(void) unused;
	close(dir);
	scratch_remove(path);
	return 0;
}

static void expect_content(const char *name, const char *content)
{
	AUTO(buf) b = BUF(1000);

	assert_int_equal(file_read_whole(dir, name, &b), 0);
	assert_str(buf_str(&b), content);
}

static void test_a_file_is_created_once_and_links_are_not_followed(void **unused)
{
	int fd = file_create(dir, "one", 0600), again;

	(void) unused;
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(write_all(fd, "hello", 5), 0);
	assert_int_equal(file_sync(fd), 0);
	close(fd);
	assert_int_equal(file_create(dir, "one", 0600), -EEXIST);
	again = file_open_read(dir, "one");
	assert_true(again >= 0);
	close(again);
	assert_int_equal(symlinkat("one", dir, "link"), 0);
	assert_int_equal(file_open_read(dir, "link"), -ELOOP);
	assert_int_equal(symlinkat("new", dir, "dangling"), 0);
	assert_int_equal(file_create(dir, "dangling", 0600), -EEXIST);
	assert_int_equal(mkfifoat(dir, "fifo", 0600), 0);
	assert_int_equal(file_open_read(dir, "fifo"), -EBADF);
	assert_int_equal(file_open_read(dir, "."), -EBADF);
	assert_int_equal(file_open_read(dir, "none"), -ENOENT);
}

static void test_an_opened_file_is_read_whatever_its_name_means_by_then(void **unused)
{
	int fd = file_create(dir, "seen", 0600);
	AUTO_FD opened = -1;
	AUTO(buf) b = BUF(1000);

	(void) unused;
	assert_int_equal(write_all(fd, "looked at", 9), 0);
	close(fd);
	opened = file_open_read(dir, "seen");
	assert_true(opened >= 0);
	assert_int_equal(unlinkat(dir, "seen", 0), 0);
	assert_int_equal(symlinkat("one", dir, "seen"), 0);
	assert_int_equal(file_read_opened(opened, &b), 0);
	assert_str(buf_str(&b), "looked at");
	buf_free(&b);
	b.limit = 3;
	assert_int_equal(lseek(opened, 0, SEEK_SET), 0);
	assert_int_equal(file_read_opened(opened, &b), -EMSGSIZE);
}

static void test_pieces_are_written_at_their_place(void **unused)
{
	char a[] = "abc", b[] = "", c[] = "defgh", got[20];
	struct iovec pieces[] = { { a, 3 }, { b, 0 }, { c, 5 } };
	AUTO_FD fd = file_create(dir, "pieces", 0600);

	(void) unused;
	assert_int_equal(pwritev_all(fd, pieces, 3, 4), 0);
	assert_int_equal(pread_all(fd, got, sizeof(got), 4), 8);
	assert_memory_equal(got, "abcdefgh", 8);
	assert_int_equal(pread_all(fd, got, 4, 0), 4);
	assert_memory_equal(got, "\0\0\0\0", 4);
	assert_int_equal(pread_all(-1, got, 4, 0), -EBADF);
}

static void test_a_full_disk_is_an_error(void **unused)
{
	AUTO_FD fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	char a[] = "abc";
	struct iovec piece = { a, 3 };

	(void) unused;
	assert_int_equal(write_all(fd, "x", 1), -ENOSPC);
	assert_int_equal(pwritev_all(fd, &piece, 1, 0), -ENOSPC);
}

static void test_a_whole_file_keeps_to_the_limit(void **unused)
{
	AUTO(buf) small = BUF(4), exact = BUF(5), device = BUF(100);

	(void) unused;
	assert_int_equal(file_replace(dir, "five", STR("12345"), 0640), 0);
	assert_int_equal(file_read_whole(dir, "five", &small), -EMSGSIZE);
	assert_int_equal(file_read_whole(dir, "five", &exact), 0);
	assert_str(buf_str(&exact), "12345");
	assert_int_equal(file_read_whole(dir, "five", &exact), -EMSGSIZE);	/* it appends */
	assert_int_equal(file_read_whole(AT_FDCWD, "/dev/zero", &device), -EMSGSIZE);
	assert_int_equal(file_read_whole(dir, ".", &device), -EISDIR);
	assert_int_equal(file_read_whole(dir, "none", &device), -ENOENT);
}

static void replace(void *unused)
{
	struct stat st;
	struct directory *d;
	const char *name;
	char absolute[100];

	(void) unused;
	assert_int_equal(file_replace(dir, "conf", STR("old"), 0600), 0);
	assert_int_equal(file_replace(dir, "conf", STR("new"), 0644), 0);
	expect_content("conf", "new");
	assert_int_equal(fstatat(dir, "conf", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	snprintf(absolute, sizeof(absolute), "%s/conf", path);
	assert_int_equal(file_replace(AT_FDCWD, absolute, STR("by path"), 0644), 0);
	expect_content("conf", "by path");
	assert_int_equal(file_replace(dir, "no/such", STR("x"), 0600), -ENOENT);
	assert_int_equal(make_directory(dir, "sub", 0700), 0);
	assert_int_equal(file_replace(dir, "sub", STR("x"), 0600), -EISDIR);
	assert_int_equal(directory_open(dir, ".", &d), 0);
	while (directory_next(d, &name, NULL))
		assert_null(strstr(name, ".new."));		/* nothing is left beside */
	directory_close(d);
	loop_stop();
}

static void test_replacing_is_whole_and_leaves_nothing_beside(void **unused)
{
	(void) unused;
	replace(NULL);
	loop_run(replace, NULL);
}

static void test_a_directory_may_be_there_already(void **unused)
{
	struct stat st;

	(void) unused;
	umask(077);
	unlinkat(dir, "sub", AT_REMOVEDIR);
	assert_int_equal(make_directory(dir, "sub", 0755), 0);
	assert_int_equal(fstatat(dir, "sub", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(make_directory(dir, "sub", 0700), 0);
	assert_int_equal(make_directory(dir, "one", 0700), -ENOTDIR);
	assert_int_equal(make_directory(dir, "none/sub", 0700), -ENOENT);
}

static void test_names_come_with_their_types(void **unused)
{
	struct directory *d;
	const char *name;
	unsigned char type;
	int seen = 0;

	(void) unused;
	assert_int_equal(directory_open(dir, ".", &d), 0);
	while (directory_next(d, &name, &type)) {
		assert_string_not_equal(name, ".");
		if (strcmp(name, "sub") == 0)
			seen += type == DT_DIR;
		if (strcmp(name, "one") == 0)
			seen += type == DT_REG;
		if (strcmp(name, "link") == 0)
			seen += type == DT_LNK;
	}
	directory_close(d);
	directory_close(NULL);
	assert_int_equal(seen, 3);
	assert_int_equal(directory_open(dir, "one", &d), -ENOTDIR);
	assert_int_equal(directory_open(dir, "none", &d), -ENOENT);
}

static void test_a_lock_belongs_to_one_and_ends_with_it(void **unused)
{
	AUTO_FD first = openat(dir, "one", O_RDWR | O_CLOEXEC);
	AUTO_FD second = openat(dir, "one", O_RDWR | O_CLOEXEC);
	int status;
	pid_t pid;

	(void) unused;
	pid = fork();
	if (pid == 0)
		_exit(lock_try(openat(dir, "one", O_RDWR | O_CLOEXEC)) == 0 ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(lock_try(first), 0);
	assert_int_equal(lock_try(first), 0);
	assert_int_equal(lock_try(second), -EAGAIN);
	assert_int_equal(lock_is_taken(second), 1);
	assert_int_equal(lock_is_taken(first), 0);
	close(fd_take(&first));
	assert_int_equal(lock_try(second), 0);
	assert_int_equal(lock_try(-1), -EBADF);
	assert_int_equal(lock_is_taken(-1), -EBADF);
}

static void test_free_space_is_known(void **unused)
{
	(void) unused;
	assert_true(disk_free_bytes(dir) > 0);
	assert_int_equal(disk_free_bytes(-1), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_file_is_created_once_and_links_are_not_followed),
		cmocka_unit_test(test_an_opened_file_is_read_whatever_its_name_means_by_then),
		cmocka_unit_test(test_pieces_are_written_at_their_place),
		cmocka_unit_test(test_a_full_disk_is_an_error),
		cmocka_unit_test(test_a_whole_file_keeps_to_the_limit),
		cmocka_unit_test(test_replacing_is_whole_and_leaves_nothing_beside),
		cmocka_unit_test(test_a_directory_may_be_there_already),
		cmocka_unit_test(test_names_come_with_their_types),
		cmocka_unit_test(test_a_lock_belongs_to_one_and_ends_with_it),
		cmocka_unit_test(test_free_space_is_known),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
