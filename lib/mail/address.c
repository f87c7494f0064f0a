/* SPDX-License-Identifier: ISC */
/*
 * Addresses in internal form: taking apart, and quoting for the outside.
 *
 * What must stay true: whatever path_parse() or header_address_next() made, the quoting functions print so
 * that parsing gives the same internal form again (the tests and fuzz targets check it).
 */
#include "lib/mail/mail_address.h"

#include <errno.h>

#include "lib/mail/atext.h"
#include "lib/table/extension.h"

bool address_split(struct str address, struct str *ret_local, struct str *ret_domain)
{
	ssize_t at = str_find_last(address, '@');

	if (at < 0) {
		*ret_local = address;
		*ret_domain = STR_NONE;
		return false;
	}
	*ret_local = str_head(address, (size_t) at);
	*ret_domain = str_skip(address, (size_t) at + 1);
	return true;
}

bool local_part_split_at(struct str local, struct str delimiters, bool owner_request_special,
			 struct str *ret_user, struct str *ret_extension)
{
	size_t at = extension_at(local, delimiters, owner_request_special);

	*ret_user = at > 0 ? str_head(local, at) : local;
	*ret_extension = at > 0 ? str_skip(local, at + 1) : STR_NONE;
	return at > 0;
}

bool local_part_split(struct str local, struct str delimiters, struct str *ret_user,
		      struct str *ret_extension)
{
	return local_part_split_at(local, delimiters, true, ret_user, ret_extension);
}

bool is_dot_string(struct str local)
{
	bool after_dot = true;

	for (size_t i = 0; i < local.len; i++) {
		if (local.at[i] == '.') {
			if (after_dot)
				return false;
			after_dot = true;
		} else if (is_atext(local.at[i])) {
			after_dot = false;
		} else {
			return false;
		}
	}
	return !after_dot;
}

static int add_quoted_string(struct buf *b, struct str text)
{
	int r = buf_add_byte(b, '"');

	for (size_t i = 0; i < text.len && r >= 0; i++) {
		if (text.at[i] == '"' || text.at[i] == '\\')
			r = buf_add_byte(b, '\\');
		if (r >= 0)
			r = buf_add_byte(b, text.at[i]);
	}
	return r < 0 ? r : buf_add_byte(b, '"');
}

static int add_address(struct buf *b, struct str internal)
{
	struct str local, domain;
	bool has_domain = address_split(internal, &local, &domain);
	int r = is_dot_string(local) ? buf_add(b, local) : add_quoted_string(b, local);

	if (r >= 0 && has_domain) {
		r = buf_add_byte(b, '@');
		if (r >= 0)
			r = buf_add(b, domain);
	}
	return r;
}

int address_quote_821(struct buf *b, struct str internal)
{
	size_t before = b->len;
	int r;

	if (internal.len == 0)
		return 0;
	if (str_has_control(internal))
		return -EINVAL;
	r = add_address(b, internal);
	if (r < 0 && b->len > before) {		/* nothing rather than half an address */
		b->len = before;
		b->at[before] = 0;
	}
	return r;
}

int address_quote_822(struct buf *b, struct str internal)
{
	return address_quote_821(b, internal);	/* the two syntaxes agree on everything that needs quotes */
}

int address_unquote(struct str external, struct arena *a, struct str *ret)
{
	char *to = arena_get(a, external.len + 1);
	size_t len = 0;
	bool in_quotes = false;

	for (size_t i = 0; i < external.len; i++) {
		char c = external.at[i];

		if (is_control(c))
			return -EINVAL;
		if (c == '"') {
			in_quotes = !in_quotes;
			continue;
		}
		if (c == '\\') {
			if (++i == external.len || is_control(external.at[i]))
				return -EINVAL;
			c = external.at[i];
		}
		to[len++] = c;
	}
	if (in_quotes)
		return -EINVAL;
	*ret = str_make(to, len);
	return 0;
}
