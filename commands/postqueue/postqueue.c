/* SPDX-License-Identifier: ISC */
/*
 * postqueue: what an ordinary user may do with the queue: list it, and ask for delivery attempts.
 *
 *   postqueue [-c config_dir] [-v] -p | -j | -f | -i queue_id | -s site
 *
 * Installed setgid, because the services' sockets are in a directory of that group. It opens no table and
 * reads no queue file, except for root and the mail owner while the mail system is down.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <unistd.h>

#include "commands/postqueue/listing.h"
#include "lib/base/die.h"
#include "lib/conf/params/qmgr.h"
#include "lib/daemon/daemon.h"
#include "lib/ipc/channel.h"
#include "lib/mail/mail_address.h"

enum { LIST_MS = 600000, COMMAND_MS = 100000, MOST_TRIES = 50, PAUSE_MS = 100 };

static struct qmgr_conf conf;
static struct command_world world;

static const char *service_path(const char *service, struct buf *b)
{
	buf_addf(b, "public/%s", service);
	return buf_text(b);
}

/* Without its group (postroad check says how to mend that) the command gets to nobody who runs. */
static void insist_on_permission(const char *service, int result)
{
	if (result == -EACCES)
		die(EX_UNAVAILABLE, "Connect to the %s %s service: %s", world.common.mail_name, service,
		    error_text(result));
}

/* ---- listing ---- */

static int print_listed(void *arg, const struct listed_message *m)
{
	print_message(arg, m);
	return ferror(((struct printer *) arg)->to) ? -EIO : 0;
}

static void list_files(struct printer *p)
{
	static const enum queue_name order[] = { QUEUE_MAILDROP, QUEUE_INCOMING, QUEUE_DEFERRED, QUEUE_HOLD };
	const unsigned which = 1 << QUEUE_INCOMING | 1 << QUEUE_DEFERRED | 1 << QUEUE_HOLD
			       | 1 << QUEUE_MAILDROP;
	const struct listing listing = { NULL, print_listed, p };
	struct queue *q;

	if (getuid() != geteuid()
	    || queue_open(AT_FDCWD, (int) world.common.hash_queue_depth, which, &q, NULL) < 0)
		die(EX_UNAVAILABLE, "Queue report unavailable - mail system is down");
	if (access("incoming", R_OK | X_OK) < 0)
		die(EX_UNAVAILABLE, "Queue report unavailable - mail system is down");
	log_warning("Mail system is down -- accessing queue directly");
	queue_open_intake(q, AT_FDCWD, false, false);
	for (size_t i = 0; i < COUNT_OF(order); i++)
		list_queue(q, order[i], &listing);
	queue_close(q);
}

static void print_entry(struct printer *p, const struct showq_entry *e)
{
	AUTO(buf) queue = BUF(100);

	buf_add(&queue, e->queue);
	print_message(p, &(struct listed_message){ .queue = buf_text(&queue),
						   .id = e->queue_id,
						   .arrival_s = e->arrival_s,
						   .size = e->size,
						   .forced_expire = e->forced_expire != 0,
						   .sender = e->sender,
						   .recipients = e->recipients });
}

static void receive_entries(struct printer *p, struct channel *ch)
{
	AUTO(buf) why = BUF_WORDS;
	struct showq_entry e;
	struct frame f;

	for (;;) {
		if (channel_receive(ch, &f, in(LIST_MS)) <= 0 || get_showq_entry(&f, &e, &why) < 0)
			die(EX_UNAVAILABLE, "the listing broke off%s%s", why.len > 0 ? ": " : "",
			    buf_text(&why));
		if (e.more == 0 && str_is(e.queue, STR("refused")))
			die(EX_NOPERM, "you are not allowed to view the mail queue");
		if (e.more == 0)
			return;
		print_entry(p, &e);
	}
}

static void list(bool as_json)
{
	AUTO(buf) path = BUF(300);
	struct printer p = { .to = stdout, .as_json = as_json };
	struct client *showq = client_new(service_path(conf.showq_service_name, &path));
	struct showq_request request = { .queue_id = STR_NONE };
	struct frame_out out;
	struct channel *ch;
	const int r = client_channel(showq, &ch, in(COMMAND_MS));

	insist_on_permission(conf.showq_service_name, r);
	if (r < 0) {
		list_files(&p);
	} else {
		if (put_showq_request(channel_buf(ch), 1, &request, &out) < 0 || channel_send(ch, &out) < 0)
			die(EX_UNAVAILABLE, "Queue report unavailable - mail system is down");
		receive_entries(&p, ch);
		channel_free(ch);
	}
	print_end(&p);
	if (fflush(stdout) != 0)
		die(EX_IOERR, "cannot write the listing");
	client_free(showq);
}

/* ---- asking for attempts ---- */

static void command(const char *name, const char *argument)
{
	AUTO(buf) path = BUF(300);
	struct client *qmgr;
	struct arena *a = arena_new("reply", NULL, 64 << 20);
	const struct qmgr_command m = { .command = str_of(name), .argument = str_of(argument) };
	struct qmgr_command_reply rep;
	int r, tries = 0;

	service_path(conf.queue_service_name, &path);
	do {
		if (tries > 0)
			co_sleep(in(PAUSE_MS));
		qmgr = client_new(buf_text(&path));
		r = CALL(qmgr, qmgr_command, &m, a, qmgr_command_reply, &rep, in(COMMAND_MS));
		client_free(qmgr);
		/* that one is leaving, for a reload */
	} while ((r == -EPIPE || r == -ECONNRESET || (r >= 0 && rep.code == EAGAIN)) && ++tries < MOST_TRIES);
	insist_on_permission(conf.queue_service_name, r);
	if (r < 0)
		die(EX_UNAVAILABLE, "Cannot flush mail queue - mail system is down");
	if (rep.code == EPERM)
		die(EX_NOPERM, "you are not allowed to flush the mail queue");
	if (rep.code != 0)
		die(EX_UNAVAILABLE, "Cannot flush mail queue - %s", error_text((int) rep.code));
	arena_free(a);
}

/* What else somebody may have typed, an address for instance, is no domain that mail is queued for. */
static bool is_site(struct str text)
{
	return hostname_is_valid(text, true) || domain_literal_is_valid(text);
}

struct request { char mode; const char *argument; };

__attribute__((noreturn)) static void usage(void)
{
	die(EX_UNAVAILABLE,
	    "usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site");
}

static void one_mode(struct request *r, int mode, const char *argument)
{
	if (r->mode != 0)
		usage();
	r->mode = (char) mode;
	r->argument = argument;
}

static const char *parse_options(int argc, char **argv, struct request *r)
{
	const char *config_dir = NULL;
	int option;

	while ((option = getopt(argc, argv, "c:fi:jps:v")) != -1)
		switch (option) {
		case 'c':
			config_dir = optarg;
			break;
		case 'v':
			log_verbose(1);
			break;
		case 'i':
		case 's':
			one_mode(r, option, optarg);
			break;
		case 'f':
		case 'j':
		case 'p':
			one_mode(r, option, "");
			break;
		default:
			usage();
		}
	if (r->mode == 0 || argv[optind] != NULL)
		usage();
	return config_dir;
}

int main(int argc, char **argv)
{
	static const struct param_group *const groups[] = { &qmgr_group, NULL };
	static void *const structs[] = { &conf };
	struct request r = { 0 };
	const char *config_dir = parse_options(argc, argv, &r);

	die_always_with(EX_UNAVAILABLE);	/* Postfix's answer to a configuration that cannot be read */
	command_start("postqueue", config_dir, groups, structs, &world);
	die_always_with(0);
	if (chdir(world.common.queue_directory) < 0)
		die(EX_UNAVAILABLE, "queue_directory %s: %s", world.common.queue_directory,
		    error_text(errno));
	switch (r.mode) {
	case 'f':
		command("flush", "");
		break;
	case 'i':
		if (!queue_id_is_valid(str_of(r.argument)))
			die(EX_UNAVAILABLE, "Cannot flush queue ID - invalid name: \"%s\"", r.argument);
		command("flush_id", r.argument);
		break;
	case 's':
		if (!is_site(str_of(r.argument)))
			die(EX_UNAVAILABLE, "Cannot flush mail queue - invalid destination: \"%.100s\"",
			    r.argument);
		command("flush_site", r.argument);
		break;
	default:
		list(r.mode == 'j');
	}
	return 0;
}
