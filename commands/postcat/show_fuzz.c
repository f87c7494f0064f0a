/* SPDX-License-Identifier: ISC */
/*
 * Any bytes as a queue file that somebody wants to see, with a head whose checksum is right or not
 * (the first byte).
 */
#include <sys/mman.h>
#include <unistd.h>

#include "commands/postcat/show.h"
#include "lib/base/die.h"
#include "lib/log/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool quiet;
	char head[QUEUE_HEAD_SIZE], check[16];
	int fd;

	if (size == 0)
		return 0;
	if (!quiet) {
		log_open("fuzz", LOG_TO_STDOUT, NULL);
		BUG_UNLESS(freopen("/dev/null", "w", stdout) != NULL);
		quiet = true;
	}
	fd = memfd_create("fuzz", 0);
	BUG_UNLESS(fd >= 0 && write(fd, data + 1, size - 1) == (ssize_t) size - 1);
	if (data[0] % 2 == 0 && size - 1 >= QUEUE_HEAD_SIZE) {
		memcpy(head, data + 1, sizeof(head));
		snprintf(check, sizeof(check), "check %08x\n", crc32c(0, head, QUEUE_HEAD_SIZE - 15));
		BUG_UNLESS(pwrite(fd, check, 15, QUEUE_HEAD_SIZE - 15) == 15);
	}
	show_file(fd, "fuzz", data[0] / 2 % 8);
	close(fd);
	return 0;
}
