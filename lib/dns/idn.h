/* SPDX-License-Identifier: ISC */
/*
 * Internationalised domain names, as SMTPUTF8 addresses have them, by the rules of UTS 46
 * (libidn2): DNS knows the ASCII form (A-labels, RFC 5890, "xn--"), people and configurations the
 * other one. Capital letters, composed and decomposed characters, wide digits are the same name.
 */
#ifndef ROAD_DNS_IDN_H
#define ROAD_DNS_IDN_H

#include "lib/base/arena.h"

enum { IDN_ROOM = 1024 };
/*
 * room: 256 bytes; *ret_name points into it. False: not UTF-8, too long, or a character that is in
 * no name (spaces, controls, private use).
 */
bool idn_to_ascii(struct str name, char *room, struct str *ret_name);
/* U-labels in lower case, whichever form it has now. room: IDN_ROOM bytes. */
bool idn_to_unicode(struct str name, char *room, struct str *ret_name);
/*
 * The name as it is, then its other forms, for tables that may have either. How many: ordinary
 * names have one.
 */
enum { IDN_FORMS = 3 };
size_t idn_forms(struct arena *a, struct str name, struct str ret[IDN_FORMS]);

#endif
