/* SPDX-License-Identifier: ISC */
/*
 * The pipe delivery agent: gives messages to a command that master.cf names, as the user that it
 * names. The command is started by a hand of that user (lib/agent/hands.h), which also reads the
 * message; this process only reads requests.
 *
 *   pipe.c        settings, requests           attributes.c   flags=, user=, argv= ... of the row
 *   expand.c      $name in arguments           feed.c         the message as the flags want it
 */
#include <errno.h>
#include <unistd.h>

#include "agents/pipe/expand.h"
#include "agents/pipe/feed.h"
#include "lib/agent/command.h"
#include "lib/agent/hands.h"
#include "lib/base/die.h"

enum { SLACK_MS = 60000 };

static struct {
	struct arena *arena;		/* holds what is here, as long as the process lives */
	struct attributes at;
	struct identity as;
	int64_t time_limit_ms;
} the_pipe;

/* ---- in the hand ---- */

static int write_message(void *arg, int (*out)(void *arg, struct str bytes), void *out_arg)
{
	return feed_message(&the_pipe.at, arg, out, out_arg);
}

static bool is_loop(struct delivery *d, struct mailbox_result *ret)
{
	const struct recipient *r = d->env.recipients;
	int looped = the_pipe.at.flags & PIPE_DELIVERED_TO ? feed_was_delivered_to(d, r->address) : 0;

	if (looped > 0)
		mailbox_say(ret, MAILBOX_BOUNCED, "5.4.6", "mail forwarding loop for %.*s", PSTR(r->address));
	else if (looped < 0)
		mailbox_say_error(ret, looped, "cannot read message");
	return looped != 0;
}

static void run_command(struct hand_job *j, struct mailbox_result *ret)
{
	struct command *c = ARENA_NEW(j->arena, struct command);
	AUTO(buf) why = BUF_WORDS;

	if (expand_arguments(&the_pipe.at, j->d, str_of(the_world->common->recipient_delimiter), j->arena,
			     &c->argv, &why) < 0) {
		mailbox_say(ret, MAILBOX_DEFERRED, "4.3.5", "%s", buf_text(&why));
		return;
	}
	c->name = str_c(j->arena, the_pipe.at.argv[0]);
	c->service = the_world->service;
	c->directory = the_pipe.at.directory;
	c->directory_must_be = true;
	c->time_limit_ms = the_pipe.time_limit_ms;
	command_add_exported(c, j->arena);
	command_add_variable(c, j->arena, "PATH", STR(COMMAND_PATH), NULL);	/* unless the administrator has another one */
	command_run(c, write_message, j->d, ret);
}

static int run(struct hand_job *j)
{
	struct mailbox_result result = { .text = BUF(8192) };

	if (!is_loop(j->d, &result))
		run_command(j, &result);
	mailbox_result_pack(&result, &j->reply);
	buf_free(&result.text);
	return 0;
}

static struct trade trade = { .run = run };

/* ---- deliveries ---- */

/* One result for all: the command had them all at once. */
static void report(struct delivery *d, const struct mailbox_result *m)
{
	struct result how = { .dsn = m->dsn, .relay = str_of(the_world->service) };
	const char *text = buf_text(&m->text);

	EACH_RECIPIENT(r, d) {
		if (m->status == MAILBOX_DEFERRED)
			deferred(d, r, &how, "%s", text);
		else if (m->status == MAILBOX_BOUNCED)
			bounced(d, r, &how, "%s", text);
		else if (the_pipe.at.flags & PIPE_FINAL)
			delivered(d, r, &how, "%s", text);
		else
			relayed(d, r, &how, "%s", text);
	}
}

static void ask_hand(struct delivery *d, struct mailbox_result *ret)
{
	struct hand_order order = {
		.as = the_pipe.as, .d = d, .alone = true,
		.time_limit_ms = the_pipe.time_limit_ms + SLACK_MS,
	};
	int r;

	hands_send(&order, d->arena);
	r = hands_wait(&order);
	if (r >= 0)
		r = mailbox_result_unpack(order.reply, ret);
	if (r == -EPERM)
		mailbox_say(ret, MAILBOX_DEFERRED, "4.3.5", "cannot become uid %u",
			    (unsigned) the_pipe.as.uid);
	else if (r < 0)
		mailbox_say(ret, MAILBOX_DEFERRED, "4.3.0", "delivery process failed: %s",
			    r == -ECHILD ? "it died" : error_text(r));
}

/* A header that names the recipient is only true when there is one. */
static bool names_its_recipient(void)
{
	return (the_pipe.at.flags & (PIPE_DELIVERED_TO | PIPE_ORIGINAL_TO)) != 0;
}

static void deliver(struct delivery *d)
{
	struct mailbox_result result = { .text = BUF(8192) };
	const int64_t most = the_pipe.at.size;

	if (d->env.recipient_count == 0)
		return;
	if (d->flags & DELIVER_PROBE)
		mailbox_say(&result, MAILBOX_SENT, "2.0.0", "delivers to command: %.*s",
			    PSTR(the_pipe.at.argv[0]));
	else if (d->env.recipient_count > 1 && names_its_recipient())
		mailbox_say(&result, MAILBOX_DEFERRED, "4.3.5", "flags D and O need %s_destination_recipient_limit = 1",
			    the_world->service);
	else if (most > 0 && d->content.parts.size > (uint64_t) most)
		mailbox_say(&result, MAILBOX_BOUNCED, "5.2.3",
			    "message size %llu exceeds size limit %lld of service %s",
			    (unsigned long long) d->content.parts.size, (long long) most, the_world->service);
	else
		ask_hand(d, &result);
	if (!co_is_cancelled())
		report(d, &result);
	buf_free(&result.text);
}

/* ---- start ---- */

/* What deliver() lets wait when there are more recipients, as Postfix does. */
static void check_recipient_limit(void)
{
	AUTO(buf) name = BUF(300);
	AUTO(buf) why = BUF_WORDS;
	int64_t limit = 0;

	if (!names_its_recipient())
		return;
	buf_addf(&name, "%s_destination_recipient_limit", the_world->service);
	if (conf_get_int(the_world->conf, buf_str(&name), STR("$default_destination_recipient_limit"), 0,
			 1000000, &limit, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	if (limit != 1)
		log_warning("flags D and O need one recipient at a time: mail for more waits until main.cf says %s = 1",
			    buf_text(&name));
}

static void read_time_limit(void)
{
	AUTO(buf) name = BUF(300);
	AUTO(buf) why = BUF_WORDS;

	buf_addf(&name, "%s_time_limit", the_world->service);
	if (conf_get_time(the_world->conf, buf_str(&name), STR("$command_time_limit"),
			  &the_pipe.time_limit_ms, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
}

/*
 * Before a reload and for lint: what every delivery would stumble over. A name that the mail is
 * part of is not known yet.
 */
static void rehearse_command(struct arena *a)
{
	const struct str program = the_pipe.at.argv[0];

	if (the_pipe.at.chroot == NULL && program.at[0] == '/' && str_find(program, '$') < 0
	    && access(str_c(a, program), X_OK) < 0)
		log_warning("argv=%.*s: %s", PSTR(program), error_text(errno));
}

static void start(void)
{
	struct arena *a = the_pipe.arena = arena_new("attributes", NULL, 1 << 20);
	AUTO(buf) why = BUF_WORDS;

	if (attributes_parse(the_world->arguments, the_world->argument_count, a, &the_pipe.at, &why) < 0)
		die(EX_CONFIG, "master.cf: service %s: %s", the_world->service, buf_text(&why));
	if (command_identity(a, the_pipe.at.user, the_pipe.at.group, &the_pipe.as, &why) < 0)
		die(EX_CONFIG, "master.cf: service %s: %s", the_world->service, buf_text(&why));
	check_recipient_limit();
	read_time_limit();
	if (the_world->rehearsing)
		rehearse_command(a);
	trade.chroot = the_pipe.at.chroot;
	hands_begin(&trade);
}

int main(int argc, char **argv)
{
	static struct agent agent = {
		.daemon = {
			.name = "pipe",
			.jail = { .user = AS_MAIL_OWNER, .syscalls = SYS_CORE | SYS_ACCEPT,
				  .capabilities = "" },
			.start = start,
		},
		.deliver = deliver,
		.probes = true,
	};

	return agent_main(argc, argv, &agent);
}
