/* SPDX-License-Identifier: ISC */
/*
 * The queue manager's parts and what they share. One process, one loop, no locks.
 *
 *   intake.c      messages come in: announced by cleanup, or woken from disk; recipients are resolved and
 *                 handed to the scheduler
 *   scan.c        what lies on disk: at the start, and now and then
 *   dispatch.c    the scheduler's entries go to delivery agents; agents.c keeps the connections
 *   account.c     what became of the recipients: memory, journal
 *   conclude.c    the end of an attempt: notices, removal, or the next attempt's time
 *   leave.c       what is through is removed, or moved to where it waits, in batches
 *   log.c         the intake log: what lies there, and what has to leave it
 *   command.c     what administrators ask for
 *   in_hand.c     what is between places while somebody waits for the disk
 *   handover.c    a reload: what is under way is finished here, the successor takes the rest
 *
 * A message is in one of three places: in memory (q->active), asleep (q->sleepers), or in hold/, which nobody
 * here knows by heart. On its way from one to another it may be in hand (q->in_hand).
 */
#ifndef ROAD_QMGR_QMGR_H
#define ROAD_QMGR_QMGR_H

#include "lib/conf/master_cf.h"
#include "lib/conf/params/qmgr.h"
#include "lib/conf/params/queue.h"
#include "lib/ipc/channel.h"
#include "lib/queue/queue.h"
#include "lib/route/route.h"
#include "qmgr/schedule.h"
#include "qmgr/sleepers.h"

struct qmgr {
	const struct qmgr_conf *conf;
	const struct queue_conf *queue_conf;
	struct conf *raw;
	const struct common_conf *common;
	struct queue *queue;
	struct route *route;
	struct master_cf services;
	struct arena *arena;
	struct str double_bounce_sender;
	struct match_list *flushers;	/* authorized_flush_users */

	struct schedule *schedule;
	struct sleepers *sleepers;
	struct map *active;		/* id -> struct message */
	size_t active_recipients, active_retries;	/* recipients: of crowds only */
	struct map *in_hand;		/* ids */
	struct bell is_put_down;
	struct list arrivals;		/* announced, not yet resolved */
	size_t arrival_count;
	int workers, workers_inside;	/* intake coroutines; of them in the middle of a message */
	unsigned turn, loads;		/* taken in; of them from disk: whose turn it is */
	int connections_per_service;	/* to delivery agents */
	int under_way;			/* deliveries, conclusions and removals that somebody waits for */
	struct list leaving_messages, departing;	/* waiting for leave.c, and in its hands */
	/* through, and their files could not be removed: tried again by leave.c */
	struct list stuck;
	bool leaver_runs;
	/* what the disk does not take: unwritten.c */
	struct map *unwritten;		/* id -> journal lines */
	size_t unwritten_finals, stuck_count, removing;	/* removing: and not known to be stuck */
	bool is_held_up, let_through;	/* deliveries wait; one of them need not */
	bool disk_wait;
	size_t content_bytes;		/* held in memory: see log.c */
	bool log_keeper_runs, is_making_room;
	struct client *bounce;
	struct gate bounce_gate;
	/* one flush_site at a time: it reads many files, and anybody may ask */
	struct gate search_gate;
	struct scope *scope;		/* every coroutine but sessions */
	struct turn dispatch_turn;
	struct timer pause_timer, sleep_timer;
	struct bell ready;		/* the lock is ours and the queue is known */
	struct bell look;		/* run(): look at the disk, or leave */
	struct bell settled;		/* under_way fell to 0 */
	int64_t clock_ahead_us;		/* of the monotonic one, when last looked at */
	bool missed_some;		/* the last look could not read all of incoming/ */
	bool is_ready, look_soon, leaving;
};

/*
 * state.c: everything empty. Before: conf, raw, common, arena, queue, services, route. After: scope, and
 * is_ready when the queue is locked.
 */
void qmgr_begin(struct qmgr *q);

/* ---- one message in memory ---- */

enum fate {
	STAYS,
	/* deleted, or vanished from the disk: nothing more is done to its file */
	GONE,
	HELD,				/* goes to hold/ when nobody works on it any more */
	REQUEUED,			/* goes to maildrop/ then */
};

struct rcpt_state {
	unsigned char status;		/* enum outcome_status; PENDING and DEFERRED are tried */
	bool told;			/* the sender was told of the bounce or success */
	bool is_noted;			/* when it was loaded: for the sender to be told */
	/* checksum of the last deferral in the journal, so that it is not written again and again */
	uint32_t reason;
};

/* packed outcomes of this attempt, as many as one notification may be about */
struct notes {
	struct buf packed;
	uint32_t count;
	size_t addresses;		/* bytes of their recipients in an envelope, at most */
	/* there were more. The journal has them, and the message stays for them */
	bool is_cut;
};

struct message {
	struct qmgr *q;
	struct arena *arena;
	struct str id;
	enum queue_name where;
	struct envelope env;
	struct queue_parts parts;
	int64_t active_us;
	bool is_retry;			/* there was an attempt before */
	bool insist;			/* somebody asked for this attempt */
	int64_t not_before_s;		/* what its file said when it was loaded */
	bool force_expire, delay_warned;
	enum fate fate;
	struct rcpt_state *states;	/* parallel to env.recipients */
	uint32_t to_do;			/* entries waiting or under way, and one while it is being assigned */
	struct notes failures, successes, deferrals;
	struct queue_lock lock;		/* held for a successor to see: handover.c */
	bool was_in_log;		/* when it was announced */
	struct str content;		/* of a small one; empty: is read when it is needed */
	enum { TO_BE_REMOVED, TO_DEFERRED, TO_HOLD } leaves;	/* when in q->leaving_messages */
	bool flushed;			/* on its way to deferred, and already wanted again */
	struct list jobs;		/* in the scheduler */
	bool is_stuck;			/* and it was said that it cannot be removed */
	struct list link;		/* q->arrivals, later q->leaving_messages or q->stuck */
};

/*
 * unwritten.c. Into its journal, or into memory until that takes it: then -errno. -ENOENT: the file
 * is gone.
 */
int message_record(struct message *m, const struct journal_record *records, size_t n);
void unwritten_read(const struct qmgr *q, struct str id,
		    void (*each)(void *arg, const struct journal_record *r), void *arg);
void unwritten_free(struct qmgr *q);		/* at the end */
void unwritten_forget(struct qmgr *q, struct str id);
void unwritten_flush(struct qmgr *q);	/* tries to write all of it */
/*
 * What only this process knows, in messages or records of the intake log: somebody got it, or was
 * told, and would get it again if we died now. When these become too many no further delivery may
 * begin, but for one now and then: on a full disk only what is delivered makes room.
 */
size_t unrecorded(const struct qmgr *q);
void disk_lags(struct qmgr *q);			/* so it does: tries again until it takes all */
bool may_deliver(struct qmgr *q);

/* message.c. The packed envelope is copied. -EBADMSG. */
int message_announced(struct qmgr *q, const struct qmgr_announce *m, struct message **ret);
/*
 * From its file and journal. -ENOENT, -ENODATA, -EBADMSG, ... as queue_file_open; -EBUSY: a
 * predecessor has it.
 */
int message_load(struct qmgr *q, enum queue_name where, struct str id, struct message **ret);
void message_free(struct message *m);			/* not in q->active, nothing to do */
bool message_is_old(const struct message *m, int64_t now_us);
/* The recipient with that index in the queue file: its position, or -ENOENT. */
int message_position(const struct message *m, uint32_t index);
/* sendmail -bv: outcomes of any kind are notes in successes, and final */
bool is_only_verified(const struct message *m);
bool recipient_is_open(const struct message *m, uint32_t position);	/* still to be tried */
bool is_unfinished(const struct message *m);	/* or somebody is still to be told */
bool is_returned_untried(const struct message *m);	/* deferrals: why, of those whom the journal knows */
uint32_t message_sites(const struct message *m);	/* for its sleeper */
/* The envelope with some of its recipients. */
/* verp: of one recipient, with the sender that VERP makes for him */
int message_pack(const struct message *m, const uint32_t *positions, size_t n, bool verp, struct buf *b);
/* each failure by itself, to the recipient's own sender address */
bool is_returned_by_verp(const struct message *m);
int message_open_file(const struct message *m, bool writable, struct queue_file *ret);
void note_outcome(const struct message *m, struct notes *n, const struct outcome *o);
/* all of them have been told; others may have been left out */
void forget_notes(struct notes *n);
static inline bool has_notes(const struct notes *n) { return n->count > 0 || n->is_cut; }
bool wants_success_notice(const struct recipient *r, enum outcome_status status);

/* ---- rules.c: configuration of a transport ---- */

void rules_of(void *qmgr, struct str transport, struct transport_rules *ret);
/* NULL: master.cf has none */
const struct service_entry *service_of(const struct qmgr *q, struct str transport);

/* ---- intake.c ---- */

void intake_announced(struct qmgr *q, const struct qmgr_announce *m);
void intake_wake(struct qmgr *q);			/* there may be room, or somebody due */
void assign_retry(struct message *m, const uint32_t *positions, size_t n, struct str why);
bool is_known(const struct qmgr *q, struct str id);
/* enough recipients for qmgr_message_recipient_limit to matter */
static inline bool is_crowd(const struct qmgr *q, size_t recipients)
{
	return recipients > (size_t) q->conf->qmgr_message_recipient_minimum;
}
/* what has arrived and is not resolved waits on disk, where commands find it */
void intake_put_to_sleep(struct qmgr *q);

/* ---- in_hand.c ---- */

void take_in_hand(struct qmgr *q, struct str id);	/* it must not be */
void put_down(struct qmgr *q, struct str id);
bool is_in_hand(const struct qmgr *q, struct str id);
int wait_until_put_down(struct qmgr *q, struct str id) MAY_YIELD;	/* 0, -ECANCELED */

/* ---- scan.c ---- */

void scan_at_start(struct qmgr *q) MAY_YIELD;
void scan_deferred_in_background(struct qmgr *q);
void scan_incoming(struct qmgr *q, int64_t older_than_s) MAY_YIELD;
void scan_after_clock_step(struct qmgr *q);	/* if there was one since the last time */
/* A file that cannot be taken: what to do with it. */
void scan_troubled(struct qmgr *q, enum queue_name where, struct str id, int error);

/* ---- dispatch.c, agents.c ---- */

void dispatch_soon(struct qmgr *q);
void dispatch_init(struct qmgr *q);
/* agents.c hands back what became of an entry. */
void dispatch_untouched(struct qmgr *q, struct entry *e);		/* the agent never saw it */
void dispatch_lost(struct qmgr *q, struct entry *e, const char *why);	/* nobody knows */
void dispatch_agents_gone(struct qmgr *q, struct transport *t);	/* the service cannot be reached */
void agents_send(struct qmgr *q, struct entry *e);
void dispatch_abandoned(struct entry *e);		/* this process leaves: nothing is said about it */
/* Writes the request; -ENOENT: the message is gone. */
int dispatch_request(struct qmgr *q, struct entry *e, struct channel *ch, uint32_t call);
void end_of_work(struct qmgr *q);			/* under_way-- */

/* ---- account.c ---- */

void account_reply(struct qmgr *q, struct entry *e, const struct deliver_reply *rep);
/* All of an entry's recipients are deferred for one reason; the next hop is not to blame. */
void account_deferral(struct qmgr *q, struct entry *e, struct str dsn, struct str text);
void account_nothing(struct entry *e);			/* its message is gone */
/* The same as account_deferral for an entry that was not taken yet. */
void account_waiting(struct qmgr *q, struct entry *e, struct str dsn, struct str text);
void entries_done(struct message *m, uint32_t n);	/* of to_do; concludes when that was all */
void drop_waiting_entries(struct message *m);

/* ---- handover.c ---- */

/* Holds the files of all messages that are being worked on, so that a successor may begin with the others. */
void hand_over(struct qmgr *q) MAY_YIELD;
void let_go(struct message *m);
/* nobody works on it any more: the successor may have it */
void let_go_if_idle(struct message *m);

/* ---- conclude.c, notify.c ---- */

/* Asks bounce to tell the sender. 0, or -errno: to be tried again with the next attempt. */
int notify(struct message *m, const char *kind, const struct notes *notes, int64_t retry_until_s) MAY_YIELD;

void conclude(struct message *m);			/* nothing to do any more in this attempt */
/* and everybody was told who had to be: where it goes now */
void end_attempt(struct message *m);
void forget(struct message *m);				/* out of memory, wherever its file is */
/* its file is there now, or could not be moved: it sleeps */
void defer_in_place(struct message *m, enum queue_name where);

/* leave.c: out of the queue, or out of the intake log. What fails is logged, and the message stays. */
void remove_message(struct message *m);
void remove_stuck(struct qmgr *q);	/* tries again what could not be removed */
void move_out_of_log(struct message *m, enum queue_name to);

/* ---- log.c ---- */

/* The announcement's place and content. False: it has been through already. */
bool log_take(struct qmgr *q, const struct qmgr_announce *from, struct message *m);
void log_forget_content(struct message *m);
void log_keep(struct qmgr *q);				/* starts what looks after the log, unless it runs */
int64_t next_attempt_s(const struct qmgr_conf *conf, int64_t arrival_us, int64_t now_us);
/* between two attempts; what is due later was said by a clock that was wrong */
int64_t longest_wait_s(const struct qmgr_conf *conf);

/* ---- command.c ---- */

struct visitor {			/* one connection to public/qmgr */
	struct qmgr *q;
	uid_t uid;
	bool is_trusted;		/* root, or the mail owner as we are */
};
void serve_command(struct server_call *call) MAY_YIELD;

#endif
