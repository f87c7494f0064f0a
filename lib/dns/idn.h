/* SPDX-License-Identifier: ISC */
/*
 * Internationalised domain names, as SMTPUTF8 addresses have them: what is asked of DNS is the ASCII form (A-labels, RFC 5890), "xn--" and
 * Punycode (RFC 3492).
 *
 * Names are taken as they are written, apart from capital letters of the Latin, Greek and Cyrillic scripts, which are folded. There is no
 * normalisation: a name that is not in normal form C is asked for as another name.
 */
#ifndef ROAD_DNS_IDN_H
#define ROAD_DNS_IDN_H

#include "lib/base/str.h"

/* room: 256 bytes; *ret_name points into it. False: not UTF-8, too long, or a character that is in no name (spaces, controls, private use). */
bool idn_to_ascii(struct str name, char *room, struct str *ret_name);

#endif
