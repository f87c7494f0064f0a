/* SPDX-License-Identifier: ISC */
#include "lib/dns/idn.h"

#include <idn2.h>

enum { MOST_NAME = 253 };

/*
 * Letters, digits, '-', and '_' (which UTS 46 leaves to us), in labels with no more than UTS 46 has
 * seen to already.
 */
static bool is_plain(struct str name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!is_alnum(name.at[i]) && name.at[i] != '-' && name.at[i] != '_' && name.at[i] != '.')
			return false;
	return name.len > 0;
}

/* Copies what the library made, which is freed. */
static bool take(char *made, size_t most, char *room, struct str *ret)
{
	size_t len = made == NULL ? 0 : strlen(made);
	bool fits = len > 0 && len <= most;

	if (fits) {
		memcpy(room, made, len);
		*ret = str_make(room, len);
	}
	idn2_free(made);
	return fits;
}

/* Without its last dot, as a C string; names of DNS are bounded, so a longer one is none. */
static bool copy_name(struct str name, char *text, size_t size)
{
	if (str_ends(name, STR(".")))
		name.len--;
	if (name.len == 0 || name.len >= size || memchr(name.at, 0, name.len) != NULL || !str_is_utf8(name))
		return false;
	memcpy(text, name.at, name.len);
	text[name.len] = '\0';
	return true;
}

static bool has_empty_label(struct str name)
{
	return str_starts(name, STR(".")) || str_ends(name, STR(".")) || str_find_str(name, STR("..")) >= 0;
}

bool idn_to_ascii(struct str name, char *room, struct str *ret_name)
{
	char text[IDN_ROOM], *made = NULL;
	struct str result;

	if (!copy_name(name, text, sizeof(text)) || has_empty_label(str_of(text)))
		return false;
	if (idn2_to_ascii_8z(text, &made, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK
	    || !take(made, MOST_NAME, room, &result))
		return false;
	if (!is_plain(result) || has_empty_label(result))
		return false;
	*ret_name = result;
	return true;
}

bool idn_to_unicode(struct str name, char *room, struct str *ret_name)
{
	char ascii[IDN_ROOM], text[IDN_ROOM], *made = NULL;
	struct str converted;

	if (!idn_to_ascii(name, ascii, &converted) || !copy_name(converted, text, sizeof(text)))
		return false;
	if (idn2_to_unicode_8z8z(text, &made, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return false;
	return take(made, IDN_ROOM, room, ret_name);
}

/* Has it another form than this one? */
static bool may_differ(struct str name)
{
	ssize_t at;

	if (!str_is_ascii(name))
		return true;
	for (at = 0; at >= 0 && (size_t) at + 4 <= name.len;) {
		ssize_t dot;

		if (str_starts_nocase(str_skip(name, (size_t) at), STR("xn--")))
			return true;
		dot = str_find(str_skip(name, (size_t) at), '.');
		at = dot < 0 ? -1 : at + dot + 1;
	}
	return false;
}

size_t idn_forms(struct arena *a, struct str name, struct str ret[IDN_FORMS])
{
	char room[IDN_ROOM];
	struct str form;
	size_t n = 0;

	ret[n++] = name;
	if (!may_differ(name))
		return n;
	if (idn_to_ascii(name, room, &form) && !str_is(form, name))
		ret[n++] = arena_copy(a, form);
	if (idn_to_unicode(name, room, &form) && !str_is(form, name))
		ret[n++] = arena_copy(a, form);
	return n;
}
