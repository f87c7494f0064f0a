/* SPDX-License-Identifier: ISC */
#include "services/tokens/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/agent/command.h"
#include "lib/base/die.h"

enum { MOST_ERRORS = 500, MOST_OUTPUT = 2 * MOST_TOKEN };

/* ---- master.cf ---- */

static int fail(struct buf *why, const char *words, struct str what)
{
	buf_addf(why, "%s: \"%.*s\"", words, PSTR(what));
	return -EINVAL;
}

int helper_parse(struct str *words, size_t n, struct helper *ret, struct buf *why)
{
	struct helper h = { .argc = 0 };

	for (size_t i = 0; i < n && h.argc == 0; i++) {
		struct str value = words[i], name;

		str_cut(&value, '=', &name);
		if (str_is(name, STR("user"))) {
			h.group = value;
			str_cut(&h.group, ':', &h.user);
		} else if (str_is(name, STR("argv"))) {		/* the last: all that follow are arguments */
			words[i] = value;
			h.argv = &words[i];
			h.argc = n - i;
		} else {
			return fail(why, "unknown attribute", words[i]);
		}
	}
	if (h.argc == 0 || h.argv[0].len == 0 || h.argc > MOST_ARGUMENTS)
		return fail(why, "no command", STR("argv="));
	if (h.user.len == 0)
		return fail(why, "nobody to run the command as", STR("user="));
	*ret = h;
	return 0;
}

/* ---- running it ---- */

struct running {
	pid_t pid;
	int out[2], err[2];		/* pipes; the ends that are ours are the first ones */
	struct buf output, errors;
};

static const char *expand(struct arena *a, struct str word, struct str user)
{
	AUTO(buf) text = BUF(8192);
	ssize_t at;

	while ((at = str_find_str(word, STR("${user}"))) >= 0) {
		buf_add(&text, str_head(word, (size_t) at));
		buf_add(&text, user);
		word = str_skip(word, (size_t) at + strlen("${user}"));
	}
	buf_add(&text, word);
	return str_c(a, buf_str(&text));
}

static void prepare(const struct helper *h, struct hand_job *j, struct command *c)
{
	c->argv = arena_get(j->arena, (h->argc + 1) * sizeof(*c->argv));
	for (size_t i = 0; i < h->argc; i++)
		c->argv[i] = expand(j->arena, h->argv[i], j->what);
	command_add_variable(c, j->arena, "PATH", STR(COMMAND_PATH), NULL);
	command_add_variable(c, j->arena, "HOME", h->home, NULL);
	command_add_variable(c, j->arena, "USER", h->user, NULL);
	command_add_variable(c, j->arena, "LOGNAME", h->user, NULL);
	command_add_exported(c, j->arena);
}

static int start(const struct command *c, struct running *p)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t as;
	sigset_t usual;
	int r;

	sigemptyset(&usual);
	sigaddset(&usual, SIGPIPE);
	sigaddset(&usual, SIGXFSZ);
	posix_spawnattr_init(&as);
	posix_spawnattr_setflags(&as, POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigdefault(&as, &usual);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, p->out[1], 1);
	posix_spawn_file_actions_adddup2(&files, p->err[1], 2);
	posix_spawn_file_actions_addclosefrom_np(&files, 3);
	r = posix_spawnp(&p->pid, c->argv[0], &files, &as, (char *const *) (uintptr_t) c->argv,
			 (char *const *) (uintptr_t) c->envp);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&as);
	return -r;
}

static void take(int *fd, struct buf *to)
{
	char piece[1024];
	ssize_t n = read(*fd, piece, sizeof(piece));

	if (n > 0)
		buf_add(to, str_head(str_make(piece, (size_t) n), to->limit - to->len));
	else if (n == 0 || errno != EINTR)
		fd_auto(fd), *fd = -1;
	explicit_bzero(piece, sizeof(piece));
}

/* Until it has closed both. Whoever takes too long is killed with this hand. */
static void listen_to(struct running *p)
{
	while (p->out[0] >= 0 || p->err[0] >= 0) {
		struct pollfd f[2] = { { .fd = p->out[0], .events = POLLIN },
				       { .fd = p->err[0], .events = POLLIN } };

		if (poll(f, 2, -1) < 0 && errno != EINTR)
			return;
		if (f[0].revents != 0)
			take(&p->out[0], &p->output);
		if (f[1].revents != 0)
			take(&p->err[0], &p->errors);
	}
}

static void conclude(const struct running *p, int status, struct buf *reply)
{
	struct str words = str_trim(buf_str(&p->errors));

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		buf_add_byte(reply, '+');
		buf_add(reply, buf_str(&p->output));
		return;
	}
	if (WIFSIGNALED(status))
		buf_addf(reply, "-the helper was killed by signal %d", WTERMSIG(status));
	else
		buf_addf(reply, "-the helper ended with status %d", WEXITSTATUS(status));
	if (words.len > 0)
		buf_addf(reply, ": %.*s", PSTR(words));
}

int helper_run(const struct helper *h, struct hand_job *j)
{
	struct running p = { .out = { -1, -1 }, .err = { -1, -1 }, .output = BUF(MOST_OUTPUT),
			     .errors = BUF(MOST_ERRORS) };
	struct command *c = ARENA_NEW(j->arena, struct command);
	int status = 0, r = 0;

	prepare(h, j, c);
	buf_room(&p.output, MOST_OUTPUT);
	if (pipe2(p.out, O_CLOEXEC) < 0 || pipe2(p.err, O_CLOEXEC) < 0)
		r = -errno;
	else
		r = start(c, &p);
	fd_auto(&p.out[1]);
	fd_auto(&p.err[1]);
	if (r == 0) {
		listen_to(&p);
		while (waitpid(p.pid, &status, 0) < 0 && errno == EINTR)
			;
		conclude(&p, status, &j->reply);
	} else {
		buf_addf(&j->reply, "-cannot execute %s: %s", c->argv[0], error_text(r));
	}
	fd_auto(&p.out[0]);
	fd_auto(&p.err[0]);
	buf_wipe(&p.output);
	buf_free(&p.errors);
	return 0;
}

/* ---- what it says ---- */

/*
 * The value of a member of a flat JSON object, without its quotes. Escapes have no place in what we
 * look for.
 */
static bool json_member(struct str object, struct str quoted_name, struct str *ret)
{
	ssize_t at = str_find_str(object, quoted_name);
	struct str rest;

	if (at < 0)
		return false;
	rest = str_trim(str_skip(object, (size_t) at + quoted_name.len));
	if (rest.len == 0 || rest.at[0] != ':')
		return false;
	rest = str_trim(str_skip(rest, 1));
	if (rest.len > 0 && rest.at[0] == '"') {
		rest = str_skip(rest, 1);
		return str_cut(&rest, '"', ret);
	}
	*ret = rest;
	for (ret->len = 0; ret->len < rest.len && is_digit(rest.at[ret->len]); ret->len++)
		;
	return ret->len > 0;
}

static bool is_token(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!is_print(text.at[i]) || strchr(" \"\\", text.at[i]) != NULL)
			return false;
	return text.len > 0 && text.len <= MOST_TOKEN;
}

int token_parse(struct str output, struct token *ret)
{
	struct str text = str_trim(output), seconds = STR_NONE;
	struct token t = { .seconds = 0 };

	if (text.len > 0 && text.at[0] == '{') {
		if (!json_member(text, STR("\"access_token\""), &t.text))
			return -EBADMSG;
		json_member(text, STR("\"expires_in\""), &seconds);
	} else {
		str_cut(&text, '\n', &t.text);
		t.text = str_trim(t.text);
		seconds = str_trim(text);
	}
	if (!is_token(t.text) || (seconds.len > 0 && str_to_int(seconds, 1, INT32_MAX, &t.seconds) < 0))
		return -EBADMSG;
	*ret = t;
	return 0;
}
