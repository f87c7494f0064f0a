/* SPDX-License-Identifier: ISC */
#include "services/resolver/upstream.h"

#include <errno.h>
#include <poll.h>
#include <unbound.h>

#include "lib/base/die.h"
#include "lib/dns/rdata.h"
#include "lib/io/net.h"

enum { LOOK_MS = 10000 };		/* how soon a retired one that nobody asks any more goes away */

struct upstream {
	struct ub_ctx *ctx;
	int fd;
	int under_way;			/* questions */
	bool retired;
};

/* A question under way. libunbound's callback refers to it until it was called or the question cancelled. */
struct question {
	struct bell answered;
	bool done;
	int error;			/* of libunbound */
	struct ub_result *result;
};

static const struct { const char *name, *value; } OPTIONS[] = {
	{ "use-syslog:", "no" },
	{ "do-not-query-localhost:", "no" },	/* a forwarder on this machine is usual */
	{ "unblock-lan-zones:", "yes" },	/* private addresses have names too: the name servers know */
	{ "insecure-lan-zones:", "yes" },
	{ "qname-minimisation:", "no" },	/* all goes to forwarders */
	/* smtp_randomize_addresses = no means the order of the name servers */
	{ "rrset-roundrobin:", "no" },
	{ "outgoing-range:", "256" },
	{ "num-queries-per-thread:", "4096" },
	/* A name server that was down is noticed soon when it is up again: mail waits for it. */
	{ "infra-keep-probing:", "yes" },
	{ "infra-host-ttl:", "10" },
	/* given up after 5.6 s without an answer, in which either side may have lacked its processor */
	{ "infra-cache-max-rtt:", "6000" },
	{ "cache-max-ttl:", "86400" },
	{ "cache-max-negative-ttl:", "300" },
	{ "val-log-level:", "2" },		/* words for bogus answers */
};

/* Names for which libunbound has answers of its own; ours come from the hosts file and the name servers. */
static const char *const OWN_ZONES[] = {
	"localhost.", "127.in-addr.arpa.",
	"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa.", "invalid.", "test.",
	"home.arpa.", "onion.",
};

static int option(struct ub_ctx *ctx, const char *name, const char *value, struct buf *why)
{
	int r = ub_ctx_set_option(ctx, name, value);

	if (r == 0)
		return 0;
	buf_addf(why, "libunbound refuses %s %s: %s", name, value, ub_strerror(r));
	return -EINVAL;
}

static int set_options(struct ub_ctx *ctx, const struct dns_conf *conf, struct buf *why)
{
	const bool validates = conf->dns_resolver_trust_anchor_file[0] != 0;
	char quarter[24], half[24];
	int r = option(ctx, "module-config:", validates ? "validator iterator" : "iterator", why);

	for (size_t i = 0; i < COUNT_OF(OPTIONS) && r == 0; i++)
		r = option(ctx, OPTIONS[i].name, OPTIONS[i].value, why);
	snprintf(quarter, sizeof(quarter), "%lld", (long long) conf->dns_resolver_cache_size / 4);
	snprintf(half, sizeof(half), "%lld", (long long) conf->dns_resolver_cache_size / 2);
	if (r == 0)
		r = option(ctx, "rrset-cache-size:", half, why);
	if (r == 0)
		r = option(ctx, "msg-cache-size:", quarter, why);
	if (r == 0)
		r = option(ctx, "key-cache-size:", quarter, why);
	if (r == 0 && validates) {
		int error = ub_ctx_add_ta_file(ctx, conf->dns_resolver_trust_anchor_file);

		if (error != 0) {
			buf_addf(why, "dns_resolver_trust_anchor_file %s: %s",
				 conf->dns_resolver_trust_anchor_file, ub_strerror(error));
			r = -EINVAL;
		}
	}
	return r;
}

/* "address" or "address@port". */
static int add_server(struct ub_ctx *ctx, struct str server, struct buf *why)
{
	struct str port = server, address;
	struct address_ip ip;
	char text[100];
	int64_t n;

	if ((str_cut(&port, '@', &address) && str_to_int(port, 1, 65535, &n) < 0)
	    || ip_parse(address, &ip) < 0 || server.len >= sizeof(text)) {
		buf_addf(why, "\"%.*s\" is not the address of a name server (address or address@port)",
			 PSTR(str_head(server, 60)));
		return -EINVAL;
	}
	snprintf(text, sizeof(text), "%.*s", PSTR(server));
	if (ub_ctx_set_fwd(ctx, text) == 0)
		return 0;
	buf_addf(why, "libunbound refuses the name server %s", text);
	return -EINVAL;
}

static int make(const struct dns_conf *conf, struct str servers, struct upstream **ret, struct buf *why)
{
	struct upstream *u = get_memory(sizeof(*u));
	struct str server;
	int r;

	u->ctx = ub_ctx_create();
	if (u->ctx == NULL)
		die(EX_OSERR, "out of memory");
	ub_ctx_debugout(u->ctx, NULL);
	r = set_options(u->ctx, conf, why);
	while (r == 0 && str_token(&servers, ", \t\r\n", &server))
		r = add_server(u->ctx, server, why);
	if (r == 0 && ub_ctx_async(u->ctx, 1) != 0) {
		buf_add_text(why, "libunbound has no threads");
		r = -ENOSYS;
	}
	/* The first of these makes libunbound read its files; nothing can be set any more. */
	for (size_t i = 0; i < COUNT_OF(OWN_ZONES) && r == 0; i++) {
		int error = ub_ctx_zone_remove(u->ctx, OWN_ZONES[i]);

		if (error != 0) {
			buf_addf(why, "libunbound: %s (trust anchors?)", ub_strerror(error));
			r = -EINVAL;
		}
	}
	if (r < 0) {
		ub_ctx_delete(u->ctx);
		free(u);
		return r;
	}
	u->fd = ub_fd(u->ctx);
	*ret = u;
	return 0;
}

struct order {
	const struct dns_conf *conf;
	struct str servers;
	struct upstream **ret;
	struct buf *why;
};

static int carry_out(void *arg)
{
	const struct order *o = arg;

	return make(o->conf, o->servers, o->ret, o->why);
}

/* On the pool: libunbound reads files and needs more stack for it than a coroutine has. */
int upstream_new(const struct dns_conf *conf, struct str servers, struct upstream **ret, struct buf *why)
{
	struct order o = { conf, servers, ret, why };

	return co_offload(carry_out, &o);
}

/* ---- questions ---- */

static void on_answer(void *arg, int error, struct ub_result *result)
{
	struct question *q = arg;

	q->error = error;
	q->result = result;
	q->done = true;
	bell_ring(&q->answered);
}

static struct str copy_printable(struct arena *a, const char *text)
{
	AUTO(buf) words = BUF(900);

	buf_add_printable(&words, str_head(str_of(text), 800));
	return arena_copy(a, buf_str(&words));
}

static struct str pack_records(struct arena *a, const struct ub_result *result)
{
	AUTO(buf) records = BUF(1 << 20);

	for (int i = 0; i < DNS_MOST_RECORDS && result->data[i] != NULL; i++) {
		size_t len = (size_t) result->len[i];

		if (result->len[i] < 0 || len > 65535 || records.len + len + 2 > records.limit)
			continue;
		buf_add_byte(&records, (char) (len >> 8));
		buf_add_byte(&records, (char) len);
		buf_add(&records, str_make(result->data[i], len));
	}
	return arena_copy(a, buf_str(&records));
}

static void take_result(struct arena *a, const struct question *q, struct dns_reply *ret)
{
	const struct ub_result *result = q->result;
	char room[256];
	struct str canonical;

	if (q->error != 0 || result == NULL) {
		ret->why = copy_printable(a, ub_strerror(q->error));
		return;
	}
	if (result->bogus) {
		ret->status = DNS_BOGUS;
		if (result->why_bogus != NULL)
			ret->why = copy_printable(a, result->why_bogus);
		return;
	}
	if (result->rcode != 0 && !result->nxdomain)
		return;
	ret->status = result->nxdomain ? DNS_NO_DOMAIN : result->havedata ? DNS_OK : DNS_NO_DATA;
	ret->security = result->secure ? DNS_VALIDATED : DNS_UNSIGNED;
	ret->ttl = result->ttl > 0 ? (uint64_t) result->ttl : 0;
	if (result->canonname != NULL && dns_name_is_valid(str_of(result->canonname), room, &canonical))
		ret->canonical = arena_copy(a, canonical);
	if (ret->status == DNS_OK)
		ret->records = pack_records(a, result);
}

void upstream_ask(struct upstream *u, struct arena *a, struct str name, unsigned type, when_t until,
		  struct dns_reply *ret)
{
	struct question q = { .done = false };
	int id, waited = 0, error;

	*ret = (struct dns_reply){ .status = DNS_CANNOT_TELL, .canonical = name, .records = STR_NONE,
				   .why = STR_NONE };
	bell_init(&q.answered);
	u->under_way++;
	error = ub_resolve_async(u->ctx, str_c(a, name), (int) type, 1, &q, on_answer, &id);
	if (error == 0)
		while (!q.done && waited == 0)
			waited = bell_wait(&q.answered, until);
	if (error != 0)
		ret->why = copy_printable(a, ub_strerror(error));
	else if (!q.done)
		ub_cancel(u->ctx, id);		/* then the callback is never called */
	if (q.done)
		take_result(a, &q, ret);
	else if (waited == -ETIMEDOUT)
		ret->why = STR("no answer in time");
	ub_resolve_free(q.result);
	u->under_way--;
}

/* ---- life ---- */

static int delete_context(void *ctx)
{
	ub_ctx_delete(ctx);		/* waits for the thread */
	return 0;
}

/* Takes answers in, until it is retired and nobody waits for one. */
static void take_answers(void *arg)
{
	struct upstream *u = arg;
	int r = 0;

	while (r != -ECANCELED && !(u->retired && u->under_way == 0)) {
		ub_process(u->ctx);
		r = co_wait_fd(u->fd, POLLIN, in(LOOK_MS));
	}
	co_forget_fd(u->fd);
	if (u->under_way > 0)
		return;				/* the process ends, and with it who waits */
	co_offload(delete_context, u->ctx);
	free(u);
}

int upstream_start(struct upstream *u, struct scope *scope)
{
	return scope_start(scope, "dns answers", take_answers, u);
}

void upstream_retire(struct upstream *u)
{
	u->retired = true;
}
