/* SPDX-License-Identifier: ISC */
/*
 * Inside master/ only. The supervisor is one thread and one poll(): it has no coroutines, and
 * nothing that a remote party sent ever gets into it. It owns every listener for as long as the
 * service is configured, so no connection is refused while workers come and go.
 *
 *   configuration --(settings.c)--> entries --(services.c)--> services --(listen.c)--> listeners
 *   loop.c: a connection waits, a worker reports or dies, a timer is due, a signal came --> workers.c starts, counts and ends workers
 */
#ifndef ROAD_MASTER_MASTER_H
#define ROAD_MASTER_MASTER_H

#include <netinet/in.h>
#include <sys/types.h>

#include "lib/base/list.h"
#include "lib/conf/master_cf.h"
#include "lib/conf/params/common.h"
#include "lib/conf/params/daemon.h"
#include "lib/conf/params/master.h"
#include "lib/daemon/supervision.h"
#include "lib/io/net.h"
#include "lib/log/log.h"
#include "lib/conf/programs.h"

/* ---- settings.c: everything that a reload replaces ---- */

struct settings {
	struct arena *arena;
	struct conf *conf;
	struct common_conf common;
	struct daemon_conf daemon;
	struct master_conf master;
	struct master_cf table;
	const char *config_dir;		/* absolute */
	int main_cf;			/* what main.cf said, for the workers: memory, read only */
};
/* -EINVAL etc. with words that name file and line. */
int settings_load(const char *config_dir, struct settings **ret, struct buf *why);
void settings_free(struct settings *s);
extern struct settings *settings;	/* those in force */

/*
 * rehearse.c: s is tried while the system runs on. The result is there when something can be read
 * from the descriptor (-1: none is under way): 1 not yet, 0 well, with warnings, or -EINVAL with
 * the reasons; a line each.
 */
int rehearsal_begin(struct settings *s, struct buf *why);
bool rehearsal_is_on(void);
int rehearsal_descriptor(void);
int rehearsal_result(struct buf *words);
void rehearsal_abandon(void);

/* ---- services ---- */

struct listener {
	int fd;				/* -1: could not be opened yet; tried again */
	bool is_path;
	char where[300];		/* "127.0.0.1:25", "public/cleanup" */
	struct address_ip ip;		/* not is_path */
	bool wanted;			/* during a reload */
};

enum worker_state { STARTING, IDLE, BUSY, FULL, LEAVING };

struct worker {
	struct list link;		/* in its service */
	struct service *service;
	pid_t pid;
	int line;			/* our end of the lifeline; -1 when closed */
	enum worker_state state;
	bool is_old;			/* of a former generation, or told to go */
	bool was_ready;
	int session_limit;		/* 0: none */
	int ended_by;			/* the signal that we sent it last; 0: none */
	int64_t started_ms;
};

struct service {
	struct list link;
	char name[256];			/* master.cf's first column */
	enum service_type type;
	struct service_entry *entry;	/* in settings->arena */
	const struct program *program;
	char file[4096];		/* the program's path */
	bool is_installed;
	bool no_process;		/* IN_PROCESS: neither socket nor process */
	bool removed;			/* no longer configured: goes with its last worker */
	bool used;			/* has had a worker: what "?" in the wakeup column asks */
	struct listener listeners[MOST_LISTENERS];
	int listener_count;
	int most_workers;		/* 0: no limit */
	int most_clients;		/* that they share; 0: no limit, but for session_limit each */
	int session_limit;		/* 0: none */
	int keepsake;			/* what a worker leaves to the next one, in memory; -1: nothing */
	struct list workers;
	int64_t throttled_until;	/* mono_ms(); 0: not */
	int64_t wakeup_at;		/* 0: none */
	int64_t warned_full_at, said_absent_at;
	int failures_in_row;
};
extern struct list services;

/*
 * Makes the services what settings->table says; keeps the listeners that stay. first: any listener
 * that fails is fatal, with words.
 */
int services_apply(bool first, struct buf *why);
void service_stop_listening(struct service *s);
void service_free(struct service *s);
struct service *service_of(const struct service_entry *e);	/* NULL: there is none yet */
bool service_is_disabled(const struct service_entry *e);	/* by master_service_disable */
int divide_up(int n, int by);
void service_find_file(struct service *s);			/* entry and program are set */
const char *service_label(const struct service *s);	/* "smtp/inet"; static memory */
/* "FILE, line N: service NAME: words" */
__attribute__((format(printf, 3, 4))) void service_say(const struct service_entry *e, struct buf *why,
						       const char *format, ...);

/* listen.c */
int open_listeners(const struct service *s);	/* how many */
int listeners_plan(struct service *s, struct listener plan[MOST_LISTENERS], struct buf *why);	/* how many */
int listener_open(const struct service *s, struct listener *l);		/* 0 or -errno */
int listener_try(const struct listener *l);	/* whether that would do; nothing is left of it */
bool listener_is_dispensable(const struct listener *l, int of_how_many, int error);
bool listener_is_same(const struct listener *a, const struct listener *b);
/* the same, or one is at all addresses of the other's port */
bool listener_is_in_the_way(const struct listener *a, const struct listener *b);
void listener_close(struct listener *l, bool remove_path);
void services_retry_listeners(void);

/* ---- workers.c ---- */

/* if a client came now, would a process be started for it? */
bool service_wants_worker(const struct service *s);
void service_start_worker(struct service *s);
/* a client came to a service whose program is absent */
void service_refuse(struct service *s);
void service_check_full(struct service *s);
/* a new generation: those of now finish what they hold */
void service_retire_workers(struct service *s);
void worker_report(struct worker *w);			/* something can be read from its line */
void workers_reap(void);
int workers_left(bool also_last);
int workers_starting(void);
/* old ones that do not know yet that they have to end, or take one client at a time and have none */
int workers_unaware(void);
void workers_signal(int signal_number, bool also_last);
int64_t service_next_event(const struct service *s);	/* mono_ms() when something is due; INT64_MAX */
void service_timers(struct service *s);

/* spawn.c */
pid_t spawn_worker(const struct service *s, int session_limit, int line);	/* or -errno */

/* ---- the outside ---- */

void wake_service(const struct service *s);
/* systemd's readiness protocol: one datagram, if NOTIFY_SOCKET was set when master started. */
void notify_remember(void);
void notify_ready(void);
void notify_reloading(void);
void notify_stopping(void);

extern bool verbose;
/* before anybody can know our number: from now on they wait for supervise() */
void open_signals(void);
int supervise(void);		/* until SIGTERM; the exit status */

#endif
