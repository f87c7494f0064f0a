/* SPDX-License-Identifier: ISC */
/*
 * Who goes next. Knows nothing of files, sockets or addresses: transports, their destinations, and jobs.
 *
 *   job          one message's share of one transport; what the order among messages is about
 *   entry        some recipients of a job that go to one destination in one delivery
 *   destination  a next hop (or one recipient, where one at a time is delivered): a window of deliveries at
 *                once; open, pausing or dead
 *   transport    a delivery agent with as many deliveries at once as master.cf allows
 *
 * The order in a transport is that of jobs by rank, which is when they came. Two things bend it:
 * - Retries stand RETRY_STEPS_BACK behind new mail, and leave a fifth of the transport to it. So a heap of
 *   mail for hosts that do not answer does not hold back what can be delivered.
 * - New mail for strangers, destinations that no delivery has reached within the last hour, leaves
 *   a fifth to the known ones, and with retries
 *   together a twentieth. So a heap of new mail for hosts that do not answer does not either. When they have taken half of what they
 *   may, the next ones have seconds to answer and not half a minute (entry.in_a_hurry): the first mail for a host that lives comes up soon.
 * - A long job lets short ones pass: for every delivery_slot_cost of its own deliveries it earns a slot, and
 *   a job that needs no more slots than were (nearly) earned goes before it. postconf(5):
 *   delivery_slot_cost, _loan, _discount, minimum_delivery_slots.
 *
 * Time is mono_ms(), handed in, so that tests run days in milliseconds.
 */
#ifndef ROAD_QMGR_SCHEDULE_H
#define ROAD_QMGR_SCHEDULE_H

#include "lib/base/list.h"
#include "lib/base/map.h"
#include "qmgr/feedback.h"
#include "qmgr/heap.h"

enum { RETRY_STEPS_BACK_MS = 300 * 1000 };

enum urgency { NEW_MAIL, RETRY, URGENCIES };

struct transport_rules {
	int process_limit;		/* deliveries at once */
	int recipient_limit;		/* per delivery; 0: none */
	struct window_rules window;
	int64_t rate_delay_ms;		/* pause of a destination after each delivery */
	int64_t transport_rate_delay_ms;
	int64_t dead_ms, transport_dead_ms;	/* how long a dead destination or transport stays so */
	int slot_cost, slot_loan, slot_discount, minimum_slots;
};

enum standing {
	OPEN,				/* takes work */
	PAUSING,			/* rate delay; until `wake` */
	DEAD,				/* what would go there is deferred at once; until `wake` */
};

struct schedule;

struct transport {
	struct schedule *of;
	char *name;
	struct transport_rules rules;
	struct map *destinations;
	struct list jobs[URGENCIES];	/* by rank */
	/*
	 * lanes of destinations that can take one now, by the rank of their first entry; new mail
	 * for strangers apart
	 */
	struct heap ready[URGENCIES], ready_strangers;
	int busy, busy_retries, busy_strangers;
	struct known *known;		/* who is no stranger; made with the first success */
	enum standing standing;
	struct heap_node wake;
	char *reason;			/* while DEAD: "4.3.0 mail transport unavailable" */
	void *agents;			/* dispatch's */
};

struct lane {				/* a destination's waiting entries of one urgency, by rank */
	struct list entries;
	struct heap_node ready;
	struct heap *in;		/* the heap that `ready` is in; NULL: none */
	struct destination *of;
};

struct destination {
	struct transport *transport;
	char *key, *nexthop;
	struct lane lanes[URGENCIES];
	struct window window;
	int busy;
	bool is_known;
	enum standing standing;
	struct heap_node wake;
	char *reason;			/* while DEAD: "4.4.1 connect to ..." */
};

struct job {
	struct transport *transport;
	void *owner;			/* the message */
	enum urgency urgency;
	bool is_open;			/* still being filled */
	bool one_at_a_time;		/* every recipient has a delivery of his own (VERP) */
	int64_t rank;
	int64_t since_ms;
	struct list link;		/* in transport->jobs as long as it lives */
	struct list in_owner;		/* in the owner's list, likewise */
	struct list waiting;		/* its entries not yet taken */
	uint32_t entries, taken;	/* in all; of them handed out */
	uint32_t slots_used;
	uint32_t references;		/* entries alive, and the filler */
};

struct entry {
	struct job *job;
	struct destination *destination;
	struct list in_lane, in_job;
	bool taken, by_stranger;	/* by_stranger: while taken, it counts among busy_strangers */
	/* ... and it was taken when strangers had more than half of their share */
	bool in_a_hurry;
	uint32_t count, cap;
	uint32_t *recipients;		/* the owner's numbers */
};

struct schedule *schedule_new(void (*rules_of)(void *arg, struct str transport, struct transport_rules *ret),
			      void *arg);
void schedule_free(struct schedule *s);		/* nothing may be under way or waiting */

struct transport *schedule_transport(struct schedule *s, struct str name);		/* found or made */
struct destination *schedule_destination(struct transport *t, struct str key, struct str nexthop,
					 int64_t now_ms);
struct transport *schedule_next_transport(struct schedule *s, struct map_at *at);	/* to walk all */

/* A job is opened, filled and closed without a wait in between. */
struct job *job_open(struct transport *t, void *owner, struct list *owners_jobs, enum urgency urgency,
		     int64_t now_ms);
/* False: others have come behind it, so more of it belongs behind them, in a job of its own. */
bool job_reopen(struct job *j);
void job_add(struct job *j, struct destination *d, uint32_t recipient);
void job_close(struct job *j);

/* The entry to hand out now, or NULL. It counts as busy until one of the three below. */
struct entry *schedule_take(struct transport *t, int64_t now_ms);
/* Delivered, or refused by a next hop that works. Frees the entry. */
void entry_succeeded(struct entry *e, int64_t now_ms);
/*
 * The next hop is out of order. Frees the entry. True: the destination is dead now, and its waiting entries
 * are for destination_empty().
 */
bool entry_failed(struct entry *e, struct str reason, int64_t now_ms);
/* It was not tried: back to the head of its lane. */
void entry_return(struct entry *e);
/* Neither: done without telling anything about the next hop. */
void entry_forget(struct entry *e);

/* Takes a waiting entry out (its message is deleted, its destination dead). Frees it. */
void entry_drop(struct entry *e);
struct entry *destination_waiting(struct destination *d);	/* any, or NULL */
struct entry *transport_waiting(struct transport *t);

void transport_die(struct transport *t, struct str reason, int64_t now_ms);
/* The dead live, the pausing go on. */
void destination_revive(struct destination *d);
void transport_revive(struct transport *t);
/* A flush: the dead live. Who pauses does so to the end, since anybody may flush, as often as he likes. */
void schedule_revive_all(struct schedule *s);

/*
 * Ends the pauses that are over; ret_woken(arg, t) for each transport that may have something to hand out
 * now. Returns when to call again, INT64_MAX: nothing is pausing.
 */
int64_t schedule_wake(struct schedule *s, int64_t now_ms, void (*woken)(void *arg, struct transport *t),
		      void *arg);

#endif
