/* SPDX-License-Identifier: ISC */
/* Any bytes on postdrop's standard input. */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/peers/submission.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new("fuzz", NULL, 64 << 20);
	AUTO(buf) why = BUF_WORDS;
	AUTO_FD fd = memfd_create("submission", MFD_CLOEXEC);
	struct str packed, piece;
	struct envelope e;
	struct input in;
	size_t left = 0;

	if (fd < 0 || write(fd, data, size) != (ssize_t) size || lseek(fd, 0, SEEK_SET) != 0)
		BUG("no file in memory");
	input_begin(&in, fd);
	if (submission_read_envelope(&in, a, &packed, &why) == 0 && envelope_unpack(packed, a, &e) == 0)
		while (submission_read_piece(&in, &left, &piece) > 0)
			;
	input_free(&in);
	arena_free(a);
	return 0;
}
