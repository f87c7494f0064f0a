/* SPDX-License-Identifier: ISC */
/*
 * libcurl blocks, or wants an event loop of its own kind. So all requests are in one multi handle,
 * and one coroutine, https_run(), lends it to a pool thread: for as long as nothing happens, at
 * most a second. Who comes meanwhile puts his request in the list and wakes it (curl_multi_wakeup
 * is what libcurl allows another thread to do). So the handle and everything below it belong to the
 * pool thread while `lent`, else to the loop, and there is no lock.
 *
 *   exchange in `fresh`       not yet known to libcurl
 *   in `active`               libcurl's; the asker waits, or has gone (`abandoned`: he was cancelled, and the driver frees it)
 *   finished                  the asker's again, who frees it
 */
#include "lib/https/https.h"

#include <curl/curl.h>
#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/dns/dns.h"

enum { MOST_AT_ONCE = 100, MOST_HEADERS = 64 << 10, MOST_ADDRESSES = 8, TURN_MS = 1000 };

struct exchange {
	struct list link;
	CURL *easy;
	CURLSH *names;			/* its own: no address is remembered for another request */
	struct curl_slist *addresses, *headers;
	struct buf body;
	size_t header_bytes;
	bool too_large, finished, abandoned;
	struct bell bell;
	CURLcode code;
	char words[CURL_ERROR_SIZE];
};

static struct {
	struct https_trust trust;
	CURLM *multi;
	bool lent, ended;
	int under_way;			/* how many are active */
	struct list fresh, active;
	struct bell work;
	struct gate room;
} web;

int https_open(const struct https_trust *trust, struct buf *why)
{
	web.trust = *trust;
	list_init(&web.fresh);
	list_init(&web.active);
	bell_init(&web.work);
	gate_init(&web.room, MOST_AT_ONCE);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) == 0)
		web.multi = curl_multi_init();
	if (web.multi == NULL) {
		buf_add_text(why, "libcurl does not start");
		return -ENOMEM;
	}
	return 0;
}

const struct jail_path *https_more_paths(void)
{
	static struct jail_path paths[3];
	const curl_version_info_data *built = curl_version_info(CURLVERSION_NOW);
	const bool own = *web.trust.ca_file != 0 || *web.trust.ca_path != 0;
	const char *const all[] = { own ? web.trust.ca_file : built->cainfo,
				    own ? web.trust.ca_path : built->capath };
	size_t n = 0;

	for (size_t i = 0; i < COUNT_OF(all); i++)
		if (all[i] != NULL && all[i][0] != 0)
			paths[n++] = (struct jail_path){ all[i], 'r' };
	return paths;
}

/* ---- one exchange; these run on the pool thread ---- */

static size_t take_body(char *at, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;

	if (buf_add(&x->body, str_make(at, size * n)) < 0) {
		x->too_large = true;
		return 0;
	}
	return size * n;
}

static size_t take_header(char *at, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;

	(void) at;
	x->header_bytes += size * n;
	if (x->header_bytes > MOST_HEADERS) {
		x->too_large = true;
		return 0;
	}
	return size * n;
}

static int drive(void *unused)
{
	int running;

	(void) unused;
	curl_multi_perform(web.multi, &running);
	if (running == web.under_way && curl_multi_poll(web.multi, NULL, 0, TURN_MS, NULL) == CURLM_OK)
		curl_multi_perform(web.multi, &running);
	return 0;
}

/* ---- the loop's side ---- */

static void exchange_free(struct exchange *x)
{
	curl_easy_cleanup(x->easy);
	if (x->names != NULL)
		curl_share_cleanup(x->names);
	curl_slist_free_all(x->addresses);
	curl_slist_free_all(x->headers);
	buf_free(&x->body);
	free(x);
}

static void finish(struct exchange *x, CURLcode code)
{
	if (x->abandoned) {
		exchange_free(x);
		return;
	}
	x->code = code;
	x->finished = true;
	bell_ring(&x->bell);
}

static void begin_fresh(void)
{
	LIST_EACH(x, &web.fresh, struct exchange, link) {
		list_remove(&x->link);
		if (curl_multi_add_handle(web.multi, x->easy) == CURLM_OK) {
			list_append(&web.active, &x->link);
			web.under_way++;
		} else {
			finish(x, CURLE_OUT_OF_MEMORY);
		}
	}
}

static void end_active(struct exchange *x, CURLcode code)
{
	curl_multi_remove_handle(web.multi, x->easy);
	list_remove(&x->link);
	web.under_way--;
	finish(x, code);
}

static void collect(void)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(web.multi, &left)) != NULL) {
		char *x;

		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &x);
		end_active((struct exchange *) (void *) x, m->data.result);
	}
}

/* The process ends: nobody shall wait for what nobody drives any more. */
static void end_all(void)
{
	web.ended = true;
	LIST_EACH(x, &web.active, struct exchange, link)
		end_active(x, CURLE_ABORTED_BY_CALLBACK);
	LIST_EACH(x, &web.fresh, struct exchange, link) {
		list_remove(&x->link);
		finish(x, CURLE_ABORTED_BY_CALLBACK);
	}
}

void https_run(void *unused)
{
	(void) unused;
	while (!co_is_cancelled()) {
		begin_fresh();
		if (web.under_way == 0) {
			bell_wait(&web.work, NEVER);
			continue;
		}
		web.lent = true;
		co_offload(drive, NULL);
		web.lent = false;
		collect();
	}
	end_all();
}

static void submit(struct exchange *x)
{
	if (web.ended) {
		finish(x, CURLE_ABORTED_BY_CALLBACK);
		return;
	}
	list_append(&web.fresh, &x->link);
	bell_ring(&web.work);
	if (web.lent)
		curl_multi_wakeup(web.multi);
}

/* Whoever is cancelled leaves the exchange to the driver, unless that does not know it yet. */
static bool await_end(struct exchange *x)
{
	while (!x->finished)
		if (bell_wait(&x->bell, NEVER) == -ECANCELED && !x->finished) {
			x->abandoned = true;
			return false;
		}
	return true;
}

/* ---- making one ---- */

/* "host:port:address,[address]" for libcurl, which then asks nobody. */
static bool find_addresses(struct arena *a, const struct https_request *r, struct buf *ret,
			   struct str *ret_why)
{
	struct dns_answer answer;

	dns_addresses(a, r->host, &answer);
	if (answer.status != DNS_OK || answer.count == 0) {
		*ret_why = arena_fmt(a, "%.*s: %.*s", PSTR(r->host), PSTR(answer.why));
		return false;
	}
	buf_addf(ret, "%.*s:%u:", PSTR(r->host), r->port);
	for (size_t i = 0; i < MIN(answer.count, MOST_ADDRESSES); i++) {
		char text[64];

		ip_print(&answer.records[i].ip, text);
		buf_addf(ret, answer.records[i].ip.family == AF_INET6 ? "%s[%s]" : "%s%s",
			 i == 0 ? "" : ",", text);
	}
	return true;
}

static void add_header(struct arena *a, struct exchange *x, const char *name, struct str value)
{
	x->headers = curl_slist_append(x->headers, str_c(a, arena_fmt(a, "%s: %.*s", name, PSTR(value))));
}

static void trust_in(CURL *easy)
{
	if (*web.trust.ca_file == 0 && *web.trust.ca_path == 0)
		return;
	curl_easy_setopt(easy, CURLOPT_CAINFO, *web.trust.ca_file == 0 ? NULL : web.trust.ca_file);
	curl_easy_setopt(easy, CURLOPT_CAPATH, *web.trust.ca_path == 0 ? NULL : web.trust.ca_path);
}

static void prepare(struct arena *a, struct exchange *x, const struct https_request *r, const char *addresses)
{
	struct str url = arena_fmt(a, str_find(r->host, ':') < 0 ? "https://%.*s:%u%.*s"
				   : "https://[%.*s]:%u%.*s", PSTR(r->host), r->port, PSTR(r->path));
	CURL *easy = x->easy;

	x->addresses = curl_slist_append(NULL, addresses);
	curl_share_setopt(x->names, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
	curl_easy_setopt(easy, CURLOPT_SHARE, x->names);
	curl_easy_setopt(easy, CURLOPT_RESOLVE, x->addresses);
	curl_easy_setopt(easy, CURLOPT_URL, str_c(a, url));
	curl_easy_setopt(easy, CURLOPT_PRIVATE, (void *) x);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, x->words);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) r->time_limit_ms);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) r->time_limit_ms);
	curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t) r->most);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, x);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, x);
	trust_in(easy);
	if (r->type.len > 0) {
		add_header(a, x, "Content-Type", r->type);
		if (r->encoding.len > 0)
			add_header(a, x, "Content-Encoding", r->encoding);
		add_header(a, x, "Expect", STR_NONE);
		curl_easy_setopt(easy, CURLOPT_POST, 1L);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) r->body.len);
		curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, r->body.at);
	}
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, x->headers);
}

static enum https_outcome outcome_of(const struct exchange *x)
{
	if (x->too_large || x->code == CURLE_FILESIZE_EXCEEDED)
		return HTTPS_TOO_LARGE;
	if (x->code == CURLE_PEER_FAILED_VERIFICATION || x->code == CURLE_SSL_ISSUER_ERROR)
		return HTTPS_BAD_CERTIFICATE;
	return x->code == CURLE_OK ? HTTPS_ANSWERED : HTTPS_FAILED;
}

static void read_reply(struct arena *a, struct exchange *x, struct https_reply *ret)
{
	AUTO(buf) words = BUF_WORDS;
	char *type = NULL;

	ret->outcome = outcome_of(x);
	if (ret->outcome == HTTPS_TOO_LARGE)
		buf_add_text(&words, "the answer is too large");
	else if (ret->outcome != HTTPS_ANSWERED)
		buf_add_printable(&words, str_of(x->words[0] != 0 ? x->words : curl_easy_strerror(x->code)));
	ret->why = arena_copy(a, buf_str(&words));
	if (ret->outcome != HTTPS_ANSWERED)
		return;
	curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &ret->status);
	curl_easy_getinfo(x->easy, CURLINFO_CONTENT_TYPE, &type);
	ret->type = arena_copy(a, str_head(str_of(type), 500));
	ret->body = arena_copy(a, buf_str(&x->body));
}

static void exchange(struct arena *a, const struct https_request *request, const char *addresses,
		     struct https_reply *ret)
{
	struct exchange *x = get_memory(sizeof(*x));

	x->easy = curl_easy_init();
	x->names = curl_share_init();
	x->body = BUF(request->most);
	bell_init(&x->bell);
	if (x->easy == NULL || x->names == NULL)
		die(EX_OSERR, "out of memory");
	prepare(a, x, request, addresses);
	submit(x);
	if (!await_end(x)) {
		ret->why = STR("cancelled");
		return;
	}
	read_reply(a, x, ret);
	exchange_free(x);
}

void https_ask(struct arena *a, const struct https_request *request, struct https_reply *ret)
{
	AUTO(buf) addresses = BUF_WORDS;
	struct https_request r = *request;
	when_t until = in(r.time_limit_ms);

	*ret = (struct https_reply){ .outcome = HTTPS_FAILED };
	if (gate_enter(&web.room, until) < 0) {
		ret->why = STR("too many requests are under way");
		return;
	}
	r.time_limit_ms = MAX(until - mono_ms(), 1);
	if (find_addresses(a, &r, &addresses, &ret->why))
		exchange(a, &r, buf_text(&addresses), ret);
	else
		ret->outcome = HTTPS_NO_ADDRESS;
	gate_leave(&web.room);
}
