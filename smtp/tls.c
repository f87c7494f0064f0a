/* SPDX-License-Identifier: ISC */
/*
 * TLS towards the next hop: the level that is configured, STARTTLS or TLS from the start, and whether the server's certificate is what the level
 * asks for. Whatever goes wrong is temporary: the mail waits, and the log says why.
 *
 *   may           TLS when offered. The server refuses STARTTLS: goes on in the clear. The handshake fails: the mail waits at first; once it is
 *                 older than minimal_backoff_time it goes in the clear, on a new connection.
 *   encrypt       TLS or nothing, with whoever answers.
 *   fingerprint   and the certificate or its key is one of those that are named, whoever signed it.
 *   verify        and the certificate is trusted and has one of the names of smtp_tls_verify_cert_match; secure: of smtp_tls_secure_cert_match.
 */
#include "lib/tls/tls.h"

#include <errno.h>

#include "lib/base/die.h"
#include "smtp/smtp.h"

static struct {
	struct tls_context *context;
	struct tls_protocols may, mandatory;
	const char *may_ciphers, *mandatory_ciphers;
	int loglevel;
	int64_t backoff_ms;
} tls;

static const char *const level_names[] = { "none", "may", "encrypt", "fingerprint", "verify", "secure" };

/* ---- start ---- */

static void parse_level(void)
{
	struct str level = str_trim(str_of(the_client.conf.smtp_tls_security_level));

	the_client.tls_level = TLS_NONE;
	for (size_t i = 0; i < COUNT_OF(level_names); i++)
		if (str_is_nocase(level, str_of(level_names[i])))
			the_client.tls_level = i;
	if (the_client.tls_level != TLS_NONE || level.len == 0 || str_is_nocase(level, STR("none")))
		return;
	if (str_starts_nocase(level, STR("dane")) || str_is_nocase(level, STR("half-dane")))
		die(EX_CONFIG, "smtp_tls_security_level: %.*s is not available yet", PSTR(level));
	die(EX_CONFIG, "smtp_tls_security_level: \"%.*s\" is none of none, may, encrypt, fingerprint, verify, secure", PSTR(level));
}

static void parse_protocols(const char *name, const char *text, struct tls_protocols *ret)
{
	AUTO(buf) why = BUF_WORDS;

	if (tls_protocols_parse(str_of(text), ret, &why) < 0)
		die(EX_CONFIG, "%s: %s", name, buf_text(&why));
}

static const char *parse_ciphers(struct arena *a, const char *name, const char *grade, struct str exclude)
{
	const struct tls_grades grades = { .high = the_client.tls.tls_high_cipherlist, .medium = the_client.tls.tls_medium_cipherlist,
					   .null = the_client.tls.tls_null_cipherlist };
	AUTO(buf) why = BUF_WORDS;
	AUTO(buf) list = BUF(8192);

	if (tls_ciphers_make(&grades, str_of(grade), exclude, &list, &why) < 0)
		die(EX_CONFIG, "%s: %s", name, buf_text(&why));
	return str_c(a, buf_str(&list));
}

static void parse_settings(struct arena *a)
{
	const struct smtp_conf *c = &the_client.conf;
	AUTO(buf) why = BUF_WORDS;
	int64_t level;

	parse_protocols("smtp_tls_protocols", c->smtp_tls_protocols, &tls.may);
	parse_protocols("smtp_tls_mandatory_protocols", c->smtp_tls_mandatory_protocols, &tls.mandatory);
	tls.may_ciphers = parse_ciphers(a, "smtp_tls_ciphers", c->smtp_tls_ciphers, str_of(c->smtp_tls_exclude_ciphers));
	tls.mandatory_ciphers = parse_ciphers(a, "smtp_tls_mandatory_ciphers", c->smtp_tls_mandatory_ciphers,
					      arena_fmt(a, "%s %s", c->smtp_tls_exclude_ciphers, c->smtp_tls_mandatory_exclude_ciphers));
	if (str_to_int(str_of(c->smtp_tls_loglevel), 0, 4, &level) < 0)
		die(EX_CONFIG, "smtp_tls_loglevel: \"%s\": a number from 0 to 4", c->smtp_tls_loglevel);
	tls.loglevel = (int) level;
	if (!tls_digest_exists(c->smtp_tls_fingerprint_digest))
		die(EX_CONFIG, "smtp_tls_fingerprint_digest: there is no digest \"%s\"", c->smtp_tls_fingerprint_digest);
	if (conf_get_time(the_world->conf, STR("minimal_backoff_time"), STR("300s"), &tls.backoff_ms, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
}

void tls_open(void)
{
	const struct smtp_conf *c = &the_client.conf;
	struct arena *a;
	AUTO(buf) why = BUF_WORDS;
	struct tls_config conf;

	parse_level();
	if (c->smtp_tls_wrappermode && the_client.tls_level < TLS_ENCRYPT)
		die(EX_CONFIG, "smtp_tls_wrappermode needs smtp_tls_security_level = encrypt, or more");
	if (the_client.tls_level == TLS_NONE)
		return;
	a = the_client.tls_texts = arena_new("smtp tls", NULL, 256 << 10);
	parse_settings(a);
	conf = (struct tls_config){
		.name = "smtp", .chain_files = c->smtp_tls_chain_files, .cert_file = c->smtp_tls_cert_file, .key_file = c->smtp_tls_key_file,
		.eccert_file = c->smtp_tls_eccert_file, .eckey_file = c->smtp_tls_eckey_file, .ca_file = c->smtp_tls_CAfile, .ca_path = c->smtp_tls_CApath,
		.default_ca = the_client.tls.tls_append_default_CA, .depth = (int) c->smtp_tls_scert_verifydepth, .ciphers = tls.mandatory_ciphers,
		.groups = str_c(a, arena_fmt(a, "%s %s", the_client.tls.tls_eecdh_auto_curves, the_client.tls.tls_ffdhe_auto_groups)),
		.digest = c->smtp_tls_fingerprint_digest, .session_s = c->smtp_tls_session_cache_timeout / 1000,
	};
	if (tls_context_open(&conf, &tls.context, &why) != 0)
		log_warning("TLS is not available: %s", buf_text(&why));
}

bool tls_proves_host(void)
{
	return the_client.tls_level >= TLS_FINGERPRINT;
}

/* ---- is it the right server? ---- */

static bool has_name(const struct tls *t, struct arena *a, struct str word, struct str host, struct str nexthop)
{
	struct str name = word;

	if (str_is_nocase(word, STR("hostname")))
		name = host;
	else if (str_is_nocase(word, STR("nexthop")))
		name = nexthop;
	else if (str_is_nocase(word, STR("dot-nexthop")))
		name = arena_fmt(a, ".%.*s", PSTR(nexthop));
	return name.len > 0 && tls_peer_is(t, str_c(a, name), the_client.tls.tls_wildcard_matches_multiple_labels);
}

static bool is_named(const struct tls *t, const struct tls_peer *p, struct arena *a, struct str host, struct str nexthop)
{
	const struct smtp_conf *c = &the_client.conf;
	bool by_fingerprint = the_client.tls_level == TLS_FINGERPRINT;
	struct str rest = str_of(by_fingerprint ? c->smtp_tls_fingerprint_cert_match : the_client.tls_level == TLS_VERIFY ? c->smtp_tls_verify_cert_match
				 : c->smtp_tls_secure_cert_match), word;

	while (str_token(&rest, by_fingerprint ? ", \t\r\n|" : ":, \t\r\n", &word))
		if (by_fingerprint ? tls_fingerprint_is(p, word) : has_name(t, a, word, host, nexthop))
			return true;
	return false;
}

static bool is_right(struct job *job, struct session *s, const struct tls_peer *p, bool named, struct trouble *ret_why)
{
	const char *words = NULL;

	if (the_client.tls_level > TLS_FINGERPRINT && p->trust != TLS_TRUSTED)
		words = "Server certificate not trusted";
	else if (the_client.tls_level >= TLS_FINGERPRINT && !named)
		words = "Server certificate not verified";
	if (words == NULL)
		return true;
	if (p->trust == TLS_UNTRUSTED)
		log_mail(ROAD_INFO, job->d->queue_id, "certificate verification failed for %.*s: %.*s", PSTR(s->relay), PSTR(p->why));
	*ret_why = trouble_make(job, SOFT, true, "4.7.5", s, "%s", words);
	return false;
}

/* ---- the handshake ---- */

static const char *server_name(struct arena *a, struct str host, struct str nexthop)
{
	struct str name = str_of(the_client.conf.smtp_tls_servername);

	if (name.len == 0)
		return NULL;
	return str_c(a, str_is_nocase(name, STR("hostname")) ? host : str_is_nocase(name, STR("nexthop")) ? nexthop : name);
}

static void log_established(const struct session *s, const struct tls_peer *p, bool verified)
{
	const char *word = p->trust == TLS_ANONYMOUS ? "Anonymous" : verified ? "Verified" : p->trust == TLS_TRUSTED ? "Trusted" : "Untrusted";

	if (tls.loglevel >= 1)
		log_info("%s TLS connection established to %.*s: %.*s", word, PSTR(s->relay), PSTR(p->summary));
}

static bool shake_hands(struct job *job, struct session *s, const struct destination *to, bool *ret_retry, struct trouble *ret_why)
{
	bool may = the_client.tls_level == TLS_MAY;
	struct tls_wish wish = { .protocols = may ? &tls.may : &tls.mandatory, .ciphers = may ? tls.may_ciphers : tls.mandatory_ciphers, .opportunistic = may,
				 .sni = server_name(job->arena, s->host, to->host),
				 .resume_as = arena_fmt(job->arena, "%.*s %.*s", PSTR(s->relay), PSTR(to->key)) };
	AUTO(buf) words = BUF_WORDS;
	struct tls_peer peer;
	struct tls *t;
	bool named;
	int r = tls_begin(tls.context, s->stream, &wish, false, in(the_client.conf.smtp_starttls_timeout), &t, &words);

	if (r < 0) {
		s->is_dead = true;
		log_mail(ROAD_INFO, job->d->queue_id, "SSL_connect error to %.*s: %s", PSTR(s->relay), r == -EPROTO ? "-1" : r == -ETIMEDOUT ? "timeout" : "lost connection");
		if (words.len > 0)
			log_mail(ROAD_WARNING, job->d->queue_id, "TLS library problem: %s", buf_text(&words));
		*ret_retry = may && r != -ECANCELED && (job->d->active_us - job->d->env.arrival_us) / 1000 >= tls.backoff_ms;
		*ret_why = trouble_make(job, SOFT, true, "4.7.5", s, "Cannot start TLS: handshake failure");
		return false;
	}
	s->is_encrypted = true;
	s->tls = the_client.tls_level == TLS_MAY ? "may" : level_names[the_client.tls_level];
	tls_peer(t, job->arena, &peer);
	named = tls_proves_host() && is_named(t, &peer, job->arena, s->host, to->host);
	log_established(s, &peer, named && (the_client.tls_level == TLS_FINGERPRINT || peer.trust == TLS_TRUSTED));
	return is_right(job, s, &peer, named, ret_why);
}

static void refresh(void)
{
	AUTO(buf) why = BUF_WORDS;
	int r = tls.context == NULL ? 0 : tls_context_refresh(tls.context, &why);

	if (r == -EACCES)
		daemon_retire("TLS key or certificate files have changed");
	else if (r < 0)
		log_warning("new TLS key or certificate files are not used: %s", buf_text(&why));
}

/* Without TLS: fine, or not. */
static bool do_without(struct job *job, struct session *s, const char *dsn, const char *words, struct str said, struct trouble *ret_why)
{
	s->tls = "may:none";
	if (the_client.tls_level == TLS_MAY)
		return true;
	*ret_why = trouble_make(job, SOFT, true, dsn, s, "TLS is required, but %s %.*s%.*s", words, PSTR(s->name), PSTR(said));
	return false;
}

bool tls_start(struct job *job, struct session *s, const struct destination *to, bool wrapped, bool *ret_retry, struct trouble *ret_why)
{
	struct str said;
	int r;

	if (job->in_the_clear) {
		s->tls = "may:none";
		return true;
	}
	if (!wrapped && (s->offers.features & EHLO_STARTTLS) == 0)
		return do_without(job, s, "4.7.4", "was not offered by host", STR_NONE, ret_why);
	refresh();
	if (!tls_context_is_usable(tls.context))
		return do_without(job, s, "4.7.5", "our TLS engine is unavailable for host", STR_NONE, ret_why);
	if (wrapped)
		return shake_hands(job, s, to, ret_retry, ret_why);
	write_str(s->stream, STR("STARTTLS\r\n"));
	r = session_reply(s, the_client.conf.smtp_starttls_timeout);
	if (r < 0) {
		*ret_why = trouble_of_io(job, s, r, "sending STARTTLS");
		return false;
	}
	if (reply_class(&s->reply) == 2)
		return shake_hands(job, s, to, ret_retry, ret_why);
	said = arena_fmt(job->arena, " refused to start TLS: %.*s", PSTR(reply_text(&s->reply, job->arena)));
	return do_without(job, s, "4.7.4", "host", said, ret_why);
}
