/* SPDX-License-Identifier: ISC */
/*
 * The account database. The C library's calls block, so they run on the pool; and they mix up
 * "there is no such user" with "I could not find out", which here decides between a bounce and a
 * retry. This is the only file that may call getpw* and getgr*.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/daemon/daemon.h"

enum { FIRST_SIZE = 2048, MOST_SIZE = 4 << 20 };

struct inquiry {
	const char *name;		/* NULL: by uid */
	uid_t uid;
	struct passwd user;
	struct group group;
	char *memory;			/* what user and group point into; the asker's to free */
	int (*ask)(struct inquiry *q, size_t size);
};

/*
 * A C library that cannot reach the database at all (no /etc/passwd in this root, say) answers
 * ENOENT, like some modules do for a name that they do not know. With the file there, ENOENT is
 * taken for the latter.
 */
static int verdict(int error, bool found)
{
	if (found)
		return 1;
	if (error == 0 || error == ESRCH)
		return 0;
	if (error == ENOENT && access("/etc/passwd", R_OK) == 0)
		return 0;
	return -error;
}

static int ask_user(struct inquiry *q, size_t size)
{
	struct passwd *found = NULL;
	int error = q->name != NULL ? getpwnam_r(q->name, &q->user, q->memory, size, &found)
				    : getpwuid_r(q->uid, &q->user, q->memory, size, &found);

	return verdict(error, found != NULL);
}

static int ask_group(struct inquiry *q, size_t size)
{
	struct group *found = NULL;
	int error = getgrnam_r(q->name, &q->group, q->memory, size, &found);

	return verdict(error, found != NULL);
}

static int work(void *arg)
{
	struct inquiry *q = arg;
	int result;

	for (size_t size = FIRST_SIZE; ; size *= 2) {
		q->memory = resize_memory(q->memory, size);
		result = q->ask(q, size);
		if (result != -ERANGE || size >= MOST_SIZE)
			return result;
	}
}

/* No account has a name with a NUL, a colon or a line end, and none is longer than this. */
static bool is_possible_name(struct str name)
{
	return name.len > 0 && name.len < 256 && !str_has_control(name) && str_find_any(name, ":/") < 0;
}

static int ask_for_account(struct arena *a, struct inquiry *q, struct account *ret)
{
	int result = co_offload(work, q);

	if (result > 0)
		*ret = (struct account){
			.uid = q->user.pw_uid,
			.gid = q->user.pw_gid,
			.name = arena_copy(a, str_of(q->user.pw_name)),
			.home = arena_copy(a, str_of(q->user.pw_dir)),
			.shell = arena_copy(a, str_of(q->user.pw_shell)),
			.gecos = arena_copy(a, str_of(q->user.pw_gecos)),
		};
	free(q->memory);
	return result;
}

int account_by_name(struct arena *a, struct str name, struct account *ret)
{
	struct inquiry q = { .ask = ask_user };

	if (!is_possible_name(name))
		return 0;
	q.name = str_c(a, name);
	return ask_for_account(a, &q, ret);
}

int account_by_uid(struct arena *a, uid_t uid, struct account *ret)
{
	struct inquiry q = { .uid = uid, .ask = ask_user };

	return ask_for_account(a, &q, ret);
}

int group_by_name(struct str name, gid_t *ret)
{
	struct inquiry q = { .ask = ask_group };
	char text[256];
	int result;

	if (!is_possible_name(name))
		return 0;
	memcpy(text, name.at, name.len);
	text[name.len] = 0;
	q.name = text;
	result = co_offload(work, &q);
	if (result > 0)
		*ret = q.group.gr_gid;
	free(q.memory);
	return result;
}

void accounts_prepare(void)
{
	/* a name that nobody can have, so that every module is asked */
	static char nobody[] = ":";
	char memory[FIRST_SIZE];
	struct inquiry q = { .name = nobody, .memory = memory };

	ask_user(&q, sizeof(memory));
	ask_group(&q, sizeof(memory));
}
