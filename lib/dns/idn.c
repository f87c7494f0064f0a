/* SPDX-License-Identifier: ISC */
#include "lib/dns/idn.h"

enum { MOST_LABEL = 63, MOST_NAME = 253 };
/* Punycode's parameters for names, RFC 3492 section 5. */
enum { BASE = 36, T_MIN = 1, T_MAX = 26, SKEW = 38, DAMP = 700, FIRST_BIAS = 72, FIRST_N = 128 };

struct label {				/* being written */
	char *at;
	size_t len, room;
	bool full;
};

static void add(struct label *l, char c)
{
	if (l->len == l->room)
		l->full = true;
	else
		l->at[l->len++] = c;
}

/* The next character of well-formed UTF-8. */
static uint32_t take_character(struct str *s)
{
	const unsigned char *at = (const unsigned char *) s->at;
	unsigned more = at[0] < 0x80 ? 0 : at[0] < 0xe0 ? 1 : at[0] < 0xf0 ? 2 : 3;
	uint32_t c = more == 0 ? at[0] : at[0] & (0x3fu >> more);

	for (unsigned i = 1; i <= more; i++)
		c = c << 6 | (at[i] & 0x3f);
	*s = str_skip(*s, more + 1);
	return c;
}

static uint32_t fold(uint32_t c)
{
	if (c < 128)
		return (unsigned char) to_lower((char) c);
	if ((c >= 0xc0 && c <= 0xde && c != 0xd7) || (c >= 0x391 && c <= 0x3a9) || (c >= 0x410 && c <= 0x42f))
		return c + 32;
	if (c >= 0x400 && c <= 0x40f)
		return c + 80;
	if ((c >= 0x100 && c <= 0x12f) || (c >= 0x132 && c <= 0x137) || (c >= 0x14a && c <= 0x177))
		return c | 1;
	if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e))
		return c % 2 == 1 ? c + 1 : c;
	return c;
}

static bool is_in_no_name(uint32_t c)
{
	if (c < 128)
		return !is_alnum((char) c) && c != '-' && c != '_';
	return c < 0xa1 || c == 0xd7 || c == 0xf7 || (c >= 0x2000 && c <= 0x206f) || c == 0x3000 || (c >= 0xd800 && c <= 0xf8ff) ||
	       (c >= 0xfe00 && c <= 0xfe0f) || (c >= 0xfff0 && c <= 0xffff) || c >= 0xe0000;
}

static unsigned adapt(unsigned delta, unsigned count, bool first)
{
	unsigned k = 0;

	delta = first ? delta / DAMP : delta / 2;
	delta += delta / count;
	for (; delta > (BASE - T_MIN) * T_MAX / 2; k += BASE)
		delta /= BASE - T_MIN;
	return k + (BASE - T_MIN + 1) * delta / (delta + SKEW);
}

static void add_digits(struct label *l, unsigned q, unsigned bias)
{
	for (unsigned k = BASE;; k += BASE) {
		unsigned t = k <= bias + T_MIN ? T_MIN : k >= bias + T_MAX ? T_MAX : k - bias;
		unsigned digit = q < t ? q : t + (q - t) % (BASE - t);

		add(l, (char) (digit < 26 ? 'a' + digit : '0' + digit - 26));
		if (q < t)
			return;
		q = (q - t) / (BASE - t);
	}
}

/* RFC 3492 section 6.3. At most 63 characters, so no sum comes near 2^32. */
static void add_punycode(struct label *l, const uint32_t *c, size_t count)
{
	unsigned n = FIRST_N, delta = 0, bias = FIRST_BIAS;
	size_t done = 0, basic;

	for (size_t i = 0; i < count; i++)
		if (c[i] < 128) {
			add(l, (char) c[i]);
			done++;
		}
	basic = done;
	if (basic > 0)
		add(l, '-');
	for (; done < count; delta++, n++) {
		uint32_t next = UINT32_MAX;

		for (size_t i = 0; i < count; i++)
			if (c[i] >= n && c[i] < next)
				next = c[i];
		delta += (next - n) * (unsigned) (done + 1);
		n = next;
		for (size_t i = 0; i < count; i++) {
			if (c[i] < n)
				delta++;
			if (c[i] != n)
				continue;
			add_digits(l, delta, bias);
			bias = adapt(delta, (unsigned) done + 1, done == basic);
			delta = 0;
			done++;
		}
	}
}

static bool convert_label(struct str text, struct label *l)
{
	uint32_t c[MOST_LABEL];
	size_t count = 0;
	bool ascii = true;

	while (text.len > 0) {
		if (count == MOST_LABEL)
			return false;
		c[count] = fold(take_character(&text));
		if (is_in_no_name(c[count]))
			return false;
		ascii = ascii && c[count] < 128;
		count++;
	}
	if (ascii) {
		for (size_t i = 0; i < count; i++)
			add(l, (char) c[i]);
	} else {
		for (const char *prefix = "xn--"; *prefix != 0; prefix++)
			add(l, *prefix);
		add_punycode(l, c, count);
	}
	return count > 0 && !l->full;
}

bool idn_to_ascii(struct str name, char *room, struct str *ret_name)
{
	size_t len = 0;
	struct str label;

	if (!str_is_utf8(name))
		return false;
	if (str_ends(name, STR(".")))
		name.len--;
	if (name.len == 0)
		return false;
	for (bool more = true; more;) {
		struct label l = { .at = room + len, .room = len < MOST_NAME ? MIN(MOST_LABEL, MOST_NAME - len) : 0 };

		more = str_cut(&name, '.', &label);
		if (!convert_label(label, &l))
			return false;
		len += l.len;
		if (more)
			room[len++] = '.';
	}
	*ret_name = str_make(room, len);
	return true;
}
