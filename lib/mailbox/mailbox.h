/* SPDX-License-Identifier: ISC */
/*
 * Writing messages into mailboxes: mbox files and Maildirs. Everything here is done as the user whose
 * mailbox it is, in a hand of a delivery agent (lib/agent/hands.h), with blocking calls.
 *
 * What must stay true: a message is reported as sent only when its final name exists and one fsync after
 * that succeeded; a failed fsync is not repeated; a failed append leaves an mbox file as long as it was.
 */
#ifndef ROAD_MAILBOX_MAILBOX_H
#define ROAD_MAILBOX_MAILBOX_H

#include "lib/base/buf.h"

/* the greater is what several destinations together amount to */
enum mailbox_status { MAILBOX_SENT, MAILBOX_BOUNCED, MAILBOX_DEFERRED };

struct mailbox_result {
	enum mailbox_status status;
	char dsn[12];
	struct buf text;		/* for the log and the sender: set .text = BUF_WORDS before use */
	/* where an mbox file's new message begins; in a Maildir -1. Not packed */
	int64_t at;
	bool lacks_dotlock;		/* the directory does not let us make one. Not packed */
};
void mailbox_say(struct mailbox_result *ret, enum mailbox_status status, const char *dsn, const char *format,
		 ...)
	__attribute__((format(printf, 4, 5)));
/*
 * "WHAT: error text" with the status code that an errno value means: no space and quota are the user's
 * matter (4.2.2), EFBIG is final (5.2.2).
 */
void mailbox_say_error(struct mailbox_result *ret, int error, const char *format,
		       ...) __attribute__((format(printf, 3, 4)));

/*
 * A result as one line, for a child's reply; control characters of the text become '?'. unpack: -EBADMSG,
 * and ret is as it was.
 */
void mailbox_result_pack(const struct mailbox_result *result, struct buf *b);
int mailbox_result_unpack(struct str line, struct mailbox_result *ret);

/* ---- what is written ---- */

enum letter_flags {
	LETTER_FROM = 1,		/* the line "From sender  date" first */
	LETTER_QUOTE_FROM = 2,		/* ">From " for lines that start so */
	LETTER_EMPTY_LINE = 4,		/* one at the end */
	LETTER_RETURN_PATH = 8,
	LETTER_ORIGINAL_TO = 16,
	LETTER_DELIVERED_TO = 32,
	LETTER_HEADERS = LETTER_RETURN_PATH | LETTER_ORIGINAL_TO | LETTER_DELIVERED_TO,
};
struct letter {
	/* internal form; sender empty: the null sender */
	struct str sender, original_to, delivered_to;
	uint64_t size;						/* of the content */
	/* The content in pieces, LF line ends, from offset `at`: bytes, 0 at the end, -errno. */
	ssize_t (*read)(void *arg, uint64_t at, void *to, size_t n);
	void *arg;
};
/* Writes it all to fd. -errno of the content or of fd; what is written by then stays. */
int letter_write(const struct letter *l, unsigned flags, int fd);
/* Gives it piece by piece to `out`, which returns < 0 to stop. */
int letter_copy(const struct letter *l, unsigned flags, int (*out)(void *arg, struct str bytes), void *arg);
/*
 * Has it been delivered to this address before? Looks for "Delivered-To: address" among its headers. 1, 0,
 * -errno of the content.
 */
int letter_was_delivered_to(const struct letter *l, struct str address);

/* ---- where to ---- */

enum mailbox_locks { LOCK_FCNTL = 1, LOCK_FLOCK = 2, LOCK_DOTLOCK = 4 };
struct mailbox_rules {
	unsigned locks;			/* enum mailbox_locks */
	int lock_attempts;
	int64_t lock_delay_ms, stale_lock_ms;
	int64_t size_limit;		/* of an mbox file, and of one message in a Maildir; 0: none */
	bool strict_owner;		/* an mbox file must belong to who writes it */
	bool any_file;			/* a list names it, which may name any: no program, and any lock or none has to do */
	bool waits_until_fit;		/* what is no mbox file, or has two names, puts the mail off instead of returning it */
	struct str host;		/* in names of Maildir files */
};
/* "fcntl, dotlock" to a set; -EINVAL with words. */
int mailbox_locks_parse(struct str text, unsigned *ret_locks, struct buf *why);

/*
 * Deliveries that share the price of a sync. With a batch (NULL: none), mbox_append() and
 * maildir_add() leave the file written, under its final name, an mbox file locked, and *ret says
 * what becomes true, or is changed, when mailbox_settle() has synced all of them: *ret must live
 * until then. Who holds locks waits for nobody: -EBUSY, a lock is somebody else's and nothing was
 * done. Otherwise 0, and *ret says what came of it.
 */
struct mailbox_batch;
struct mailbox_batch *mailbox_batch_new(void);
void mailbox_batch_free(struct mailbox_batch *b);	/* settled, or nothing was added; NULL is fine */
void mailbox_settle(struct mailbox_batch *b);		/* then it is empty and may be used again */

/* Appends to a file, which is made (mode 0600) if need be. /dev/null takes everything. */
int mbox_append(const struct letter *l, const char *path, unsigned flags, const struct mailbox_rules *rules,
		struct mailbox_batch *b, struct mailbox_result *ret);
/* A new file in a Maildir, which is made if need be, with all directories above it. */
int maildir_add(const struct letter *l, const char *path, const struct mailbox_rules *rules,
		struct mailbox_batch *b, struct mailbox_result *ret);

#endif
