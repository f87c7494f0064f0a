/* SPDX-License-Identifier: ISC */
/*
 * For tests of the queue manager: it works on a scratch queue, with agents and a bounce service played by
 * coroutines. What an agent does with a recipient is what the recipient's local part says: ok, defer, bounce,
 * site, die, hang (until it is released), shy (until then, and it says goodbye instead of an answer).
 */
#ifndef ROAD_QMGR_SCENE_H
#define ROAD_QMGR_SCENE_H

#include "tests/unit.h"

#include "qmgr/qmgr.h"
#include "tests/scratch.h"

struct scene {
	char path[SCRATCH_PATH];
	int dir, log_fd;
	struct conf *raw;
	struct common_conf common;
	struct qmgr_conf conf;
	struct queue_conf queue_conf;
	struct qmgr q;
	struct scope *players;
	struct buf deliveries;		/* "smtp ok@x,defer@x;" */
	struct buf notices;		/* "failure 5.1.1;" */
	struct buf received;		/* "ok@x;": who has got it, by what the agent says */
	bool all_is_well;		/* everybody gets it, whatever the local part says */
	int connections, hurried;	/* hurried: requests */
	int bounce_code;
	int64_t age_us;			/* of new messages */
	struct str body;		/* of new messages; none: a few bytes */
	bool leave_after_reply;		/* the agent says goodbye after its next reply */
	struct bell release;		/* hanging deliveries go on */
	bool hanging_released;
	bool is_stuck;			/* agents do not answer pings */
	struct queue *writer;		/* as cleanup's: new messages lie in the intake log */
	void (*play)(struct scene *s);
};

extern bool resolver_works;		/* false: resolve_address() cannot tell */

int scene_begin(void **state);		/* for cmocka: a fresh scratch directory */
int scene_end(void **state);
/* Runs how() as a coroutine, with agents and queue manager around it. */
void play(void **state, void (*how)(struct scene *));
void settle(struct scene *s);		/* everything that can happen without time passing has happened */
/* A test that has system calls of the pool wait on purpose says so: then settle() does not wait for them. */
extern _Atomic bool disk_is_held_up;

void use_log(struct scene *s);
/* One that has handed over, and has what lies in the intake log now. */
struct queue *open_predecessor(struct scene *s);
/* As another process would see it: is the message locked? */
bool is_locked(struct scene *s, const char *id);
/* A message to the recipients (separated by blanks) in incoming. id is given back. */
void make_message(struct scene *s, char id[32], const char *recipients, unsigned notify,
		  struct buf *ret_packed, struct queue_parts *ret_parts);
/* And the queue manager is told of it. */
void announce(struct scene *s, char id[32], const char *recipients);
void announce_notifying(struct scene *s, char id[32], const char *recipients, unsigned notify);
/* Its time has come: the file says so, and the queue manager is awake. */
void make_due(struct scene *s, const char *id);
bool lies_in(struct scene *s, enum queue_name where, const char *id);
bool lies_anywhere(struct scene *s, const char *id);

/* What was delivered, or notified, since last asked. */
#define EXPECT_DELIVERIES(s, text) do { \
	assert_str(buf_str(&(s)->deliveries), text); \
	buf_clear(&(s)->deliveries); \
} while (0)
#define EXPECT_NOTICES(s, text) do { \
	assert_str(buf_str(&(s)->notices), text); \
	buf_clear(&(s)->notices); \
} while (0)

#endif
