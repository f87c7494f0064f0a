/* SPDX-License-Identifier: ISC */
/* What a policy is made of besides main.cf and the policy table. Inside smtp/ only, for policy.c. */
#ifndef ROAD_SMTP_POLICY_SOURCES_H
#define ROAD_SMTP_POLICY_SOURCES_H

#include "smtp/policy.h"

/*
 * Level dane or dane-only, and a host: what DNS says about it becomes level, anchors, names, or why
 * nothing is sent (dane.c).
 */
void dane_apply(struct job *job, const struct candidate *at, struct tls_policy *p) MAY_YIELD;
enum tls_level policy_insecure_mx(void);	/* smtp_tls_dane_insecure_mx_policy */

/* Files, separated by commas or blanks. -errno with words. (anchors.c) */
int anchors_of_files(struct arena *a, struct str paths, struct tls_anchors *ret, struct buf *why);

/* a result type of RFC 8460 that is about getting a policy (sts.c) */
enum tls_outcome sts_outcome(struct str failure);

/* The older smtp_tls_per_site (per_site.c). At start: are there any? Dies of what cannot work. */
bool per_site_open(void);
/*
 * What it says about a next hop or a server's name, together with what it said before (*level, -1:
 * nothing yet): the stricter one, and anything counts more than may. 0; -EINVAL, -EIO: logged.
 */
int per_site_get(struct arena *a, struct str name, int *level) MAY_YIELD;
bool per_site_knows(struct str value);

#endif
