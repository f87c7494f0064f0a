/* SPDX-License-Identifier: ISC */
/*
 * Access restrictions. main.cf's lists are compiled when the program starts (restrict_compile.c):
 * each word becomes a rule, which is a row of the table in restrict.c and its argument, opened.
 * Nothing is looked up by name while mail arrives, and a wrong word stops the start, not a
 * customer's mail.
 *
 * A restriction is a row and a small function; the functions are in restrict_*.c, by what they look at.
 */
#ifndef ROAD_SMTPD_RESTRICT_H
#define ROAD_SMTPD_RESTRICT_H

#include "lib/route/route.h"
#include "lib/table/table.h"
#include "smtpd/verdict.h"

struct session;

enum stage { STAGE_CLIENT, STAGE_HELO, STAGE_SENDER, STAGE_RELAY, STAGE_RECIPIENT, STAGE_DATA,
	     STAGE_END_OF_DATA, STAGE_ETRN, STAGE_COUNT };

/* what a stage has, what a rule needs */
enum knowledge { KNOWS_CLIENT = 1, KNOWS_HELO = 2, KNOWS_SENDER = 4, KNOWS_RECIPIENT = 8, KNOWS_ETRN = 16 };

enum arg_kind {
	NO_ARG,
	ARG_TABLE,		/* "type:name" */
	/* the same, or "{ type:name, { search_order = pubkey_fingerprint, cert_fingerprint } }" */
	ARG_CERTIFICATE_TABLE,
	ARG_DOMAIN,		/* "domain" or "domain=filter", of a DNS list */
	ARG_TIME,		/* seconds */
	ARG_SERVICE,		/* "unix:path", "inet:host:port", or one with settings in { } */
	ARG_CLASS,		/* not in the table: the rule of a restriction class */
};

struct question;
struct rule;
struct policy_service;

struct restriction {
	const char *name;	/* as written in main.cf */
	unsigned needs;		/* enum knowledge */
	enum arg_kind arg;
	struct verdict (*ask)(struct question *q, const struct rule *r) MAY_YIELD;
	bool refuses_strangers;	/* one of these must be in the relay or recipient list */
};
extern const struct restriction restrictions[];		/* ends with name NULL */

struct rule_list {
	const char *name;	/* the parameter */
	size_t count;
	struct rule *rules;
};

enum certificate_key { CERTIFICATE_KEYS_END, CERTIFICATE_FINGERPRINT, CERTIFICATE_KEY_FINGERPRINT };

struct rule {
	const struct restriction *row;
	bool warn_only;		/* behind warn_if_reject */
	const char *argument;	/* as written; NULL: none */
	union {
		struct {
			struct table *table;
			/* parents of the key are tried too (not for patterns) */
			bool partial;
			enum certificate_key order[3];		/* check_ccert_access: what is looked up */
		};
		struct dns_list *dns_list;
		struct policy_service *policy;
		int64_t milliseconds;
		const struct rule_list *class;
	};
};

/* The answer to "how does this address resolve?", found out once per question. */
struct way {
	bool known;
	int error;			/* < 0: cannot tell */
	struct resolution to;
};

/*
 * One evaluation: at RCPT, that of all lists whose turn it is then. Lives on the stack; its texts
 * live in the session's step arena.
 */
struct question {
	struct session *s;
	struct arena *arena;
	enum stage stage;		/* of the list under way */
	unsigned knows;			/* enum knowledge */
	struct str sender, recipient;	/* as the client wrote them, in internal form */
	struct str etrn;		/* the domain of ETRN */
	/* what the list is about, for texts: "<subject>: Sender address rejected" */
	struct str subject;
	const char *subject_class;
	struct verdict pending;		/* REJECT: a defer_if_permit, for the end */
	/* REJECT: a defer_if_reject; until the next kind of restrictions, the recipient's being one */
	struct verdict instead;
	bool warn_only;
	bool vanishes;			/* an earlier recipient's lists said DISCARD */
	int depth;			/* of classes and results of tables */
	struct way sender_way, recipient_way;
};

void question_begin(struct question *q, struct session *s, struct str recipient /* or STR_NONE */);
/* A list on its own (classes, results of tables, local_header_rewrite_clients), inside an evaluation. */
struct verdict rules_ask(struct question *q, const struct rule_list *list) MAY_YIELD;
/* Everything that is asked about a recipient at RCPT. */
struct verdict restrict_recipient(struct session *s, struct str recipient) MAY_YIELD;
/* The same at VRFY: nothing but the verdict comes of it. */
struct verdict restrict_vrfy(struct session *s, struct str recipient) MAY_YIELD;
/* RFC 5321 4.5.1: "RCPT TO:<Postmaster>" is accepted from everybody; whoever is refused can ask why there. */
bool is_bare_postmaster(struct str recipient);
/*
 * A list that stands alone at its own time: client, helo, sender (smtpd_delay_reject = no), data,
 * end of data.
 */
struct verdict restrict_now(struct session *s, enum stage stage) MAY_YIELD;

struct verdict restrict_etrn(struct session *s, struct str domain) MAY_YIELD;
struct str only_recipient(const struct session *s);	/* empty when there are several, or none yet */

/* "QID: reject: RCPT from name[addr]: TEXT; from=<> to=<> proto= helo=<>" */
void log_check(const struct question *q, const char *what, struct str text);
void log_verdict(const struct question *q, const char *what, const struct verdict *v);

/* ---- for the functions of rows ---- */

struct way *way_of_sender(struct question *q) MAY_YIELD;
struct way *way_of_recipient(struct question *q) MAY_YIELD;
bool is_source_routed(struct question *q) MAY_YIELD;	/* the recipient's local part may be a route */
/* Records a defer_if_permit (the first one counts) and goes on. */
struct verdict defer_if_permit(struct question *q, struct verdict v);
/* "<subject>: Client host rejected: text" about the list's own subject. */
struct verdict reject_subject(struct question *q, int code, const char *dsn, const char *text);
bool is_fqdn(struct str name);		/* has a dot that is not at its ends, or is an address literal */

/* explain.c and lint.c listen to an evaluation. NULL: nobody does; members but `passes` may be NULL. */
struct restrict_observer {
	void (*list)(const struct question *q, const struct rule_list *list);
	void (*rule)(const struct question *q, const struct rule *r, const struct verdict *v /* NULL: not asked */);
	/* the implicit ones */
	void (*check)(const struct question *q, const char *parameter, const struct verdict *v);
	/* true: take it as without objection, and do not ask */
	bool (*passes)(const struct rule *r);
};
extern const struct restrict_observer *restrict_observer;

/* restrict_compile.c */
/* Dies with EX_CONFIG and words that name file and line. */
const struct rule_list *restrict_compile(struct conf *c, const char *parameter, const char *text,
					 enum stage stage, bool delayed);
bool refuses_strangers(const struct rule_list *list);
/* A list as the result of an access table: no new tables. -EINVAL: unknown words. Lives in the arena. */
int restrict_compile_result(struct arena *a, struct str text, enum stage stage, const struct rule_list **ret);

/* access_action.c: what a value of an access table means, about q->subject. */
struct verdict access_verdict(struct question *q, const struct rule *r, struct str value) MAY_YIELD;
/* as far as can be seen before it is needed; for lint, as the next */
bool access_makes_sense(struct arena *a, struct str value);
/* or is it an action that lets nobody through? */
bool access_may_permit(struct str value);

/* An enhanced code from elsewhere, made to fit what the text is about ("Sender address"). */
struct str fit_dsn(struct arena *a, const char *class, struct str code);

/* restrict_dnsbl.c */
int dns_list_parse(struct arena *a, struct str text, struct dns_list **ret);

/* restrict_rcpt.c: the implicit last check. */
struct verdict check_recipient_exists(struct question *q) MAY_YIELD;
struct verdict check_sender_exists(struct question *q) MAY_YIELD;

#endif
