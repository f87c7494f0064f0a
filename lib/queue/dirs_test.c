/* SPDX-License-Identifier: ISC */
/* The directories of the queue: moves, hashing, links, and what does not belong there. */
#include "tests/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lib/queue/format.h"
#include "lib/queue/message_for_test.h"

static void moves_make_hash_directories_and_keep_the_time(void **state)
{
	struct fixture *f = *state;
	AUTO(queue_file) file = { .fd = -1 };
	struct queue_parts parts;
	char path[64];

	assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, 10, &parts), 0);
	assert_int_equal(queue_set_next_attempt(f->q, QUEUE_INCOMING, str_of(f->id), 2000000000), 0);
	assert_int_equal(queue_move(f->q, QUEUE_INCOMING, QUEUE_DEFERRED, str_of(f->id)), 0);
	queue_path(f->q, QUEUE_DEFERRED, str_of(f->id), path);
	assert_int_equal(path[1], '/');
	assert_true(exists(f, "deferred", path));
	assert_int_equal(queue_file_find(f->q, str_of(f->id), true, &file), 0);
	assert_int_equal(file.where, QUEUE_DEFERRED);
	assert_int_equal(file.mtime_s, 2000000000);
	assert_int_equal(queue_finish(f->q, QUEUE_DEFERRED, str_of(f->id)), 0);
	assert_int_equal(queue_file_open(f->q, QUEUE_DEFERRED, str_of(f->id), false, false, &file), -ENOENT);
}

static void a_move_never_replaces_another_message(void **state)
{
	struct fixture *f = *state;
	struct queue_parts parts;

	assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, 10, &parts), 0);
	assert_int_equal(write_message(f, QUEUE_HOLD, f->id, 20, &parts), 0);
	assert_int_equal(queue_move(f->q, QUEUE_INCOMING, QUEUE_HOLD, str_of(f->id)), -EEXIST);
	assert_int_equal(queue_mend(f->q, QUEUE_INCOMING, str_of(f->id)), -EEXIST);
	assert_true(exists(f, "incoming", f->id));
}

static int count_messages(void *arg, struct str id, int64_t mtime_s)
{
	(void) id;
	(void) mtime_s;
	++*(int *) arg;
	return 0;
}

static void what_is_no_message_is_told_and_left_alone(void **state)
{
	struct fixture *f = *state;
	struct queue_file file;
	struct queue_parts parts;
	char path[128], other[128], id2[32], id3[32], id4[32];
	int n = 0;

	assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, 10, &parts), 0);
	queue_id_new(id2);
	queue_id_new(id3);
	queue_id_new(id4);
	snprintf(path, sizeof(path), "%s/incoming/%s", f->s.path, f->id);
	snprintf(other, sizeof(other), "%s/incoming/%s", f->s.path, id2);
	assert_int_equal(symlink(path, other), 0);
	snprintf(other, sizeof(other), "%s/incoming/%s", f->s.path, id3);
	assert_int_equal(mkfifo(other, 0600), 0);
	snprintf(other, sizeof(other), "%s/incoming/%s", f->s.path, id4);
	assert_int_equal(mkdir(other, 0700), 0);
	scratch_file(f->s.path, "incoming/evil\nname", "x");
	assert_int_equal(queue_scan(f->q, QUEUE_INCOMING, count_messages, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(said, 4);
	assert_true(queue_file_open(f->q, QUEUE_INCOMING, str_of(id2), false, false, &file) < 0);
	assert_true(queue_file_open(f->q, QUEUE_INCOMING, str_of(id3), false, false, &file) < 0);
	assert_true(queue_file_open(f->q, QUEUE_INCOMING, str_of(id4), false, false, &file) < 0);
	assert_int_equal(queue_file_open(f->q, QUEUE_INCOMING, STR("../etc/passwd"), false, false, &file),
			 -EINVAL);
}

static void a_rename_caught_half_way_leaves_one_name(void **state)
{
	struct fixture *f = *state;
	AUTO(queue_file) file = { .fd = -1 };
	struct queue_parts parts;
	char from[128], to[256], path[64];

	assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, 10, &parts), 0);
	queue_path(f->q, QUEUE_DEFERRED, str_of(f->id), path);
	assert_int_equal(queue_make_hash_directories(f->q, QUEUE_DEFERRED, path), 0);
	snprintf(from, sizeof(from), "%s/incoming/%s", f->s.path, f->id);
	snprintf(to, sizeof(to), "%s/deferred/%s", f->s.path, path);
	assert_int_equal(link(from, to), 0);
	assert_int_equal(queue_file_open(f->q, QUEUE_INCOMING, str_of(f->id), false, false, &file), -EMLINK);
	assert_int_equal(queue_mend(f->q, QUEUE_INCOMING, str_of(f->id)), -ENOENT);
	assert_false(exists(f, "incoming", f->id));
	assert_int_equal(queue_file_open(f->q, QUEUE_DEFERRED, str_of(f->id), false, true, &file), 0);
}

static void a_link_from_elsewhere_is_refused(void **state)
{
	struct fixture *f = *state;
	struct queue_file file;
	struct queue_parts parts;
	char from[128], to[128];

	assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, 10, &parts), 0);
	snprintf(from, sizeof(from), "%s/incoming/%s", f->s.path, f->id);
	snprintf(to, sizeof(to), "%s/elsewhere", f->s.path);
	assert_int_equal(link(from, to), 0);
	assert_int_equal(queue_file_open(f->q, QUEUE_INCOMING, str_of(f->id), false, false, &file), -EMLINK);
	assert_int_equal(queue_mend(f->q, QUEUE_INCOMING, str_of(f->id)), -EMLINK);
	assert_true(exists(f, "incoming", f->id));
}

static const char *removed_when_asked;

/* Ours instead of the C library's: somebody removes the file before it is looked at. */
int fstat(int fd, struct stat *st)
{
	if (removed_when_asked != NULL)
		unlink(removed_when_asked);
	removed_when_asked = NULL;
	return (int) syscall(SYS_newfstatat, fd, "", st, AT_EMPTY_PATH);
}

static void what_is_removed_while_it_is_opened_is_not_there(void **state)
{
	struct fixture *f = *state;
	struct queue_file file;
	struct queue_parts parts;
	char path[128];

	assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, 10, &parts), 0);
	snprintf(path, sizeof(path), "%s/incoming/%s", f->s.path, f->id);
	removed_when_asked = path;
	assert_int_equal(queue_file_open(f->q, QUEUE_INCOMING, str_of(f->id), false, false, &file), -ENOENT);
	assert_null(removed_when_asked);
}

static void a_changed_hash_depth_is_followed(void **state)
{
	struct fixture *f = *state;
	AUTO(queue_file) file = { .fd = -1 };
	AUTO(buf) why = BUF_WORDS;
	struct queue_parts parts;
	struct queue *deeper;
	int n = 0;

	assert_int_equal(write_message(f, QUEUE_INCOMING, f->id, 10, &parts), 0);
	assert_int_equal(queue_move(f->q, QUEUE_INCOMING, QUEUE_DEFERRED, str_of(f->id)), 0);
	assert_int_equal(queue_open(f->s.dir, 3, 1u << QUEUE_DEFERRED, &deeper, &why), 0);
	assert_int_equal(queue_file_open(deeper, QUEUE_DEFERRED, str_of(f->id), false, false, &file),
			 -ENOENT);
	assert_int_equal(queue_scan(deeper, QUEUE_DEFERRED, count_messages, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(queue_file_open(deeper, QUEUE_DEFERRED, str_of(f->id), false, false, &file), 0);
	queue_close(deeper);
}

static void a_missing_directory_is_named(void **state)
{
	struct fixture *f = *state;
	AUTO(buf) why = BUF_WORDS;
	struct queue *q;

	assert_int_equal(unlinkat(f->s.dir, "hold", AT_REMOVEDIR), 0);
	assert_int_equal(queue_open(f->s.dir, 1, 1u << QUEUE_HOLD, &q, &why), -ENOENT);
	assert_non_null(strstr(buf_text(&why), "hold"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		QUEUE_TEST(moves_make_hash_directories_and_keep_the_time),
		QUEUE_TEST(a_move_never_replaces_another_message),
		QUEUE_TEST(what_is_no_message_is_told_and_left_alone),
		QUEUE_TEST(a_rename_caught_half_way_leaves_one_name),
		QUEUE_TEST(a_link_from_elsewhere_is_refused),
		QUEUE_TEST(what_is_removed_while_it_is_opened_is_not_there),
		QUEUE_TEST(a_changed_hash_depth_is_followed),
		QUEUE_TEST(a_missing_directory_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
