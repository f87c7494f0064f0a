/* SPDX-License-Identifier: ISC */
/*
 * Says which coroutine ran over its stack. The handler runs on the alternate stack, writes one
 * line, puts the former handler back and returns: the fault repeats and ends the process as if we
 * had not been here, with a core or a sanitizer's report.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "lib/co/private.h"

static struct sigaction former_segv, former_bus;
static void (*report)(const char *line);

void co_report_overflow(void (*to)(const char *line))
{
	report = to;
}

static char *add(char *at, const char *end, const char *text)
{
	while (*text != 0 && at < end)
		*at++ = *text++;
	return at;
}

static void say_overflow(const struct co *co)
{
	char line[256], *at = line, *end = line + sizeof(line) - 2;

	at = add(at, end, "panic: stack overflow in coroutine ");
	at = add(at, end, co == NULL ? "(none running)" : co->name);
	if (co != NULL && co->what[0] != 0) {
		at = add(at, end, " ");
		at = add(at, end, co->what);
	}
	*at = 0;
	if (report != NULL) {
		report(line);
	} else {
		*at++ = '\n';
		if (write(STDERR_FILENO, line, (size_t) (at - line)) < 0)
			return;
	}
}

static void crashed(int signal_number, siginfo_t *info, void *context)
{
	(void) context;
	if (info->si_code > 0 && stack_guarding(info->si_addr) != NULL)
		say_overflow(co_current);
	sigaction(SIGSEGV, &former_segv, NULL);
	sigaction(SIGBUS, &former_bus, NULL);
	if (info->si_code <= 0)
		raise(signal_number);		/* sent by somebody: it does not repeat by itself */
}

void crash_handler_install(void)
{
	const size_t size = 64 << 10;		/* a frame with AVX-512 state takes 12 KiB */
	struct sigaction action = { .sa_sigaction = crashed, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	struct sigaction present;
	stack_t now;

	if (sigaction(SIGSEGV, NULL, &present) < 0 || present.sa_sigaction == crashed)
		return;
	if (sigaltstack(NULL, &now) == 0 && (now.ss_flags & SS_DISABLE)) {
		void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		stack_t stack = { .ss_sp = at, .ss_size = size };

		if (at == MAP_FAILED || sigaltstack(&stack, NULL) < 0)
			return;
	}
	sigaction(SIGSEGV, &action, &former_segv);
	sigaction(SIGBUS, &action, &former_bus);
}
