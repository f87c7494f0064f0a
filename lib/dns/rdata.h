/* SPDX-License-Identifier: ISC */
/*
 * Names and record data as they come from the network, by way of the resolver. Everything is
 * checked by its type before anybody uses it; what is malformed is left out and counted, never read
 * beyond its end, never half used.
 */
#ifndef ROAD_DNS_RDATA_H
#define ROAD_DNS_RDATA_H

#include "lib/dns/dns.h"

enum { DNS_MOST_RECORDS = 1000 };	/* of one answer; more are left out and counted */

/* One record's data (uncompressed names). False: malformed. *ret points into the arena. */
bool dns_parse_rdata(struct arena *a, enum dns_type type, struct str rdata, struct dns_record *ret);
/*
 * "u16 length, rdata" repeated, as in dns_reply. *ret_malformed: how many were left out. -EBADMSG:
 * the framing itself is broken.
 */
int dns_parse_records(struct arena *a, enum dns_type type, struct str records, size_t *ret_count,
		      struct dns_record **ret_records, size_t *ret_malformed);
/*
 * A name as text that may be asked for: labels of 1..63 letters, digits, '-', '_', '/', '*' and 255
 * bytes in all. The result is in lower case and without the final dot, written to room (256 bytes).
 */
bool dns_name_is_valid(struct str name, char *room, struct str *ret_name);

#endif
