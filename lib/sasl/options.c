/* SPDX-License-Identifier: ISC */
#include "lib/sasl/options.h"

#include <errno.h>

static const struct { struct str word; unsigned option; } words[] = {
	{ STR_INIT("noplaintext"), SASL_NOPLAINTEXT }, { STR_INIT("noactive"), SASL_NOACTIVE },
	{ STR_INIT("nodictionary"), SASL_NODICTIONARY },
	{ STR_INIT("noanonymous"), SASL_NOANONYMOUS }, { STR_INIT("forward_secrecy"), SASL_FORWARD_SECRECY },
	{ STR_INIT("mutual_auth"), SASL_MUTUAL_AUTH },
};

static const struct { struct str name; unsigned options; } mechanisms[] = {
	{ STR_INIT("SCRAM-SHA-256-PLUS"),
	  SASL_NOPLAINTEXT | SASL_NOACTIVE | SASL_NOANONYMOUS | SASL_MUTUAL_AUTH },
	{ STR_INIT("SCRAM-SHA-1-PLUS"),
	  SASL_NOPLAINTEXT | SASL_NOACTIVE | SASL_NOANONYMOUS | SASL_MUTUAL_AUTH },
	{ STR_INIT("SCRAM-SHA-512"), SASL_NOPLAINTEXT | SASL_NOACTIVE | SASL_NOANONYMOUS | SASL_MUTUAL_AUTH },
	{ STR_INIT("SCRAM-SHA-256"), SASL_NOPLAINTEXT | SASL_NOACTIVE | SASL_NOANONYMOUS | SASL_MUTUAL_AUTH },
	{ STR_INIT("SCRAM-SHA-1"), SASL_NOPLAINTEXT | SASL_NOACTIVE | SASL_NOANONYMOUS | SASL_MUTUAL_AUTH },
	{ STR_INIT("GSSAPI"), SASL_NOPLAINTEXT | SASL_NOACTIVE | SASL_NOANONYMOUS | SASL_MUTUAL_AUTH },
	{ STR_INIT("EXTERNAL"), SASL_NOPLAINTEXT | SASL_NOACTIVE | SASL_NODICTIONARY | SASL_NOANONYMOUS },
	{ STR_INIT("DIGEST-MD5"), SASL_NOPLAINTEXT | SASL_NOANONYMOUS | SASL_MUTUAL_AUTH },
	{ STR_INIT("CRAM-MD5"), SASL_NOPLAINTEXT | SASL_NOANONYMOUS },
	{ STR_INIT("NTLM"), SASL_NOPLAINTEXT | SASL_NOANONYMOUS },
	{ STR_INIT("ANONYMOUS"), SASL_NOPLAINTEXT },
};

int sasl_options_parse(struct str text, unsigned *ret, struct buf *why)
{
	struct str word;
	unsigned all = 0;

	while (str_token(&text, ", \t\r\n", &word)) {
		unsigned option = 0;

		for (size_t i = 0; i < COUNT_OF(words); i++)
			if (str_is_nocase(word, words[i].word))
				option = words[i].option;
		if (option == 0) {
			buf_addf(why, "\"%.*s\" is none of noplaintext, noactive, nodictionary, noanonymous, mutual_auth",
				 PSTR(word));
			return -EINVAL;
		}
		all |= option;
	}
	*ret = all;
	return 0;
}

unsigned sasl_options_of(struct str mechanism)
{
	for (size_t i = 0; i < COUNT_OF(mechanisms); i++)
		if (str_is_nocase(mechanism, mechanisms[i].name))
			return mechanisms[i].options;
	return SASL_NOANONYMOUS;
}
