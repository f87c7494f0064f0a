/* SPDX-License-Identifier: ISC */
#include "lib/base/die.h"

#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

#include "lib/base/auto.h"

static void to_stderr(const char *line)
{
	dprintf(STDERR_FILENO, "%s: %s\n", program_invocation_short_name, line);
}

static void (*the_sink)(const char *line) = to_stderr;

void die_set_sink(void (*sink)(const char *line))
{
	the_sink = sink == NULL ? to_stderr : sink;
}

static int the_only_status;

void die_always_with(int status)
{
	the_only_status = status;
}

void die(int status, const char *format, ...)
{
	char line[2048];
	int n = snprintf(line, sizeof(line), "fatal: ");
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line + n, sizeof(line) - (size_t) n, format, arguments);
	va_end(arguments);
	the_sink(line);
	exit(the_only_status != 0 ? the_only_status : status);
}

void bug(const char *file, int line_number, const char *format, ...)
{
	char line[1024];
	int n = snprintf(line, sizeof(line), "panic: %s:%d: ", file, line_number);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line + n, sizeof(line) - (size_t) n, format, arguments);
	va_end(arguments);
	the_sink(line);
	abort();
}

void *get_memory(size_t bytes)
{
	/*
	 * calloc() of glibc passes its cache of free blocks by; large blocks it gets zeroed from
	 * the kernel
	 */
	const size_t SMALL = 1024;
	void *memory = bytes <= SMALL ? malloc(MAX(bytes, 1)) : calloc(1, bytes);

	if (memory == NULL)
		die(EX_OSERR, "out of memory (%zu bytes)", bytes);
	return bytes <= SMALL ? memset(memory, 0, bytes) : memory;
}

void *resize_memory(void *old, size_t bytes)
{
	void *memory = realloc(old, bytes == 0 ? 1 : bytes);

	if (memory == NULL)
		die(EX_OSERR, "out of memory (%zu bytes)", bytes);
	return memory;
}

const char *error_text(int error)
{
	const char *text = strerrordesc_np(error < 0 ? -error : error);

	return text == NULL ? "unknown error" : text;
}

void fd_auto(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

void free_auto(void *pointer)
{
	free(*(void **) pointer);
}
