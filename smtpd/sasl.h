/* SPDX-License-Identifier: ISC */
/*
 * SASL in smtpd (RFC 4954): what is opened at start, which mechanisms a client is offered, and who
 * it has proved to be.
 */
#ifndef ROAD_SMTPD_SASL_H
#define ROAD_SMTPD_SASL_H

#include "smtpd/session.h"

struct smtpd;

void open_sasl(struct smtpd *to);		/* at start; dies with words */
const char *sasl_socket(void);			/* what it connects to; NULL: nothing, or not by a path */
bool sasl_needs_inet(void);

/* May this client authenticate at all? smtpd_sasl_auth_enable, and TLS if smtpd_tls_auth_only wants it. */
bool sasl_is_active(const struct session *s);
/*
 * The names for EHLO, "PLAIN LOGIN"; empty: none. Not of a mechanism that the security options or
 * the filter keep from this client. Notes in s->sasl_is_down whether nobody can tell.
 */
struct str sasl_offered(struct session *s) MAY_YIELD;
/* The name of an offered mechanism as the server spells it; empty: it is not offered. */
struct str sasl_find(struct session *s, struct str mechanism) MAY_YIELD;

/* method: as the client named the mechanism. Empty user: nobody any more. */
void sasl_set_user(struct session *s, struct str method, struct str user);
static inline bool is_authenticated(const struct session *s) { return s->sasl_username.len > 0; }

#endif
