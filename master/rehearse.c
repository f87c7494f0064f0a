/* SPDX-License-Identifier: ISC */
/*
 * Before a reload: the daemons try the new configuration, in a child process that may wait for them. Only when all of them could start
 * with it do the workers of now make way; else they go on serving, and whoever asked for the reload hears why.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/daemon/rehearsal.h"
#include "master/master.h"

enum { MOST_REHEARSAL_MS = 60000, MOST_REASON = 8192 };

#define ALL_WELL STR("all well")

static pid_t child;		/* reaped with the workers */
static int reason_fd = -1;
static struct buf reason;

bool rehearsal_is_on(void)
{
	return child > 0;
}

int rehearsal_descriptor(void)
{
	return reason_fd;
}

static void tell(void *arg, const struct service_entry *s, bool fatal, struct str line)
{
	struct buf *b = arg;

	if (fatal && str_find_str(buf_str(b), line) < 0)	/* several services stumble over one thing */
		buf_addf(b, "%sservice %.*s: %.*s", b->len > 0 ? "; " : "", PSTR(s->name), PSTR(line));
}

/* In the child: what stands in the way goes up the pipe. */
__attribute__((noreturn)) static void rehearse(const struct settings *s, int to)
{
	AUTO(buf) words = BUF(MOST_REASON), why = BUF_WORDS;
	int failed = rehearse_services(&s->common, s->config_dir, &s->table, MOST_REHEARSAL_MS, NULL, tell, &words, &why);

	if (failed < 0)
		buf_addf(&words, "cannot try the new configuration: %s", buf_text(&why));
	if (failed == 0)
		buf_add(&words, ALL_WELL);
	_exit(write(to, words.at, words.len) < 0 ? EX_IOERR : 0);
}

int rehearsal_begin(const struct settings *s, struct buf *why)
{
	int ends[2], e;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
		e = -errno;
		buf_addf(why, "pipe: %s", error_text(e));
		return e;
	}
	log_flush();
	child = fork();
	if (child == 0) {
		fcntl(ends[1], F_SETFL, 0);
		rehearse(s, ends[1]);
	}
	close(ends[1]);
	if (child < 0) {
		e = -errno;
		child = 0;
		close(ends[0]);
		buf_addf(why, "fork: %s", error_text(e));
		return e;
	}
	buf_free(&reason);
	reason = BUF(MOST_REASON);
	reason_fd = ends[0];
	return 0;
}

int rehearsal_result(struct buf *why)
{
	char piece[1024];
	ssize_t n;

	while ((n = read(reason_fd, piece, sizeof(piece))) > 0)
		buf_add(&reason, str_make(piece, (size_t) n));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 1;
	close(reason_fd);
	reason_fd = -1;
	child = 0;
	if (str_is(buf_str(&reason), ALL_WELL))
		return 0;
	if (reason.len == 0)
		buf_addf(&reason, "the rehearsal of the new configuration did not come to an end");
	buf_add(why, buf_str(&reason));
	return -EINVAL;
}

void rehearsal_abandon(void)
{
	if (child <= 0)
		return;
	kill(child, SIGKILL);
	close(reason_fd);
	child = 0;
	reason_fd = -1;
}
