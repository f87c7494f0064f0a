/* SPDX-License-Identifier: ISC */
#include "smtp/policy.h"

#include <errno.h>

#include "lib/base/die.h"
#include "smtp/policy_sources.h"
#include "smtp/policy_table.h"
#include "smtp/smtp.h"

/* Which ciphers a level may have: those of main.cf made ready at start. */
enum strength { OPPORTUNISTIC, MANDATORY, PROVING, STRENGTHS };

static struct {
	enum tls_level level;
	bool has_table, has_per_site;
	enum tls_level insecure_mx;
	struct tls_protocols may, mandatory;
	const char *ciphers[STRENGTHS];
	struct arena *texts;
	struct buf *found_wrong;	/* while policy_try_entry() tries one; else NULL */
	bool has_usual;
	/* what main.cf says, complete: where nothing else has a say and no name matters */
	struct tls_policy usual;
} settings;

static const char *const level_names[] = {
	[TLS_NONE] = "none", [TLS_MAY] = "may", [TLS_ENCRYPT] = "encrypt", [TLS_FINGERPRINT] = "fingerprint",
	[TLS_HALF_DANE] = "halfdane",
	[TLS_DANE] = "dane", [TLS_DANE_ONLY] = "dane-only", [TLS_VERIFY] = "verify", [TLS_SECURE] = "secure",
};

const char *policy_level_name(enum tls_level level)
{
	return level_names[level];
}

/* halfdane is what dane comes to, never asked for. */
int policy_level_of(struct str name)
{
	for (size_t i = 0; i < COUNT_OF(level_names); i++)
		if (i != TLS_HALF_DANE && str_is_nocase(name, str_of(level_names[i])))
			return (int) i;
	return -EINVAL;
}

static enum strength strength_of(enum tls_level level)
{
	return level <= TLS_MAY ? OPPORTUNISTIC : level == TLS_ENCRYPT ? MANDATORY : PROVING;
}

bool policy_proves_host(const struct tls_policy *p)
{
	return p->level >= TLS_FINGERPRINT;
}

bool policy_proves_exchanger(const struct tls_policy *p)
{
	return policy_proves_host(p) && p->level != TLS_HALF_DANE;
}

/* Of an entry in the table only with smtp_tls_enforce_sts_mx_patterns, and where there are some. */
static bool policy_counts_sts_names(const struct tls_policy *p)
{
	return p->entry == NULL || (the_client.conf.smtp_tls_enforce_sts_mx_patterns && p->sts->mx.len > 0);
}

bool sts_allows(const struct tls_policy *p, struct str host)
{
	return !policy_counts_sts_names(p) || sts_names(p->sts, host);
}

bool policy_may_use_tls(void)
{
	return settings.level != TLS_NONE || settings.has_table || settings.has_per_site || sts_may_ask();
}

bool policy_has_tables(void)
{
	return settings.has_table || settings.has_per_site;
}

/* ---- ciphers ---- */

/*
 * At every level: no ciphers that encrypt nothing, where encryption is asked for; none without
 * certificates, where a proof is.
 */
static int make_ciphers(enum strength strength, struct str grade, struct str exclude, struct buf *ret,
			struct buf *why)
{
	static const char *const never[STRENGTHS] = { "", "eNULL", "aNULL" };
	const struct tls_grades grades = { .high = the_client.tls.tls_high_cipherlist,
					   .medium = the_client.tls.tls_medium_cipherlist,
					   .null = the_client.tls.tls_null_cipherlist };
	AUTO(buf) all = BUF(8192);

	buf_addf(&all, "%.*s %s", PSTR(exclude), never[strength]);
	return tls_ciphers_make(&grades, grade, buf_str(&all), ret, why);
}

/* What main.cf excludes. */
static struct str excluded(struct arena *a, enum strength strength)
{
	const struct smtp_conf *c = &the_client.conf;

	return arena_fmt(a, "%s %s", c->smtp_tls_exclude_ciphers,
			 strength == OPPORTUNISTIC ? "" : c->smtp_tls_mandatory_exclude_ciphers);
}

static const char *grade_of(enum strength strength)
{
	return strength == OPPORTUNISTIC ? the_client.conf.smtp_tls_ciphers
	       : the_client.conf.smtp_tls_mandatory_ciphers;
}

static void open_ciphers(enum strength strength)
{
	AUTO(buf) why = BUF_WORDS;
	AUTO(buf) list = BUF(8192);

	if (make_ciphers(strength, str_of(grade_of(strength)), excluded(settings.texts, strength),
			 &list, &why) < 0)
		die(EX_CONFIG, "%s: %s",
		    own_name(strength == OPPORTUNISTIC ? "smtp_tls_ciphers" : "smtp_tls_mandatory_ciphers"),
			    buf_text(&why));
	settings.ciphers[strength] = str_c(settings.texts, buf_str(&list));
}

/* ---- start ---- */

/* The older switches count when no level is given. */
static enum tls_level level_of_main_cf(void)
{
	const struct smtp_conf *c = &the_client.conf;
	struct str name = str_trim(str_of(c->smtp_tls_security_level));
	int level = policy_level_of(name);

	if (name.len == 0 && c->smtp_enforce_tls)
		return c->smtp_tls_enforce_peername ? TLS_VERIFY : TLS_ENCRYPT;
	if (name.len == 0)
		return c->smtp_use_tls ? TLS_MAY : TLS_NONE;
	if (level < 0)
		die(EX_CONFIG, "%s: \"%.*s\" is none of none, may, encrypt, dane, dane-only, fingerprint, verify, secure",
		    own_name("smtp_tls_security_level"), PSTR(name));
	return (enum tls_level) level;
}

enum tls_level policy_insecure_mx(void)
{
	return settings.insecure_mx;
}

static void parse_insecure_mx(void)
{
	const char *name = the_client.conf.smtp_tls_dane_insecure_mx_policy;
	int level = policy_level_of(str_of(name));

	if (level != TLS_MAY && level != TLS_ENCRYPT && level != TLS_DANE)
		die(EX_CONFIG, "smtp_tls_dane_insecure_mx_policy: \"%s\" is none of may, encrypt, dane", name);
	settings.insecure_mx = (enum tls_level) level;
}

/* Who asks for DANE and has nobody who validates would have may instead, and never know. */
static void warn_without_validation(void)
{
	struct arena *a = settings.texts;
	struct str file = STR_NONE;

	if ((settings.level == TLS_DANE || settings.level == TLS_DANE_ONLY)
	    && (!conf_get(the_world->conf, a, STR("dns_resolver_trust_anchor_file"), &file) || file.len == 0))
		log_warning("%s = %s: without dns_resolver_trust_anchor_file no DNS answer is validated, and there is no DANE",
			    own_name("smtp_tls_security_level"), level_names[settings.level]);
}

static void check_anchors(void)
{
	AUTO(buf) why = BUF_WORDS;
	struct tls_anchors anchors = { 0 };

	if (anchors_of_files(settings.texts, str_of(the_client.conf.smtp_tls_trust_anchor_file),
			     &anchors, &why) < 0)
		die(EX_CONFIG, "%s: %s", own_name("smtp_tls_trust_anchor_file"), buf_text(&why));
}

static void parse_protocols(const char *name, const char *text, struct tls_protocols *ret)
{
	AUTO(buf) why = BUF_WORDS;

	if (tls_protocols_parse(str_of(text), ret, &why) < 0)
		die(EX_CONFIG, "%s: %s", own_name(name), buf_text(&why));
}

static void make_usual(void);

void policy_open(void)
{
	const struct smtp_conf *c = &the_client.conf;

	settings.has_usual = false;
	settings.level = level_of_main_cf();
	settings.has_table = policy_table_open();
	sts_open();
	requiretls_open();
	told_open();
	settings.has_per_site = per_site_open() && !settings.has_table;
	if (c->smtp_tls_wrappermode && settings.level < TLS_ENCRYPT && !settings.has_table
	    && !settings.has_per_site)
		die(EX_CONFIG, "%s needs the security level encrypt, or more",
		    own_name("smtp_tls_wrappermode"));
	if (!policy_may_use_tls())
		return;
	arena_free(settings.texts);	/* of the configuration before: in tests */
	settings.texts = arena_new("smtp policy", NULL, 8 << 20);
	parse_insecure_mx();
	check_anchors();
	warn_without_validation();
	parse_protocols("smtp_tls_protocols", c->smtp_tls_protocols, &settings.may);
	parse_protocols("smtp_tls_mandatory_protocols", c->smtp_tls_mandatory_protocols, &settings.mandatory);
	for (enum strength s = 0; s < STRENGTHS; s++)
		open_ciphers(s);
	make_usual();
}

/* ---- a policy made complete for its level ---- */

static void refuse(struct tls_policy *p, const char *dsn, struct str why)
{
	p->refused_dsn = dsn;
	p->refused = why;
}

static void refuse_configuration(struct tls_policy *p, const char *about, const char *words)
{
	if (settings.found_wrong != NULL)
		buf_addf(settings.found_wrong, "%s%s%s%s", settings.found_wrong->len > 0 ? "; " : "", about, about[0] == 0 ? "" : ": ", words);
	else
		log_warning("next-hop destination \"%.*s\": %s%s%s", PSTR(p->domain), about,
			    about[0] == 0 ? "" : ": ", words);
	refuse(p, "4.7.5", STR("client TLS configuration problem"));
}

static void use_protocols(struct tls_policy *p)
{
	AUTO(buf) why = BUF_WORDS;

	p->protocols = p->level == TLS_MAY ? settings.may : settings.mandatory;
	if (p->entry != NULL && p->entry->protocols.at != NULL && tls_protocols_parse(p->entry->protocols,
			&p->protocols, &why) < 0)
		refuse_configuration(p, "protocols", buf_text(&why));
}

static void use_ciphers(struct arena *a, struct tls_policy *p)
{
	const struct policy_entry *e = p->entry;
	enum strength strength = strength_of(p->level);
	AUTO(buf) why = BUF_WORDS;
	AUTO(buf) list = BUF(8192);

	p->ciphers = settings.ciphers[strength];
	if (e == NULL || (e->ciphers.at == NULL && e->exclude.at == NULL))
		return;
	if (make_ciphers(strength, e->ciphers.at == NULL ? str_of(grade_of(strength)) : e->ciphers,
			 e->exclude.at == NULL ? excluded(a, strength) : e->exclude, &list, &why) < 0)
		refuse_configuration(p, "ciphers", buf_text(&why));
	else
		p->ciphers = str_c(a, buf_str(&list));
}

static void use_match(struct tls_policy *p)
{
	const struct smtp_conf *c = &the_client.conf;

	if (p->entry != NULL && p->entry->match.at != NULL)
		p->match = p->entry->match;
	else if (p->level == TLS_FINGERPRINT)
		p->match = str_trim(str_of(c->smtp_tls_fingerprint_cert_match));
	else if (p->level == TLS_VERIFY || p->level == TLS_SECURE)
		p->match = str_of(p->level == TLS_VERIFY ? c->smtp_tls_verify_cert_match
				  : c->smtp_tls_secure_cert_match);
	if (p->level == TLS_FINGERPRINT && p->match.len == 0)
		refuse_configuration(p, "",
				     "configured at fingerprint security level, but with no fingerprints to match");
}

static struct str sts_id(struct arena *a, const struct sts_policy *sts)
{
	return sts == NULL ? STR_NONE : arena_fmt(a, "%d/%.*s/%016llx", sts->mode, PSTR(sts->id),
						  (unsigned long long) str_hash(sts->mx));
}

/* In place of the CAs. */
static void use_anchors(struct arena *a, struct tls_policy *p)
{
	struct str files = p->entry != NULL && p->entry->anchor_files.at != NULL
			   ? p->entry->anchor_files : str_of(the_client.conf.smtp_tls_trust_anchor_file);
	struct tls_anchors anchors = { 0 };
	AUTO(buf) why = BUF_WORDS;

	if (p->level != TLS_VERIFY && p->level != TLS_SECURE)
		return;
	if (anchors_of_files(a, files, &anchors, &why) < 0)
		refuse_configuration(p, "", buf_text(&why));
	p->anchors = anchors.at;
	p->anchor_count = anchors.len;
}

static uint64_t hash_of_anchors(const struct tls_policy *p)
{
	uint64_t hash = 0;

	for (size_t i = 0; i < p->anchor_count; i++) {
		const struct tls_tlsa *t = &p->anchors[i];

		hash = hash * 31 + str_hash(t->data) + (t->usage << 16 | t->selector << 8 | t->matching);
	}
	return hash;
}

/* The names of the destination and of the host are part of it where they decide who is the right server. */
static void name_it(struct arena *a, struct str host, struct tls_policy *p)
{
	bool named = policy_proves_host(p) || p->servername.len > 0;

	p->id = arena_fmt(a, "%s %x-%x/%x %s match=%.*s sni=%.*s for=%.*s at=%.*s reuse=%d anchors=%llx sts=%.*s wish=%d",
			  level_names[p->level], p->protocols.min,
			  p->protocols.max, p->protocols.excluded, p->ciphers == NULL ? "" : p->ciphers,
			  PSTR(p->match), PSTR(p->servername),
			  PSTR(named ? p->domain : STR_NONE), PSTR(named ? host : STR_NONE), p->reuse,
			  (unsigned long long) hash_of_anchors(p), PSTR(sts_id(a, p->sts)), p->wish);
}

static void complete(struct arena *a, struct tls_policy *p)
{
	const struct policy_entry *e = p->entry;

	p->match = STR_NONE;
	p->ciphers = NULL;
	p->anchor_count = 0;
	if (p->level == TLS_NONE || p->refused.len > 0)
		return;
	p->servername = e != NULL && e->servername.at != NULL
			? e->servername : str_of(the_client.conf.smtp_tls_servername);
	p->reuse = e == NULL || e->reuse < 0 ? the_client.conf.smtp_tls_connection_reuse : e->reuse;
	use_protocols(p);
	use_ciphers(a, p);
	use_match(p);
	use_anchors(a, p);
	if (the_client.conf.smtp_tls_wrappermode && p->level < TLS_ENCRYPT)
		refuse_configuration(p, own_name("smtp_tls_wrappermode"), "needs the level encrypt, or more");
}

void policy_try_entry(struct arena *a, const struct policy_entry *e, struct buf *why)
{
	struct tls_policy p = { .level = e->level, .asked = e->level, .from = FROM_POLICY_TABLE,
				.site_level = -1, .entry = e };

	settings.found_wrong = why;
	complete(a, &p);
	settings.found_wrong = NULL;
}

/* ---- per destination ---- */

static void ask_table(struct job *job, const struct destination *to, struct tls_policy *p)
{
	struct policy_entry *e = ARENA_NEW(job->arena, struct policy_entry);
	int r = policy_table_get(job->arena, to->path.len > 0 ? to->path : to->text, e);

	if (r == -EINVAL)
		refuse(p, "4.7.5", STR("client TLS configuration problem"));
	else if (r < 0)
		refuse(p, "4.3.0", STR("Temporary lookup error"));
	if (r <= 0)
		return;
	p->entry = e;
	p->level = p->asked = e->level;
	p->from = FROM_POLICY_TABLE;
	if (e->sts.mode == STS_NO_POLICY)
		return;
	if (e->sts.domain.len == 0)
		e->sts.domain = to->host;
	p->sts = &e->sts;
}

static void ask_sts(struct job *job, const struct destination *to, struct tls_policy *p)
{
	struct sts_policy *sts = ARENA_NEW(job->arena, struct sts_policy);
	int r = sts_find(job, to, p, sts);

	if (r < 0)
		refuse(p, "4.7.5", STR("MTA-STS policy cannot be looked up"));
	else if (r > 0)
		p->sts = sts;
}

/*
 * Said about the next hop, or about one of its hosts. A main.cf that asks for more than may is not
 * undone by a may.
 */
static void ask_per_site(struct job *job, struct str name, struct tls_policy *p)
{
	int r = per_site_get(job->arena, name, &p->site_level), level = p->site_level;

	if (r < 0)
		refuse(p, r == -EINVAL ? "4.7.5" : "4.3.0", r == -EINVAL
		       ? STR("client TLS configuration problem") : STR("Temporary lookup error"));
	if (level < 0 || (level == TLS_MAY && settings.level > TLS_MAY))
		return;
	p->level = p->asked = (enum tls_level) level;
	p->from = FROM_POLICY_TABLE;
}

/* To whoever sends "TLS-Required: No", arrival matters more. */
static void ask_for_less(struct tls_policy *p)
{
	const enum tls_level least = the_client.conf.smtp_tls_wrappermode ? TLS_ENCRYPT : TLS_MAY;

	p->sts = NULL;
	if (p->level <= least)
		return;
	p->level = least;
	p->entry = NULL;
}

static struct tls_policy of_main_cf(void)
{
	return (struct tls_policy){ .level = settings.level, .asked = settings.level, .from = FROM_MAIN_CF,
				    .site_level = -1, .reuse = true };
}

/* Made once instead of for each message. */
static void make_usual(void)
{
	struct tls_policy p = of_main_cf();

	if (policy_proves_host(&p) || the_client.conf.smtp_tls_servername[0] != 0
	    || the_client.conf.smtp_tls_wrappermode)
		return;
	complete(settings.texts, &p);
	name_it(settings.texts, STR_NONE, &p);
	settings.usual = p;
	settings.has_usual = p.refused.len == 0;
}

static bool is_usual(const struct tls_policy *p)
{
	return settings.has_usual && p->from == FROM_MAIN_CF && p->wish == AS_CONFIGURED && p->sts == NULL
	       && p->refused.len == 0;
}

void policy_of_destination(struct job *job, const struct destination *to, struct tls_policy *ret)
{
	struct tls_policy p = of_main_cf();

	p.domain = to->host;

	if (settings.has_table)
		ask_table(job, to, &p);
	else if (settings.has_per_site)
		ask_per_site(job, to->text, &p);
	if (sender_wish(job, to, &p.wish) < 0)
		refuse(&p, "4.3.0", STR("Temporary lookup error"));
	if (p.wish == TLS_OPTIONAL)
		ask_for_less(&p);
	else if (sts_may_ask() && p.from == FROM_MAIN_CF && p.refused.len == 0)
		ask_sts(job, to, &p);
	if (is_usual(&p)) {
		*ret = settings.usual;
		ret->domain = to->host;
		return;
	}
	complete(job->arena, &p);
	name_it(job->arena, STR_NONE, &p);
	*ret = p;
}

/* ---- per host ---- */

static void apply_dane(struct job *job, const struct candidate *at, struct tls_policy *p)
{
	enum tls_level before = p->level;

	dane_apply(job, at, p);
	if (p->level < before && p->anchor_count == 0)
		complete(job->arena, p);	/* as that level has it */
}

static bool refuse_by_sts(struct job *job, const struct candidate *at, struct tls_policy *p,
			  enum tls_outcome what, struct str words)
{
	tls_told(job, p, at->host, &at->ip, what, words);
	if (p->sts->mode == STS_ENFORCE)
		refuse(p, "4.7.5", words);
	return false;
}

/*
 * The hosts that a domain names are the ones that count. An entry of the table may have none: then
 * its own names do.
 */
static bool is_named_by_sts(struct job *job, const struct candidate *at, struct tls_policy *p)
{
	if (sts_allows(p, at->host))
		return true;
	return refuse_by_sts(job, at, p, TLS_FAILED,
			     arena_fmt(job->arena, "host %.*s is not a mail exchanger that the MTA-STS policy of %.*s names",
							       PSTR(at->host), PSTR(p->sts->domain)));
}

/* Which level there is, the entry has said. */
static void apply_sts_of_table(struct job *job, const struct candidate *at, struct tls_policy *p)
{
	const struct sts_policy *sts = p->sts;

	if (sts->failure.len > 0)
		refuse_by_sts(job, at, p, sts_outcome(sts->failure),
			      arena_fmt(job->arena, "MTA-STS policy failure for %.*s: %.*s",
					PSTR(sts->domain), PSTR(sts->failure)));
	else if (is_named_by_sts(job, at, p) && policy_counts_sts_names(p) && sts->mode == STS_ENFORCE)
		p->match = STR("hostname");
}

/*
 * A host that nothing else authenticates has to be one that the domain names, and to prove it (RFC
 * 8461 4). What DANE knows of a host that unsigned MX records name proves it, but not that the
 * domain names it: whoever forges those records can have records of his own.
 */
static void apply_sts(struct job *job, const struct candidate *at, struct tls_policy *p)
{
	if (p->sts == NULL || at == NULL || p->refused.len > 0)
		return;
	if (p->entry != NULL) {
		apply_sts_of_table(job, at, p);
		return;
	}
	if (policy_proves_exchanger(p) || !is_named_by_sts(job, at, p) || p->sts->mode != STS_ENFORCE
	    || policy_proves_host(p))
		return;
	p->level = TLS_SECURE;
	p->from = FROM_MTA_STS;
	complete(job->arena, p);
	p->match = p->servername = STR("hostname");
	if (p->protocols.min < 0x0303)
		p->protocols.min = 0x0303;
}

/*
 * Encryption without proof to a program on this machine protects nothing, and there is nothing in
 * DNS about it.
 */
static void apply_socket(struct tls_policy *p)
{
	if (p->level == TLS_MAY)
		p->level = TLS_NONE;
	if (p->level == TLS_DANE || p->level == TLS_DANE_ONLY)
		refuse_configuration(p, "", "the level dane is not for Unix-domain sockets");
}

/* Proved to be a host, and named by a policy that is authentic. */
static bool is_half_dane_with_sts(const struct tls_policy *p)
{
	return p->level == TLS_HALF_DANE && p->sts != NULL && p->sts->mode == STS_ENFORCE;
}

/*
 * REQUIRETLS: where nothing else does, the host's own certificate has to prove that it is the host
 * (RFC 8689 4.2.1).
 */
static void demand_proof(struct job *job, const struct candidate *at, struct tls_policy *p)
{
	if (p->refused.len > 0 || policy_proves_exchanger(p) || is_half_dane_with_sts(p))
		return;
	if (!policy_may_use_tls() || !name_is_certain(at)) {
		refuse(p, "5.7.30", arena_fmt(job->arena,
					      "REQUIRETLS is required, but %s host %.*s as a server for %.*s",
					      policy_may_use_tls() ? "nothing authenticates"
					      : "without TLS here nothing can authenticate", PSTR(at->host),
						      PSTR(p->domain)));
		return;
	}
	p->level = TLS_SECURE;
	complete(job->arena, p);
	p->match = p->servername = STR("hostname");
}

/* The same with less of a proof: encryption, whoever is at the other end. */
static void demand_encryption(struct job *job, struct tls_policy *p)
{
	if (p->refused.len > 0 || p->level >= TLS_ENCRYPT)
		return;
	if (!policy_may_use_tls()) {
		refuse(p, "5.7.30", arena_fmt(job->arena,
					      "REQUIRETLS is required, but there is no TLS here for a server for %.*s",
					      PSTR(p->domain)));
		return;
	}
	p->level = TLS_ENCRYPT;
	complete(job->arena, p);
}

void policy_of_host(struct job *job, const struct tls_policy *of, const struct destination *to,
		    const struct candidate *at, struct tls_policy *ret)
{
	struct tls_policy p = *of;

	if (settings.has_per_site && p.wish != TLS_OPTIONAL && at != NULL
	    && !str_is_nocase(at->host, to->text)) {
		ask_per_site(job, at->host, &p);
		complete(job->arena, &p);
	}
	if (at == NULL)
		apply_socket(&p);
	else if (p.refused.len == 0 && (p.level == TLS_DANE || p.level == TLS_DANE_ONLY))
		apply_dane(job, at, &p);
	apply_sts(job, at, &p);
	if (p.wish == TLS_DEMANDED && at != NULL)
		demand_proof(job, at, &p);
	else if (p.wish == TLS_WANTED)
		demand_encryption(job, &p);
	name_it(job->arena, at == NULL ? STR_NONE : at->host, &p);
	*ret = p;
}
