/* SPDX-License-Identifier: ISC */
/* The first steps that daemons, commands and master have in common (world.c). */
#ifndef ROAD_DAEMON_STARTUP_H
#define ROAD_DAEMON_STARTUP_H

#include "lib/conf/conf.h"
#include "lib/conf/params/common.h"
#include "lib/log/log.h"

/* STDIN, STDOUT and STDERR exist; what is opened later is never one of them. */
void stand_on_three_descriptors(void);
/*
 * What cannot be written is an error and no signal, and children wait to be waited for: whoever started
 * us may ignore SIGCHLD, and then nobody would hear what became of them.
 */
void set_signals(void);
/*
 * Thousands of sessions need descriptors; what the system allows is there to be used. How large a file
 * may be is not for the shell to say that we are started from: a mailbox that must not grow is full, and
 * mail for it goes back.
 */
void raise_limits(void);
/*
 * The next one of a list as import_environment and export_environment are: "NAME", with the value that
 * it has (NULL: none), "NAME=value", or "{ NAME = value }", where the value may have blanks and commas.
 */
bool next_variable(struct str *list, struct arena *a, struct str *ret_name, const char **ret_value);
/* Keeps and sets what import_environment says, drops the rest. */
void clean_environment(const char *import_environment);
/*
 * The settings of every program, and whether they make sense together with this machine. -EINVAL
 * with words.
 */
int fill_common(struct conf *c, struct common_conf *ret, struct buf *why);
/* Fills the groups or dies with EX_CONFIG. groups may be NULL. */
void fill_groups(struct conf *c, const struct param_group *const *groups, void *const *structs);
/*
 * `sink` LOG_TO_SYSLOG leaves the choice between syslog and postlogd to the configuration; others
 * are meant as they are.
 */
void open_log(const struct common_conf *common, const char *program, enum log_sink sink);

/*
 * For commands: as above if somebody takes log lines just now, else standard error alone; that is
 * no reason for a warning.
 */
void open_command_log(const struct common_conf *common, const char *program);

#endif
