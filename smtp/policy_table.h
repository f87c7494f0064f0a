/* SPDX-License-Identifier: ISC */
/* One entry of smtp_tls_policy_maps: a level and what goes with it. Inside smtp/policy*.c only. */
#ifndef ROAD_SMTP_POLICY_TABLE_H
#define ROAD_SMTP_POLICY_TABLE_H

#include "smtp/policy.h"

struct policy_entry {			/* texts that are not there: at NULL, main.cf counts */
	enum tls_level level;
	struct str match, protocols, ciphers, exclude, servername;
	struct str anchor_files;	/* tafile=, several separated by blanks */
	int reuse;			/* -1: main.cf counts */
	enum { STS_TYPE_NOT_SAID, STS_TYPE_NONE_FOUND, STS_TYPE_STS } sts_type;	/* policy_type= */
	bool has_sts_attributes;
	/*
	 * STS_TYPE_STS: mode is enforce where the level proves the host by name, else testing;
	 * domain empty: the next hop
	 */
	struct sts_policy sts;
};

/*
 * sts_attributes.c: one attribute. 1 taken, 0 it is none of these, -EINVAL with words. And at the
 * end: do they make sense together?
 */
int sts_attribute_take(struct arena *a, struct str name, struct str value, struct policy_entry *e,
		       struct buf *why);
int sts_attributes_check(struct policy_entry *e, struct buf *why);

/*
 * "secure match=a:b servername=hostname". -EINVAL with words, which say what is wrong but not
 * where. warn: what is ignored, may be empty.
 */
int policy_entry_parse(struct arena *a, struct str text, struct policy_entry *ret, struct buf *warn,
		       struct buf *why);

/* What would hold up mail under such an entry (policy.c); words, or nothing. */
void policy_try_entry(struct arena *a, const struct policy_entry *e, struct buf *why);

/* What tables say of a next hop: 1, 0, -errno (tables_why()). */
struct tables;
int next_hop_find(struct tables *in, struct arena *a, struct str next_hop, struct str *ret_key,
		  struct str *ret_text) MAY_YIELD;

/* At start: opens the tables. Whether there are any. Dies of what cannot work. */
bool policy_table_open(void);
void policy_table_close(void);
/*
 * The entry for a next hop as it was given; for a bare domain also those of the domains above it,
 * as ".example.com". 1 found, 0 none; -EINVAL: what is there makes no sense, -errno: cannot tell;
 * both are logged.
 */
int policy_table_get(struct arena *a, struct str next_hop, struct policy_entry *ret) MAY_YIELD;

#endif
