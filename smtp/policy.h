/* SPDX-License-Identifier: ISC */
/*
 * The TLS policy: what is asked of a server before it gets mail. One struct, made once per
 * destination (policy_of_destination) from main.cf, the policy table and MTA-STS, and made final
 * for each of its hosts (policy_of_host), where DANE has its say. Whoever opens, reuses or resumes
 * anything goes by the final one, and whatever becomes of it is told to tls_told().
 *
 * Sources only ever strengthen: DANE authenticates a host whatever MTA-STS thinks of it (RFC 8461
 * 2), unless unsigned MX records led there, and MTA-STS asks for a proof where nothing else does.
 * No source takes back what another one asks for, but the sender may, for his message
 * (requiretls.c). An entry of the policy table is the administrator's word: MTA-STS is not asked
 * then.
 */
#ifndef ROAD_SMTP_POLICY_H
#define ROAD_SMTP_POLICY_H

#include "lib/io/net.h"
#include "lib/peers/mtasts.h"
#include "lib/tls/tls.h"

enum tls_level {			/* as Postfix names and orders them */
	TLS_NONE, TLS_MAY, TLS_ENCRYPT, TLS_FINGERPRINT, TLS_HALF_DANE, TLS_DANE, TLS_DANE_ONLY,
		TLS_VERIFY, TLS_SECURE,
};
enum sender_wish {			/* RFC 8689 */
	AS_CONFIGURED,
	TLS_OPTIONAL,			/* the header TLS-Required: No */
	/* REQUIRETLS, as far as smtp_requiretls_policy lets it count */
	TLS_WELCOME, TLS_WANTED, TLS_DEMANDED,
};
enum policy_source { FROM_MAIN_CF, FROM_POLICY_TABLE, FROM_DANE, FROM_MTA_STS };

struct tls_policy {
	/* TLS_DANE and more: DANE only once policy_of_host has found records; see anchors */
	enum tls_level level;
	enum tls_level asked;		/* as configured: the log shows both */
	enum policy_source from;	/* of the level */
	const char *refused_dsn;
	struct str refused;		/* not empty: nothing is sent, for this reason, and the mail waits */
	struct tls_protocols protocols;
	const char *ciphers;		/* complete list */
	/*
	 * fingerprint: these; verify, secure, DANE by an issuer: names, one of which the
	 * certificate must have
	 */
	struct str match;
	struct str servername;		/* SNI: empty, "hostname", "nexthop", or a name */
	/* the next hop without brackets and port: "nexthop" in match and servername */
	struct str domain;
	/* TLSA records, or trust anchors in place of CAs; one of them must fit */
	const struct tls_tlsa *anchors;
	size_t anchor_count;
	bool reuse;			/* the connection may serve another message */
	const struct sts_policy *sts;	/* of mode testing or enforce. NULL: none, or not looked for */
	/* what smtp_tls_per_site has said so far, for policy.c; -1: nothing */
	int site_level;
	/* of the policy table, NULL: none (for policy.c: it holds at whatever level DANE finds) */
	const struct policy_entry *entry;
	enum sender_wish wish;
	/* all of the above: connections and sessions made under the same id are as good as each other */
	struct str id;
};

struct job;
struct destination;
struct candidate;

void policy_open(void);			/* at start; dies of what cannot work */
void policy_rehearse(void);		/* says what is wrong with the entries of its tables (rehearse.c) */
bool policy_may_use_tls(void);		/* false: nothing in the configuration could ever ask for it */
bool policy_has_tables(void);		/* they may be behind proxymap */
const char *policy_level_name(enum tls_level level);
int policy_level_of(struct str name);	/* -EINVAL: there is no such level */

/* In the job's arena. Never fails otherwise than by `refused`. */
void policy_of_destination(struct job *job, const struct destination *to, struct tls_policy *ret) MAY_YIELD;
/* at: NULL for a Unix socket. */
void policy_of_host(struct job *job, const struct tls_policy *of, const struct destination *to,
		    const struct candidate *at, struct tls_policy *ret) MAY_YIELD;
/*
 * Only such a server may get the mail that proves to be the right one: sessions are no good for
 * another host.
 */
bool policy_proves_host(const struct tls_policy *p);
/*
 * The same, and that it is the right one for the domain: not at the level halfdane, where nothing
 * vouches for the MX records.
 */
bool policy_proves_exchanger(const struct tls_policy *p);

/* Under p->sts: is this a host that the domain names, or do names not count? */
bool sts_allows(const struct tls_policy *p, struct str host);

/*
 * The MTA-STS policy of the destination's domain, in the job's arena (sts.c). 1: *ret is one to
 * heed (enforce, testing); 0: there is none; -errno: it cannot be told. That a policy could not be
 * fetched is told to tls_told().
 */
int sts_find(struct job *job, const struct destination *to, const struct tls_policy *p,
	     struct sts_policy *ret) MAY_YIELD;
bool sts_may_ask(void);			/* smtp_mtasts_enable */
void sts_open(void);			/* at start */

/* ---- what the sender says about it (requiretls.c) ---- */

void requiretls_open(void);		/* at start */
bool requiretls_has_tables(void);	/* beyond main.cf */
/* 0; -errno: logged. */
int sender_wish(struct job *job, const struct destination *to, enum sender_wish *ret) MAY_YIELD;
/* May the server get the message? Under a policy with TLS_DEMANDED only one that will demand the same. */
struct session;
bool requiretls_is_met(const struct tls_policy *p, const struct session *s);
bool requiretls_is_said(const struct tls_policy *p, const struct session *s);	/* with MAIL FROM */
/* The session's tls= with what became of the wish: "secure/requiretls", "may/!requiretls:nocertmatch". */
const char *requiretls_for_log(const struct job *job, const struct session *s);
/*
 * Nothing proved the host so far. False: and its own name proves nothing, since who says that it is
 * the right one?
 */
bool name_is_certain(const struct candidate *at);

/* ---- what came of it (told.c) ---- */

enum tls_outcome {			/* RFC 8460 4.3 */
	TLS_WORKED, TLS_NOT_OFFERED, TLS_HOST_MISMATCH, TLS_EXPIRED, TLS_NOT_TRUSTED, TLS_FAILED,
	TLS_TLSA_INVALID, TLS_DNSSEC_INVALID, TLS_DANE_REQUIRED, TLS_STS_FETCH_ERROR, TLS_STS_INVALID,
	TLS_STS_WEBPKI_INVALID,
};
/*
 * The one place that learns of each attempt at TLS with a server, or of why there was none: the
 * session is new, reused connections are not told again. host and ip: of the server, empty and NULL
 * where no server is meant. words: the library's or ours, may be empty.
 */
void tls_told(struct job *job, const struct tls_policy *p, struct str host, const struct address_ip *ip,
	      enum tls_outcome what, struct str words) MAY_YIELD;
void told_open(void);			/* at start */

#endif
