/* SPDX-License-Identifier: ISC */
/*
 * The directories of a mail system: who must own them and who may look in. One table for making and
 * for checking them, so that they cannot differ.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/daemon/daemon.h"
#include "lib/daemon/instance.h"

enum holder { ROOT, OWNER };
enum holding_group { ANY_GROUP, SETGID_GROUP };

static const struct queue_directory {
	const char *name;
	enum holder holder;
	enum holding_group group;
	mode_t mode;
	bool holds_mail;
} QUEUE_DIRECTORIES[] = {
	{ "pid", ROOT, ANY_GROUP, 0755, false },
	{ "incoming", OWNER, ANY_GROUP, 0700, true },
	{ "intake", OWNER, ANY_GROUP, 0700, true },
	{ "deferred", OWNER, ANY_GROUP, 0700, true },
	{ "hold", OWNER, ANY_GROUP, 0700, true },
	{ "corrupt", OWNER, ANY_GROUP, 0700, true },
	{ "maildrop", OWNER, SETGID_GROUP, 0730, false },
	{ "private", OWNER, ANY_GROUP, 0700, false },
	{ "public", OWNER, SETGID_GROUP, 0710, false },
};

struct checking {
	const struct common_conf *common;
	const struct instance_ids *ids;
	report_fn *report;
	void *arg;
	int count;			/* of fatal ones */
};

__attribute__((format(printf, 3, 4))) static void complain(struct checking *c, bool fatal,
							   const char *format, ...)
{
	AUTO(buf) text = BUF_WORDS;
	va_list arguments;

	va_start(arguments, format);
	buf_addv(&text, format, arguments);
	va_end(arguments);
	c->report(c->arg, fatal, buf_text(&text));
	c->count += fatal;
}

int instance_ids(const struct common_conf *common, struct instance_ids *ret, struct buf *why)
{
	struct arena *a = arena_new("account", NULL, 1 << 20);
	struct account owner;
	int result = account_by_name(a, str_of(common->mail_owner), &owner);

	*ret = (struct instance_ids){ .is_root = geteuid() == 0, .owner_uid = owner.uid,
				      .owner_gid = owner.gid, .setgid_gid = owner.gid };
	arena_free(a);
	if (result <= 0) {
		buf_addf(why, "mail_owner = %s: %s", common->mail_owner,
			 result == 0 ? "there is no such account" : error_text(result));
		return -EINVAL;
	}
	if (!ret->is_root && ret->owner_uid != geteuid()) {
		buf_addf(why, "an ordinary user's own mail system needs that user as mail_owner, not %s (uid %u)",
			 common->mail_owner,
			 (unsigned) ret->owner_uid);
		return -EPERM;
	}
	if (!ret->is_root)
		return 0;
	if (ret->owner_uid == 0) {
		buf_addf(why, "mail_owner = %s: this must not be root", common->mail_owner);
		return -EINVAL;
	}
	result = group_by_name(str_of(common->setgid_group), &ret->setgid_gid);
	if (result <= 0) {
		buf_addf(why, "setgid_group = %s: %s", common->setgid_group,
			 result == 0 ? "there is no such group" : error_text(result));
		return -EINVAL;
	}
	return 0;
}

static uid_t uid_of(const struct checking *c, enum holder h)
{
	return h == ROOT && c->ids->is_root ? 0 : c->ids->owner_uid;
}

static int make_directory(struct checking *c, const struct queue_directory *d, const char *path)
{
	AUTO_FD fd = -1;

	if (mkdir(path, 0700) < 0)
		return errno == EEXIST ? 0 : -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (c->ids->is_root) {
		gid_t group = d->group == SETGID_GROUP ? c->ids->setgid_gid : d->holder == OWNER
			      ? c->ids->owner_gid : 0;

		if (fchown(fd, uid_of(c, d->holder), group) < 0)
			return -errno;
	}
	return fchmod(fd, d->mode) < 0 ? -errno : 0;
}

int layout_create(const struct common_conf *common, const struct instance_ids *ids,
		  report_fn *report, void *arg)
{
	struct checking c = { common, ids, report, arg, 0 };

	for (size_t i = 0; i < COUNT_OF(QUEUE_DIRECTORIES); i++) {
		AUTO(buf) path = BUF(4096);
		int result;

		buf_addf(&path, "%s/%s", common->queue_directory, QUEUE_DIRECTORIES[i].name);
		result = make_directory(&c, &QUEUE_DIRECTORIES[i], buf_text(&path));
		if (result < 0)
			complain(&c, true, "cannot make directory %s: %s", buf_text(&path),
				 error_text(result));
	}
	return c.count;
}

/* ---- checking ---- */

static bool look(struct checking *c, const char *what, const char *path, struct stat *ret)
{
	if (stat(path, ret) < 0) {
		complain(c, true, "%s%s: %s", what, path, error_text(errno));
		return false;
	}
	return true;
}

static bool look_at_directory(struct checking *c, const char *what, const char *path, struct stat *ret)
{
	if (!look(c, what, path, ret))
		return false;
	if (!S_ISDIR(ret->st_mode))
		complain(c, true, "%s%s is not a directory", what, path);
	return S_ISDIR(ret->st_mode);
}

/*
 * A directory that main.cf names and nobody but the administrator makes: an empty queue in place of
 * one that is not mounted loses mail.
 */
static bool look_at_own_directory(struct checking *c, const char *what, const char *path, const char *owner,
				  struct stat *ret)
{
	if (stat(path, ret) == 0 || errno != ENOENT)
		return look_at_directory(c, what, path, ret);
	if (c->ids->is_root)
		complain(c, true, "%s%s: %s (mend: install -d -m 755 -o %s %s)", what, path,
			 error_text(errno), owner, path);
	else
		complain(c, true, "%s%s: %s (mend: mkdir -p %s)", what, path, error_text(errno), path);
	return false;
}

/* What root trusts must be root's; an ordinary user's own instance may use what root or that user owns. */
static bool is_trusted_owner(const struct checking *c, uid_t uid)
{
	return uid == 0 || (!c->ids->is_root && uid == c->ids->owner_uid);
}

static void check_trusted(struct checking *c, bool fatal, const char *what, const char *path)
{
	struct stat st;

	if (!look_at_directory(c, what, path, &st))
		return;
	if (!is_trusted_owner(c, st.st_uid))
		complain(c, fatal, "%s%s: not owned by root (but by uid %u; mend: chown root %s)", what,
			 path, (unsigned) st.st_uid, path);
	if (st.st_mode & 022)
		complain(c, fatal, "%s%s: group or other writable (mode %03o; mend: chmod go-w %s)", what,
			 path, (unsigned) st.st_mode & 07777, path);
}

static void check_queue_directory(struct checking *c, const struct queue_directory *d)
{
	AUTO(buf) path = BUF(4096);
	const uid_t uid = uid_of(c, d->holder);
	const char *holder = uid == 0 ? "root" : c->common->mail_owner;
	struct stat st;

	buf_addf(&path, "%s/%s", c->common->queue_directory, d->name);
	if (!look_at_directory(c, "queue_directory ", buf_text(&path), &st))
		return;
	if (st.st_uid != uid)
		complain(c, true, "queue_directory %s: owned by uid %u, must be %s (uid %u) (mend: chown %s %s)",
			 buf_text(&path), (unsigned) st.st_uid,
			 holder, (unsigned) uid, holder, buf_text(&path));
	if (c->ids->is_root && d->group == SETGID_GROUP && st.st_gid != c->ids->setgid_gid)
		complain(c, true, "queue_directory %s: group is gid %u, must be %s (gid %u) (mend: chgrp %s %s)",
			 buf_text(&path), (unsigned) st.st_gid,
			 c->common->setgid_group, (unsigned) c->ids->setgid_gid, c->common->setgid_group,
			 buf_text(&path));
	/* Postfix has maildrop sticky and public set-gid, which does no harm */
	if ((st.st_mode & 0777) != d->mode)
		complain(c, (st.st_mode & ~d->mode & 0777) != 0,
			 "queue_directory %s: mode is %03o, should be %03o (mend: chmod %03o %s)",
			 buf_text(&path), (unsigned) st.st_mode & 07777, (unsigned) d->mode,
			 (unsigned) d->mode, buf_text(&path));
}

/*
 * Two levels are the deepest that hash_queue_depth makes in practice; a deeper one is looked at as
 * well, to a limit.
 */
static void check_mail_below(struct checking *c, int at, const char *name, int depth)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (dir == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((e = readdir(dir)) != NULL) {
		struct stat st;

		if (e->d_name[0] == '.' || fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (st.st_uid != c->ids->owner_uid)
			complain(c, false, "queue_directory %s/%s/%s: owned by uid %u, not by %s",
				 c->common->queue_directory, name, e->d_name,
				 (unsigned) st.st_uid, c->common->mail_owner);
		if (S_ISDIR(st.st_mode) && depth > 0)
			check_mail_below(c, fd, e->d_name, depth - 1);
		else if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
			complain(c, false, "queue_directory %s/%s/%s: not a regular file",
				 c->common->queue_directory, name, e->d_name);
	}
	closedir(dir);
}

static void check_mail(struct checking *c)
{
	AUTO_FD queue = open(c->common->queue_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; queue >= 0 && i < COUNT_OF(QUEUE_DIRECTORIES); i++)
		if (QUEUE_DIRECTORIES[i].holds_mail)
			check_mail_below(c, queue, QUEUE_DIRECTORIES[i].name, 3);
}

static void check_data_directory(struct checking *c)
{
	const char *path = c->common->data_directory;
	struct stat st;

	if (!look_at_own_directory(c, "data_directory ", path, c->common->mail_owner, &st))
		return;
	if (st.st_uid != c->ids->owner_uid)
		complain(c, true, "data_directory %s: owned by uid %u, must be %s (uid %u) (mend: chown %s %s)",
			 path, (unsigned) st.st_uid,
			 c->common->mail_owner, (unsigned) c->ids->owner_uid, c->common->mail_owner, path);
	if (st.st_mode & 022)
		complain(c, true, "data_directory %s: group or other writable (mode %03o; mend: chmod go-w %s)", path,
			 (unsigned) st.st_mode & 07777, path);
}

/* main.cf and master.cf decide what runs as root. */
static void check_configuration_file(struct checking *c, const char *dir, const char *name)
{
	AUTO(buf) path = BUF(4096);
	struct stat st;

	buf_addf(&path, "%s/%s", dir, name);
	if (!look(c, "", buf_text(&path), &st))
		return;
	if (!is_trusted_owner(c, st.st_uid))
		complain(c, false, "%s: not owned by root (but by uid %u; mend: chown root %s)",
			 buf_text(&path), (unsigned) st.st_uid, buf_text(&path));
	if (st.st_mode & 022)
		complain(c, false, "%s: group or other writable (mode %03o; mend: chmod go-w %s)",
			 buf_text(&path), (unsigned) st.st_mode & 07777, buf_text(&path));
}

/* The programs that local users start must have their group's power, and no other program may have it. */
static void check_setgid(struct checking *c, const char *name)
{
	AUTO(buf) path = BUF(4096);
	struct stat st;

	buf_addf(&path, "%s/%s", c->common->command_directory, name);
	if (!c->ids->is_root || stat(buf_text(&path), &st) < 0)
		return;
	if (st.st_gid != c->ids->setgid_gid)
		complain(c, false, "command_directory %s: group is gid %u, should be %s (gid %u) (mend: chgrp %s %s)",
			 buf_text(&path), (unsigned) st.st_gid,
			 c->common->setgid_group, (unsigned) c->ids->setgid_gid, c->common->setgid_group,
			 buf_text(&path));
	if ((st.st_mode & 07111) != 02111)
		complain(c, false, "command_directory %s: mode is %04o, should be 2755: local users cannot hand in mail or see the queue (mend: chmod 2755 %s)",
			 buf_text(&path), (unsigned) st.st_mode & 07777, buf_text(&path));
}

int layout_check(const struct common_conf *common, const char *config_dir, const struct instance_ids *ids,
		 bool thorough, report_fn *report, void *arg)
{
	struct checking c = { common, ids, report, arg, 0 };
	struct stat st;

	check_trusted(&c, false, "config_directory ", config_dir);
	check_configuration_file(&c, config_dir, "main.cf");
	check_configuration_file(&c, config_dir, "master.cf");
	check_trusted(&c, false, "daemon_directory ", common->daemon_directory);
	check_trusted(&c, false, "command_directory ", common->command_directory);
	if (thorough) {
		check_setgid(&c, "postdrop");
		check_setgid(&c, "postqueue");
	}
	if (look_at_own_directory(&c, "queue_directory ", common->queue_directory, "root", &st)) {
		check_trusted(&c, true, "queue_directory ", common->queue_directory);
		for (size_t i = 0; i < COUNT_OF(QUEUE_DIRECTORIES); i++)
			check_queue_directory(&c, &QUEUE_DIRECTORIES[i]);
		if (thorough)
			check_mail(&c);
	}
	check_data_directory(&c);
	return c.count;
}
