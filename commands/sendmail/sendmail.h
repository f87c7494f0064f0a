/* SPDX-License-Identifier: ISC */
/* What the command line asked for, and who answers it. */
#ifndef ROAD_SENDMAIL_H
#define ROAD_SENDMAIL_H

#include "lib/conf/params/submit.h"
#include "lib/daemon/daemon.h"
#include "lib/peers/submission.h"

enum mode {
	MODE_ENQUEUE,			/* -bm, the default */
	MODE_SMTP,			/* -bs */
	MODE_MAILQ,			/* -bp, mailq */
	MODE_NEWALIASES,		/* -bi, -I, newaliases */
	MODE_DAEMON,			/* -bd, -bl */
	MODE_FLUSH,			/* -q */
	MODE_FLUSH_ID,			/* -qI id */
	MODE_FLUSH_SITE,		/* -qR site */
	MODE_NOTHING,			/* -bh, -bH, -qTIME */
};

struct request {
	enum mode mode;
	const char *dir;		/* -C; NULL: not given */
	const char *sender;		/* -f, -r; NULL: not given */
	const char *full_name;		/* -F, or $NAME; NULL: neither */
	const char *argument;		/* of -qI and -qR */
	const char *alias_database;	/* -oA */
	bool extract;			/* -t */
	bool dot_is_content;		/* -i */
	unsigned notify;		/* -N, -v */
	enum dsn_return ret;		/* -R */
	const char *envid;		/* -V */
	const char *verp;		/* -XV: delimiters, "": the default ones; NULL: not given */
	unsigned flags;			/* -B, -G, -O smtputf8=yes: enum envelope_flags */
	char **words;			/* what follows the options */
	int word_count;

	struct arena *arena;
	struct command_world world;
	struct submit_conf conf;
};

/*
 * options.c. Dies with EX_TEMPFAIL, like Postfix's for all that is not about a message or its
 * recipients: who calls shall keep the mail.
 */
void parse_options(struct request *q, int argc, char **argv);

/* enqueue.c: a message on standard input. Returns the exit status. */
int enqueue(struct request *q);
/* The sender when none is named: the account's name. */
struct str default_sender(struct request *q);
const char *postdrop_path(struct request *q);

/* dialogue.c: SMTP on standard input and output. */
int run_dialogue(struct request *q);

/* hand_over.c: other commands do it. Returns only when they cannot be run. */
int hand_over(struct request *q);

#endif
