/* SPDX-License-Identifier: ISC */
/*
 * MTA-STS policies that a plug-in (postfix-mta-sts-resolver, postfix-tlspol) hands over with an
 * entry of smtp_tls_policy_maps, in Postfix's attributes: policy_type, policy_domain, policy_ttl,
 * policy_string, mx_host_pattern and policy_failure. The entry's level and names say what is asked
 * of a server; these say which servers the domain names, what to tell it (TLSRPT), and that its
 * policy could not be had.
 */
#include <errno.h>

#include "lib/base/die.h"
#include "smtp/policy_table.h"

static bool is_failure(struct str word)
{
	static const struct str words[] = { STR_INIT("sts-policy-fetch-error"), STR_INIT("sts-policy-invalid"),
					    STR_INIT("sts-webpki-invalid"), STR_INIT("validation-failure") };

	for (size_t i = 0; i < COUNT_OF(words); i++)
		if (str_is_nocase(word, words[i]))
			return true;
	return false;
}

static int bad_value(struct str name, struct str value, struct buf *why)
{
	buf_addf(why, "attribute \"%.*s\" has bad value: \"%.*s\"", PSTR(name), PSTR(value));
	return -EINVAL;
}

static void add_line(struct arena *a, struct str line, struct str *to)
{
	*to = arena_fmt(a, "%.*s%.*s\n", PSTR(*to), PSTR(line));
}

/* no-policy-found is told like one that was not asked about. */
static int take_type(struct str name, struct str value, struct policy_entry *e, struct buf *why)
{
	bool is_sts = str_is_nocase(value, STR("sts"));

	if (!is_sts && !str_is_nocase(value, STR("no-policy-found")))
		return bad_value(name, value, why);
	e->sts_type = is_sts ? STS_TYPE_STS : STS_TYPE_NONE_FOUND;
	return 1;
}

int sts_attribute_take(struct arena *a, struct str name, struct str value, struct policy_entry *e,
		       struct buf *why)
{
	struct sts_policy *p = &e->sts;
	int64_t seconds;

	if (str_is_nocase(name, STR("policy_type")))
		return take_type(name, value, e, why);
	if (str_is_nocase(name, STR("policy_domain"))) {
		p->domain = value;
	} else if (str_is_nocase(name, STR("policy_ttl"))) {
		/* each message asks: nothing is kept here */
		if (str_to_int(value, 0, INT32_MAX, &seconds) < 0)
			return bad_value(name, value, why);
	} else if (str_is_nocase(name, STR("policy_string"))) {
		add_line(a, value, &p->text);
	} else if (str_is_nocase(name, STR("mx_host_pattern"))) {
		add_line(a, arena_lower(a, value), &p->mx);
	} else if (str_is_nocase(name, STR("policy_failure"))) {
		if (!is_failure(value))
			return bad_value(name, value, why);
		p->failure = arena_lower(a, value);
	} else {
		return 0;
	}
	e->has_sts_attributes = true;
	return 1;
}

int sts_attributes_check(struct policy_entry *e, struct buf *why)
{
	if (e->has_sts_attributes && e->sts_type == STS_TYPE_NOT_SAID) {
		buf_add_text(why, "attributes of an MTA-STS policy without policy_type=sts");
		return -EINVAL;
	}
	if (e->sts_type == STS_TYPE_STS)
		e->sts.mode = e->level == TLS_VERIFY || e->level == TLS_SECURE ? STS_ENFORCE : STS_TESTING;
	return 0;
}
