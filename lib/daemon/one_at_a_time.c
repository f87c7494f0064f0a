/* SPDX-License-Identifier: ISC */
/*
 * The daemon that serves one connection after the other on the main stack, because it becomes other
 * users meanwhile. There are as many processes as clients. A signal to end sets the flag, and takes
 * the input from the connection being served: what came in before is still finished, what would
 * come later fails at the sender, who has another process to turn to.
 */
#include <errno.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/daemon/private.h"

static volatile sig_atomic_t serving_fd = -1;
static ino_t serving_inode;

/* In a signal handler: fstat and shutdown are safe there. */
static void told_to_stop(int signal_number)
{
	int saved = errno, fd = serving_fd;
	struct stat st;

	(void) signal_number;
	winding_down = true;
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_ino == serving_inode)
		shutdown(fd, SHUT_RD);
	errno = saved;
}

static void serve_one(const struct daemon_run *r, const struct listener *l, int fd)
{
	struct session_socket s;
	struct stat st;

	describe_socket(l, fd, &s);
	report_to_master(WORKER_FULL);
	if (fstat(fd, &st) == 0) {
		serving_inode = st.st_ino;
		serving_fd = fd;
	}
	if (winding_down)		/* came before the handler knew the descriptor */
		shutdown(fd, SHUT_RD);
	r->d->serve(&s);
	serving_fd = -1;
	log_flush();
	if (!winding_down)
		report_to_master(WORKER_IDLE);
}

/*
 * The index of a listener that has somebody waiting, -1 nobody for max_idle, -2 to be gone. SIGTERM
 * gets through only while we wait here.
 */
static int wait_for_client(const struct daemon_run *r, const sigset_t *while_waiting)
{
	struct pollfd p[MOST_LISTENERS + 1];
	const int n = r->listener_count;
	struct timespec most = { .tv_sec = r->max_idle_ms / 1000 };
	int ready;

	for (int i = 0; i < n; i++)
		p[i] = (struct pollfd){ .fd = r->listeners[i].fd, .events = POLLIN };
	p[n] = (struct pollfd){ .fd = has_master() ? LIFELINE_FD : -1, .events = POLLIN };
	ready = ppoll(p, (nfds_t) n + 1, has_master() ? &most : NULL, while_waiting);
	if (winding_down || p[n].revents != 0)
		return -2;
	if (ready == 0)
		return -1;
	for (int i = 0; ready > 0 && i < n; i++)
		if (p[i].revents != 0)
			return i;
	return n;			/* interrupted: look again */
}

void run_one_at_a_time(const struct daemon_run *r)
{
	struct sigaction action = { .sa_handler = told_to_stop, .sa_flags = SA_RESTART };
	sigset_t ends, before;
	int64_t served = 0;

	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, &before);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	report_to_master(WORKER_READY);
	while (!winding_down && (r->max_use == 0 || served < r->max_use || !has_master())) {
		int which = wait_for_client(r, &before), fd;

		if (which < 0)
			break;
		fd = which == r->listener_count ? -EAGAIN : accept_one(r->listeners[which].fd, in(0), NULL);
		if (fd >= 0) {
			sigprocmask(SIG_SETMASK, &before, NULL);
			serve_one(r, &r->listeners[which], fd);
			sigprocmask(SIG_BLOCK, &ends, NULL);
			served++;
		} else if (fd != -EAGAIN && fd != -ETIMEDOUT && fd != -ECONNABORTED && fd != -EINTR) {
			log_warning_rarely(10, "accept connection: %s", error_text(fd));
			co_sleep(in(100));
		}
	}
	report_to_master(WORKER_LEAVING);
}
