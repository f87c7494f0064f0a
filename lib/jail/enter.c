/* SPDX-License-Identifier: ISC */
/*
 * jail_enter(). The order is given by what each step needs: Landlock's rules need the paths, chroot
 * needs root, the change of user needs its capabilities, Landlock and seccomp need no_new_privs,
 * and seccomp forbids all of the others.
 */
#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "config.h"
#include "lib/base/die.h"
#include "lib/jail/private.h"

#ifdef WITH_SANITIZERS
static const bool SANITIZED = true;	/* they map terabytes, read /proc and start symbolizers */
#else
static const bool SANITIZED = false;
#endif

/* Who runs commands for users, or becomes them, cannot be shut in: its rights are its capabilities. */
static bool is_open_jail(const struct jail *j)
{
	return (j->syscalls & SYS_ALL) && j->paths[0].path == NULL;
}

/* A unit or container may withhold setpcap. Nothing is started from within anyway. */
static void bound_capabilities(uint64_t keep, say_fn *say)
{
	AUTO(buf) words = BUF_WORDS;
	int result = capabilities_bound(keep);

	if (result == 0)
		return;
	buf_addf(&words, "warning: jail: the capabilities of programs that are started cannot be bounded: %s",
		 error_text(result));
	say(buf_text(&words));
}

static int enter_ids(const struct jail *j, const struct jail_world *w, say_fn *say, struct buf *why)
{
	uint64_t capabilities;
	int result;

	if (capabilities_parse(j->capabilities == NULL ? "" : j->capabilities, &capabilities) < 0)
		BUG("jail: capabilities \"%s\"", j->capabilities);
	if (w->chroot && (result = enter_chroot(w, why)) < 0)
		return result;
	if (j->user == AS_STARTED)
		return 0;
	/*
	 * Who may start commands leaves the bounding set alone: a user's .forward may name a
	 * program that is setuid.
	 */
	if (!(j->syscalls & SYS_ALL))
		bound_capabilities(capabilities, say);
	result = enter_user(j, w, why);
	if (result < 0)
		return result;
	result = capabilities_keep(capabilities);
	if (result < 0)
		buf_addf(why, "cannot drop capabilities: %s", error_text(result));
	return result;
}

static void enter_landlock(int ruleset, say_fn *say)
{
	AUTO(buf) words = BUF_WORDS;
	int result = ruleset < 0 ? ruleset : landlock_close_in(ruleset);

	if (ruleset >= 0)
		close(ruleset);
	if (result == 0) {
		landlock_note_active(landlock_abi());
		return;
	}
	buf_addf(&words, "warning: jail: this kernel has no Landlock (%s): files are protected by their owner and mode only",
		 error_text(result));
	say(buf_text(&words));
}

static void enter_seccomp(unsigned sets, say_fn *say)
{
	AUTO(buf) words = BUF_WORDS;
	int result = seccomp_enter(sets);

	if (result == 0)
		return;
	buf_addf(&words, "warning: jail: no system call filter on this system: %s", error_text(result));
	say(buf_text(&words));
}

static void limit_memory(const struct jail *j)
{
	struct rlimit r = { j->most_memory, j->most_memory };

	if (j->most_memory > 0 && !SANITIZED)
		setrlimit(RLIMIT_AS, &r);
}

int jail_enter(const struct jail *j, const struct jail_world *w, void (*say)(const char *text),
	       struct buf *why)
{
	const bool shut = !is_open_jail(j) && !SANITIZED;
	int ruleset = -ENOSYS, result;

	tzset();			/* the time zone's file is out of reach afterwards */
	if (shut)
		ruleset = landlock_prepare(j, w, say);
	if (w->privileged && (result = enter_ids(j, w, say, why)) < 0) {
		if (ruleset >= 0)
			close(ruleset);
		return result;
	}
	limit_memory(j);
	if (shut)
		enter_landlock(ruleset, say);
	if (!SANITIZED && !(j->syscalls & SYS_ALL))
		enter_seccomp(j->syscalls, say);
	return 0;
}
