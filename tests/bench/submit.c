/* SPDX-License-Identifier: ISC */
/*
 * Many submissions at once: starts a command so many times, each with a file as its input, and
 * waits for them all.
 *
 *   submit COUNT FILE COMMAND ARGUMENT...
 *
 * Prints one line of JSON.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "tests/bench/client.h"

extern char **environ;

int main(int argc, char **argv)
{
	posix_spawn_file_actions_t actions;
	int64_t start = mono_us();
	int status, failed = 0, count;
	pid_t pid;

	if (argc < 4)
		die(EX_USAGE, "usage: submit COUNT FILE COMMAND ARGUMENT...");
	count = (int) number_option('n', argv[1]);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, argv[2], O_RDONLY, 0);
	for (int i = 0; i < count; i++)
		if (posix_spawn(&pid, argv[3], &actions, NULL, argv + 3, environ) != 0)
			failed++;
	posix_spawn_file_actions_destroy(&actions);
	while ((pid = wait(&status)) > 0 || errno == EINTR)
		if (pid > 0 && status != 0)
			failed++;
	printf("{\"acknowledged\": %d, \"failed\": %d, \"seconds\": %.6f, \"start_us\": %lld}\n",
	       count - failed, failed, (double) (mono_us() - start) / 1e6, (long long) start);
	return failed > 0;
}
