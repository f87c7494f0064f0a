/* SPDX-License-Identifier: ISC */
/*
 * The skeleton of every daemon. A daemon's main() is one call:
 *
 *   int main(int argc, char **argv) { return daemon_main(argc, argv, &smtpd_daemon); }
 *
 * daemon_main: options (-n service -t type -u -c -o name=value -v ..., as master passes them),
 * configuration, log, start(), jail, then the loop: each accepted connection is a coroutine that
 * runs serve(). It watches master's life, counts sessions (session limit = the service's share of
 * maxproc), retires after max_use sessions or max_idle without work, finishes what it holds on
 * SIGTERM and on reload (master closes the generation).
 *
 * A program may also be run by hand in the foreground for debugging: "smtpd -d -c DIR -n smtp
 * 127.0.0.1:2525" listens itself; a name with a slash is the path of a Unix socket, in
 * queue_directory when relative.
 *
 * When it shall end, the listeners are closed, wind_down() is called, and who came in at a Unix
 * socket is sent away: the client of a serve_channel() is told goodbye and closes when it has its
 * answers; of any other connection the input is shut, so that its session reads what was sent
 * before and then sees the end. Sessions of inet services go on until they are through, or until
 * stop_time_limit after SIGTERM, when their waits return -ECANCELED.
 */
#ifndef ROAD_DAEMON_DAEMON_H
#define ROAD_DAEMON_DAEMON_H

#include "lib/conf/conf.h"
#include "lib/conf/params/common.h"
#include "lib/co/co.h"
#include "lib/io/net.h"
#include "lib/io/stream.h"
#include "lib/jail/jail.h"
#include "lib/log/log.h"

/* What every part of a daemon may ask. Set once, before start(); constant afterwards. */
struct daemon_world {
	const char *program;		/* "smtpd" */
	const char *service;		/* master.cf's first column: "smtp", "127.0.0.1:2525", "relay" */
	struct conf *conf;
	const struct common_conf *common;
	int queue_dir;			/* descriptor of queue_directory; the working directory too */
	int session_limit;		/* most sessions at once in this process; 0: none */
	/* the processes that share the clients of this service, at most; 0: nobody knows */
	int workers;
	/* what follows the options (programs that read key=value arguments, as pipe) */
	struct str *arguments;
	size_t argument_count;
	/*
	 * of a service that the table of programs gives one: a file in memory, which the process
	 * after it finds as we leave it; -1: none
	 */
	int keepsake;
	bool in_foreground;
	bool unprivileged, chroot;	/* master.cf's columns */
	/* -R: start() opens as in earnest, but must change nothing; see rehearsal.h */
	bool rehearsing;
	bool strict;			/* -RR: and what cannot be used ends it, see daemon_complain() */
};
extern const struct daemon_world *the_world;

struct session_socket {			/* one accepted connection */
	int fd;				/* serve() owns it */
	bool is_inet;
	struct address_ip peer;		/* inet only */
	struct address_ip local;
	uid_t peer_uid;			/* unix only */
	bool is_public;			/* a socket in public/, which everybody may connect to */
};

enum daemon_shape {
	DAEMON_SESSIONS,		/* coroutine per connection, many at once */
	/* one connection per process at a time, blocking, on the main stack */
	DAEMON_ONE_AT_A_TIME,
	DAEMON_DATAGRAMS,		/* serve() once with the bound unix-dgram socket (postlogd) */
};

struct daemon {
	const char *name;		/* program name */
	enum daemon_shape shape;
	/* exactly one process however many CPUs (qmgr, resolver, pickup, ...) */
	bool singleton;
	/*
	 * A singleton whose successor may start while it finishes what it holds, because the two
	 * see to it themselves that they do not meet (qmgr). Master's table of programs says so
	 * too.
	 */
	bool hands_over;
	const struct param_group *const *groups;	/* besides common; ends with NULL */
	void *const *structs;		/* one per group */
	struct jail jail;
	/* given by the configuration; NULL: none. Directories of opened tables come by themselves */
	const struct jail_path *(*more_paths)(void);
	/* enum syscall_set that only some configurations need; NULL: none */
	unsigned (*more_syscalls)(void);
	/*
	 * Before the jail closes: open tables and directories. Die with EX_CONFIG and clear words
	 * if the configuration is wrong. May be NULL.
	 */
	void (*start)(void);
	/*
	 * Within the loop, jailed, as a coroutine that lives as long as the process: timers, scans.
	 * May be NULL.
	 */
	void (*run)(void) MAY_YIELD;
	void (*serve)(struct session_socket *socket) MAY_YIELD;
	/*
	 * Asked to end (reload, stop): optional, tells `run` and idle sessions to finish. A daemon
	 * that has it must return from run() soon after; until then, or until stop_time_limit, the
	 * process stays. Without it run() is cancelled.
	 */
	void (*wind_down)(void);
	/*
	 * SIGTERM: the whole system stops, which is no reload. Optional: sends away the sessions
	 * that hold nothing, instead of waiting for them until stop_time_limit. Runs on the loop's
	 * stack, possibly more than once; must not wait.
	 */
	void (*stop)(void);
	/*
	 * master's wakeup timer fired, or somebody triggered the service: a byte 'W' or a frame
	 * "wakeup" first on a connection (these are taken off; serve() sees what follows, if
	 * anything). May be NULL. Must not wait.
	 */
	void (*wake)(void);
	/*
	 * With -R and arguments behind the options: says what it would do, on standard output,
	 * after start() and instead of serving. On the main stack, without a loop. The exit status.
	 * May be NULL.
	 */
	int (*explain)(void);
};

int daemon_main(int argc, char **argv, const struct daemon *d);	/* all that main() does; the exit status */
bool daemon_is_winding_down(void);	/* told to end: what is under way is finished, and nothing begun */
/* Ends the process in an orderly way once the sessions are through (a singleton that cannot go on, say). */
void daemon_retire(const char *reason);

/* lib/daemon/users.c: the account database, on the pool. 1 found, 0 no such user, -errno cannot tell. */
struct account { uid_t uid; gid_t gid; struct str name, home, shell, gecos; };
int account_by_name(struct arena *a, struct str name, struct account *ret) MAY_YIELD;
int account_by_uid(struct arena *a, uid_t uid, struct account *ret) MAY_YIELD;
int group_by_name(struct str name, gid_t *ret) MAY_YIELD;
/*
 * In start(), by who asks later: loads the modules that nsswitch.conf names, whose constructors do
 * what a jailed daemon may not.
 */
void accounts_prepare(void);
/*
 * Lets tables of type unix (passwd.byname, group.byname) be answered in this process: proxymap, and
 * commands that query tables.
 */
void accounts_for_tables(void);
/*
 * During start(): something that is configured cannot be used, as a certificate that cannot be
 * read. In earnest that is a warning, and mail goes on as far as it may; before a reload it is a
 * reason not to begin.
 */
__attribute__((format(printf, 1, 2))) void daemon_complain(const char *format, ...);
/* Dies when a word of a parameter's list is none of the allowed ones, which are a list too. */
void insist_on_words(const char *parameter, const char *list, const char *allowed);

/*
 * For commands (postqueue, postsuper, sendmail, ...): configuration, log to stderr and syslog, no
 * loop. Dies with words.
 */
struct command_world {
	struct conf *conf;
	struct common_conf common;
};
/*
 * groups/structs as above, may be NULL. setgid programs: sanitises environment, descriptors 0-2,
 * umask, limits; ignores MAIL_CONFIG unless the directory is trusted.
 */
void command_start(const char *name, const char *config_dir /* -c or NULL */, const struct param_group *const *groups, void *const *structs,
		   struct command_world *ret);

/* own.c: does the peer run as root, or as we do? */
bool is_one_of_us(uid_t uid);
/*
 * What a daemon's serve does whose callers are believed: serve_channel() for root and our own uid,
 * and nobody else.
 */
struct server_row;
void serve_our_own(struct session_socket *socket, const struct server_row *rows, void *state,
		   int most_concurrent) MAY_YIELD;

#endif
