/* SPDX-License-Identifier: ISC */
/* Changing who we are, and making sure that it happened. */
#include <errno.h>
#include <grp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/jail/private.h"

static int verify(uid_t uid, gid_t gid, gid_t saved_gid)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;

	if (getresuid(&r, &e, &s) < 0 || getresgid(&rg, &eg, &sg) < 0)
		return -errno;
	if (r != uid || e != uid || s != uid || rg != gid || eg != gid || sg != saved_gid)
		return -EPERM;
	/* The way back must be closed. */
	if (uid != 0 && (setuid(0) == 0 || seteuid(0) == 0))
		return -EPERM;
	return 0;
}

/*
 * Group memberships are not taken on (but groups_of's, if not NULL): a mailbox is reached as the
 * user and with the user's own group only.
 */
static int change_ids(uid_t uid, gid_t gid, gid_t saved_gid, const char *groups_of)
{
	if ((groups_of != NULL ? initgroups(groups_of, gid) : setgroups(0, NULL)) < 0
	    || setresgid(gid, gid, saved_gid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	return 0;
}

int become_user(uid_t uid, gid_t gid)
{
	int result;

	if (uid == 0 || uid == (uid_t) -1 || gid == (gid_t) -1)
		return -EINVAL;
	if (geteuid() != 0)		/* a private instance: everything is done as its one user */
		return getuid() == uid ? 0 : -EPERM;
	result = change_ids(uid, gid, gid, NULL);
	return result < 0 ? result : verify(uid, gid, gid);
}

int become_user_of_spool(uid_t uid, gid_t gid, gid_t spool_gid)
{
	int result;

	if (uid == 0 || uid == (uid_t) -1 || gid == (gid_t) -1 || spool_gid == 0 || spool_gid == (gid_t) -1)
		return -EINVAL;
	if (geteuid() != 0)
		return -EPERM;
	result = change_ids(uid, gid, spool_gid, NULL);
	return result < 0 ? result : verify(uid, gid, spool_gid);
}

int enter_chroot(const struct jail_world *w, struct buf *why)
{
	if (chroot(w->queue_directory) < 0 || chdir("/") < 0) {
		int error = -errno;

		buf_addf(why, "cannot change root to %s: %s", w->queue_directory, error_text(error));
		return error;
	}
	return 0;
}

int enter_user(const struct jail *j, const struct jail_world *w, struct buf *why)
{
	int result;

	if (j->user != AS_MAIL_OWNER)
		return 0;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return -errno;
	result = w->uid == 0 ? -EINVAL : change_ids(w->uid, w->gid, w->gid,
						    j->keeps_groups ? w->owner : NULL);
	if (result < 0) {
		buf_addf(why, "cannot become uid %u gid %u: %s", (unsigned) w->uid, (unsigned) w->gid,
			 error_text(result));
		return result;
	}
	return 0;
}
