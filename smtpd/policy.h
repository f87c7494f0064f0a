/* SPDX-License-Identifier: ISC */
/*
 * A policy server (check_policy_service): a program of the administrator's that is told what is
 * known about a mail and answers with an action of access(5). Requests are attributes, one to a
 * line, up to an empty line; the answer is "action=..." and an empty line.
 */
#ifndef ROAD_SMTPD_POLICY_H
#define ROAD_SMTPD_POLICY_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/co/co.h"

struct conf;
struct policy_service;
struct jail_path;

/*
 * spec: "unix:path", "inet:host:port" or "{ endpoint, setting=value, ... }". At start; opens
 * nothing. Lives in the arena, which stays. -EINVAL with words. The settings that spec does not
 * have are those of main.cf (smtpd_policy_service_timeout and so on).
 */
int policy_service_new(struct arena *a, struct str spec, struct policy_service **ret, struct buf *why);
struct str policy_context(const struct policy_service *p);
/*
 * The action, in the arena; when there is none to be had, the service's default action, after words
 * in the log.
 */
struct str policy_ask(struct policy_service *p, struct arena *a, struct str request) MAY_YIELD;

bool policy_services_need_inet(void);		/* does one of them listen at a TCP port? */

#endif
