/* SPDX-License-Identifier: ISC */
/*
 * The local delivery agent: aliases, .forward files, commands, files, mailboxes.
 *
 * Two kinds of process. The parent, which has root's powers, takes requests, looks up aliases and accounts,
 * and never opens a file that belongs to a user or reads a message. Whatever is done on a user's behalf is
 * done by a child that has become this user (lib/mailbox/child.h), and the child only says what came of it
 * (reply.h).
 *
 *   main.c         requests, settings                    destinations.c  a list of destinations, as text
 *   recipient.c    one recipient, from aliases to a user aliases.c       alias tables, their owners,
 *   :include: files
 *   list.c         what an alias's list comes to         errand.c        in the child: .forward, mailbox,
 *   file, command
 *   forward.c      new messages to other addresses       command.c       running a command
 *   pass.c         handing over to another agent         reply.c         what children say
 */
#ifndef ROAD_LOCAL_LOCAL_H
#define ROAD_LOCAL_LOCAL_H

#include "lib/agent/agent.h"
#include "lib/conf/params/local.h"
#include "lib/conf/params/mailbox.h"
#include "lib/conf/params/route.h"
#include "lib/mailbox/child.h"
#include "lib/mailbox/mailbox.h"
#include "lib/table/match.h"
#include "lib/table/table.h"
#include "local/destinations.h"

enum {
	MOST_ALIAS_DEPTH = 100,		/* aliases of aliases, followed here */
	MOST_INCLUDE_DEPTH = 10,
	MOST_DESTINATIONS = 50000,	/* of one recipient, in all its lists */
	INCLUDE_LIMIT = 4 << 20,	/* bytes of one file */
	MOST_INCLUDES = 500,		/* files for one recipient, and their bytes together: */
	MOST_INCLUDED = 32 << 20,
};

/* Settings and tables, opened once. */
struct local {
	struct local_conf conf;
	struct mailbox_conf mailbox;
	struct route_conf route;
	struct str delimiter;
	struct tables *aliases, *mailbox_command, *mailbox_transport, *fallback_transport;
	struct match_list *destinations;	/* mydestination */
	struct mailbox_rules rules;
	/* names in aliases may be delivered at once: nothing routes single addresses elsewhere */
	bool nests;
	uid_t own_uid;			/* of an unprivileged instance, which can deliver as this user only */
	gid_t own_gid;
	bool privileged;
};
extern struct local the_local;

/* Whose rights commands and files of a list are used with. */
struct rights {
	uid_t uid;
	gid_t gid;
	struct account account;		/* name empty: default_privs, nobody in particular */
};

/* One recipient on its way. */
struct task {
	struct delivery *d;
	struct recipient *r;
	struct arena *arena;		/* the delivery's */
	struct str name;		/* the local part, lower case */
	struct str user, extension;	/* of name, at the delimiter */
	struct str domain;
	struct str sender;		/* the message's, or an alias's owner */
	struct str original;		/* what X-Original-To says */
	struct mailbox_result result;	/* the worst so far */
	bool has_result;
	bool passed;			/* another agent has reported the outcome */
	size_t destination_count, include_count, included;
	VEC(struct str) forward;	/* addresses that get a new message when all else is done */
};

/* ---- recipient.c ---- */
void deliver_recipient(struct delivery *d, struct recipient *r);
/* A result of one of several destinations: the worst is kept, good ones are listed. */
void add_result(struct task *t, enum mailbox_status status, const char *dsn, const char *format,
		...) __attribute__((format(printf, 4, 5)));
/* Mail for a user of this name. final: neither .forward files nor other aliases count ("\user"). */
void deliver_to_user(struct task *t, struct str name, bool final);
struct letter letter_of(struct task *t);
struct errand;
gid_t errand_spool_group(const struct errand *e);	/* (gid_t) NO_GROUP: none */

/* ---- aliases.c ---- */
struct alias {
	struct str name;		/* as it was found: with the extension or without */
	struct str extension;		/* what the name found lacks, with its delimiter */
	struct str value;
	struct rights rights;
};
/* 1 found, 0 not there, < 0 cannot tell (a result has been added). */
int find_alias(struct task *t, struct str name, struct alias *ret);
/* owner-NAME: 1 there is one, and *ret_sender is its address; 0; < 0 cannot tell. */
int find_owner(struct task *t, const struct alias *alias, struct str *ret_sender);
/*
 * Content of an :include: file, read with these rights; *ret_rights are those of its owner. -errno, a
 * result has been added.
 */
int read_include(struct task *t, struct str path, const struct rights *rights, struct str *ret_text,
		 struct rights *ret_rights);
struct rights default_rights(struct task *t);
/* Asked before each :include: file; has_included() then tells its size. False: more than one recipient may cause. */
bool may_include(struct task *t);
void has_included(struct task *t, size_t bytes);
/* Does a list of main.cf (propagate_unmatched_extensions, allow_mail_to_files, ...) have this word? */
bool list_has(const char *list, const char *word);

/* ---- list.c ---- */
void deliver_list(struct task *t, const struct alias *alias, const struct destinations *list);

/* ---- errand.c: in the child ---- */
struct errand {
	struct task *task;
	struct rights rights;
	/* a user's mail */
	bool is_user, final;
	const char *mailbox_command;	/* NULL: none */
	bool has_transport;		/* instead of a mailbox, mailbox_transport is to get it */
	const char *spool;		/* mailbox in the mail spool; NULL: another place */
	const char *home_mailbox;	/* NULL: none */
	/* or one destination of an alias */
	enum destination_kind kind;
	struct str what;
};
/* Runs it and adds what came of it to the task. 1: the mail shall go to mailbox_transport; else 0. */
int run_errand(struct errand *e);

/* ---- command.c: in the child ---- */
void run_command(struct errand *e, const char *command, struct mailbox_result *ret);

/* ---- forward.c ---- */
/* One new message to all of t->forward. Adds a result. */
void forward_all(struct task *t);

/* ---- pass.c ---- */
/* "transport:nexthop" of the settings gets the recipient; the outcome is its agent's. */
void pass_to(struct task *t, struct str transport);

#endif
