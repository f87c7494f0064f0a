/* SPDX-License-Identifier: ISC */
/*
 * The functions of the rows in restrict.c. Each answers one question about the client, the HELO
 * name, the sender or the recipient.
 */
#ifndef ROAD_SMTPD_RESTRICT_ROWS_H
#define ROAD_SMTPD_RESTRICT_ROWS_H

#include "smtpd/restrict.h"

#define ROW(function) struct verdict function(struct question *q, const struct rule *r) MAY_YIELD

/* restrict_basic.c */
ROW(ask_permit); ROW(ask_reject); ROW(ask_defer); ROW(ask_defer_if_permit); ROW(ask_defer_if_reject); ROW(ask_sleep);
ROW(ask_unauth_pipelining); ROW(ask_multi_recipient_bounce); ROW(ask_class); ROW(ask_broken);
/* restrict_client.c */
ROW(ask_inet_interfaces); ROW(ask_mynetworks); ROW(ask_unknown_client); ROW(ask_unknown_reverse_name); ROW(ask_address_map);
/* restrict_tls.c */
ROW(ask_client_certificate); ROW(ask_trusted_certificate); ROW(ask_certificate_access); ROW(ask_plaintext);
/* restrict_sasl.c */
ROW(ask_authenticated); ROW(ask_login_access); ROW(ask_senders_login); ROW(ask_users_sender); ROW(ask_strangers_sender); ROW(ask_known_senders_login);
/* restrict_helo.c */
ROW(ask_invalid_helo); ROW(ask_non_fqdn_helo); ROW(ask_unknown_helo);
/* restrict_domain.c */
ROW(ask_non_fqdn_sender); ROW(ask_non_fqdn_recipient); ROW(ask_unknown_sender_domain); ROW(ask_unknown_recipient_domain);
/* restrict_rcpt.c */
ROW(ask_permit_auth_destination); ROW(ask_reject_unauth_destination); ROW(ask_defer_unauth_destination);
ROW(ask_unlisted_sender); ROW(ask_unlisted_recipient);
/* restrict_table.c */
ROW(ask_client_access); ROW(ask_reverse_name_access); ROW(ask_helo_access); ROW(ask_sender_access); ROW(ask_recipient_access);
ROW(ask_etrn_access);
/* restrict_policy.c */
ROW(ask_policy_service);
/* restrict_servers.c */
ROW(ask_client_servers); ROW(ask_reverse_name_servers); ROW(ask_helo_servers); ROW(ask_sender_servers); ROW(ask_recipient_servers);
/* restrict_dnsbl.c */
ROW(ask_rbl_client); ROW(ask_rhsbl_client); ROW(ask_rhsbl_reverse_client); ROW(ask_rhsbl_helo); ROW(ask_rhsbl_sender);
ROW(ask_rhsbl_recipient); ROW(ask_dnswl_client); ROW(ask_rhswl_client);

#endif
