/* SPDX-License-Identifier: ISC */
/*
 * Landlock: which files there are, as far as this process is concerned. Rules bind to what a path
 * names now, so they hold in a chroot too. The kernel's header may be older than the kernel:
 * numbers and structures are our own, and what the running kernel does not know is left out.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/jail/private.h"

enum { NR_CREATE_RULESET = 444, NR_ADD_RULE = 445, NR_RESTRICT_SELF = 446, CREATE_RULESET_VERSION = 1,
       RULE_PATH = 1, RULE_PORT = 2 };

/* Filesystem rights, by the ABI that brought them. */
enum {
	FS_EXECUTE = 1 << 0, FS_WRITE_FILE = 1 << 1, FS_READ_FILE = 1 << 2, FS_READ_DIR = 1 << 3,
		FS_REMOVE_DIR = 1 << 4, FS_REMOVE_FILE = 1 << 5,
	FS_MAKE_CHAR = 1 << 6, FS_MAKE_DIR = 1 << 7, FS_MAKE_REG = 1 << 8, FS_MAKE_SOCK = 1 << 9,
	FS_MAKE_FIFO = 1 << 10, FS_MAKE_BLOCK = 1 << 11,
	FS_MAKE_SYM = 1 << 12,
	FS_REFER = 1 << 13,		/* 2 */
	FS_TRUNCATE = 1 << 14,		/* 3 */
	FS_IOCTL_DEV = 1 << 15,		/* 5 */
	NET_BIND_TCP = 1 << 0, NET_CONNECT_TCP = 1 << 1,	/* 4 */
	SCOPE_ABSTRACT_UNIX = 1 << 0, SCOPE_SIGNAL = 1 << 1,	/* 6 */
};

struct ruleset_attr { uint64_t fs, net, scoped; };
struct path_attr { uint64_t allowed; int32_t parent_fd; } __attribute__((packed));
struct port_attr { uint64_t allowed, port; };

static int active_abi;

int landlock_abi(void)
{
	long abi = syscall(NR_CREATE_RULESET, NULL, (size_t) 0, CREATE_RULESET_VERSION);

	return abi < 0 ? 0 : (int) abi;
}

void landlock_note_active(int abi)
{
	active_abi = abi;
}

int landlock_active(void)
{
	return active_abi;
}

static uint64_t fs_rights(int abi)
{
	uint64_t all = (1 << 13) - 1;

	if (abi >= 2)
		all |= FS_REFER;
	if (abi >= 3)
		all |= FS_TRUNCATE;
	if (abi >= 5)
		all |= FS_IOCTL_DEV;
	return all;
}

static uint64_t rights_of(char letter, bool is_directory)
{
	const uint64_t on_files = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE;
	uint64_t rights = 0;

	switch (letter) {
	case 'r': rights = FS_READ_FILE | FS_READ_DIR; break;
	case 'x': rights = FS_READ_FILE | FS_READ_DIR | FS_EXECUTE; break;
	case 'w': rights = FS_READ_FILE | FS_READ_DIR | FS_WRITE_FILE | FS_TRUNCATE | FS_REMOVE_DIR
			   | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG
			| FS_MAKE_SOCK | FS_MAKE_FIFO | FS_REFER; break;
	/* connecting to a socket needs no right that a kernel of today could withhold */
	case 'c': break;
	default: BUG("jail: right '%c'", letter);
	}
	return is_directory ? rights : rights & on_files;
}

static struct str directory_named(struct str name, const struct jail_world *w)
{
	if (str_is(name, STR("$config")))
		return str_of(w->config_directory);
	if (str_is(name, STR("$data")))
		return str_of(w->data_directory);
	if (str_is(name, STR("$daemons")))
		return str_of(w->daemon_directory);
	BUG("jail: no directory is called %.*s", PSTR(name));
}

/* "$data/x", "/abs/x", or "x" in queue_directory. */
static int full_path(const char *path, const struct jail_world *w, struct buf *ret)
{
	struct str rest = str_of(path), head;

	buf_clear(ret);
	if (rest.at[0] == '$') {
		str_cut(&rest, '/', &head);
		return buf_addf(ret, "%.*s/%.*s", PSTR(directory_named(head, w)), PSTR(rest));
	}
	if (rest.at[0] == '/')
		return buf_add(ret, rest);
	return buf_addf(ret, "%s/%s", w->queue_directory, path);
}

static void add_path(int ruleset, int abi, const struct jail_path *p, const struct jail_world *w, say_fn *say)
{
	AUTO(buf) path = BUF(8192);
	AUTO(buf) words = BUF_WORDS;
	struct path_attr rule = { 0 };
	struct stat st;
	AUTO_FD fd = -1;

	if (p->rights == 'c' || full_path(p->path, w, &path) < 0)
		return;
	fd = open(buf_text(&path), O_PATH | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &st) == 0) {
		rule.parent_fd = fd;
		rule.allowed = rights_of(p->rights, S_ISDIR(st.st_mode)) & fs_rights(abi);
		if (syscall(NR_ADD_RULE, ruleset, RULE_PATH, &rule, 0) == 0)
			return;
	}
	/*
	 * What does not exist now will not exist for this process later either: worth a word to
	 * whoever looks for one.
	 */
	buf_addf(&words, "jail: %s: %s", buf_text(&path), error_text(errno));
	say(buf_text(&words));
}

static void add_paths(int ruleset, int abi, const struct jail_path *paths,
		      const struct jail_world *w, say_fn *say)
{
	for (const struct jail_path *p = paths; p != NULL && p->path != NULL; p++)
		add_path(ruleset, abi, p, w, say);
}

int landlock_prepare(const struct jail *j, const struct jail_world *w, say_fn *say)
{
	static const struct jail_path ALWAYS[] = { { "/dev/null", 'w' }, { "/dev/urandom", 'r' },
						   { "/etc/localtime", 'r' }, { NULL, 0 } };
	const bool outbound = j->syscalls & (SYS_CONNECT_INET | SYS_DNS);
	const struct port_attr any_port = { .allowed = NET_BIND_TCP, .port = 0 };
	const int abi = landlock_abi();
	struct ruleset_attr attr = { .fs = fs_rights(abi) };
	size_t size = sizeof(attr.fs);
	int ruleset;

	if (abi == 0)
		return -ENOSYS;
	if (abi >= 4) {
		attr.net = NET_BIND_TCP | (outbound ? 0 : NET_CONNECT_TCP);
		size = sizeof(attr.fs) + sizeof(attr.net);
	}
	if (abi >= 6) {
		attr.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
		size = sizeof(attr);
	}
	ruleset = (int) syscall(NR_CREATE_RULESET, &attr, size, 0);
	if (ruleset < 0)
		return -errno;
	fcntl(ruleset, F_SETFD, FD_CLOEXEC);
	if (abi >= 4 && outbound)	/* a source address with a port of the kernel's choice */
		syscall(NR_ADD_RULE, ruleset, RULE_PORT, &any_port, 0);
	add_paths(ruleset, abi, ALWAYS, w, say);
	add_paths(ruleset, abi, j->paths, w, say);
	add_paths(ruleset, abi, w->extra, w, say);
	return ruleset;
}

int landlock_close_in(int ruleset)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(NR_RESTRICT_SELF, ruleset, 0) < 0)
		return -errno;
	return 0;
}
