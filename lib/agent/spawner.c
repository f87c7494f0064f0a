/* SPDX-License-Identifier: ISC */
/*
 * The one process of an agent that keeps root's powers, forked before the agent reads anything from
 * outside. It takes orders of a fixed size from the agent, starts hands, and kills those that it
 * started itself. It gives root's rights to nobody.
 */
#include <errno.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/agent/hands_private.h"
#include "lib/base/die.h"

enum { ORDERS_FD = 3, MOST_HIRED = 4096 };

struct hired { uint32_t number; pid_t pid; };
static struct hired hired[MOST_HIRED];
static size_t hired_count;

static void child_ended(int signal_number)
{
	(void) signal_number;		/* it interrupts the wait */
}

static void forget(pid_t pid)
{
	for (size_t i = 0; i < hired_count; i++)
		if (hired[i].pid == pid) {
			hired[i] = hired[--hired_count];
			return;
		}
}

/* Only what is not reaped yet is killed, so a number never means somebody else's process. */
static void reap(void)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		forget(pid);
}

static void kill_hand(uint32_t number)
{
	for (size_t i = 0; i < hired_count; i++)
		if (hired[i].number == number) {
			kill(-hired[i].pid, SIGKILL);
			kill(hired[i].pid, SIGKILL);	/* it may not have got as far as having a group */
		}
}

static void hire(const struct trade *t, const struct spawner_order *o, int socket)
{
	pid_t pid = hired_count < MOST_HIRED ? fork() : -1;

	if (pid == 0)
		hand_live(t, &o->as, socket);
	if (pid > 0)
		hired[hired_count++] = (struct hired) { o->number, pid };
	/* Without a child the agent sees the end of the socket. */
}

/* 1 an order, with the descriptor that came along or -1; 0 the agent is gone; -errno. */
static int take_order(struct spawner_order *o, int *ret_fd)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	struct iovec piece = { o, sizeof(*o) };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control,
				  .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(ORDERS_FD, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;

	*ret_fd = -1;
	if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS
	    && c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
	if (n < 0)
		return -errno;
	return n == (ssize_t) sizeof(*o);
}

static void obey(const struct trade *t)
{
	struct pollfd p = { .fd = ORDERS_FD, .events = POLLIN };
	sigset_t none;

	sigemptyset(&none);
	for (;;) {
		struct spawner_order o;
		int fd, r;

		reap();
		if (ppoll(&p, 1, NULL, &none) <= 0)
			continue;
		r = take_order(&o, &fd);
		if (r == 0)
			return;
		if (r > 0 && o.verb == SPAWNER_HIRE && fd >= 0)
			hire(t, &o, fd);
		else if (r > 0 && o.verb == SPAWNER_KILL)
			kill_hand(o.number);
		fd_auto(&fd);
	}
}

static void say_nothing(const char *text)
{
	(void) text;
}

/* Nothing of the agent's stays but the configuration in memory: not its listeners, nor master's line. */
__attribute__((noreturn)) static void run_spawner(const struct trade *t, int orders)
{
	const struct jail jail = { .user = AS_ROOT, .syscalls = SYS_ALL,
				   .capabilities = t->chroot == NULL
						   ? "setuid setgid kill" : "setuid setgid kill sys_chroot" };
	static const int deaf_to[] = { SIGTERM, SIGINT, SIGHUP };
	const struct jail_world world = { .privileged = geteuid() == 0, .chroot = the_world->chroot,
					  .queue_directory = the_world->chroot
							     ? the_world->common->queue_directory : NULL };
	AUTO(buf) why = BUF_WORDS;
	sigset_t children;

	die_set_sink(say_nothing);
	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	sigprocmask(SIG_BLOCK, &children, NULL);
	sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = child_ended }, NULL);
	/* The agent says when it is over: it may still have work when the system is told to stop. */
	for (size_t i = 0; i < COUNT_OF(deaf_to); i++)
		sigaction(deaf_to[i], &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	if (dup2(orders, ORDERS_FD) < 0 || close_range(ORDERS_FD + 1, ~0U, 0) < 0)
		_exit(EX_OSERR);
	if (jail_enter(&jail, &world, say_nothing, &why) < 0)
		_exit(EX_NOPERM);
	obey(t);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	_exit(0);
}

int spawner_start(const struct trade *t)
{
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		die(EX_OSERR, "socketpair: %s", error_text(errno));
	log_flush();			/* or its lines would be said twice */
	pid = fork();
	if (pid < 0)
		die(EX_OSERR, "fork: %s", error_text(errno));
	if (pid == 0)
		run_spawner(t, ends[1]);
	close(ends[1]);
	return ends[0];
}
