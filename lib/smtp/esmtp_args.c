/* SPDX-License-Identifier: ISC */
#include "lib/smtp/esmtp_args.h"

#include <errno.h>

#include "lib/mail/dsn.h"

/*
 * RFC 3461 4.2 has 500, of which each octet of an address that is not ASCII takes three. A recipient's
 * memory is bounded by it.
 */
enum { LONGEST_ORCPT = 4000 };

static bool is_name(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_alnum(s.at[i]) && (i == 0 || s.at[i] != '-'))
			return false;
	return s.len > 0;
}

int esmtp_arg_next(struct str *rest, struct esmtp_arg *ret)
{
	struct str word, value;

	if (!str_token(rest, " \t", &word))
		return 0;
	*ret = (struct esmtp_arg){ .whole = word };
	value = word;
	ret->has_value = str_cut(&value, '=', &ret->name);
	ret->value = value;
	if (!is_name(ret->name) || str_has_control(word))
		return -EINVAL;
	return 1;
}

static bool is(const struct esmtp_arg *arg, struct str name)
{
	return arg->has_value && str_is_nocase(arg->name, name);
}

static enum esmtp_error parse_size(struct str text, uint64_t *ret)
{
	int64_t size;
	int r;

	for (size_t i = 0; i < text.len; i++)
		if (!is_digit(text.at[i]))
			return ESMTP_BAD_SIZE;
	r = str_to_int(text, 0, INT64_MAX, &size);
	if (r < 0)
		return r == -ERANGE ? ESMTP_SIZE_OVERFLOW : ESMTP_BAD_SIZE;
	*ret = (uint64_t) size;
	return ESMTP_OK;
}

static enum esmtp_error parse_body(struct str text, enum esmtp_body *ret)
{
	if (str_is_nocase(text, STR("8BITMIME")))
		*ret = BODY_8BITMIME;
	else if (str_is_nocase(text, STR("7BIT")))
		*ret = BODY_7BIT;
	else
		return ESMTP_UNSUPPORTED;
	return ESMTP_OK;
}

static enum esmtp_error parse_ret(struct str text, struct mail_args *m)
{
	m->uses_dsn = true;
	if (m->ret != RETURN_NOT_SAID)
		return ESMTP_BAD_RET;
	if (str_is_nocase(text, STR("FULL")))
		m->ret = RETURN_FULL;
	else if (str_is_nocase(text, STR("HDRS")))
		m->ret = RETURN_HEADERS;
	else
		return ESMTP_BAD_RET;
	return ESMTP_OK;
}

/* As long as a line may be: RFC 3461 5.4 wants no more than 100 characters, but who said it gets back what he said. */
static enum esmtp_error parse_envid(struct str text, struct arena *a, struct mail_args *m)
{
	m->uses_dsn = true;
	if (m->envid.len > 0 || text.len == 0 || !str_is_ascii(text)
	    || xtext_decode(text, a, &m->envid) < 0 || !str_is_ascii(m->envid))
		return ESMTP_BAD_ENVID;
	return ESMTP_OK;
}

static enum esmtp_error mail_arg(const struct esmtp_arg *arg, struct arena *a, struct mail_args *m)
{
	if (is(arg, STR("SIZE")))
		return parse_size(arg->value, &m->size);
	if (is(arg, STR("BODY")))
		return parse_body(arg->value, &m->body);
	if (is(arg, STR("RET")))
		return parse_ret(arg->value, m);
	if (is(arg, STR("ENVID")))
		return parse_envid(arg->value, a, m);
	if (is(arg, STR("AUTH")) && !m->has_auth) {
		m->has_auth = true;
		m->auth = arg->value;
		return ESMTP_OK;
	}
	if (str_is_nocase(arg->name, STR("XVERP")) && !m->has_verp) {
		m->has_verp = true;
		m->verp = arg->value;
		return ESMTP_OK;
	}
	if (!arg->has_value && str_is_nocase(arg->name, STR("SMTPUTF8"))) {
		m->smtputf8 = true;
		return ESMTP_OK;
	}
	if (!arg->has_value && str_is_nocase(arg->name, STR("REQUIRETLS"))) {
		m->requiretls = true;
		return ESMTP_OK;
	}
	return ESMTP_UNSUPPORTED;
}

enum esmtp_error esmtp_mail_args(struct str rest, struct arena *a, struct mail_args *ret, struct str *ret_bad)
{
	struct mail_args m = { .envid = STR_NONE, .auth = STR_NONE };
	struct esmtp_arg arg;
	int r;

	while ((r = esmtp_arg_next(&rest, &arg)) != 0) {
		enum esmtp_error e = r < 0 ? ESMTP_UNSUPPORTED : mail_arg(&arg, a, &m);

		if (e != ESMTP_OK) {
			*ret_bad = arg.whole;
			return e;
		}
	}
	*ret = m;
	return ESMTP_OK;
}

static unsigned notify_word(struct str word)
{
	static const struct { struct str name; unsigned bit; } words[] = {
		{ STR_INIT("NEVER"), NOTIFY_NEVER }, { STR_INIT("SUCCESS"), NOTIFY_SUCCESS },
		{ STR_INIT("FAILURE"), NOTIFY_FAILURE }, { STR_INIT("DELAY"), NOTIFY_DELAY },
	};

	for (size_t i = 0; i < COUNT_OF(words); i++)
		if (str_is_nocase(word, words[i].name))
			return words[i].bit;
	return 0;
}

/* NEVER stands alone (RFC 3461 4.1). What is said twice is said. */
static enum esmtp_error parse_notify(struct str text, struct rcpt_args *r)
{
	struct str word;

	r->uses_dsn = true;
	if (r->notify != 0)
		return ESMTP_BAD_NOTIFY;
	while (str_token(&text, ",", &word)) {
		unsigned bit = notify_word(word);

		if (bit == 0)
			return ESMTP_BAD_NOTIFY;
		r->notify |= bit;
	}
	if (r->notify == 0 || ((r->notify & NOTIFY_NEVER) != 0 && r->notify != NOTIFY_NEVER))
		return ESMTP_BAD_NOTIFY;
	return ESMTP_OK;
}

/*
 * The address type stays as it is, the address is decoded. Undecodable UTF-8 addresses (RFC 6533) are
 * passed on as they are; servers that relay a message which did not ask for SMTPUTF8 call them rfc822, in
 * xtext. No address: nothing was said.
 */
static enum esmtp_error parse_orcpt(struct str text, struct arena *a, struct rcpt_args *r)
{
	struct str type, address = text, decoded;

	r->uses_dsn = true;
	if (r->orcpt.len > 0 || text.len > LONGEST_ORCPT || !str_cut(&address, ';', &type) || !is_name(type))
		return ESMTP_BAD_ORCPT;
	if (address.len == 0)
		return ESMTP_OK;
	if (str_is_nocase(type, STR("utf-8"))) {
		decoded = address;
		if (!str_is_utf8(address))
			return ESMTP_BAD_ORCPT;
	} else if (!str_is_ascii(address) || xtext_decode(address, a, &decoded) < 0) {
		return ESMTP_BAD_ORCPT;
	}
	r->orcpt = arena_fmt(a, "%.*s;%.*s", PSTR(type), PSTR(decoded));
	return ESMTP_OK;
}

enum esmtp_error esmtp_rcpt_args(struct str rest, struct arena *a, struct rcpt_args *ret, struct str *ret_bad)
{
	struct rcpt_args args = { .orcpt = STR_NONE };
	struct esmtp_arg arg;
	int r;

	while ((r = esmtp_arg_next(&rest, &arg)) != 0) {
		enum esmtp_error e = ESMTP_UNSUPPORTED;

		if (r > 0 && is(&arg, STR("NOTIFY")))
			e = parse_notify(arg.value, &args);
		else if (r > 0 && is(&arg, STR("ORCPT")))
			e = parse_orcpt(arg.value, a, &args);
		if (e != ESMTP_OK) {
			*ret_bad = arg.whole;
			return e;
		}
	}
	*ret = args;
	return ESMTP_OK;
}
