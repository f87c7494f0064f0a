/* SPDX-License-Identifier: ISC */
/*
 * SipHash-1-3 (Aumasson and Bernstein) for hash tables that hostile peers fill, and
 * CRC-32C (RFC 3720 appendix B.4) for queue files.
 */
#include "lib/base/str.h"

#include <endian.h>
#include <sys/random.h>

#include "lib/base/die.h"

struct sip {
	uint64_t v0, v1, v2, v3;
};

static uint64_t rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = rotate(s->v1, 13) ^ s->v0;
	s->v0 = rotate(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotate(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotate(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotate(s->v1, 17) ^ s->v2;
	s->v2 = rotate(s->v2, 32);
}

static const uint64_t *sip_key(void)
{
	static uint64_t key[2];
	static bool drawn;

	if (!drawn) {
		if (getrandom(key, sizeof(key), 0) != (ssize_t) sizeof(key))
			die(EX_OSERR, "the kernel gives no random bytes");
		drawn = true;
	}
	return key;
}

/* Up to eight bytes, the first one lowest. */
static uint64_t take_word(const char *at, size_t len, bool lower)
{
	uint64_t word = 0;
	char bytes[8];

	if (lower) {
		for (size_t i = 0; i < len; i++)
			bytes[i] = to_lower(at[i]);
		at = bytes;
	}
	if (len == 8)
		memcpy(&word, at, 8);
	else if (len > 0)
		memcpy(&word, at, len);
	return le64toh(word);
}

static void sip_take(struct sip *s, uint64_t word)
{
	s->v3 ^= word;
	sip_round(s);
	s->v0 ^= word;
}

static uint64_t sip_hash(struct str s, bool lower)
{
	const uint64_t *key = sip_key();
	struct sip sip = { key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
			   key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u };
	size_t whole = s.len & ~(size_t) 7;

	for (size_t i = 0; i < whole; i += 8)
		sip_take(&sip, take_word(s.at + i, 8, lower));
	sip_take(&sip, take_word(s.at + whole, s.len - whole, lower) | (uint64_t) s.len << 56);
	sip.v2 ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(&sip);
	return sip.v0 ^ sip.v1 ^ sip.v2 ^ sip.v3;
}

uint64_t str_hash(struct str s)
{
	return sip_hash(s, false);
}

uint64_t str_hash_nocase(struct str s)
{
	return sip_hash(s, true);
}

/*
 * Eight tables, so that the portable loop takes eight bytes a step. They are made before there are
 * threads: pool threads check and write messages, and one must not use what another has half made.
 */
static uint32_t crc_tables[8][256];

__attribute__((constructor)) static void make_crc_tables(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int bit = 0; bit < 8; bit++)
			c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
		crc_tables[0][i] = c;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int t = 1; t < 8; t++)
			crc_tables[t][i] = crc_tables[t - 1][i] >> 8 ^ crc_tables[0][crc_tables[t - 1][i]
					& 0xff];
}

uint32_t crc32c_portable(uint32_t seed, const void *data, size_t len)
{
	const unsigned char *at = data;
	uint32_t crc = ~seed;

	while (len >= 8) {
		uint32_t low = crc ^ ((uint32_t) at[0] | (uint32_t) at[1] << 8 | (uint32_t) at[2] << 16
				      | (uint32_t) at[3] << 24);

		crc = crc_tables[7][low & 0xff] ^ crc_tables[6][low >> 8 & 0xff]
		      ^ crc_tables[5][low >> 16 & 0xff] ^ crc_tables[4][low >> 24] ^ crc_tables[3][at[4]]
		      ^ crc_tables[2][at[5]] ^ crc_tables[1][at[6]] ^ crc_tables[0][at[7]];
		at += 8;
		len -= 8;
	}
	while (len-- > 0)
		crc = crc >> 8 ^ crc_tables[0][(crc ^ *at++) & 0xff];
	return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_sse42(uint32_t crc, const unsigned char *at, size_t len)
{
	uint64_t wide = crc;

	for (; len >= 8; at += 8, len -= 8) {
		uint64_t word;

		memcpy(&word, at, 8);
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t) wide;
	while (len-- > 0)
		crc = __builtin_ia32_crc32qi(crc, *at++);
	return crc;
}
#endif

uint32_t crc32c(uint32_t seed, const void *data, size_t len)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return ~crc_sse42(~seed, data, len);
#endif
	return crc32c_portable(seed, data, len);
}
