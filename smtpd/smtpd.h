/* SPDX-License-Identifier: ISC */
/*
 * What every session of the process shares: the configuration and what was opened from it. Made in
 * main.c at start, constant afterwards.
 */
#ifndef ROAD_SMTPD_SMTPD_H
#define ROAD_SMTPD_SMTPD_H

#include "lib/conf/params/common.h"
#include "lib/conf/params/queue.h"
#include "lib/conf/params/smtpd.h"
#include "lib/conf/params/tls.h"
#include "lib/conf/params/tlsmgr.h"
#include "lib/jail/jail.h"
#include "lib/peers/receive.h"
#include "lib/route/route.h"
#include "lib/sasl/server.h"
#include "lib/table/match.h"
#include "lib/table/table.h"
#include "lib/tls/tls.h"
#include "smtpd/restrict.h"

enum tls_level { TLS_LEVEL_NONE, TLS_LEVEL_MAY, TLS_LEVEL_ENCRYPT };
enum bare_newline { BARE_NEWLINE_OK, BARE_NEWLINE_NOTE, BARE_NEWLINE_REJECT };

struct smtpd {
	struct smtpd_conf conf;
	struct queue_conf queue;
	struct receive_conf receive_conf;
	struct receive receive;
	struct tls_conf tls;
	struct tlsmgr_conf tickets;
	enum tls_level tls_level;
	struct tls_context *tls_context;	/* NULL: no TLS */
	struct tables *client_certificates;	/* relay_clientcerts */
	struct tables *sni_maps;	/* tls_server_sni_maps */
	struct tls_logging tls_logging;
	const char *tlsmgr;		/* its socket */
	struct arena *tls_texts;	/* what the context refers to */
	struct auth_server *sasl;		/* NULL: smtpd_sasl_auth_enable = no */
	/* enum sasl_option: what mechanisms must be good for, in the clear and over TLS */
	unsigned sasl_options, sasl_tls_options;
	struct match_list *sasl_filter, *sasl_exceptions;	/* NULL without sasl */
	struct tables *sender_logins;
	bool soft_bounce;
	bool behind_proxy;			/* smtpd_upstream_proxy_protocol = haproxy */
	const struct common_conf *common;
	struct route *route;
	struct match_list *mynetworks, *xclient_hosts, *verp_clients, *noop_commands, *forbidden_commands,
		*bare_newline_exclusions, *limit_exceptions, *etrn_domains;
	struct tables *discard_ehlo_maps, *rbl_replies;
	unsigned discard_ehlo;			/* enum ehlo_keyword */
	enum bare_newline bare_newline;
	bool access_parents;			/* smtpd_access_maps is in parent_domain_matches_subdomains */
	/* the tempfail actions: at once, not only if permitted */
	bool defer_unknown_address, defer_unknown_helo;
	const struct rule_list *rules[STAGE_COUNT];
	const struct rule_list *local_clients;	/* local_header_rewrite_clients */
};
extern const struct smtpd *const the_smtpd;

/* tls.c */
void open_tls(struct smtpd *to);		/* at start */
const char *tls_socket(void);			/* what it connects to; NULL: nothing */

#endif
