/* SPDX-License-Identifier: ISC */
/*
 * Commands of aliases, .forward files and mailbox_command: as the recipient, with an environment
 * made here.
 */
#include <limits.h>

#include "lib/agent/command.h"
#include "lib/base/die.h"
#include "local/expand.h"

static void make_environment(struct errand *e, struct command *c)
{
	const struct task *t = e->task;
	const struct envelope *env = &t->d->env;
	const struct account *who = &e->rights.account;
	const char *filter = the_local.conf.command_expansion_filter;
	const struct { const char *name; struct str value; bool trusted; } rows[] = {
		{ "PATH", STR(COMMAND_PATH), true },
		{ "SHELL", who->shell.len > 0 ? who->shell : STR("/bin/sh"), true },
		{ "HOME", who->home, true },
		{ "LOGNAME", t->user, false },
		{ "USER", t->user, false },
		{ "LOCAL", t->name, false },
		{ "EXTENSION", t->extension, false },
		{ "DOMAIN", t->domain, false },
		{ "RECIPIENT", t->address, false },
		{ "ORIGINAL_RECIPIENT", t->original, false },
		{ "ENVID", env->envid, false },
		{ "CLIENT_ADDRESS", env->client_address, false },
		{ "CLIENT_HELO", env->client_helo, false },
		{ "CLIENT_HOSTNAME", env->client_name, false },
		{ "CLIENT_PROTOCOL", env->client_protocol, false },
		{ "SASL_METHOD", env->sasl_method, false },
		{ "SASL_SENDER", env->sasl_sender, false },
		{ "SASL_USERNAME", env->sasl_username, false },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (rows[i].value.len > 0)
			command_add_variable(c, t->arena, rows[i].name, rows[i].value,
					     rows[i].trusted ? NULL : filter);
	command_add_variable(c, t->arena, "SENDER", t->sender, filter);		/* also when it is nobody */
	command_add_exported(c, t->arena);
	c->directory = who->home.len > 0 ? str_c(t->arena, who->home) : "/";
}

/*
 * A path, and no character that a shell would look at: the words are the arguments. A bare name may
 * be the shell's own, as exec and exit are.
 */
static bool needs_no_shell(const char *command)
{
	struct str rest = str_of(command), word;

	return str_find_any(rest, "!\"#$&'()*;<>?[\\]^`{|}~\n=") < 0 && str_token(&rest, " \t\r", &word)
	       && str_find(word, '/') >= 0;
}

static const char **make_arguments(struct errand *e, const char *command)
{
	struct arena *a = e->task->arena;
	const char **argv = arena_get(a, (MOST_ARGUMENTS + 1) * sizeof(*argv));
	struct str rest = str_of(command), word;
	const char *shell = the_local.conf.local_command_shell;
	size_t n = 0;

	if (*shell == 0 && needs_no_shell(command)) {
		while (str_token(&rest, " \t\r", &word) && n < MOST_ARGUMENTS)
			argv[n++] = str_c(a, word);
		if (n > 0 && n < MOST_ARGUMENTS)
			return argv;
	}
	n = 0;
	for (rest = str_of(*shell == 0 ? "/bin/sh" : shell); str_token(&rest, " \t", &word)
	     && n < MOST_ARGUMENTS - 3;)
		argv[n++] = str_c(a, word);
	argv[n++] = "-c";
	argv[n++] = command;
	argv[n] = NULL;
	return argv;
}

static int write_letter(void *arg, int (*out)(void *arg, struct str bytes), void *out_arg)
{
	struct errand *e = arg;
	struct letter l = letter_of(e->task);
	unsigned front = LETTER_FROM | LETTER_RETURN_PATH | LETTER_ORIGINAL_TO;

	if (str_lists(str_of(the_local.conf.prepend_delivered_header), STR("command")))
		front |= LETTER_DELIVERED_TO;
	return letter_copy(&l, front, out, out_arg);
}

/* False: *ret says why not. */
static bool choose_directory(struct errand *e, struct command *c, struct mailbox_result *ret)
{
	struct str text = str_of(the_local.conf.command_execution_directory);
	AUTO(buf) path = BUF(PATH_MAX);

	if (text.len == 0)
		return true;
	if (expand_for(e->task, &e->rights.account, text,
		       the_local.conf.execution_directory_expansion_filter, &path) < 0 || path.len == 0) {
		mailbox_say(ret, MAILBOX_DEFERRED, "4.3.5", "command_execution_directory: cannot use %.*s",
			    PSTR(text));
		return false;
	}
	c->directory = str_c(e->task->arena, buf_str(&path));
	c->directory_must_be = true;
	return true;
}

void run_command(struct errand *e, const char *command, struct mailbox_result *ret)
{
	struct command *c = ARENA_NEW(e->task->arena, struct command);

	c->name = command;
	c->argv = make_arguments(e, command);
	c->time_limit_ms = the_local.conf.command_time_limit;
	c->file_limit = the_local.conf.mailbox_size_limit;
	make_environment(e, c);
	if (choose_directory(e, c, ret))
		command_run(c, write_letter, e, ret);
}
