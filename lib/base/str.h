/* SPDX-License-Identifier: ISC */
/*
 * A view of bytes that someone else owns. Passed by value, not NUL-terminated.
 * How long the bytes live is said where the view comes from.
 */
#ifndef ROAD_BASE_STR_H
#define ROAD_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include "lib/base/auto.h"

struct str {
	const char *at;
	size_t len;
};

#define STR(literal) ((struct str){ "" literal, sizeof(literal) - 1 })
#define STR_INIT(literal) { "" literal, sizeof(literal) - 1 }	/* for static initialisers */
#define STR_NONE ((struct str){ "", 0 })

/* printf: printf("%.*s", PSTR(s)) */
#define PSTR(s) (int) (s).len, (s).at

static inline struct str str_of(const char *text)	/* NULL counts as "" */
{
	return text == NULL ? STR_NONE : (struct str){ text, strlen(text) };
}
static inline struct str str_make(const char *at, size_t len) { return (struct str){ at, len }; }

static inline bool str_is(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}
int str_compare_nocase(struct str a, struct str b);

static inline bool str_is_nocase(struct str a, struct str b)		/* ASCII only */
{
	return a.len == b.len && str_compare_nocase(a, b) == 0;
}

bool str_starts(struct str s, struct str prefix);
bool str_starts_nocase(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool str_ends_nocase(struct str s, struct str suffix);
int str_compare(struct str a, struct str b);		/* like memcmp, shorter first */

ssize_t str_find(struct str s, char c);			/* index or -1 */
ssize_t str_find_last(struct str s, char c);		/* index or -1 */
ssize_t str_find_str(struct str s, struct str needle);	/* index or -1 */
ssize_t str_find_any(struct str s, const char *set);	/* first byte that is in set, or -1 */

static inline struct str str_skip(struct str s, size_t n)	/* without the first n bytes (or empty) */
{
	return n < s.len ? (struct str){ s.at + n, s.len - n } : (struct str){ s.at + s.len, 0 };
}
static inline struct str str_head(struct str s, size_t n)	/* the first n bytes at most */
{
	return (struct str){ s.at, MIN(n, s.len) };
}
struct str str_tail(struct str s, size_t n);		/* the last n bytes at most */
struct str str_trim(struct str s);			/* without white space at both ends */
struct str str_trim_end(struct str s);

/*
 * Cuts *rest at the first `at`: *ret_head gets what stands before it, *rest what stands behind.
 * False when `at` does not occur: *ret_head is all of it, *rest empty.
 */
bool str_cut(struct str *rest, char at, struct str *ret_head);

/*
 * The next token of *rest, separated by any of the bytes in `separators` (runs count as one).
 * False at the end. The loop is: while (str_token(&rest, ", \t\r\n", &word)) ...
 */
bool str_token(struct str *rest, const char *separators, struct str *ret_token);
/* Is it one of the words of a list as main.cf has them, separated by white space and commas? */
bool str_lists(struct str list, struct str word);
bool str_lists_nocase(struct str list, struct str word);

/*
 * Like str_token, but text in { } (nesting) is one token, braces kept, as main.cf lists have it.
 * 1 token, 0 end, -EINVAL closing brace missing.
 */
int str_token_braced(struct str *rest, const char *separators, struct str *ret_token);

/*
 * What text in braces, "{ ... }", has between them, without white space at its ends. -EINVAL: there
 * is no brace at its start, or the one that closes it is missing or not the end of the text
 * ("{a}{b}").
 */
int str_unbrace(struct str text, struct str *ret_inner);

/* Decimal numbers, whole string. -EINVAL not a number, -ERANGE outside min..max. */
int str_to_int(struct str s, int64_t min, int64_t max, int64_t *ret_number);
int str_to_uint64(struct str s, unsigned base, uint64_t *ret_number);	/* base 8, 10, 16 */

/* ASCII classes that ignore the locale and accept any char value. */
static inline bool is_blank(char c) { return c == ' ' || c == '\t'; }
/* blank, tab, CR, LF, VT, FF */
static inline bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
static inline bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static inline bool is_alnum(char c) { return is_alpha(c) || is_digit(c); }
static inline bool is_print(char c) { return c >= 32 && c < 127; }
static inline char to_lower(char c) { return c >= 'A' && c <= 'Z' ? (char) (c + 32) : c; }
static inline char to_upper(char c) { return c >= 'a' && c <= 'z' ? (char) (c - 32) : c; }
int hex_value(char c);		/* 0..15 or -1 */
bool str_is_ascii(struct str s);	/* no byte above 127 */
bool str_is_utf8(struct str s);		/* well-formed, no surrogates, no overlong forms */
size_t str_plain_len(struct str s);	/* how many bytes at its head are printable ASCII */
/* a byte below 32 or 127: never in an attribute that goes on (security.md A4) */
bool str_has_control(struct str s);

uint64_t str_hash(struct str s);		/* SipHash-1-3 with a key drawn at process start */
uint64_t str_hash_nocase(struct str s);
uint32_t crc32c(uint32_t seed, const void *data, size_t len);	/* Castagnoli; start with 0 */
/* the same, as it is where the processor has no instruction for it */
uint32_t crc32c_portable(uint32_t seed, const void *data, size_t len);

#endif
