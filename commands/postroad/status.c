/* SPDX-License-Identifier: ISC */
/*
 * postroad status: does it run, and with -v, which processes with which powers. What holds for a
 * process the kernel tells, not the process.
 */
#include "commands/postroad/postroad.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/disk/disk.h"

static int read_proc(pid_t pid, const char *name, struct buf *ret)
{
	char path[128];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int) pid, name);
	buf_clear(ret);
	return file_read_whole(AT_FDCWD, path, ret);
}

/* "Name:\tvalue\n" */
static struct str field(const struct buf *status, const char *name)
{
	struct str rest = buf_str(status), line;

	while (str_cut(&rest, '\n', &line)) {
		struct str head;

		if (str_cut(&line, ':', &head) && str_is(head, str_of(name)))
			return str_trim(line);
	}
	return STR_NONE;
}

/* The first three words of the command line: program -n service. */
static struct str service_of(struct buf *command_line)
{
	struct str rest = buf_str(command_line), program, option, name = STR_NONE;

	if (str_cut(&rest, 0, &program) && str_cut(&rest, 0, &option) && str_is(option, STR("-n")))
		str_cut(&rest, 0, &name);
	return name;
}

static void show_process(pid_t pid)
{
	AUTO(buf) status = BUF(64 << 10);
	AUTO(buf) command = BUF(64 << 10);
	struct str uid, rest;

	if (read_proc(pid, "status", &status) < 0 || read_proc(pid, "cmdline", &command) < 0)
		return;
	rest = field(&status, "Uid");
	str_token(&rest, "\t ", &uid);
	printf("%7d %-10.*s %-20.*s uid=%.*s no_new_privs=%.*s seccomp=%s capabilities=%.*s\n", (int) pid,
	       PSTR(field(&status, "Name")),
	       PSTR(service_of(&command)), PSTR(uid), PSTR(field(&status, "NoNewPrivs")),
	       str_is(field(&status, "Seccomp"), STR("2")) ? "on" : "off", PSTR(field(&status, "CapEff")));
}

static void show_children(pid_t master)
{
	AUTO(buf) list = BUF(1 << 20);
	struct str rest, word;
	char name[64];
	int64_t pid;

	snprintf(name, sizeof(name), "task/%d/children", (int) master);
	if (read_proc(master, name, &list) < 0)
		return;
	rest = buf_str(&list);
	while (str_token(&rest, " \n", &word))
		if (str_to_int(word, 1, INT32_MAX, &pid) == 0)
			show_process((pid_t) pid);
}

int do_status(struct work *w)
{
	struct instance_state running;

	if (!find_running(w, &running, true)) {
		log_info("the %s mail system is not running", w->world.common.mail_name);
		return 1;
	}
	log_info("the %s mail system is running: PID: %d", w->world.common.mail_name, (int) running.pid);
	if (w->verbose) {
		show_process(running.pid);
		show_children(running.pid);
	}
	return 0;
}
