/* SPDX-License-Identifier: ISC */
/* Addresses of a host, and the name of an address. */
#include "lib/dns/settings.h"

enum { LEAST_LEFT = 4096 };		/* of the arena, for who asked */

struct other_question {			/* the AAAA half, asked by a coroutine of its own */
	struct arena *arena;
	struct str host;
	struct dns_answer answer;
};

static void ask_aaaa(void *arg)
{
	struct other_question *q = arg;

	dns_query(q->arena, q->host, DNS_AAAA, &q->answer);
}

/* How bad it is that there are no records, if there are none of the other kind either. */
static int badness(const struct dns_answer *d)
{
	switch (d->status) {
	case DNS_BOGUS:
		return 4;
	case DNS_CANNOT_TELL:
		return 3;
	case DNS_NO_DATA:
		return 2;
	default:
		return 1;
	}
}

static void join(struct arena *a, const struct dns_answer *one, const struct dns_answer *other,
		 struct dns_answer *ret)
{
	*ret = *one;
	if (other->status != DNS_OK) {
		if (one->status != DNS_OK && badness(other) > badness(one))
			*ret = *other;
		return;
	}
	if (one->status != DNS_OK) {
		*ret = *other;
		return;
	}
	if (arena_left(a) < (one->count + other->count) * sizeof(*ret->records) + LEAST_LEFT) {
		*ret = (struct dns_answer){ .status = DNS_CANNOT_TELL, .canonical = one->canonical,
					    .why = STR("too many addresses") };
		return;
	}
	ret->count = one->count + other->count;
	ret->records = arena_get(a, ret->count * sizeof(*ret->records));
	memcpy(ret->records, one->records, one->count * sizeof(*ret->records));
	memcpy(ret->records + one->count, other->records, other->count * sizeof(*ret->records));
	if (one->security != DNS_VALIDATED || other->security != DNS_VALIDATED)
		ret->security = DNS_UNSIGNED;
}

static void ask_both(struct arena *a, struct str host, struct dns_answer *ret)
{
	struct other_question *q = ARENA_NEW(a, struct other_question);
	struct scope *scope;
	struct dns_answer v4;

	q->arena = a;
	q->host = host;
	if (dns_query_kept(a, host, DNS_AAAA, &q->answer)) {
		dns_query(a, host, DNS_A, &v4);
	} else if (co_self() == NULL) {
		dns_query(a, host, DNS_A, &v4);
		ask_aaaa(q);
	} else {
		scope = scope_open("dns addresses");
		if (scope_start(scope, "dns AAAA", ask_aaaa, q) < 0)
			ask_aaaa(q);
		dns_query(a, host, DNS_A, &v4);
		scope_wait(scope, NEVER);	/* a question has its own deadline */
		scope_close(scope);
	}
	join(a, &v4, &q->answer, ret);
}

void dns_addresses(struct arena *a, struct str host, struct dns_answer *ret)
{
	const struct dns_settings *use = dns_settings();
	struct address_ip ip;

	if (ip_parse(host, &ip) == 0) {
		*ret = (struct dns_answer){ .status = DNS_OK, .canonical = arena_copy(a, host), .count = 1 };
		ret->records = ARENA_NEW(a, struct dns_record);
		ret->records->ip = ip;
	} else if (use->ipv4 && use->ipv6) {
		ask_both(a, host, ret);
	} else {
		dns_query(a, host, use->ipv6 ? DNS_AAAA : DNS_A, ret);
	}
}

void dns_name_of(struct arena *a, const struct address_ip *ip, struct dns_answer *ret)
{
	AUTO(buf) name = BUF(100);

	if (ip->family == AF_INET6) {
		for (int i = 15; i >= 0; i--)
			buf_addf(&name, "%x.%x.", ip->bytes[i] & 15, ip->bytes[i] >> 4);
		buf_add_text(&name, "ip6.arpa");
	} else {
		buf_addf(&name, "%d.%d.%d.%d.in-addr.arpa", ip->bytes[3], ip->bytes[2], ip->bytes[1],
			 ip->bytes[0]);
	}
	dns_query(a, buf_str(&name), DNS_PTR, ret);
}
