/* SPDX-License-Identifier: ISC */
/*
 * TLS in smtpd: what is opened at start, STARTTLS (RFC 3207), wrapper mode (RFC 8314), and what may
 * be said without.
 *
 * Nothing that came in the clear counts inside TLS: read-ahead input is thrown away before the
 * handshake, and what the client said (its name, a transaction) with it. The replies to what came
 * before are out by then: 220 is flushed.
 */
#include "lib/tls/tls.h"

#include <errno.h>

#include "lib/base/die.h"
#include "lib/daemon/daemon.h"
#include "lib/log/log.h"
#include "lib/peers/tlsmgr.h"
#include "smtpd/client_rate.h"
#include "smtpd/sasl.h"
#include "smtpd/session.h"
#include "smtpd/smtpd.h"
#include "smtpd/transaction.h"
#include "smtpd/verbs.h"

static const struct smtpd_conf *conf(void) { return &the_smtpd->conf; }

/* ---- start ---- */

static enum tls_level parse_level(const struct smtpd_conf *c)
{
	struct str level = str_trim(str_of(c->smtpd_tls_security_level));

	if (c->smtpd_tls_wrappermode || str_is_nocase(level, STR("encrypt")))
		return TLS_LEVEL_ENCRYPT;
	if (str_is_nocase(level, STR("may")))
		return TLS_LEVEL_MAY;
	if (str_is_nocase(level, STR("none")))
		return TLS_LEVEL_NONE;
	if (level.len > 0)
		die(EX_CONFIG, "smtpd_tls_security_level: \"%.*s\" is none of none, may, encrypt",
		    PSTR(level));
	return c->smtpd_enforce_tls ? TLS_LEVEL_ENCRYPT : c->smtpd_use_tls ? TLS_LEVEL_MAY : TLS_LEVEL_NONE;
}

static bool demands_certificates(const struct smtpd *s)
{
	return s->conf.smtpd_tls_req_ccert && s->tls_level == TLS_LEVEL_ENCRYPT;
}

/* smtpd_tls_cert_file = none: for clients that trust no certificates anyway. */
static bool is_anonymous(const struct smtpd_conf *c)
{
	return strcmp(c->smtpd_tls_cert_file, "none") == 0 && c->smtpd_tls_chain_files[0] == 0
	       && c->smtpd_tls_eccert_file[0] == 0 && c->smtpd_tls_dcert_file[0] == 0;
}

static bool asks_for_certificates(const struct smtpd *s)
{
	return s->conf.smtpd_tls_ask_ccert && !is_anonymous(&s->conf);
}

static const char *ciphers_of_level(struct arena *a, const struct smtpd *s, bool mandatory)
{
	const struct tls_grades grades = { .high = s->tls.tls_high_cipherlist,
					   .medium = s->tls.tls_medium_cipherlist,
					   .null = s->tls.tls_null_cipherlist };
	const struct smtpd_conf *c = &s->conf;
	/* which ciphers without certificates leave no room for */
	bool wants_certificates = asks_for_certificates(s) || demands_certificates(s);
	struct str exclude = arena_fmt(a, "%s %s %s", c->smtpd_tls_exclude_ciphers,
				       mandatory ? c->smtpd_tls_mandatory_exclude_ciphers : "",
				       wants_certificates ? "aNULL" : "");
	AUTO(buf) why = BUF_WORDS;
	AUTO(buf) list = BUF(8192);

	if (tls_ciphers_make(&grades,
			     str_of(mandatory ? c->smtpd_tls_mandatory_ciphers : c->smtpd_tls_ciphers),
				     exclude, &list, &why) < 0)
		die(EX_CONFIG, "%s: %s", mandatory ? "smtpd_tls_mandatory_ciphers" : "smtpd_tls_ciphers",
		    buf_text(&why));
	return str_c(a, buf_str(&list));
}

static struct tls_config describe(struct arena *a, const struct smtpd *s)
{
	const struct smtpd_conf *c = &s->conf;
	bool mandatory = s->tls_level == TLS_LEVEL_ENCRYPT;
	struct tls_config t = {
		.server = true, .wipes_plaintext = c->smtpd_sasl_auth_enable, .name = the_world->service,
		.chain_files = c->smtpd_tls_chain_files, .cert_file = c->smtpd_tls_cert_file,
		.key_file = c->smtpd_tls_key_file, .eccert_file = c->smtpd_tls_eccert_file,
		.eckey_file = c->smtpd_tls_eckey_file,
		.dcert_file = c->smtpd_tls_dcert_file, .dkey_file = c->smtpd_tls_dkey_file,
		.dh_file = c->smtpd_tls_dh1024_param_file,
		.session_ids = c->smtpd_tls_always_issue_session_ids,
		.trust_server_certs = s->tls.tls_trust_server_ccerts,
		.ca_file = c->smtpd_tls_CAfile, .ca_path = c->smtpd_tls_CApath,
		.default_ca = s->tls.tls_append_default_CA,
		.keepsake = the_world->keepsake, .preempt = s->tls.tls_preempt_cipherlist,
		.ask_cert = asks_for_certificates(s), .anonymous = is_anonymous(c),
		.need_cert = demands_certificates(s), .depth = (int) c->smtpd_tls_ccert_verifydepth,
		.digest = c->smtpd_tls_fingerprint_digest,
		.session_s = s->tickets.smtpd_tls_session_cache_timeout / 1000,
		.ticket_cipher = str_c(a, str_trim(str_of(s->tls.tls_session_ticket_cipher))),
	};
	const char *protocols = mandatory ? c->smtpd_tls_mandatory_protocols : c->smtpd_tls_protocols;
	AUTO(buf) why = BUF_WORDS;

	if (tls_options_parse(str_of(s->tls.tls_ssl_options), str_of(s->tls.tls_disable_workarounds),
			      &t.options, &why) < 0)
		die(EX_CONFIG, "tls_ssl_options or tls_disable_workarounds: %s", buf_text(&why));
	if (tls_protocols_parse(str_of(protocols), &t.protocols, &why) < 0)
		die(EX_CONFIG, "%s: %s", mandatory ? "smtpd_tls_mandatory_protocols" : "smtpd_tls_protocols",
		    buf_text(&why));
	if (tls_digest_size(t.digest) == 0)
		die(EX_CONFIG, "smtpd_tls_fingerprint_digest: there is no digest \"%s\"", t.digest);
	if (!tables_are_empty(s->sni_maps))
		t.chains_for = chains_for_name;
	ciphers_of_level(a, s, !mandatory);	/* also what does not count now must not be misspelt */
	t.ciphers = ciphers_of_level(a, s, mandatory);
	t.curves = s->tls.tls_eecdh_auto_curves;
	t.groups = s->tls.tls_ffdhe_auto_groups;
	return t;
}

static bool names_certificates(const struct smtpd_conf *c)
{
	return c->smtpd_tls_chain_files[0] != 0 || c->smtpd_tls_cert_file[0] != 0
	       || c->smtpd_tls_eccert_file[0] != 0;
}

static void say_odd(void *arg, const char *text)
{
	const struct smtpd_conf *c = arg;

	log_warning("smtpd_tls_%s: %s", c->smtpd_tls_chain_files[0] != 0 ? "chain_files" : "cert_file", text);
}

void open_tls(struct smtpd *to)
{
	AUTO(buf) why = BUF_WORDS;
	struct tls_config t;
	int r;

	to->tls_level = parse_level(&to->conf);
	if (tls_logging_open("smtpd_tls_loglevel", to->conf.smtpd_tls_loglevel,
			     to->conf.smtpd_tls_loglevel_maps, &to->tls_logging, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	if (tables_open(str_of(to->conf.relay_clientcerts), TABLE_FOLD_KEY,
			&to->client_certificates, &why) < 0)
		die(EX_CONFIG, "relay_clientcerts: %s", buf_text(&why));
	if (to->tls_level == TLS_LEVEL_NONE)
		return;
	if (is_anonymous(&to->conf) && (to->conf.smtpd_tls_ask_ccert || demands_certificates(to)))
		log_warning("a server without a certificate cannot ask clients for one");
	if (to->conf.smtpd_tls_req_ccert && !demands_certificates(to))
		daemon_complain("smtpd_tls_req_ccert does not count while TLS is not mandatory");
	if (tables_open(str_of(to->tls.tls_server_sni_maps), TABLE_FOLD_KEY | TABLE_FILE_VALUES,
			&to->sni_maps, &why) < 0)
		die(EX_CONFIG, "tls_server_sni_maps: %s", buf_text(&why));
	to->tls_texts = arena_new("smtpd tls", NULL, 256 << 10);	/* as long as the process */
	to->tlsmgr = arena_fmt(to->tls_texts, "private/%s", to->tls.tlsmgr_service_name).at;
	if (tls_library_open(to->tls.tls_config_file, to->tls.tls_config_name, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	t = describe(to->tls_texts, to);
	r = tls_context_open(&t, &to->tls_context, &why);
	if (r == 2) {
		log_warning("new TLS key or certificate files are not used: %s", buf_text(&why));
		return;
	}
	if (r == -EINVAL)
		die(EX_CONFIG, "TLS: %s", buf_text(&why));
	if (r == 0 && why.len > 0)
		daemon_complain("smtpd_tls_dh1024_param_file: %s", buf_text(&why));
	else if (r != 0 && names_certificates(&to->conf))
		daemon_complain("TLS is not available: %s", buf_text(&why));
	else if (r != 0)
		log_warning("TLS is not available: %s", buf_text(&why));
	if (the_world->rehearsing)
		tls_context_review(to->tls_context, say_odd, &to->conf);
}

const char *tls_socket(void)
{
	return the_smtpd->tls_context == NULL ? NULL : the_smtpd->tlsmgr;
}

/* ---- the handshake ---- */

static bool is_available(void)
{
	AUTO(buf) why = BUF_WORDS;
	int r;

	if (the_smtpd->tls_context == NULL)
		return false;
	r = tls_context_refresh(the_smtpd->tls_context, &why);
	if (r > 0)
		log_info("TLS key and certificate files have changed and are in use");
	else if (r == -EACCES)
		/* a process that starts as root can read them */
		daemon_retire("TLS key or certificate files have changed");
	else if (r < 0)
		log_warning("new TLS key or certificate files are not used: %s", buf_text(&why));
	return tls_context_is_usable(the_smtpd->tls_context);
}

static void log_trouble(const struct session *s, int r, struct str words)
{
	const char *reason = r == -ETIMEDOUT ? "timeout" : r == -EPROTO ? "-1" : "lost connection";

	log_info("SSL_accept error from %s: %s", buf_text(&s->peer.shown), reason);
	if (words.len > 0)
		log_warning("TLS library problem: %.*s", PSTR(words));
}

static void log_established(const struct session *s)
{
	static const char *const words[] = { [TLS_ANONYMOUS] = "Anonymous", [TLS_UNTRUSTED] = "Untrusted",
					     [TLS_TRUSTED] = "Trusted" };
	const struct tls_peer *p = s->tls;

	if (s->tls_loglevel < 1)
		return;
	if (s->tls_loglevel >= 2 && p->resumed)
		log_info("%s: Reusing old session (RFC 5077 session ticket)", buf_text(&s->peer.shown));
	if (s->tls_loglevel >= 2 && p->trust != TLS_ANONYMOUS)
		log_info("%s: subject_CN=%.*s, issuer=%.*s, fingerprint=%.*s, pkey_fingerprint=%.*s",
			 buf_text(&s->peer.shown), PSTR(p->subject),
			 PSTR(p->issuer), PSTR(p->fingerprint), PSTR(p->key_fingerprint));
	if ((s->tls_loglevel >= 2 || demands_certificates(the_smtpd)) && p->trust == TLS_UNTRUSTED)
		log_info("%scertificate verification failed for %s: %.*s", p->whose,
			 buf_text(&s->peer.shown), PSTR(p->why));
	log_info("%s TLS connection established from %s%s%.*s: %.*s", words[p->trust],
		 buf_text(&s->peer.shown), s->sni.len > 0 ? " to " : "", PSTR(s->sni), PSTR(p->summary));
}

/* smtpd_tls_req_ccert: what is wrong with the client's certificate. NULL: nothing, or it does not matter. */
static const char *wrong_certificate(const struct session *s)
{
	if (s->tls == NULL || s->tls->trust == TLS_TRUSTED || !demands_certificates(the_smtpd))
		return NULL;
	return s->tls->trust == TLS_ANONYMOUS ? "No client certificate presented"
	       : "Client certificate not trusted";
}

static void log_trace(void *arg, const char *line)
{
	const struct session *s = arg;

	log_info("%s: %s", buf_text(&s->peer.shown), line);
}

static int find_loglevel(struct session *s)
{
	const struct str peer[] = { buf_str(&s->peer.name), str_of(s->peer.address) };
	AUTO(buf) why = BUF_WORDS;
	const int level = tls_loglevel_of(&the_smtpd->tls_logging, s->step, peer, COUNT_OF(peer), &why);

	if (why.len > 0)
		log_warning("smtpd_tls_loglevel_maps, %s: %s", buf_text(&s->peer.shown), buf_text(&why));
	return level;
}

static void log_beginning(const struct session *s)
{
	if (s->tls_loglevel < 2)
		return;
	log_info("setting up TLS connection from %s", buf_text(&s->peer.shown));
	log_info("%s: TLS cipher list \"%s\"", buf_text(&s->peer.shown),
		 tls_context_ciphers(the_smtpd->tls_context));
}

/* What was said before is forgotten (RFC 3207 4.2). */
static void forget_clear_text(struct session *s)
{
	transaction_end(s);
	set_helo(s, STR_NONE);
	sasl_set_user(s, STR_NONE, STR_NONE);
	s->esmtp = false;
}

/*
 * False: the session ends, and its end is explained. `wrapped`: what came behind a proxy's header
 * belongs to the handshake.
 */
static bool shake_hands(struct session *s, bool wrapped)
{
	struct tls_wish wish = { .chains_arg = s, .trace_limits = { conf()->smtpd_tls_trace_size_limit,
								    the_smtpd->tls.tls_trace_rate_limit },
				 .trace = log_trace, .trace_arg = s };
	AUTO(buf) words = BUF_WORDS;
	struct tls_peer *peer;
	struct tls *t;
	int r;

	wish.loglevel = s->tls_loglevel = find_loglevel(s);
	log_beginning(s);
	ticket_keys_await();
	r = tls_begin(the_smtpd->tls_context, s->stream, &wish, wrapped, in(conf()->smtpd_starttls_timeout),
		      &t, &words);
	if (r < 0) {
		comes_too_often(s, ANVIL_TLS_SESSION);	/* what a failed handshake costs counts too */
		log_trouble(s, r, buf_str(&words));
		s->end_reason = r == -ETIMEDOUT ? "timeout" : r == -ECANCELED
				? "server shutdown" : "lost connection";
		s->hang_up = true;
		return false;
	}
	peer = ARENA_NEW(s->arena, struct tls_peer);
	tls_peer(t, s->arena, peer);
	s->tls = peer;
	log_established(s);
	if (wrong_certificate(s) != NULL)
		log_info("NOQUEUE: abort: TLS from %s: %s", buf_text(&s->peer.shown), wrong_certificate(s));
	forget_clear_text(s);
	identity_changed(s);		/* lists of clients may know certificates */
	if (peer->resumed || !comes_too_often(s, ANVIL_TLS_SESSION))
		return true;
	reply(s, 421, "4.7.0", "%s Error: too many new TLS sessions from %s", the_smtpd->common->myhostname,
	      buf_text(&s->peer.shown));
	flush(s->stream);			/* nobody else does in wrapper mode */
	return false;
}

bool tls_before_greeting(struct session *s)
{
	if (the_smtpd->tls_context != NULL)
		ticket_keys_follow(the_smtpd->tls_context, the_smtpd->tlsmgr);
	if (!conf()->smtpd_tls_wrappermode)
		return true;
	if (came_too_often(s, ANVIL_TLS_SESSION)) {
		log_warning("Refusing TLS service request from %s for service %s", buf_text(&s->peer.shown),
			    the_world->service);
		return false;
	}
	if (is_available())
		return shake_hands(s, true);
	log_warning("connection from %s to service %s is dropped: TLS is not available",
		    buf_text(&s->peer.shown), the_world->service);
	return false;
}

/* ---- commands ---- */

bool offers_tls(const struct session *s)
{
	return the_smtpd->tls_level != TLS_LEVEL_NONE && s->tls == NULL
	       && tls_context_is_usable(the_smtpd->tls_context);
}

/* Mandatory TLS leaves no AUTH in the clear either. */
bool tls_allows_auth(const struct session *s)
{
	return s->tls != NULL || (!conf()->smtpd_tls_auth_only && the_smtpd->tls_level != TLS_LEVEL_ENCRYPT);
}

enum next verb_starttls(struct session *s, const struct command *c)
{
	if (c->args.len > 0)
		return reply(s, 501, "5.5.4", "Syntax: STARTTLS");
	if (s->tls != NULL)
		return reply(s, 554, "5.5.1", "Error: TLS already active");
	if (the_smtpd->tls_level == TLS_LEVEL_NONE || (s->discard_ehlo & EHLO_STARTTLS) != 0)
		return reply(s, 502, "5.5.1", "Error: command not implemented");
	if (came_too_often(s, ANVIL_TLS_SESSION)) {
		log_warning("Refusing STARTTLS request from %s for service %s", buf_text(&s->peer.shown),
			    the_world->service);
		return reply(s, 454, "4.7.0", "Error: too many new TLS sessions from %s",
			     buf_text(&s->peer.shown));
	}
	if (!is_available())
		return reply(s, 454, "4.7.0", "TLS not available due to local problem");
	if (stream_poll_input(s->stream))
		log_warning("input from %s behind STARTTLS is thrown away", buf_text(&s->peer.shown));
	reply(s, 220, "2.0.0", "Ready to start TLS");
	flush(s->stream);
	return stream_error(s->stream) == 0 && shake_hands(s, false) ? DONE : NEITHER;
}

static bool is_allowed_before(enum verb_id id)
{
	return id == VERB_HELO || id == VERB_EHLO || id == VERB_STARTTLS || id == VERB_NOOP
	       || id == VERB_QUIT || id == VERB_XCLIENT;
}

struct verdict tls_verdict(const struct session *s, enum verb_id id)
{
	if (wrong_certificate(s) != NULL)	/* whatever is said first, and that ends the session */
		return reject(s->step, 421, STR("4.7.1"), "%s Error: %s", the_smtpd->common->myhostname,
			      wrong_certificate(s));
	if (the_smtpd->tls_level != TLS_LEVEL_ENCRYPT || is_allowed_before(id) || s->tls != NULL)
		return dunno();
	return reject(s->step, 530, STR("5.7.0"), "Must issue a STARTTLS command first");
}
