/* SPDX-License-Identifier: ISC */
/* What sendmail by other names does is done by other commands. */
#include <errno.h>
#include <unistd.h>

#include "commands/sendmail/sendmail.h"
#include "lib/base/die.h"
#include "lib/daemon/instance.h"

enum { MOST_ARGUMENTS = 200 };

struct command {
	char *argv[MOST_ARGUMENTS + 1];
	int argc;
};

static void add(struct request *q, struct command *c, struct str argument)
{
	if (c->argc == MOST_ARGUMENTS)
		die(EX_TEMPFAIL, "too many arguments");
	c->argv[c->argc++] = (char *) (uintptr_t) str_c(q->arena, argument);
}

static void begin(struct request *q, struct command *c, const char *name)
{
	add(q, c, str_of(name));
	if (q->dir != NULL) {
		add(q, c, STR("-c"));
		add(q, c, str_of(q->dir));
	}
}

/* newaliases: every table of alias_database. */
static void add_alias_tables(struct request *q, struct command *c)
{
	struct str list = str_of(q->alias_database), one;

	if (q->alias_database == NULL && !conf_get(q->world.conf, q->arena, STR("alias_database"), &list))
		list = STR_NONE;
	while (str_token(&list, ", \t\r\n", &one))
		add(q, c, one);
}

static void run(struct request *q, struct command *c)
{
	const char *path = arena_fmt(q->arena, "%s/%s", q->world.common.command_directory, c->argv[0]).at;

	execv(path, c->argv);
	die(EX_TEMPFAIL, "cannot run %s: %s", path, error_text(errno));
}

int hand_over(struct request *q)
{
	struct command c = { .argc = 0 };
	struct instance_state running;
	AUTO(buf) why = BUF_WORDS;

	switch (q->mode) {
	case MODE_MAILQ:
		begin(q, &c, "postqueue");
		add(q, &c, STR("-p"));
		break;
	case MODE_FLUSH:
		begin(q, &c, "postqueue");
		add(q, &c, STR("-f"));
		break;
	case MODE_FLUSH_ID:
	case MODE_FLUSH_SITE:
		begin(q, &c, "postqueue");
		add(q, &c, q->mode == MODE_FLUSH_ID ? STR("-i") : STR("-s"));
		add(q, &c, str_of(q->argument));
		break;
	case MODE_NEWALIASES:
		begin(q, &c, "postalias");
		add_alias_tables(q, &c);
		if (c.argc <= (q->dir != NULL ? 3 : 1))
			return EX_OK;		/* alias_database is empty: nothing to build */
		break;
	case MODE_DAEMON:
		/* who starts what runs has what he wants */
		if (instance_running(&q->world.common, &running, &why) > 0)
			return EX_OK;
		begin(q, &c, "postroad");
		add(q, &c, STR("start"));
		break;
	default:
		BUG("mode %d", (int) q->mode);
	}
	run(q, &c);
	return EX_TEMPFAIL;
}
