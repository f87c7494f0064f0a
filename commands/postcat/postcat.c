/* SPDX-License-Identifier: ISC */
/*
 * postcat: shows the content of queue files.
 *
 *   postcat [-bdefhoqrv] [-c config_dir] [-s offset] [file ...]
 *
 * Files are named by path, or with -q by queue id, wherever in the queue the message is. Without
 * files: standard input, which has to be a file. Exit status 1: something is not there or damaged.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sys/mman.h>
#include <unistd.h>

#include "commands/postcat/show.h"
#include "lib/base/die.h"
#include "lib/daemon/daemon.h"
#include "lib/disk/disk.h"

static int show_path(const char *path, unsigned what)
{
	AUTO_FD fd = file_open_read(AT_FDCWD, path);

	if (fd < 0) {
		log_warning("%s: %s", path, error_text(fd));
		return fd;
	}
	return show_file(fd, path, what);
}

static int show_from_log(struct queue *q, const char *id, unsigned what)
{
	AUTO_FD fd = memfd_create("message", MFD_CLOEXEC);
	char name[128];
	int r = fd < 0 ? -errno : queue_copy_from_log(q, str_of(id), fd);

	if (r < 0) {
		if (r == -ENOENT)
			log_warning("no message %s in the queue", id);
		else
			log_warning("%s cannot be read from the intake log: %s", id, error_text(r));
		return r;
	}
	snprintf(name, sizeof(name), "intake/%s", id);
	return show_file(fd, name, what);
}

/* Not queue_file_find: a damaged file has to be found too. */
static int find_and_show(struct queue *q, const char *id, unsigned what)
{
	char name[128], path[64];

	if (!queue_id_is_valid(str_of(id))) {
		log_warning("\"%s\" is not a queue id", id);
		return -EINVAL;
	}
	for (int i = 0; i < QUEUE_COUNT; i++) {
		int dir = queue_dir(q, (enum queue_name) i);

		if (dir < 0)
			continue;
		queue_path(q, (enum queue_name) i, str_of(id), path);
		AUTO_FD fd = file_open_read(dir, path);
		if (fd == -ENOENT)
			continue;
		snprintf(name, sizeof(name), "%s/%s", queue_name_text((enum queue_name) i), path);
		if (fd < 0) {
			log_warning("%s: %s", name, error_text(fd));
			return fd;
		}
		return show_file(fd, name, what);
	}
	return show_from_log(q, id, what);
}

static struct queue *open_queue(const struct common_conf *common)
{
	AUTO(buf) why = BUF_WORDS;
	AUTO_FD dir = directory_handle(AT_FDCWD, common->queue_directory);
	struct queue *q;

	if (dir < 0)
		die(EX_NOINPUT, "%s: %s", common->queue_directory, error_text(dir));
	if (queue_open(dir, (int) common->hash_queue_depth, (1u << QUEUE_COUNT) - 1, &q, &why) < 0)
		die(EX_NOINPUT, "%s", buf_text(&why));
	queue_open_intake(q, dir, false, false);
	return q;
}

__attribute__((noreturn)) static void usage(void)
{
	die(EX_USAGE, "usage: postcat [-bdefhoqrv] [-c config_dir] [-s offset] [file ...]");
}

int main(int argc, char **argv)
{
	struct command_world world;
	const char *config_dir = NULL;
	unsigned what = 0;
	bool by_id = false;
	int c, failures = 0;

	die_always_with(1);
	while ((c = getopt(argc, argv, "bc:defhoqrs:v")) != -1) {
		switch (c) {
		case 'b': what |= SHOW_BODY; break;
		case 'c': config_dir = optarg; break;
		case 'e': what |= SHOW_ENVELOPE; break;
		case 'h': what |= SHOW_HEADERS; break;
		case 'q': by_id = true; break;
		case 'v': log_verbose(1); break;
		/* about a record format that is not ours */
		case 'd': case 'f': case 'o': case 'r': case 's': break;
		default: usage();
		}
	}
	if (what == 0)
		what = SHOW_ENVELOPE | SHOW_HEADERS | SHOW_BODY;
	if (by_id && optind == argc)
		usage();
	command_start("postcat", config_dir, NULL, NULL, &world);
	if (by_id) {
		struct queue *q = open_queue(&world.common);

		for (int i = optind; i < argc; i++)
			failures += find_and_show(q, argv[i], what) < 0;
		queue_close(q);
	} else if (optind == argc) {
		failures += show_file(STDIN_FILENO, "-", what) < 0;
	} else {
		for (int i = optind; i < argc; i++)
			failures += show_path(argv[i], what) < 0;
	}
	if (fflush(stdout) != 0)
		die(EX_IOERR, "cannot write: %s", error_text(errno));
	return failures > 0;
}
