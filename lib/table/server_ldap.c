/* SPDX-License-Identifier: ISC */
/* What is special about ldap tables: a filter and a base, with what is looked up quoted in both. */
#include <errno.h>

#include "lib/table/server.h"

static int ldap_form(const struct settings *s, struct question_form *ret_form, struct buf *why)
{
	struct template *both = arena_get(s->arena, 2 * sizeof(*both));
	const char *base = settings_get(s, "search_base", ""), *filter = settings_get(s, "query_filter",
			"(mailacceptinggeneralid=%s)");
	int r = template_compile(s->arena, str_of(base), &both[0], why);

	if (r == 0)
		r = template_compile(s->arena, str_of(filter), &both[1], why);
	*ret_form = (struct question_form){ .count = 2, .arguments = both, .quote = quote_for_ldap,
					    .keys_are_utf8 = true };
	return r;
}

static const char *const ldap_parameters[] = {
	"server_host", "server_port", "version", "search_base", "scope", "query_filter", "result_attribute",
	"special_result_attribute",
	"terminal_result_attribute", "leaf_result_attribute", "size_limit", "recursion_limit", "dereference",
	"chase_referrals", "debuglevel",
	"bind", "bind_dn", "bind_pw", "sasl_mechs", "sasl_realm", "sasl_authz_id", "sasl_minssf",
	"start_tls", "tls_ca_cert_file", "tls_ca_cert_dir",
	"tls_cert", "tls_key", "tls_require_cert", "tls_random_file", "tls_cipher_suite", "cache",
	"cache_expiry", "cache_size", NULL,
};

const struct server_kind ldap_kind = {
	.type = "ldap", .parameters = ldap_parameters, .host_parameter = "server_host",
	.default_host = "server_host", .default_timeout = 10,
	.form = ldap_form, .hosts_are_one = true,
};
