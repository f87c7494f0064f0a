/* SPDX-License-Identifier: ISC */
/*
 * The local delivery agent: aliases, .forward files, commands, files, mailboxes.
 *
 * Two kinds of process. The agent takes requests, looks up aliases and accounts, and never opens a
 * file that belongs to a user or reads a message. Whatever is done on a user's behalf is done by a
 * hand, a process that has become this user (lib/agent/hands.h), and the hand only says what came
 * of it (reply.h).
 *
 *   main.c         requests, settings                    destinations.c  a list of destinations, as text
 *   recipient.c    one recipient, from aliases to a user aliases.c       alias tables, their owners,
 *                                                                        :include: files
 *   list.c         what an alias's list comes to         job.c           errands on their way to a hand and back
 *   forward.c      new messages to other addresses       errand.c        in the hand: .forward, mailbox, file
 *   pass.c         handing over to another agent         command.c       in the hand: running a command
 *   owner.c        telling an alias's owner of failures
 *   reply.c        what hands say                        biff.c          in the hand: who is logged in may hear of it
 *   explain.c      what a name comes to, for people       lint.c          what aliases name and is not there
 */
#ifndef ROAD_LOCAL_LOCAL_H
#define ROAD_LOCAL_LOCAL_H

#include "lib/agent/hands.h"
#include "lib/base/map.h"
#include "lib/conf/params/local.h"
#include "lib/conf/params/mailbox.h"
#include "lib/conf/params/route.h"
#include "lib/mailbox/mailbox.h"
#include "lib/route/route.h"
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
	/* what stands in lists gets its standard form, and its transport, before it is judged */
	struct route *routing;
	struct mailbox_rules rules;
	int most_slow;			/* commands and the like at once for one recipient */
	uid_t own_uid;			/* of an unprivileged instance, which can deliver as this user only */
	gid_t own_gid;
	uid_t mail_uid;			/* who makes new messages: the mail owner */
	gid_t mail_gid;
	bool privileged;
};
extern struct local the_local;

/* Whose rights commands and files of a list are used with. */
struct rights {
	uid_t uid;
	gid_t gid;
	struct account account;		/* name empty: default_privs, nobody in particular */
};

struct alias;

/* One recipient on its way. */
struct task {
	struct delivery *d;
	struct recipient *r;
	struct arena *arena;		/* the delivery's */
	/* whom it is about just now: the recipient, or what aliases have made of him. Its parts: */
	struct str address;
	struct str name;		/* the local part, lower case */
	struct str user, extension;	/* of name, at the delimiter */
	struct str domain;		/* lower case */
	struct str sender;		/* the message's, or an alias's owner */
	struct str original;		/* what X-Original-To says */
	struct str delivered;		/* what Delivered-To says */
	struct mailbox_result result;	/* the worst so far */
	bool has_result;
	const struct outcome *passed;	/* the worst that other agents said (and logged); NULL: nothing */
	size_t destination_count, include_count, included;
	VEC(struct str) forward;	/* addresses that get a new message when all else is done */
	/* of this machine, for which no map counts any more: a new message of their own */
	VEC(struct str) names;
	struct str himself;		/* what his .forward file calls its user; see WANTS_MAILBOX */
	bool is_unmatched;		/* that file is not the extension's own */
	VEC(struct str) mailboxes;	/* list.c: of users who are on their own lists, for when all else is done */
	bool has_owner;			/* the alias has: maps count for all of its new message */
	struct map *known;		/* what the lists have named so far; NULL: nothing */
	struct list begun_lists;	/* list.c: not yet gone through */
	bool in_lists;			/* somebody goes through them */
	bool came_back;			/* a list led to itself, or to another one twice */
	bool has_empty_list;		/* which may be just being written */
};

/* ---- recipient.c ---- */
void deliver_recipient(struct delivery *d, struct recipient *r);
/* A result of one of several destinations: the worst is kept, good ones are listed. */
void add_result(struct task *t, enum mailbox_status status, const char *dsn, const char *format,
		...) __attribute__((format(printf, 4, 5)));
/* Have lists that lead to each other led nowhere? */
bool is_circle(const struct task *t);
/*
 * Another address: what it comes to from here on is for commands, $names and other agents to know, and
 * for Delivered-To, unless that is frozen.
 */
void is_about(struct task *t, struct str address);
/*
 * In standard form; a name that this leaves without a domain (append_at_myorigin = no) is one of
 * this machine's.
 */
struct str standard_form(struct task *t, struct str address);
/* destinations_parse(), with addresses in standard form. */
int read_list(struct task *t, struct str text, size_t most, struct destinations *ret, struct str *ret_bad);
/*
 * Is this an address (in standard form) that would come back to us, that is to this transport,
 * whatever its domain, as this recipient with this local part? 1, 0, < 0 cannot tell (a result has
 * been added).
 */
int is_local_name(struct task *t, struct str address, struct str *ret_recipient, struct str *ret_local);
/* Are there any that may make another recipient of one of a new message? */
bool have_maps(void);
/* The list of an alias; < 0: it cannot be read, a result has been added. */
int read_alias(struct task *t, const struct alias *alias, struct destinations *ret);
/* Which .forward files count. */
enum forward_files {
	ALL_FORWARDS,
	/* for who is named in one of his own: if there is none, it is as if one named the user, WANTS_MAILBOX */
	NEXT_FORWARDS,
	FORWARD_OF_EXTENSION,		/* the same, but the one for all his addresses has been read */
	NO_FORWARD,			/* "\user": no other aliases either */
};
/* Mail for the user of this address. */
void deliver_to_user(struct task *t, struct str address, enum forward_files files);
/* Does this local part, as it is or without its extension, name the account? */
bool is_name_of(struct str name, struct str account);
struct letter letter_of(struct task *t);
gid_t spool_group(void);				/* (gid_t) NO_GROUP: none */

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
 * Content of an :include: file, read with these rights; *ret_rights: with whose what it names is
 * done. -errno, a result has been added.
 */
int read_include(struct task *t, struct str path, const struct rights *rights, struct str *ret_text,
		 struct rights *ret_rights);
struct rights default_rights(struct task *t);
/*
 * Asked before each :include: file; has_included() then tells its size. False: more than one
 * recipient may cause.
 */
bool may_include(struct task *t);
void has_included(struct task *t, size_t bytes);

/* ---- list.c ---- */
void deliver_list(struct task *t, const struct alias *alias, const struct destinations *list);
/*
 * What the .forward file of the user that it is about has left in t->forward, behind the first `from`:
 * as in an alias, but that he himself, by whatever alias, means his mailbox. to_mailbox: the file says so.
 */
void deliver_forwarded(struct task *t, const struct account *who, size_t from, bool to_mailbox);

/* ---- job.c ---- */
enum errand_kind {
	ERRAND_USER,			/* a user's mail */
	ERRAND_DESTINATION,		/* one file or command of an alias */
	ERRAND_INCLUDE,			/* the content of an :include: file; needs no message */
	ERRAND_FORWARD,			/* one new message */
};
struct errand {
	enum errand_kind kind;
	struct task *task;
	struct rights rights;
	/* a user's mail */
	enum forward_files files;
	const char *mailbox_command;	/* NULL: none */
	bool has_transport;		/* instead of a mailbox, mailbox_transport is to get it */
	/* a destination's kind; its text, the file's path, or the addresses, one per line */
	enum destination_kind destination;
	struct str what;
	bool final;			/* of a new message: no map counts */
	/* in the hand */
	struct hand_job *job;
	struct mailbox_result *late;	/* of a mailbox that is not synced yet */
	const char *late_file;		/* it is this file of a list; NULL: the user's mailbox */
};
extern const struct trade local_trade;
/* Has a hand do it: 0 with its reply, valid as long as the task; < 0 as hands_wait(). */
int run_job(struct errand *e, struct str *ret_reply);
enum errand_wish { NO_WISH, WANTS_TRANSPORT, WANTS_MAILBOX };
/* For ERRAND_USER and ERRAND_DESTINATION: also adds what came of it to the task. What is left to be done. */
enum errand_wish run_errand(struct errand *e);
bool ends_with_slash(const char *path);
/* Where a user's mail goes when nothing else is said. */
const char *mailbox_path(struct arena *a, const struct account *who);

/* ---- errand.c: in the hand ---- */
/* -EAGAIN: it takes longer than others should wait for. */
int do_errand(struct errand *e, struct buf *reply);
int do_include(struct errand *e, struct buf *reply);
/* What was delivered to a file of a list says to which; for a maildir, that it was one is enough. */
void name_file(struct mailbox_result *result, const char *path);

/* "/path" of "~/path". False: who delivers has no home. */
bool file_in_home(struct arena *a, const struct account *who, struct str path, struct str *ret);

/* ---- command.c: in the hand ---- */
void run_command(struct errand *e, const char *command, struct mailbox_result *ret);

/* ---- biff.c: in the hand ---- */
void announce_new_mail(const struct errand *e, const struct mailbox_result *result);

/* ---- forward.c ---- */
/* One new message to all of t->forward, one to all of t->names. Adds a result. */
void forward_all(struct task *t);
/* In the hand. */
int do_forward(struct errand *e, struct buf *reply);

/* ---- owner.c ---- */
/* Is the message's sender not the one to hear of failures? */
bool has_other_sender(const struct task *t);
/* These copies, for somebody else to see: then they come from the owner. */
void make_owners(const struct task *t, struct delivery *d, struct recipient *r);
/* o, which is a failure for good, is told to t->sender. -errno: not now. */
int tell_owner(struct task *t, const struct outcome *o);

/* ---- pass.c ---- */
/* "transport:nexthop" of the settings gets whom it is about; the outcome, its agent's, is in t->passed. */
void pass_to(struct task *t, struct str transport);
enum mailbox_status status_of_passed(const struct outcome *o);

#endif
