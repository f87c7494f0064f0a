/* SPDX-License-Identifier: ISC */
/* sendmail's side of a submission: a child process that reads what we write. See submission.h. */
#include "lib/peers/submission.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/disk/disk.h"

struct submission {
	pid_t pid;
	int to, from;			/* pipes: its standard input, its standard output */
	int error;
	struct buf pending;		/* less than a piece */
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int spawn(struct submission *s, const char *program, const char *config_dir, int in, int out)
{
	char *const with_dir[] = { (char *) "postdrop", (char *) "-r", (char *) "-c",
				   (char *) (uintptr_t) config_dir, NULL };
	char *const without[] = { (char *) "postdrop", (char *) "-r", NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t defaults;
	int r;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawnattr_init(&attributes);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
	r = posix_spawn(&s->pid, program, &actions, &attributes, config_dir != NULL ? with_dir : without,
			environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

static int start(struct submission *s, const char *program, const char *config_dir)
{
	int in[2], out[2], r;

	if (pipe2(in, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(out, O_CLOEXEC) < 0) {
		r = -errno;
		close(in[0]);
		close(in[1]);
		return r;
	}
	r = spawn(s, program, config_dir, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	s->to = in[1];
	s->from = out[0];
	return r;
}

static void put(struct submission *s, const void *data, size_t len)
{
	if (s->error == 0)
		s->error = write_all(s->to, data, len);
}

static void put_part(struct submission *s, const char *name, struct str bytes)
{
	char line[64];

	snprintf(line, sizeof(line), "%s %zu\n", name, bytes.len);
	put(s, line, strlen(line));
	put(s, bytes.at, bytes.len);
}

int submission_begin(const char *program, const char *config_dir, const struct envelope *e,
		     struct submission **ret, struct buf *why)
{
	AUTO(buf) packed = BUF(SUBMISSION_MOST_ENVELOPE);
	struct submission *s;
	int r = envelope_pack(e, &packed);

	if (r < 0) {
		buf_addf(why, r == -EINVAL ? "control character in an address or option"
			 : "too many recipients");
		return r;
	}
	s = get_memory(sizeof(*s));
	*s = (struct submission){ .to = -1, .from = -1, .pending = BUF(SUBMISSION_PIECE) };
	r = start(s, program, config_dir);
	if (r < 0) {
		buf_addf(why, "cannot run %s: %s", program, error_text(r));
		close_fd(&s->to);
		close_fd(&s->from);
		free(s);
		return r;
	}
	put(s, "postroad-submission 1\n", 22);
	put_part(s, "envelope", buf_str(&packed));
	*ret = s;
	return 0;
}

static void flush_pending(struct submission *s)
{
	if (s->pending.len > 0)
		put_part(s, "data", buf_str(&s->pending));
	buf_clear(&s->pending);
}

void submission_write(struct submission *s, struct str bytes)
{
	while (bytes.len > 0 && s->error == 0) {
		struct str piece = str_head(bytes, SUBMISSION_PIECE - s->pending.len);

		buf_add(&s->pending, piece);
		bytes = str_skip(bytes, piece.len);
		if (s->pending.len == SUBMISSION_PIECE)
			flush_pending(s);
	}
}

static int await(struct submission *s)
{
	int status;

	while (waitpid(s->pid, &status, 0) < 0)
		if (errno != EINTR)
			return EX_OSERR;
	if (!WIFEXITED(status))
		return EX_TEMPFAIL;
	return WEXITSTATUS(status);
}

static void free_submission(struct submission *s)
{
	close_fd(&s->to);
	close_fd(&s->from);
	buf_free(&s->pending);
	free(s);
}

/* "ID LF", and nothing less: the status alone is no promise. */
static bool read_id(int fd, char ret_id[32])
{
	struct input in;
	struct str line;
	bool ok;

	input_begin(&in, fd);
	ok = input_line(&in, &line) && line.len > 1 && line.len <= 32 && line.at[line.len - 1] == '\n';
	if (ok) {
		memcpy(ret_id, line.at, line.len - 1);
		ret_id[line.len - 1] = '\0';
	}
	input_free(&in);
	return ok;
}

int submission_end(struct submission *s, char ret_id[32])
{
	bool has_id;
	int status;

	flush_pending(s);
	put(s, "end\n", 4);
	close_fd(&s->to);
	has_id = read_id(s->from, ret_id);
	status = await(s);
	if (status == 0 && (!has_id || s->error != 0))
		status = EX_SOFTWARE;
	free_submission(s);
	return status;
}

void submission_abort(struct submission *s)
{
	if (s == NULL)
		return;
	close_fd(&s->to);
	await(s);
	free_submission(s);
}
