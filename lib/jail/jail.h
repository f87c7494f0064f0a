/* SPDX-License-Identifier: ISC */
/*
 * A daemon's powers, declared in one table in its main file and applied before the first byte of
 * untrusted input. Each mechanism that the kernel lacks is skipped with one log line, never
 * silently.
 */
#ifndef ROAD_JAIL_JAIL_H
#define ROAD_JAIL_JAIL_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/buf.h"

enum syscall_set {			/* each defined once in lib/jail/sets.c */
	/* memory, clocks, event loop, threads, I/O on open descriptors, exit */
	SYS_CORE = 1,
	SYS_ACCEPT = 2,			/* accept connections on the inherited listeners */
	SYS_CONNECT_UNIX = 4,		/* socket(AF_UNIX) and connect */
	SYS_CONNECT_INET = 8,		/* socket(AF_INET, AF_INET6) stream */
	SYS_DNS = 16,			/* AF_INET datagrams too */
	SYS_FILES_READ = 32,		/* open for reading, stat, list */
	SYS_FILES_WRITE = 64,		/* create, rename, unlink, chmod, utimens, fsync */
	/* no filter (local, virtual, pipe, master: they become users and run commands) */
	SYS_ALL = 1 << 30,
};

enum jail_user { AS_STARTED, AS_MAIL_OWNER, AS_ROOT };

/* 'r' read, 'w' read and write, 'x' read and execute, 'c' connect to the socket (kernel permitting) */
struct jail_path { const char *path; char rights; };

struct jail {
	enum jail_user user;
	/*
	 * AS_MAIL_OWNER: with the groups that the account database gives it, for sockets and files
	 * of others
	 */
	bool keeps_groups;
	unsigned syscalls;
	/* those that stay, "setuid setgid chown dac_override kill net_bind_service"; "" none */
	const char *capabilities;
	/*
	 * Relative paths are in queue_directory; $config, $data, $daemons name main.cf's
	 * directories. What the daemon knows only at start comes from daemon.more_paths. NULL ends.
	 * SYS_ALL without any path means no Landlock either.
	 */
	struct jail_path paths[24];
	size_t most_memory;		/* RLIMIT_AS in bytes; 0: none. Not under sanitizers */
};

struct jail_world {			/* what main.cf says, and what the daemon adds at start */
	const char *queue_directory, *config_directory, *data_directory, *daemon_directory;
	const char *owner;		/* mail_owner */
	uid_t uid; gid_t gid;		/* its own */
	bool chroot;			/* master.cf's column */
	bool privileged;		/* started as root */
	const struct jail_path *extra;	/* ends with path NULL; may be NULL */
};

/*
 * Enters; no way back. -errno with words only when something that must work failed (uid, chroot);
 * the rest is logged through say().
 */
int jail_enter(const struct jail *j, const struct jail_world *w, void (*say)(const char *text),
	       struct buf *why);
/*
 * Calls that the filter refused (with EPERM) since last asked: number and how often; false: no
 * more. For the log.
 */
bool jail_next_refusal(int *ret_call, unsigned *ret_count);
bool jail_filters(void);		/* is the system call filter on? */

/*
 * What is active in this process, for `postroad status -v` and the escape tests: "uid=...
 * seccomp=on landlock=7 chroot=..."
 */
void jail_describe(struct buf *b);

/*
 * Become a recipient in a child of local/virtual: initgroups-free, all ids, no way back; verified.
 * 0 or -errno.
 */
int become_user(uid_t uid, gid_t gid);
/*
 * The same, but spool_gid stays the saved group: setegid() takes it on for writing into the mail
 * spool, and back. Needs root.
 */
int become_user_of_spool(uid_t uid, gid_t gid, gid_t spool_gid);

#endif
