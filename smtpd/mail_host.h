/* SPDX-License-Identifier: ISC */
/* Does a domain take mail, as far as DNS knows: has it MX records, or at least an address? */
#ifndef ROAD_SMTPD_MAIL_HOST_H
#define ROAD_SMTPD_MAIL_HOST_H

#include "lib/dns/dns.h"

enum mail_host { MAIL_HOST_YES, MAIL_HOST_NO, MAIL_HOST_NULL_MX, MAIL_HOST_CANNOT_TELL };

enum mail_host find_mail_host(struct arena *a, struct str domain) MAY_YIELD;

#endif
