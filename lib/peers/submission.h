/* SPDX-License-Identifier: ISC */
/*
 * How a local user's message gets from sendmail to postdrop, which writes it into maildrop/ with
 * its group's rights: over postdrop's standard input, as
 *
 *   postroad-submission 1 LF
 *   envelope LENGTH LF  that many bytes: a packed envelope (lib/queue/envelope.h)
 *   data LENGTH LF      that many bytes of the message, LF line ends; repeated, LENGTH at most SUBMISSION_PIECE
 *   end LF
 *
 * Without "end" nothing is queued: a writer that dies leaves nothing behind. Of the envelope
 * postdrop takes sender, recipients, DSN wishes, VERP, full name and the flags below; everything
 * else it knows better. When the message is durable, postdrop says "ID LF" on its standard output
 * and ends with status 0, else with a status of sysexits(3) and words on standard error.
 */
#ifndef ROAD_PEERS_SUBMISSION_H
#define ROAD_PEERS_SUBMISSION_H

#include "lib/io/input.h"
#include "lib/queue/envelope.h"

enum {
	SUBMISSION_PIECE = 64 << 10,
	SUBMISSION_MOST_ENVELOPE = 8 << 20,
	SUBMISSION_LONGEST = 16 << 10,	/* address */
	SUBMISSION_FLAGS = ENVELOPE_8BITMIME | ENVELOPE_SMTPUTF8 | ENVELOPE_LOCAL | ENVELOPE_EXTRACT
			   | ENVELOPE_VERIFY | ENVELOPE_REQUIRETLS,
};

/* ---- sendmail's side; blocking ---- */

struct submission;
/*
 * Starts postdrop and sends the envelope. `program` is its path, config_dir (NULL: none) goes to it
 * as -c. -errno with words when it cannot be started.
 */
int submission_begin(const char *program, const char *config_dir, const struct envelope *e,
		     struct submission **ret, struct buf *why);
/* Content. An error is sticky; submission_end tells. */
void submission_write(struct submission *s, struct str bytes);
/*
 * Ends and waits: 0 and the message's id, or a status of sysexits(3); postdrop said why on standard
 * error. Frees s.
 */
int submission_end(struct submission *s, char ret_id[32]);
void submission_abort(struct submission *s);	/* nothing is queued; NULL is fine */

/* ---- postdrop's side ---- */

/*
 * The first lines and the envelope, not yet believed: packed lives in the arena. -EBADMSG,
 * -EMSGSIZE, -EPIPE; with words.
 */
int submission_read_envelope(struct input *in, struct arena *a, struct str *ret_packed, struct buf *why);
/*
 * Does each address keep the measure that sendmail and SMTP impose? Others would be more than a
 * notification can carry.
 */
bool submission_is_bounded(const struct envelope *e);
/*
 * The next piece of content: 1; 0 after "end"; -EPIPE when the input ends before; -EBADMSG. *left
 * starts at 0.
 */
int submission_read_piece(struct input *in, size_t *left, struct str *ret_piece);

#endif
