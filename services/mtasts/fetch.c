/* SPDX-License-Identifier: ISC */
#include "services/mtasts/fetch.h"

#include "lib/dns/dns.h"
#include "lib/https/https.h"

int record_find(struct arena *a, struct str domain, struct str *ret_id)
{
	struct dns_answer answer;
	int valid = 0, malformed = 0;

	dns_query(a, arena_fmt(a, "_mta-sts.%.*s", PSTR(domain)), DNS_TXT, &answer);
	for (size_t i = 0; i < answer.count; i++) {
		int r = record_parse(answer.records[i].text, ret_id);

		valid += r > 0;
		malformed += r < 0;
	}
	return answer.status == DNS_OK && valid == 1 && malformed == 0;
}

static bool is_plain_text(struct str type)
{
	struct str kind;

	str_cut(&type, ';', &kind);
	return str_is_nocase(str_trim(kind), STR("text/plain"));
}

const char *policy_fetch(struct arena *a, struct str domain, const struct fetch_settings *s,
			 struct policy *ret, struct buf *why)
{
	const struct https_request request = { .host = arena_fmt(a, "mta-sts.%.*s", PSTR(domain)),
					       .port = s->port, .path = STR("/.well-known/mta-sts.txt"),
					       .most = POLICY_MOST, .time_limit_ms = s->time_limit_ms };
	struct https_reply reply;

	https_ask(a, &request, &reply);
	if (reply.outcome != HTTPS_ANSWERED) {
		buf_add(why, reply.why);
		return reply.outcome == HTTPS_BAD_CERTIFICATE
		       ? "sts-webpki-invalid" : "sts-policy-fetch-error";
	}
	if (reply.status != 200) {
		buf_addf(why, "HTTP status %ld", reply.status);
		return "sts-policy-fetch-error";
	}
	if (!is_plain_text(reply.type)) {
		buf_add_text(why, "media type is not text/plain: ");
		buf_add_printable(why, str_head(reply.type, 80));
		return "sts-policy-fetch-error";
	}
	return policy_parse(reply.body, a, ret, why) < 0 ? "sts-policy-invalid" : NULL;
}
