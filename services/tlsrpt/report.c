/* SPDX-License-Identifier: ISC */
#include "services/tlsrpt/report.h"

#include <errno.h>
#include <zlib.h>

#include "lib/base/base64.h"
#include "lib/base/die.h"

enum { MOST_JSON = 32 << 20, BASE64_LINE = 57 };	/* 57 bytes are 76 characters */

/* ---- JSON ---- */

static void add_string(struct buf *b, struct str s)
{
	buf_add_byte(b, '"');
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char) s.at[i];

		if (c == '"' || c == '\\')
			buf_addf(b, "\\%c", c);
		else if (c < 32 || c == 127)
			buf_addf(b, "\\u%04x", c);
		else
			buf_add_byte(b, s.at[i]);
	}
	buf_add_byte(b, '"');
}

static void add_member(struct buf *b, const char *before, const char *name, struct str value)
{
	buf_addf(b, "%s\"%s\":", before, name);
	add_string(b, value);
}

/* A list of the policy's lines, or of what stands in those that begin with `key`. */
static void add_lines(struct buf *b, const char *name, struct str text, struct str key)
{
	const char *before = "";
	struct str line;

	buf_addf(b, ",\"%s\":[", name);
	while (str_token(&text, "\t", &line)) {
		if (!str_starts(line, key))
			continue;
		buf_add_text(b, before);
		add_string(b, str_skip(line, key.len));
		before = ",";
	}
	buf_add_byte(b, ']');
}

static void add_detail(struct buf *b, const struct detail *x)
{
	add_member(b, "{", "result-type", x->result);
	if (x->local_ip.len > 0)
		add_member(b, ",", "sending-mta-ip", x->local_ip);
	if (x->mx.len > 0)
		add_member(b, ",", "receiving-mx-hostname", x->mx);
	if (x->ip.len > 0)
		add_member(b, ",", "receiving-ip", x->ip);
	buf_addf(b, ",\"failed-session-count\":%llu", (unsigned long long) x->count);
	if (x->words.len > 0)
		add_member(b, ",", "failure-reason-code", x->words);
	buf_add_byte(b, '}');
}

static void add_policy(struct buf *b, const struct counted_policy *p, struct str domain)
{
	const char *before = "";

	add_member(b, "{\"policy\":{", "policy-type", p->type);
	if (p->text.len > 0)
		add_lines(b, "policy-string", p->text, STR_NONE);
	add_member(b, ",", "policy-domain", domain);
	if (str_is(p->type, STR("sts")))
		add_lines(b, "mx-host", p->text, STR("mx: "));
	buf_addf(b, "},\"summary\":{\"total-successful-session-count\":%llu,\"total-failure-session-count\":%llu}",
		 (unsigned long long) p->successes,
		 (unsigned long long) p->failures);
	buf_add_text(b, ",\"failure-details\":[");
	LIST_EACH(x, &p->details, struct detail, link) {
		buf_add_text(b, before);
		add_detail(b, x);
		before = ",";
	}
	buf_add_text(b, "]}");
}

static struct str date_of(struct arena *a, int64_t s)
{
	time_t at = (time_t) s;
	struct tm tm = { .tm_mday = 1 };

	gmtime_r(&at, &tm);
	return arena_fmt(a, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
			 tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void add_report(struct buf *b, struct arena *a, const struct counted_domain *d,
		       const struct submitter *s, const struct report *r)
{
	const char *before = "";

	add_member(b, "{", "organization-name", str_of(s->organization));
	add_member(b, ",\"date-range\":{", "start-datetime", date_of(a, r->begin_s));
	add_member(b, ",", "end-datetime", date_of(a, r->end_s));
	add_member(b, "},", "contact-info", str_of(s->contact));
	add_member(b, ",", "report-id", r->id);
	buf_add_text(b, ",\"policies\":[");
	LIST_EACH(p, &d->policies, struct counted_policy, link) {
		buf_add_text(b, before);
		add_policy(b, p, d->name);
		before = ",";
	}
	buf_add_text(b, "]}");
}

/* ---- compressing ---- */

static int compress_text(struct str text, struct arena *a, struct str *ret)
{
	enum { GZIP = 16 + MAX_WBITS };
	z_stream z = { .next_in = (Bytef *) (uintptr_t) text.at, .avail_in = (uInt) text.len };
	uLong room;
	int r;

	if (deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, GZIP, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	room = deflateBound(&z, (uLong) text.len) + 64;
	z.next_out = arena_get(a, room);
	z.avail_out = (uInt) room;
	*ret = str_make((char *) z.next_out, 0);
	r = deflate(&z, Z_FINISH);
	ret->len = z.total_out;
	deflateEnd(&z);
	return r == Z_STREAM_END ? 0 : -ENOMEM;
}

int report_make(const struct counted_domain *d, const struct submitter *s, struct arena *a,
		struct report *ret)
{
	struct report r = { .begin_s = d->period * s->period_s, .end_s = (d->period + 1) * s->period_s - 1 };
	AUTO(buf) json = BUF(MOST_JSON);

	r.id = arena_fmt(a, "%lld.%.*s@%s", (long long) r.begin_s, PSTR(d->name), s->host);
	r.file_name = arena_fmt(a, "%s!%.*s!%lld!%lld.json.gz", s->host, PSTR(d->name),
				(long long) r.begin_s, (long long) r.end_s);
	add_report(&json, a, d, s, &r);
	r.json = arena_copy(a, buf_str(&json));
	*ret = r;
	return compress_text(r.json, a, &ret->gzip);
}

/* ---- the message ---- */

static void add_base64(struct buf *b, struct str bytes)
{
	for (; bytes.len > 0; bytes = str_skip(bytes, BASE64_LINE)) {
		base64_encode(str_head(bytes, BASE64_LINE), b);
		buf_add_byte(b, '\n');
	}
}

void report_mail(const struct report *r, const struct submitter *s, struct str domain, struct str to,
		 const char *boundary, struct buf *ret)
{
	buf_addf(ret, "From: %s\nTo: <%.*s>\nSubject: Report Domain: %.*s\n Submitter: %s\n Report-ID: <%.*s>\n",
		 s->sender, PSTR(to), PSTR(domain), s->host, PSTR(r->id));
	buf_addf(ret, "TLS-Report-Domain: %.*s\nTLS-Report-Submitter: %s\nTLS-Required: No\nAuto-Submitted: auto-generated\nMIME-Version: 1.0\n",
		 PSTR(domain), s->host);
	buf_addf(ret, "Content-Type: multipart/report; report-type=\"tlsrpt\";\n boundary=\"%s\"\n\nThis is a MIME-encapsulated message.\n",
		 boundary);
	buf_addf(ret, "\n--%s\nContent-Type: text/plain; charset=us-ascii\n\n"
		 "This is an aggregate TLS report from %s about mail for %.*s (RFC 8460).\n", boundary,
		 s->host, PSTR(domain));
	buf_addf(ret, "\n--%s\nContent-Type: application/tlsrpt+gzip\nContent-Transfer-Encoding: base64\n"
		 "Content-Disposition: attachment;\n filename=\"%.*s\"\n\n", boundary, PSTR(r->file_name));
	add_base64(ret, r->gzip);
	buf_addf(ret, "\n--%s--\n", boundary);
}
