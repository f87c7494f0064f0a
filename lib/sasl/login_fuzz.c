/* SPDX-License-Identifier: ISC */
/*
 * A server that says anything: the first byte chooses the mechanism, the rest are its challenges,
 * one a line. An attempt comes to its end, and no answer is larger than its buffer or given after
 * that. Without the module only the mechanisms of tokens are tried.
 */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/sasl/login.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "SCRAM-SHA-256", "SCRAM-SHA-1", "DIGEST-MD5", "CRAM-MD5",
					     "PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2" };
	const struct sasl_credentials who = { .user = "tim", .password = "secret", .service = "smtp",
					      .host = "mx.example", .port = 25 };
	struct str rest = size == 0 ? STR_NONE : str_make((const char *) data + 1,
							  MIN(size - 1, (size_t) 20000)), challenge;
	AUTO(buf) answer = BUF(2000), why = BUF_WORDS;
	const struct sasl_mechanism *m;
	struct sasl_login *l;
	int r, rounds = 0;

	sasl_login_open("modules", &why);
	m = sasl_mechanism_choose(str_of(names[size == 0 ? 0 : data[0] % COUNT_OF(names)]), 0, false);
	if (m == NULL || sasl_login_begin(m, &who, &l, &why) < 0)
		return 0;
	r = sasl_mechanism_begins(m) ? sasl_login_answer(l, NULL, &answer, &why) : 0;
	BUG_UNLESS(r == 0);
	while (r == 0 && rounds++ < 20) {
		str_cut(&rest, '\n', &challenge);
		buf_clear(&answer);
		buf_clear(&why);
		r = sasl_login_answer(l, &challenge, &answer, &why);
		BUG_UNLESS(r == 0 || r == -EPROTO || r == -EMSGSIZE);
		BUG_UNLESS((r == 0) != (why.len > 0) || r == -EMSGSIZE);
		BUG_UNLESS(answer.len <= answer.limit);
	}
	BUG_UNLESS(r < 0);		/* it does not go on for ever */
	sasl_login_end(l);
	return 0;
}
