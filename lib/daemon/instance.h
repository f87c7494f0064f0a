/* SPDX-License-Identifier: ISC */
/*
 * A mail system's identity on disk: the locks that its master holds, and the directories it needs.
 * For master and postroad.
 *
 * The lock is an open-file-description lock on pid/master.pid in queue_directory: it lives as long
 * as a process that has the file open, so a stale file and a process number used again mean
 * nothing. data_directory/master.lock guards that directory the same way.
 */
#ifndef ROAD_DAEMON_INSTANCE_H
#define ROAD_DAEMON_INSTANCE_H

#include "lib/conf/params/common.h"

enum { RELOADS_UNKNOWN = -1 };		/* there is no room to write it down */

struct instance_state {
	pid_t pid;
	int64_t reloads;		/* since the start, or RELOADS_UNKNOWN */
	/* the last one found a mistake and changed nothing; see instance_reload_words() */
	bool last_failed;
};

/*
 * Takes both locks for the life of this process and writes its number down. -EAGAIN: *ret_pid runs
 * already. -errno with words.
 */
int instance_lock(const struct common_conf *common, pid_t *ret_pid, struct buf *why);
/*
 * After every reload: who asked for it waits until the count has changed. failed: it changed
 * nothing, and the words say why; else they are warnings; a line each.
 */
void instance_note_reload(bool failed, const char *words);
/* What master had to say of the last reload. */
void instance_reload_words(const struct common_conf *common, struct buf *ret);
/* 1 and its number: a master runs. 0: none. -errno with words. */
int instance_running(const struct common_conf *common, struct instance_state *ret, struct buf *why);

/*
 * Who owns what: resolved once from mail_owner and setgid_group. In an ordinary user's own instance
 * everything is that user's.
 */
struct instance_ids {
	bool is_root;
	uid_t owner_uid;
	gid_t owner_gid, setgid_gid;
};
int instance_ids(const struct common_conf *common, struct instance_ids *ret, struct buf *why);

/*
 * How much longer than stop_time_limit a master may take that is told to stop, until what it has
 * to kill is gone and its log is written.
 */
enum { STOP_LONGER_MS = 30 * 1000 };

typedef void report_fn(void *arg, bool fatal, const char *text);
/* Makes the directories below queue_directory that are missing. Reports what it cannot. Returns how many. */
int layout_create(const struct common_conf *common, const struct instance_ids *ids,
		  report_fn *report, void *arg);
/*
 * Names each wrong owner, group and mode. `fatal` ones keep the system from starting; returns how
 * many. thorough: also every file of the queue, and the commands that need a group.
 */
int layout_check(const struct common_conf *common, const char *config_dir, const struct instance_ids *ids,
		 bool thorough, report_fn *report, void *arg);

#endif
