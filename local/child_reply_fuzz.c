/* SPDX-License-Identifier: ISC */
/* What a child says that its user has got hold of. */
#include "lib/base/die.h"
#include "lib/mail/dsn.h"
#include "local/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In place of recipient.c's. */
void add_result(struct task *t, enum mailbox_status status, const char *dsn, const char *format, ...)
{
	(void) t;
	(void) format;
	BUG_UNLESS(status >= MAILBOX_SENT && status <= MAILBOX_DEFERRED && dsn_is_valid(str_of(dsn)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new("fuzz", NULL, 64 << 20);
	struct delivery d = { .arena = a };
	struct recipient r = { .address = STR("a@b") };
	struct task t = { .d = &d, .r = &r, .arena = a };
	struct str in = str_make((const char *) data, MIN(size, 50000));

	if (str_find_str(in, STR("W\t")) < 0)		/* warnings go to the log, which is not wanted here */
		reply_read(&t, in);
	for (size_t i = 0; i < t.forward.len; i++)
		BUG_UNLESS(t.forward.at[i].len > 0 && !str_has_control(t.forward.at[i]));
	arena_free(a);
	return 0;
}
