/* SPDX-License-Identifier: ISC */
/* One question: from the cache, together with others who ask the same, or of the resolver service. */
#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/dns/cache.h"
#include "lib/dns/idn.h"
#include "lib/dns/rdata.h"
#include "lib/dns/settings.h"
#include "lib/ipc/channel.h"

static struct client *resolver;		/* of this process; never freed */

static struct str copy_text(struct arena *a, const char *text)
{
	return arena_copy(a, str_of(text));
}

static struct dns_answer status_only(struct arena *a, struct str name, enum dns_status status)
{
	return (struct dns_answer){ .status = status, .canonical = arena_copy(a, name),
				    .why = copy_text(a, dns_status_text(status)) };
}

/* Words of the resolver go behind the usual ones, which log analysers know. */
static struct str say_why(struct arena *a, enum dns_status status, struct str details)
{
	AUTO(buf) words = BUF_WORDS;

	buf_add_text(&words, dns_status_text(status));
	if (details.len > 0) {
		buf_add_text(&words, " (");
		buf_add_printable(&words, str_head(details, 500));
		buf_add_byte(&words, ')');
	}
	return arena_copy(a, buf_str(&words));
}

/* Checks and copies what the resolver said. */
static void read_answer(struct arena *a, enum dns_type type, struct str name, const struct kept *k,
			struct dns_answer *ret)
{
	char room[256];
	struct str canonical;
	size_t malformed = 0;

	*ret = (struct dns_answer){ .status = k->status, .security = k->security,
				    .canonical = arena_copy(a, name) };
	if (dns_name_is_valid(k->canonical, room, &canonical))
		ret->canonical = arena_copy(a, canonical);
	if (k->status != DNS_OK) {
		ret->why = say_why(a, k->status, k->why);
		return;
	}
	if (arena_left(a) < k->records.len * 2 + MIN(k->records.len / 2,
						     DNS_MOST_RECORDS) * sizeof(struct dns_record) + 4096 ||
	    dns_parse_records(a, type, k->records, &ret->count, &ret->records, &malformed) < 0
	    || ret->count == 0) {
		ret->status = DNS_CANNOT_TELL;
		ret->count = 0;
		ret->why = copy_text(a, "Malformed or unexpected name server reply");
	} else if (malformed > 0) {
		ret->why = arena_fmt(a, "%zu malformed records left out", malformed);
	}
}

static void ask_resolver(struct kept *k, enum dns_type type, struct str name)
{
	struct arena *a = arena_new("dns", NULL, 4 << 20);
	struct dns_request request = { .name = name, .type = type };
	struct dns_reply reply;
	struct kept answer = { .status = DNS_CANNOT_TELL };
	uint64_t ttl = 0;

	if (resolver == NULL)
		resolver = client_new(dns_settings()->path);
	answer.result = ASK(resolver, dns_request, &request, a, dns_reply, &reply,
			    in(dns_settings()->timeout_ms));
	if (answer.result < 0) {
		answer.why = arena_fmt(a, "resolver service: %s", error_text(answer.result));
	} else {
		answer.result = 0;
		answer.status = reply.status <= DNS_BAD_NAME ? (enum dns_status) reply.status
				: DNS_CANNOT_TELL;
		answer.security = reply.security == DNS_VALIDATED ? DNS_VALIDATED : DNS_UNSIGNED;
		answer.canonical = reply.canonical;
		answer.records = reply.records;
		answer.why = reply.why;
		if (answer.status == DNS_OK || answer.status == DNS_NO_DOMAIN || answer.status == DNS_NO_DATA)
			ttl = reply.ttl;
	}
	kept_answer(k, &answer, ttl);
	arena_free(a);
}

/* As it is asked for: lower case, ASCII. */
static bool name_to_ask(struct str name, char *room, struct str *ret_name)
{
	return str_is_ascii(name) ? dns_name_is_valid(name, room, ret_name) : idn_to_ascii(name,
			room, ret_name);
}

void dns_query(struct arena *a, struct str name, enum dns_type type, struct dns_answer *ret)
{
	when_t until = in(dns_settings()->timeout_ms);
	char room[256];
	struct str valid;

	if (!name_to_ask(name, room, &valid)) {
		*ret = status_only(a, str_head(name, 255), DNS_BAD_NAME);
		return;
	}
	for (;;) {
		bool is_new;
		struct kept *k = kept_get(type, valid, &is_new);
		int waited = 0;

		if (is_new)
			ask_resolver(k, type, valid);
		while (k->under_way && waited == 0)
			waited = bell_wait(&k->answered, until);
		if (waited < 0)
			*ret = status_only(a, valid, DNS_CANNOT_TELL);
		else if (k->result != -ECANCELED || is_new)
			read_answer(a, type, valid, k, ret);
		else
			waited = 1;		/* who asked for us was cancelled: ask ourselves */
		kept_release(k);
		if (waited <= 0)
			return;
	}
}

bool dns_query_kept(struct arena *a, struct str name, enum dns_type type, struct dns_answer *ret)
{
	char room[256];
	struct str valid;
	struct kept *k;

	if (!name_to_ask(name, room, &valid))
		return false;
	k = kept_find(type, valid);
	if (k == NULL)
		return false;
	read_answer(a, type, valid, k, ret);
	kept_release(k);
	return true;
}
