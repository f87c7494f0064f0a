/* SPDX-License-Identifier: ISC */
/*
 * OpenSSL itself, once per process: its own configuration file, and its options by the names that
 * main.cf uses.
 */
#include <errno.h>
#include <openssl/conf.h>

#include "lib/tls/private.h"

/* ---- tls_config_file, tls_config_name ---- */

int tls_library_open(const char *file, const char *name, struct buf *why)
{
	const bool none = strcmp(file, "none") == 0, standard = strcmp(file, "default") == 0;
	OPENSSL_INIT_SETTINGS *settings = OPENSSL_INIT_new();
	int ok;

	if (!none && !standard && file[0] != '/') {
		buf_addf(why, "tls_config_file: \"%s\" is neither default, none nor the absolute path of a file",
			 file);
		OPENSSL_INIT_free(settings);
		return -EINVAL;
	}
	ok = settings != NULL && (none || standard || OPENSSL_INIT_set_config_filename(settings, file) == 1)
	     && (name[0] == 0 || OPENSSL_INIT_set_config_appname(settings, name) == 1);
	if (ok)
		OPENSSL_INIT_set_config_file_flags(settings,
						   standard ? CONF_MFLAGS_IGNORE_MISSING_FILE
						   | CONF_MFLAGS_IGNORE_RETURN_CODES : 0);
	ERR_clear_error();
	ok = ok && OPENSSL_init_ssl(none ? OPENSSL_INIT_NO_LOAD_CONFIG : OPENSSL_INIT_LOAD_CONFIG,
				    settings) == 1;
	OPENSSL_INIT_free(settings);
	if (!ok) {
		buf_addf(why, "tls_config_file %s: ", file);
		tls_library_words(why);
	}
	ERR_clear_error();
	return ok ? 0 : -EINVAL;
}

/* ---- tls_ssl_options, tls_disable_workarounds ---- */

struct option { struct str name; uint64_t bits; };

static const struct option options[] = {
	{ STR_INIT("ENABLE_MIDDLEBOX_COMPAT"), SSL_OP_ENABLE_MIDDLEBOX_COMPAT },
	{ STR_INIT("LEGACY_SERVER_CONNECT"), SSL_OP_LEGACY_SERVER_CONNECT },
	{ STR_INIT("NO_COMPRESSION"), SSL_OP_NO_COMPRESSION },
	{ STR_INIT("NO_RENEGOTIATION"), SSL_OP_NO_RENEGOTIATION },
	{ STR_INIT("NO_SESSION_RESUMPTION_ON_RENEGOTIATION"),
	  SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION }, { STR_INIT("NO_TICKET"), SSL_OP_NO_TICKET },
	{ STR_INIT("NO_ENCRYPT_THEN_MAC"), SSL_OP_NO_ENCRYPT_THEN_MAC },
	{ STR_INIT("NO_EXTENDED_MASTER_SECRET"), SSL_OP_NO_EXTENDED_MASTER_SECRET },
	{ STR_INIT("PRIORITIZE_CHACHA"), SSL_OP_PRIORITIZE_CHACHA },
};

static const struct option workarounds[] = {
	{ STR_INIT("CRYPTOPRO_TLSEXT_BUG"), SSL_OP_CRYPTOPRO_TLSEXT_BUG },
	{ STR_INIT("DONT_INSERT_EMPTY_FRAGMENTS"), SSL_OP_DONT_INSERT_EMPTY_FRAGMENTS },
	{ STR_INIT("LEGACY_SERVER_CONNECT"), SSL_OP_LEGACY_SERVER_CONNECT },
	{ STR_INIT("SAFARI_ECDHE_ECDSA_BUG"), SSL_OP_SAFARI_ECDHE_ECDSA_BUG },
	{ STR_INIT("TLSEXT_PADDING"), SSL_OP_TLSEXT_PADDING },
	/* of libraries and peers that are gone: accepted, and nothing to be switched off */
	{ STR_INIT("MICROSOFT_BIG_SSLV3_BUFFER"), 0 }, { STR_INIT("MICROSOFT_SESS_ID_BUG"), 0 },
	{ STR_INIT("MSIE_SSLV2_RSA_PADDING"), 0 },
	{ STR_INIT("NETSCAPE_CHALLENGE_BUG"), 0 }, { STR_INIT("NETSCAPE_REUSE_CIPHER_CHANGE_BUG"), 0 },
	{ STR_INIT("SSLEAY_080_CLIENT_DH_BUG"), 0 },
	{ STR_INIT("SSLREF2_REUSE_CERT_TYPE_BUG"), 0 }, { STR_INIT("TLS_BLOCK_PADDING_BUG"), 0 },
	{ STR_INIT("TLS_D5_BUG"), 0 },
	{ STR_INIT("TLS_ROLLBACK_BUG"), 0 },
	{ STR_INIT("CVE-2005-2969"), 0 }, { STR_INIT("CVE-2010-4180"), 0 },
};

/* Names, or all bits in hexadecimal as 0x... */
static int parse_bits(struct str text, const struct option *rows, size_t count, uint64_t *ret,
		      struct buf *why)
{
	struct str word;

	while (str_token(&text, ", \t\r\n", &word)) {
		uint64_t bits = 0;
		size_t i = 0;

		while (i < count && !str_is_nocase(word, rows[i].name))
			i++;
		if (i < count) {
			bits = rows[i].bits;
		} else if (!str_starts_nocase(word, STR("0x"))
			   || str_to_uint64(str_skip(word, 2), 16, &bits) < 0) {
			buf_addf(why, "\"%.*s\" is no name that is known here", PSTR(word));
			return -EINVAL;
		}
		*ret |= bits;
	}
	return 0;
}

int tls_options_parse(struct str ssl_options, struct str disabled_workarounds, struct tls_options *ret,
		      struct buf *why)
{
	*ret = (struct tls_options){ 0 };
	if (parse_bits(ssl_options, options, COUNT_OF(options), &ret->on, why) < 0 ||
	    parse_bits(disabled_workarounds, workarounds, COUNT_OF(workarounds), &ret->off, why) < 0)
		return -EINVAL;
	return 0;
}
