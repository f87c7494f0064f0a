/* SPDX-License-Identifier: ISC */
/* What posttls-finger says about one address: lines for people, as Postfix's has them, or a line of JSON. */
#include "smtp/finger.h"

static const char *source_name(enum policy_source from)
{
	static const char *const names[] = {
		[FROM_MAIN_CF] = "main.cf", [FROM_POLICY_TABLE] = "policy table", [FROM_DANE] = "DANE",
		[FROM_MTA_STS] = "MTA-STS",
	};

	return names[from];
}

static const char *trust_word(const struct finding *f)
{
	return f->peer.trust == TLS_ANONYMOUS ? "Anonymous" : f->is_verified
	       ? "Verified" : f->peer.trust == TLS_TRUSTED ? "Trusted" : "Untrusted";
}

void finding_print_tls(const struct finding *f)
{
	printf("posttls-finger: %.*s: subject_CN=%.*s, issuer_CN=%.*s, fingerprint=%.*s, pkey_fingerprint=%.*s\n",
	       PSTR(f->relay), PSTR(f->peer.subject),
	       PSTR(f->peer.issuer), PSTR(f->peer.fingerprint), PSTR(f->peer.key_fingerprint));
	if (f->peer.trust == TLS_UNTRUSTED)
		printf("posttls-finger: %scertificate verification failed for %.*s: %.*s\n", f->peer.whose,
		       PSTR(f->relay), PSTR(f->peer.why));
	printf("posttls-finger: %s TLS connection %s to %.*s: %.*s\n", trust_word(f),
	       f->peer.resumed ? "reused" : "established", PSTR(f->relay), PSTR(f->peer.summary));
}

void finding_print(const struct finding *f)
{
	const struct tls_policy *p = f->policy;

	if (p->sts != NULL)
		printf("posttls-finger: MTA-STS policy of %.*s: %s\n", PSTR(p->sts->domain),
		       p->sts->mode == STS_ENFORCE ? "enforce" : "testing");
	printf("posttls-finger: policy: %s", policy_level_name(p->asked));
	if (p->level != p->asked)
		printf(", here %s", policy_level_name(p->level));
	printf(" (%s): ", source_name(p->from));
	if (f->trouble != NULL)
		printf("does not hold: %.*s\n", PSTR(f->trouble->text));
	else
		puts("holds");
}

/* ---- JSON ---- */

static void string(struct str s)
{
	bool utf8 = str_is_utf8(s);

	putchar('"');
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char) s.at[i];

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 32 || c == 127)
			printf("\\u%04x", c);
		else
			putchar(c >= 128 && !utf8 ? '?' : c);
	}
	putchar('"');
}

static void member(const char *name, struct str value)
{
	printf(", \"%s\": ", name);
	string(value);
}

static void truth(const char *name, bool value)
{
	printf(", \"%s\": %s", name, value ? "true" : "false");
}

/* As a list, of words that `separators` part. */
static void list(const char *name, struct str words, const char *separators)
{
	struct str word;
	bool first = true;

	printf(", \"%s\": [", name);
	while (str_token(&words, separators, &word)) {
		if (!first)
			printf(", ");
		string(word);
		first = false;
	}
	putchar(']');
}

static void print_candidate(const struct candidate *at)
{
	char address[64];

	ip_print(&at->ip, address);
	member("host", at->host);
	member("address", str_of(address));
	printf(", \"port\": %u", at->ip.port);
	if (at->by_mx)
		truth("mx_signed", at->mx_is_signed);
	truth("address_signed", at->is_signed);
}

static void print_records(const struct tls_policy *p)
{
	printf(", \"tlsa\": [");
	for (size_t i = 0; i < p->anchor_count && p->from == FROM_DANE; i++) {
		const struct tls_tlsa *t = &p->anchors[i];

		printf("%s\"%u %u %u ", i > 0 ? ", " : "", t->usage, t->selector, t->matching);
		for (size_t k = 0; k < t->data.len; k++)
			printf("%02x", (unsigned char) t->data.at[k]);
		putchar('"');
	}
	putchar(']');
}

static void print_policy(const struct finding *f)
{
	const struct tls_policy *p = f->policy;

	printf(", \"policy\": {\"asked\": \"%s\", \"level\": \"%s\", \"source\": \"%s\"",
	       policy_level_name(p->asked), policy_level_name(p->level), source_name(p->from));
	truth("holds", f->trouble == NULL);
	if (f->trouble != NULL)
		member("reason", f->trouble->text);
	if (policy_proves_host(p))
		list("match", p->match, ": ,|");
	print_records(p);
	if (p->sts != NULL) {
		printf(", \"mta_sts\": {\"mode\": \"%s\"",
		       p->sts->mode == STS_ENFORCE ? "enforce" : "testing");
		member("domain", p->sts->domain);
		list("mx", p->sts->mx, "\n");
		putchar('}');
	}
	putchar('}');
}

static void print_tls(const struct finding *f)
{
	const struct tls_peer *p = &f->peer;

	printf(", \"tls\": {\"status\": \"%s\"", trust_word(f));
	member("protocol", str_of(p->protocol));
	member("cipher", str_of(p->cipher));
	printf(", \"bits\": %d", p->bits);
	member("summary", p->summary);
	truth("resumed", p->resumed);
	member("subject_CN", p->subject);
	member("issuer_CN", p->issuer);
	member("fingerprint", p->fingerprint);
	member("pkey_fingerprint", p->key_fingerprint);
	if (p->trust == TLS_UNTRUSTED)
		member("verify_error", p->why);
	putchar('}');
}

void finding_print_json(const struct finding *f)
{
	printf("{\"destination\": ");
	string(f->destination);
	if (f->at != NULL)
		print_candidate(f->at);
	truth("connected", f->relay.len > 0);
	if (f->relay.len > 0) {
		truth("starttls", f->offers_starttls);
		list("ehlo", f->offers, "\n");
	}
	print_policy(f);
	if (f->has_tls)
		print_tls(f);
	puts("}");
}
