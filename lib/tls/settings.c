/* SPDX-License-Identifier: ISC */
/* What main.cf says about versions, ciphers and curves, and the same for OpenSSL. */
#include <errno.h>

#include "lib/tls/private.h"

static const struct { struct str name; int version; } versions[] = {
	{ STR_INIT("SSLv2"), 2 }, { STR_INIT("SSLv3"), SSL3_VERSION }, { STR_INIT("TLSv1"), TLS1_VERSION },
	{ STR_INIT("TLSv1.0"), TLS1_VERSION }, { STR_INIT("TLSv1.1"), TLS1_1_VERSION },
	{ STR_INIT("TLSv1.2"), TLS1_2_VERSION },
	{ STR_INIT("TLSv1.3"), TLS1_3_VERSION },
};

enum { ALL = 0x1f };			/* 0x0300..0x0304 */

static unsigned bit(int version)
{
	return version < SSL3_VERSION ? 0 : 1u << (version & 7);
}

static int version_of(struct str word)
{
	uint64_t number;

	for (size_t i = 0; i < COUNT_OF(versions); i++)
		if (str_is_nocase(word, versions[i].name))
			return versions[i].version;
	if (word.len == 4 && str_to_uint64(word, 16, &number) == 0 && number >= SSL3_VERSION
	    && number <= TLS1_3_VERSION)
		return (int) number;
	return -EINVAL;
}

/* One word; *included gathers those that are named alone. */
static int take_word(struct str word, struct tls_protocols *p, unsigned *included)
{
	struct str name = word;
	int version;

	if (str_starts(word, STR(">=")) || str_starts(word, STR("<=")))
		name = str_skip(word, 2);
	else if (str_starts(word, STR("!")))
		name = str_skip(word, 1);
	version = version_of(name);
	if (version < 0)
		return version;
	if (str_starts(word, STR(">=")))
		p->min = version < SSL3_VERSION ? 0 : version;
	else if (str_starts(word, STR("<=")))
		p->max = version;
	else if (name.len < word.len)
		p->excluded |= bit(version);
	else
		*included |= bit(version);
	return 0;
}

int tls_protocols_parse(struct str text, struct tls_protocols *ret, struct buf *why)
{
	struct tls_protocols p = { 0 };
	unsigned included = 0, left = 0;
	struct str word;

	while (str_token(&text, ":, \t\r\n", &word))
		if (take_word(word, &p, &included) < 0) {
			buf_addf(why, "\"%.*s\" is no TLS protocol version", PSTR(word));
			return -EINVAL;
		}
	if (included != 0)
		p.excluded |= ALL & ~included;
	for (int v = SSL3_VERSION; v <= TLS1_3_VERSION; v++)
		if ((p.excluded & bit(v)) == 0 && v >= p.min && (p.max == 0 || v <= p.max))
			left |= bit(v);
	if (left == 0) {
		buf_add_text(why, "no TLS protocol version is left");
		return -EINVAL;
	}
	*ret = p;
	return 0;
}

int tls_protocols_apply(const struct tls_protocols *p, SSL *ssl, SSL_CTX *ctx)
{
	static const uint64_t no[] = { SSL_OP_NO_SSLv3, SSL_OP_NO_TLSv1, SSL_OP_NO_TLSv1_1,
				       SSL_OP_NO_TLSv1_2, SSL_OP_NO_TLSv1_3 };
	uint64_t options = 0, all = 0;

	for (size_t i = 0; i < COUNT_OF(no); i++) {
		all |= no[i];
		if ((p->excluded & (1u << i)) != 0)
			options |= no[i];
	}
	if (ssl == NULL) {
		SSL_CTX_set_options(ctx, options);
		return SSL_CTX_set_min_proto_version(ctx, p->min) == 1 && SSL_CTX_set_max_proto_version(ctx,
				p->max) == 1 ? 0 : -EINVAL;
	}
	SSL_clear_options(ssl, all);
	SSL_set_options(ssl, options);
	return SSL_set_min_proto_version(ssl, p->min) == 1 && SSL_set_max_proto_version(ssl, p->max) == 1
	       ? 0 : -EINVAL;
}

/* ---- ciphers ---- */

/* Export and low ciphers left the library long ago: medium is the least there is. */
static const char *list_of(const struct tls_grades *g, struct str grade)
{
	if (str_is_nocase(grade, STR("high")))
		return g->high;
	if (str_is_nocase(grade, STR("medium")))
		return g->medium;
	if (str_is_nocase(grade, STR("low")) || str_is_nocase(grade, STR("export")))
		return g->medium;
	if (str_is_nocase(grade, STR("null")))
		return g->null;
	return NULL;
}

int tls_ciphers_make(const struct tls_grades *g, struct str grade, struct str exclude, struct buf *ret,
		     struct buf *why)
{
	const char *list = list_of(g, str_trim(grade));
	struct str word;

	if (list == NULL) {
		buf_addf(why, "\"%.*s\" is no cipher grade: high, medium, low, export or null", PSTR(grade));
		return -EINVAL;
	}
	buf_add_text(ret, list);
	while (str_token(&exclude, ":, \t\r\n", &word)) {
		if (str_find_any(word, "!-@") == 0) {
			buf_addf(why, "\"%.*s\" cannot be excluded: a cipher's name, or names joined by +",
				 PSTR(word));
			return -EINVAL;
		}
		buf_addf(ret, ":!%.*s", PSTR(word));
	}
	return 0;
}
