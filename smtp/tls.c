/* SPDX-License-Identifier: ISC */
/*
 * TLS towards the next hop: the level that is configured, STARTTLS or TLS from the start, and
 * whether the server's certificate is what the level asks for. Whatever goes wrong is temporary:
 * the mail waits, and the log says why. What the server itself says for good is so, like any other
 * reply: a level that needs TLS and a 5xx reply to STARTTLS return the mail.
 *
 *   may           TLS when offered. The server refuses STARTTLS: goes on in the clear. The handshake fails, or the connection is lost after it: the mail
 *                 waits at first; once it is older than minimal_backoff_time it goes in the clear, on a new connection.
 *   encrypt       TLS or nothing, with whoever answers.
 *   dane          and the certificate fits one of the TLSA records that policy_of_host has found.
 *   fingerprint   and the certificate or its key is one of those that are named, whoever signed it.
 *   verify        and the certificate is trusted and has one of the names of smtp_tls_verify_cert_match; secure: of smtp_tls_secure_cert_match.
 */
#include "lib/tls/tls.h"

#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/table/table.h"
#include "smtp/smtp.h"

static struct {
	struct tls_context *context;
	struct tls_logging logging;
	int64_t backoff_ms;
	when_t another_begins;		/* 0: what this process has will do */
} tls;

/* How long a process that could not get TLS when it began goes on without. */
enum { WITHOUT_MS = 10000 };

/* ---- start ---- */

static void parse_settings(void)
{
	const struct smtp_conf *c = &the_client.conf;
	AUTO(buf) why = BUF_WORDS;

	if (tls_logging_open(own_name("smtp_tls_loglevel"), c->smtp_tls_loglevel, c->smtp_tls_loglevel_maps,
			     &tls.logging, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	if (tls_digest_size(c->smtp_tls_fingerprint_digest) == 0)
		die(EX_CONFIG, "%s: there is no digest \"%s\"", own_name("smtp_tls_fingerprint_digest"),
		    c->smtp_tls_fingerprint_digest);
	if (conf_get_time(the_world->conf, STR("minimal_backoff_time"), STR("300s"), &tls.backoff_ms, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
}

static void open_library(struct tls_options *ret_options)
{
	const struct tls_conf *c = &the_client.tls;
	AUTO(buf) why = BUF_WORDS;

	if (tls_library_open(c->tls_config_file, c->tls_config_name, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	if (tls_options_parse(str_of(c->tls_ssl_options), str_of(c->tls_disable_workarounds),
			      ret_options, &why) < 0)
		die(EX_CONFIG, "tls_ssl_options or tls_disable_workarounds: %s", buf_text(&why));
}

static void say_odd(void *arg, const char *text)
{
	const struct smtp_conf *c = arg;

	log_warning("%s_tls_%s: %s", the_client.lmtp ? "lmtp" : "smtp", c->smtp_tls_chain_files[0] != 0
		    ? "chain_files" : "cert_file", text);
}

void tls_open(void)
{
	const struct smtp_conf *c = &the_client.conf;
	struct tls_options options;
	AUTO(buf) why = BUF_WORDS;
	struct tls_config conf;
	int r;

	policy_open();
	if (!policy_may_use_tls())
		return;
	open_library(&options);
	parse_settings();
	conf = (struct tls_config){
		.name = the_client.lmtp ? "lmtp" : "smtp", .chain_files = c->smtp_tls_chain_files,
		.cert_file = c->smtp_tls_cert_file, .key_file = c->smtp_tls_key_file,
		.eccert_file = c->smtp_tls_eccert_file, .eckey_file = c->smtp_tls_eckey_file,
		.ca_file = c->smtp_tls_CAfile, .ca_path = c->smtp_tls_CApath,
		.default_ca = the_client.tls.tls_append_default_CA,
		.depth = (int) c->smtp_tls_scert_verifydepth, .ciphers = the_client.tls.tls_medium_cipherlist,
		.curves = the_client.tls.tls_eecdh_auto_curves,
		.groups = the_client.tls.tls_ffdhe_auto_groups,
		.digest = c->smtp_tls_fingerprint_digest, .dane_digests = the_client.tls.tls_dane_digests,
		.session_s = c->smtp_tls_session_cache_timeout / 1000,
		.options = options, .keepsake = the_world->keepsake,
	};
	r = tls_context_open(&conf, &tls.context, &why);
	if (r == 2)
		log_warning("new TLS key or certificate files are not used: %s", buf_text(&why));
	else if (r != 0)
		daemon_complain("TLS is not available: %s", buf_text(&why));
	if (tls.context == NULL)
		tls.another_begins = in(WITHOUT_MS);
	if (the_world->rehearsing)
		tls_context_review(tls.context, say_odd, &the_client.conf);
}

bool tls_has_tables(void)
{
	return !tables_are_empty(tls.logging.maps);
}

/* ---- is it the right server? ---- */

/* The domain wants to hear what its policy would come to (RFC 8461 5), and gets its mail nevertheless. */
static bool is_tested_only(const struct job *job)
{
	return job->policy.sts != NULL && job->policy.sts->mode == STS_TESTING
	       && !policy_proves_host(&job->policy);
}

/* How names of certificates are read is main.cf's to say, but where a domain's policy decides (RFC 8461 4.1). */
static enum tls_names names_that_count(const struct job *job)
{
	if (job->policy.from == FROM_MTA_STS || is_tested_only(job))
		return TLS_ONLY_DNS_IDS;
	return the_client.tls.tls_wildcard_matches_multiple_labels ? TLS_ANY_LABELS : TLS_ONE_LABEL;
}

static bool has_name(const struct tls *t, const struct job *job, struct str word, struct str host,
		     struct buf *ret_as)
{
	struct str name = word;

	if (str_is_nocase(word, STR("hostname")))
		name = host;
	else if (str_is_nocase(word, STR("nexthop")))
		name = job->policy.domain;
	else if (str_is_nocase(word, STR("dot-nexthop")))
		name = arena_fmt(job->arena, ".%.*s", PSTR(job->policy.domain));
	return name.len > 0 && tls_peer_is(t, str_c(job->arena, name), names_that_count(job), ret_as);
}

static bool has_fingerprint(const struct tls_peer *p, struct str word, struct buf *ret_as)
{
	struct str part;

	if (!tls_fingerprint_is(p, word))
		return false;
	while (str_token(&word, ":", &part))
		buf_add(ret_as, part);
	return true;
}

/* To ret_as: what of the certificate shows it. */
static bool is_named(const struct tls *t, const struct tls_peer *p, const struct job *job, struct str host,
		     struct buf *ret_as)
{
	bool by_fingerprint = job->policy.level == TLS_FINGERPRINT;
	struct str rest = job->policy.match, word;

	while (str_token(&rest, by_fingerprint ? ", \t\r\n|" : ":, \t\r\n", &word))
		if (by_fingerprint ? has_fingerprint(p, word, ret_as) : has_name(t, job, word, host, ret_as))
			return true;
	return false;
}

size_t tls_usable(struct tls_tlsa *records, size_t n)
{
	return tls_tlsa_usable(tls.context, records, n);
}

static void tell(struct job *job, const struct session *s, enum tls_outcome what, struct str words)
{
	const struct tls_policy *p = &job->policy;

	if (p->sts != NULL && !policy_proves_exchanger(p) && !sts_allows(p, s->host))
		/* that the domain does not name this host was told when its policy was made */
		return;
	tls_told(job, p, s->host, &s->ip, what, words);
}

static void tell_of_peer(struct job *job, const struct session *s, const struct tls_peer *p,
			 enum tls_outcome what, struct str words)
{
	if (!p->resumed || !the_client.conf.smtp_tlsrpt_skip_reused_handshakes)
		tell(job, s, what, words);
}

static enum tls_outcome outcome_for(const struct tls_peer *p, bool named)
{
	if (p->trust != TLS_TRUSTED)
		return p->has_expired ? TLS_EXPIRED : TLS_NOT_TRUSTED;
	return named ? TLS_WORKED : TLS_HOST_MISMATCH;
}

/* What the domain would have wanted, where it is only tested. */
static enum tls_outcome outcome_of_test(const struct job *job, const struct session *s, const struct tls *t,
					const struct tls_peer *p)
{
	AUTO(buf) as = BUF_WORDS;

	return is_tested_only(job) ? outcome_for(p, has_name(t, job, STR("hostname"), s->host,
							     &as)) : TLS_WORKED;
}

/* Whatever the log level: mail will wait for this reason. */
static void log_wrong(const struct job *job, const struct session *s, const struct tls_peer *p)
{
	if (the_onlooker != NULL || p->trust == TLS_ANONYMOUS)
		return;
	if (p->trust == TLS_UNTRUSTED && job->policy.level != TLS_FINGERPRINT)
		log_info("%scertificate verification failed for %.*s: %.*s", p->whose, PSTR(s->relay),
			 PSTR(p->why));
	else
		log_info("server certificate verification failed for %.*s: %s", PSTR(s->relay),
			 job->policy.level == TLS_FINGERPRINT
			 ? "no fingerprint matches" : "hostname mismatch");
}

/* ---- the handshake ---- */

static const char *server_name(struct job *job, struct str host)
{
	struct str name = job->policy.servername;

	if (name.len == 0)
		return NULL;
	return str_c(job->arena, str_is_nocase(name, STR("hostname")) ? host : str_is_nocase(name,
			STR("nexthop")) ? job->policy.domain : name);
}

static void log_trace(void *arg, const char *line)
{
	const struct session *s = arg;

	log_info("%.*s: %s", PSTR(s->relay), line);
}

static int find_loglevel(const struct job *job, const struct session *s)
{
	const struct str peer[] = { job->policy.domain, s->host,
				    s->ip.family == 0 ? STR_NONE : ip_text(job->arena, &s->ip) };
	AUTO(buf) why = BUF_WORDS;
	const int level = tls_loglevel_of(&tls.logging, job->arena, peer, COUNT_OF(peer), &why);

	if (why.len > 0)
		log_warning("%s, %.*s: %s", own_name("smtp_tls_loglevel_maps"), PSTR(s->relay),
			    buf_text(&why));
	return level;
}

static void log_beginning(const struct session *s, const struct tls_policy *p)
{
	if (s->tls_loglevel < 2)
		return;
	log_info("setting up TLS connection to %.*s", PSTR(s->relay));
	log_info("%.*s: TLS cipher list \"%s\"", PSTR(s->relay), p->ciphers);
}

static void log_matched(const struct session *s, const struct tls_policy *p, const struct buf *as)
{
	if (s->tls_loglevel >= 2 && as->len > 0)
		log_info("%.*s: %s: %s", PSTR(s->relay), p->level == TLS_FINGERPRINT
			 ? "Matched fingerprint" : "matched peername", buf_text(as));
}

static void log_connection(const struct session *s, const char *what)
{
	if (s->tls_loglevel >= 1)
		log_info("%s TLS connection %s to %.*s: %.*s", s->tls_proof, what, PSTR(s->relay),
			 PSTR(s->tls_summary));
}

void tls_log_reuse(const struct session *s)
{
	if (s->is_encrypted)
		log_connection(s, "reused");
}

/* A certificate that does not prove what it has to is not called trusted, whoever signed it. */
static void log_established(struct session *s, const struct tls_peer *p, bool verified, bool must)
{
	s->tls_proof = p->trust == TLS_ANONYMOUS ? "Anonymous" : verified
		       ? "Verified" : p->trust == TLS_TRUSTED && !must ? "Trusted" : "Untrusted";
	s->tls_summary = arena_copy(s->arena, p->summary);
	if (s->tls_loglevel >= 2 && p->resumed)
		log_info("%.*s: Reusing old session", PSTR(s->relay));
	if (s->tls_loglevel >= 2 && p->trust != TLS_ANONYMOUS)
		log_info("%.*s: subject_CN=%.*s, issuer_CN=%.*s, fingerprint=%.*s, pkey_fingerprint=%.*s",
			 PSTR(s->relay), PSTR(p->subject), PSTR(p->issuer),
			 PSTR(p->fingerprint), PSTR(p->key_fingerprint));
	log_connection(s, "established");
}

/* "dane", or "dane:may" where it came to something else. */
static const char *for_log(struct session *s, const struct tls_policy *p, const char *instead)
{
	if (instead == NULL && p->level == p->asked)
		return policy_level_name(p->level);
	return str_c(s->arena, arena_fmt(s->arena, "%s:%s", policy_level_name(p->asked),
					 instead != NULL ? instead : policy_level_name(p->level)));
}

bool tls_may_give_up(const struct job *job)
{
	return job->policy.level == TLS_MAY
	       && (job->d->active_us - job->d->env.arrival_us) / 1000 >= tls.backoff_ms;
}

static bool handshake_failed(struct job *job, struct session *s, int error, const struct buf *words,
			     struct trouble *ret_why)
{
	s->is_dead = true;
	log_info("SSL_connect error to %.*s: %s", PSTR(s->relay),
		 error == -EPROTO ? "-1" : error == -ETIMEDOUT ? "timeout" : "lost connection");
	if (words->len > 0)
		log_warning("TLS library problem: %s", buf_text(words));
	if (error != -ECANCELED)
		tell(job, s, TLS_FAILED, buf_str(words));
	job->tls_broke = error != -ECANCELED;
	*ret_why = trouble_make(job, SOFT, true, "4.7.5", s, "Cannot start TLS: handshake failure");
	return false;
}

static bool is_dane(const struct tls_policy *p)
{
	return p->level >= TLS_HALF_DANE && p->level <= TLS_DANE_ONLY;
}

static bool shake_hands(struct job *job, struct session *s, struct trouble *ret_why)
{
	const struct tls_policy *p = &job->policy;
	struct tls_wish wish = { .protocols = &p->protocols, .ciphers = p->ciphers,
				 .lenient = p->level <= TLS_ENCRYPT, .sni = server_name(job, s->host),
				 .anchors = p->anchors, .anchor_count = p->anchor_count,
				 .trace_limits = { the_client.conf.smtp_tls_trace_size_limit,
						   the_client.tls.tls_trace_rate_limit },
				 .trace = log_trace, .trace_arg = s,
				 .resume_as = arena_fmt(job->arena, "%.*s %.*s", PSTR(s->relay),
							PSTR(p->id)) };
	AUTO(buf) words = BUF_WORDS;
	AUTO(buf) as = BUF_WORDS;
	struct tls_peer peer;
	struct tls *t;
	bool named, verified;
	int r;

	wish.loglevel = s->tls_loglevel = find_loglevel(job, s);
	log_beginning(s, p);
	r = tls_begin(tls.context, s->stream, &wish, false, in(the_client.conf.smtp_starttls_timeout), &t,
		      &words);
	if (r < 0)
		return handshake_failed(job, s, r, &words, ret_why);
	s->is_encrypted = true;
	s->is_for_once = s->is_for_once || !p->reuse;
	s->tls = for_log(s, p, NULL);
	tls_peer(t, job->arena, &peer);
	named = policy_proves_host(p) && (is_named(t, &peer, job, s->host, &as)
					  || (is_dane(p) && peer.needs_no_name));
	verified = named && (p->level == TLS_FINGERPRINT || peer.trust == TLS_TRUSTED);
	if (verified)
		log_matched(s, p, &as);
	else if (policy_proves_host(p))
		log_wrong(job, s, &peer);
	log_established(s, &peer, verified, policy_proves_host(p));
	if (the_onlooker != NULL)
		the_onlooker->shaken(s, t, &peer, verified);
	if (verified || !policy_proves_host(p)) {
		tell_of_peer(job, s, &peer, outcome_of_test(job, s, t, &peer), STR_NONE);
		return true;
	}
	tls_forget(t);
	tell_of_peer(job, s, &peer, outcome_for(&peer, false), peer.why);
	*ret_why = trouble_make(job, SOFT, true, "4.7.5", s, "Server certificate not verified");
	return false;
}

static void refresh(void)
{
	AUTO(buf) why = BUF_WORDS;
	int r = tls.context == NULL ? 0 : tls_context_refresh(tls.context, &why);

	if (r > 0)
		log_info("TLS key and certificate files have changed and are in use");
	else if (r == -EACCES)
		daemon_retire("TLS key or certificate files have changed");
	else if (tls.another_begins != 0 && mono_ms() >= tls.another_begins)
		daemon_retire("TLS was not available when this process began");
	else if (r < 0)
		log_warning("new TLS key or certificate files are not used: %s", buf_text(&why));
}

/* Without TLS: fine, or not. said: nothing, or the server's reply to STARTTLS in words, which then decides. */
static bool do_without(struct job *job, struct session *s, const char *dsn, const char *words,
		       struct str said, struct trouble *ret_why)
{
	s->tls = for_log(s, &job->policy, "none");
	tell(job, s, dsn[4] == '4' ? TLS_NOT_OFFERED : TLS_FAILED, said);
	if (job->policy.level == TLS_MAY)
		return true;
	if (job->policy.wish >= TLS_WANTED && dsn[4] == '4' && (said.len == 0 || reply_class(&s->reply) != 4)) {
		*ret_why = trouble_make(job, HARD, false, "5.7.30", s,
					"REQUIRETLS is required, but TLS %s %.*s%.*s", words,
					PSTR(s->name), PSTR(said));
		return false;
	}
	*ret_why = trouble_make(job, SOFT, true, dsn, s, "TLS is required, but %s %.*s%.*s", words,
				PSTR(s->name), PSTR(said));
	if (said.len > 0)
		trouble_quote(ret_why, job, s);
	return false;
}

bool tls_start(struct job *job, struct session *s, bool wrapped, struct trouble *ret_why)
{
	struct str said;
	int r;

	if (job->in_the_clear) {
		s->tls = for_log(s, &job->policy, "none");
		return true;
	}
	if (!wrapped && (s->offers.features & EHLO_STARTTLS) == 0)
		return do_without(job, s, "4.7.4", "was not offered by host", STR_NONE, ret_why);
	refresh();
	if (!tls_context_is_usable(tls.context))
		return do_without(job, s, "4.7.5", "our TLS engine is unavailable for host",
				  STR_NONE, ret_why);
	if (wrapped)
		return shake_hands(job, s, ret_why);
	write_str(s->stream, STR("STARTTLS\r\n"));
	r = session_reply(s, the_client.conf.smtp_starttls_timeout);
	if (r >= 0 && reply_class(&s->reply) == 3) {	/* it takes what is said next for what it waits for */
		s->is_dead = true;
		job->tls_broke = true;
		r = -EBADMSG;
	}
	if (r < 0) {
		*ret_why = trouble_of_io(job, s, r, "sending STARTTLS");
		return false;
	}
	if (reply_class(&s->reply) == 2)
		return shake_hands(job, s, ret_why);
	said = arena_fmt(job->arena, " refused to start TLS: %.*s", PSTR(reply_text(&s->reply, job->arena)));
	return do_without(job, s, "4.7.4", "host", said, ret_why);
}
