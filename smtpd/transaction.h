/* SPDX-License-Identifier: ISC */
/*
 * A mail transaction: from a good MAIL until the message is handed over or given up.
 * transaction_end() is the only way out, whatever the reason (end of data, RSET, HELO, EHLO,
 * XCLIENT, the session's end): then everything below is gone.
 *
 *   recipients  content   state
 *   0           none      behind MAIL
 *   > 0         none      DATA and BDAT are possible
 *   > 0         under way BDAT chunks: CONTENT_COMING; a chunk that failed: CONTENT_FAILED, until BDAT LAST or RSET
 *   0           failed    BDAT without recipient that was not the last chunk
 */
#ifndef ROAD_SMTPD_TRANSACTION_H
#define ROAD_SMTPD_TRANSACTION_H

#include "lib/base/arena.h"
#include "lib/peers/cleanup.h"
#include "lib/queue/envelope.h"
#include "lib/smtp/dot_in.h"
#include "lib/smtp/esmtp_args.h"
#include "smtpd/verdict.h"

struct session;

/* What access tables ask for besides a yes or no. */
struct effects {
	struct arena *arena;
	unsigned cleanup_flags;			/* CLEANUP_HOLD, _DISCARD, _REDIRECTED */
	struct str filter, redirect;
	VEC(struct str) prepend, bcc;
	bool is_late;				/* said at the end of data */
};

bool is_among(const struct str *list, size_t count, struct str text);

enum content_state { CONTENT_NONE, CONTENT_COMING, CONTENT_FAILED };

struct transaction {
	struct arena *arena;
	struct envelope envelope;		/* recipients: when the content begins; the rest is complete */
	VEC(struct recipient) recipients;	/* as the client named them */
	struct effects effects;
	struct verdict pending;			/* a defer_if_permit at MAIL (smtpd_delay_reject = no) */
	uint64_t said_size;
	int turned_away;			/* recipients beyond the limit */
	char queue_id[32];			/* empty until the first recipient is accepted */
	enum content_state content;
	struct mail_out *out;			/* NULL: not begun, or given up */
	struct dot_in decoder;
	struct buf piece;			/* decoded content on its way */
	bool too_big;
};

/* Begins after MAIL: sender and parameters are copied. */
struct transaction *transaction_begin(struct session *s, struct str sender, const struct mail_args *m);
void transaction_end(struct session *s);	/* no transaction: fine */
/* -ENOSPC: no memory for more. The first one chooses the queue id and logs "client=". */
int transaction_add_recipient(struct session *s, struct str address, const struct rcpt_args *r);

/* a DISCARD action: nothing more is asked about its recipients */
bool session_discards(const struct session *s);
/* Effects of the moment: the transaction's, or those before it. NULL: they hold too much already. */
struct effects *session_effects(struct session *s);
void effects_free(struct effects **fx);		/* those before it; NULL: fine */

#endif
