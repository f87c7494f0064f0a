/* SPDX-License-Identifier: ISC */
/*
 * Where a domain wants its reports: the TXT record at _smtp._tls.DOMAIN (RFC 8460 3), written by
 * strangers.
 */
#ifndef ROAD_TLSRPT_RECORD_H
#define ROAD_TLSRPT_RECORD_H

#include "lib/base/arena.h"

enum { MOST_PLACES = 4 };		/* of a record; further ones are left out */

struct place {				/* one rua */
	bool is_mail;
	struct str address;		/* mailto: */
	struct str host, path;		/* https: */
	uint16_t port;
};
struct places { struct place at[MOST_PLACES]; size_t len; };

/*
 * A TXT record's text. 1: of version TLSRPTv1, with one place at least that can be used; 0:
 * something else, which does not count; -EINVAL: of that version, and malformed or without such a
 * place. Texts live in the arena.
 */
int record_parse(struct str text, struct arena *a, struct places *ret);

#endif
