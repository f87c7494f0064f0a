/* SPDX-License-Identifier: ISC */
/*
 * sendmail(1), by its own name, as mailq and as newaliases: the door through which programs on this
 * machine hand in mail. It has no rights of its own; postdrop has. Success means that the message
 * is safely in maildrop/, whether the mail system runs or not.
 */
#include <unistd.h>

#include "commands/sendmail/sendmail.h"
#include "lib/base/die.h"

enum { MOST_MEMORY = 512 << 20 };

int main(int argc, char **argv)
{
	static struct request q;

	q.mode = MODE_ENQUEUE;
	q.flags = ENVELOPE_LOCAL;
	q.arena = arena_new("sendmail", NULL, MOST_MEMORY);
	q.full_name = getenv("NAME");		/* the environment is cleaned below */
	parse_options(&q, argc, argv);
	/* a configuration that cannot be read is no reason to give mail up */
	die_always_with(EX_TEMPFAIL);
	command_start("sendmail", q.dir, (const struct param_group *const[]){ &submit_group, NULL },
		      (void *const[]){ &q.conf }, &q.world);
	die_always_with(0);
	switch (q.mode) {
	case MODE_NOTHING: return 0;
	case MODE_ENQUEUE: return enqueue(&q);
	case MODE_SMTP: return run_dialogue(&q);
	default: return hand_over(&q);
	}
}
