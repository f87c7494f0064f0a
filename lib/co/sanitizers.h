/* SPDX-License-Identifier: ISC */
/*
 * What AddressSanitizer, LeakSanitizer, ThreadSanitizer and valgrind want to be told about stacks.
 * All of it is empty in an ordinary build, except for valgrind's, which costs a few instructions
 * per slab.
 */
#ifndef ROAD_CO_SANITIZERS_H
#define ROAD_CO_SANITIZERS_H

#include <stddef.h>

#ifdef HAVE_VALGRIND_VALGRIND_H
#include <valgrind/valgrind.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define CO_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CO_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define CO_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CO_TSAN 1
#endif
#endif

#if defined(CO_ASAN) || defined(CO_TSAN)
#define CO_SANITIZED 1
#endif
#if defined(CO_SANITIZED) || defined(WITH_SANITIZERS)
#define CO_BIG_STACKS 1			/* red zones make frames bigger */
#endif

#ifdef CO_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
static inline void unpoison(void *at, size_t size) { ASAN_UNPOISON_MEMORY_REGION(at, size); }
static inline void root_region_register(const void *at,
					size_t size) { __lsan_register_root_region(at, size); }
static inline void fiber_leave(void **fake, const void *to_low, size_t to_size)
{
	__sanitizer_start_switch_fiber(fake, to_low, to_size);
}
static inline void fiber_enter(void *fake, const void **ret_from_low, size_t *ret_from_size)
{
	__sanitizer_finish_switch_fiber(fake, ret_from_low, ret_from_size);
}
#else
static inline void unpoison(void *at, size_t size) { (void) at; (void) size; }
static inline void root_region_register(const void *at, size_t size) { (void) at; (void) size; }
static inline void fiber_leave(void **fake, const void *to_low, size_t to_size)
{
	(void) fake; (void) to_low; (void) to_size;
}
static inline void fiber_enter(void *fake, const void **ret_from_low, size_t *ret_from_size)
{
	(void) fake; (void) ret_from_low; (void) ret_from_size;
}
#endif

#ifdef CO_TSAN
#include <sanitizer/tsan_interface.h>
static inline void *tsan_fiber_new(void) { return __tsan_create_fiber(0); }
static inline void *tsan_fiber_self(void) { return __tsan_get_current_fiber(); }
static inline void tsan_fiber_enter(void *fiber) { __tsan_switch_to_fiber(fiber, 0); }
static inline void tsan_fiber_free(void *fiber) { __tsan_destroy_fiber(fiber); }
#else
static inline void *tsan_fiber_new(void) { return NULL; }
static inline void *tsan_fiber_self(void) { return NULL; }
static inline void tsan_fiber_enter(void *fiber) { (void) fiber; }
static inline void tsan_fiber_free(void *fiber) { (void) fiber; }
#endif

static inline void valgrind_stack_register(const char *low, const char *high)
{
#ifdef HAVE_VALGRIND_VALGRIND_H
	(void) VALGRIND_STACK_REGISTER(low, high);
#else
	(void) low;
	(void) high;
#endif
}

#endif
