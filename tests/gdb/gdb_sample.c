/* SPDX-License-Identifier: ISC */
/* What tests/gdb/gdb_test looks at: two parked coroutines, then an abort() in a third. */
#include "lib/base/die.h"
#include "lib/co/co.h"

__attribute__((noinline)) static void wait_for_bell(struct bell *b)
{
	if (bell_wait(b, NEVER) == 0)
		BUG("rung");
}

static void session(void *arg)
{
	struct bell b;

	co_describe("%s", (const char *) arg);
	bell_init(&b);
	wait_for_bell(&b);
	bell_ring(&b);
}

static void sleeper(void *unused)
{
	(void) unused;
	co_sleep(in(3600000));
}

static void start(void *unused)
{
	struct scope *s = scope_open("sample");

	(void) unused;
	scope_start(s, "smtpd session", session, (void *) (uintptr_t) "mail.example[192.0.2.1]");
	scope_start(s, "sleeper", sleeper, NULL);
	co_sleep(in(20));
	abort();
}

int main(void)
{
	return loop_run(start, NULL);
}
