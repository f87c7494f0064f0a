/* SPDX-License-Identifier: ISC */
/* Running a user's command, in a hand: for local and pipe. */
#ifndef ROAD_AGENT_COMMAND_H
#define ROAD_AGENT_COMMAND_H

#include "lib/agent/hands.h"
#include "lib/mailbox/mailbox.h"

enum { MOST_ARGUMENTS = 256, MOST_ENVIRONMENT = 64 };

struct command {
	const char *name;		/* what results call it */
	/* NULL: results say "delivered to command: NAME", else "delivered via SERVICE service" */
	const char *service;
	const char **argv;		/* ends with NULL */
	const char *envp[MOST_ENVIRONMENT + 1];
	size_t envc;
	const char *directory;		/* NULL: where we are */
	bool directory_must_be;		/* else "/" will do */
	int64_t time_limit_ms;
	int64_t file_limit;		/* bytes of any file that it writes; 0: as many as we may */
};
/*
 * Whose rights commands get that master.cf names, user= and group= (empty: the user's own): in
 * start(). Neither root nor the mail system itself; without privileges only oneself. -EINVAL with
 * words.
 */
int command_identity(struct arena *a, struct str user, struct str group, struct identity *ret,
		     struct buf *why);

#define COMMAND_PATH "/usr/local/bin:/usr/bin:/bin"
/*
 * Octets outside of filter (NULL: all are fine) become '_': what comes with the mail must not mean
 * anything to a shell. A name that is there already keeps its value: some programs take the first of two, some the last.
 */
void command_add_variable(struct command *c, struct arena *a, const char *name, struct str value,
			  const char *filter);
/* export_environment: "NAME" of our own, or "NAME=value". */
void command_add_exported(struct command *c, struct arena *a);

/* Writes the message with out(out_arg, bytes), which returns < 0 to stop: then this is returned. */
typedef int command_input(void *arg, int (*out)(void *arg, struct str bytes), void *out_arg);
/*
 * Blocking, until it has ended, or until its time is over, or nobody wants to know any more: then
 * it is killed with its session.
 */
void command_run(const struct command *c, command_input *input, void *arg, struct mailbox_result *ret);

#endif
