/* SPDX-License-Identifier: ISC */
/*
 * Calls that this code base does without, force-included into every file.
 * tests/lint/banned checks what a macro cannot (getpwnam, fork, popen, ...).
 */
#ifndef ROAD_BASE_BANNED_H
#define ROAD_BASE_BANNED_H

#ifndef __ASSEMBLER__
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <time.h>
#include <signal.h>

#undef sprintf		/* clang with fortify makes macros of them */
#undef vsprintf
#pragma GCC poison strcpy strcat sprintf vsprintf strtok gmtime localtime ctime asctime
#pragma GCC poison atoi atol atoll tmpnam mktemp
#endif

#endif
