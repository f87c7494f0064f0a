/* SPDX-License-Identifier: ISC */
/*
 * When the client is started for a trial (a reload, `postroad lint`): the entries of its tables of
 * TLS policies, as far as they can be listed. One that makes no sense holds up mail, and without
 * this nobody would hear of it before there is some.
 */
#include "lib/base/die.h"
#include "lib/table/listing.h"
#include "smtp/policy_sources.h"
#include "smtp/policy_table.h"
#include "smtp/smtp.h"

struct rehearsal {
	struct arena *step;		/* for one entry */
	const char *parameter;
	void (*judge)(struct arena *a, struct str key, struct str value, struct buf *why);
};

/* "AB:CD:..." */
static bool is_digest(struct str text)
{
	if (text.len + 1 != 3 * tls_digest_size(the_client.conf.smtp_tls_fingerprint_digest))
		return false;
	for (size_t i = 0; i < text.len; i++)
		if (i % 3 == 2 ? text.at[i] != ':' : hex_value(text.at[i]) < 0)
			return false;
	return true;
}

static bool is_name(struct str word)
{
	static const char *const keywords[] = { "nexthop", "dot-nexthop", "hostname" };

	for (size_t i = 0; i < COUNT_OF(keywords); i++)
		if (str_is_nocase(word, str_of(keywords[i])))
			return true;
	return str_find(word, '.') >= 0 || str_is_nocase(word, STR("localhost"));
}

/* A name that is no name is a certificate that never fits. */
static void judge_match(const struct policy_entry *e, struct buf *why)
{
	const bool by_fingerprint = e->level == TLS_FINGERPRINT;
	struct str rest = e->match, word;

	while (why->len == 0 && str_token(&rest, by_fingerprint ? ", \t\r\n|" : ":, \t\r\n", &word))
		if (by_fingerprint && !is_digest(word))
			buf_addf(why, "match=%.*s is no fingerprint by %s (smtp_tls_fingerprint_digest)",
				 PSTR(word), the_client.conf.smtp_tls_fingerprint_digest);
		else if (!by_fingerprint && !is_name(word))
			buf_addf(why, "match=%.*s is none of nexthop, dot-nexthop, hostname, and no domain",
				 PSTR(word));
}

static void judge_policy(struct arena *a, struct str key, struct str value, struct buf *why)
{
	struct policy_entry e;

	if (policy_entry_parse(a, value, &e, why, why) < 0 || why->len > 0)
		return;
	policy_try_entry(a, &e, why);
	judge_match(&e, why);
	if (why->len == 0 && (str_starts(key, STR("*")) || str_find(key, '@') >= 0))
		buf_add_text(why, "no next hop is called that: example.com, .example.com or [host]:port");
}

static void judge_site(struct arena *a, struct str key, struct str value, struct buf *why)
{
	(void) a;
	(void) key;
	if (!per_site_knows(value))
		buf_addf(why, "unknown TLS policy \"%.*s\"", PSTR(str_head(value, 100)));
}

static void rehearse_entry(void *arg, const struct table_entry *e)
{
	const struct rehearsal *r = arg;
	AUTO(buf) why = BUF_WORDS;

	r->judge(r->step, e->key, e->value, &why);
	if (why.len > 0 && e->path != NULL)
		log_warning("%s, line %d: %.*s: %s", e->path, e->line, PSTR(e->key), buf_text(&why));
	else if (why.len > 0)
		log_warning("%s: %.*s: %s", own_name(r->parameter), PSTR(e->key), buf_text(&why));
	arena_reset(r->step);
}

static void rehearse_table(struct rehearsal *r, const char *specs)
{
	struct str rest = str_of(specs), spec;

	while (str_token_braced(&rest, ", \t\r\n", &spec) > 0)
		table_each_entry(spec, rehearse_entry, r);
}

void policy_rehearse(void)
{
	struct rehearsal r = { arena_new("rehearsal", NULL, 8 << 20), "smtp_tls_policy_maps", judge_policy };

	rehearse_table(&r, the_client.conf.smtp_tls_policy_maps);
	r.parameter = "smtp_tls_per_site";
	r.judge = judge_site;
	rehearse_table(&r, the_client.conf.smtp_tls_per_site);
	arena_free(r.step);
}
