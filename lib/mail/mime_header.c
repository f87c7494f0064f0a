/* SPDX-License-Identifier: ISC */
/*
 * Content-Type and Content-Transfer-Encoding (RFC 2045 5, 6): a token reader over a header value that
 * passes over folding and comments, once, from left to right.
 */
#include "lib/mail/mime_header.h"

static void skip_comment(struct str *in)
{
	size_t depth = 0;

	while (in->len > 0) {
		char c = in->at[0];

		*in = str_skip(*in, c == '\\' ? 2 : 1);
		if (c == '(')
			depth++;
		else if (c == ')' && --depth == 0)
			return;
	}
}

static void skip_white(struct str *in)
{
	while (in->len > 0) {
		if (is_space(in->at[0]))
			*in = str_skip(*in, 1);
		else if (in->at[0] == '(')
			skip_comment(in);
		else
			return;
	}
}

static bool is_token_octet(char c)
{
	return !is_space(c) && c != 0 && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

static struct str take_token(struct str *in)
{
	struct str token;
	size_t n = 0;

	skip_white(in);
	while (n < in->len && is_token_octet(in->at[n]))
		n++;
	token = str_head(*in, n);
	*in = str_skip(*in, n);
	return token;
}

static bool take_mark(struct str *in, char mark)
{
	skip_white(in);
	if (in->len == 0 || in->at[0] != mark)
		return false;
	*in = str_skip(*in, 1);
	return true;
}

static void take_quoted(struct str *in, struct buf *value)
{
	while (in->len > 0) {
		char c = in->at[0];

		*in = str_skip(*in, 1);
		if (c == '"')
			return;
		if (c == '\\' && in->len > 0) {
			c = in->at[0];
			*in = str_skip(*in, 1);
		}
		if (c != '\n' && c != '\r')
			buf_add_byte(value, c);
	}
}

/* Leniently up to the next ';', comment or white space: unquoted boundaries with '=' or '/' in them are common. */
static void take_bare(struct str *in, struct buf *value)
{
	size_t n = 0;

	while (n < in->len && !is_space(in->at[n]) && in->at[n] != ';' && in->at[n] != '(')
		n++;
	for (size_t i = 0; i < n; i++)
		buf_add_byte(value, in->at[i]);
	*in = str_skip(*in, n);
}

static void skip_to_parameter(struct str *in)
{
	AUTO(buf) dropped = BUF(1);

	while (in->len > 0 && in->at[0] != ';') {
		if (in->at[0] == '(') {
			skip_comment(in);
		} else if (in->at[0] == '"') {
			*in = str_skip(*in, 1);
			take_quoted(in, &dropped);
		} else {
			*in = str_skip(*in, 1);
		}
	}
}

static bool find_boundary(struct str in, struct buf *boundary)
{
	for (;;) {
		struct str name;

		skip_to_parameter(&in);
		if (!take_mark(&in, ';'))
			return false;
		name = take_token(&in);
		if (!str_is_nocase(name, STR("boundary")) || !take_mark(&in, '='))
			continue;
		skip_white(&in);
		if (take_mark(&in, '"'))
			take_quoted(&in, boundary);
		else
			take_bare(&in, boundary);
		while (boundary->len > 0 && is_blank(boundary->at[boundary->len - 1]))
			boundary->len--;
		return boundary->len > 0;
	}
}

enum mime_type mime_type_parse(struct str value, struct buf *boundary)
{
	struct str type = take_token(&value), subtype = STR_NONE;

	if (take_mark(&value, '/'))
		subtype = take_token(&value);
	if (str_is_nocase(type, STR("message"))) {
		bool is_message = str_is_nocase(subtype, STR("rfc822"))
				  || str_is_nocase(subtype, STR("global"));

		return is_message ? TYPE_MESSAGE : TYPE_OPAQUE;
	}
	if (!str_is_nocase(type, STR("multipart")))
		return TYPE_LEAF;
	if (!find_boundary(value, boundary))
		return TYPE_OPAQUE;
	return str_is_nocase(subtype, STR("digest")) ? TYPE_DIGEST : TYPE_MULTIPART;
}

enum mime_encoding mime_encoding_parse(struct str value)
{
	static const struct { struct str name; enum mime_encoding encoding; } known[] = {
		{ STR_INIT("7bit"), MIME_7BIT },
		{ STR_INIT("8bit"), MIME_8BIT },
		{ STR_INIT("binary"), MIME_BINARY },
		{ STR_INIT("quoted-printable"), MIME_QUOTED_PRINTABLE },
		{ STR_INIT("base64"), MIME_BASE64 },
	};
	struct str name = take_token(&value);

	if (name.len == 0)
		return MIME_7BIT;
	for (size_t i = 0; i < COUNT_OF(known); i++)
		if (str_is_nocase(name, known[i].name))
			return known[i].encoding;
	return MIME_OTHER;
}
