/* SPDX-License-Identifier: ISC */
/*
 * postsuper: what root and the mail owner may do with the queue.
 *
 *   postsuper [-c config_dir] [-psv] [-d id] [-e id] [-f id] [-h id] [-H id] [-r id] [queue ...]
 *
 * An id may be "-" (ids on standard input) or ALL. Goes through the queue manager when it runs, and works on
 * the files when it does not.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <unistd.h>

#include "commands/postsuper/postsuper.h"
#include "lib/base/die.h"
#include "lib/conf/params/qmgr.h"
#include "lib/daemon/daemon.h"
#include "lib/peers/trigger.h"

enum { MOST_ACTIONS = 1000 };

static struct qmgr_conf conf;
static struct command_world world;

struct request {			/* one option */
	struct action *action;
	const char *id;
};

static struct action actions[] = {
	{ 'd', "delete", "removed", "Deleted",
	  1 << QUEUE_INCOMING | 1 << QUEUE_DEFERRED | 1 << QUEUE_HOLD | 1 << QUEUE_MAILDROP, false, 0 },
	{ 'e', "expire", "expired", "Force-expired",
	  1 << QUEUE_INCOMING | 1 << QUEUE_DEFERRED | 1 << QUEUE_HOLD, false, 0 },
	{ 'f', "expire", "expired", "Force-expired",
	  1 << QUEUE_INCOMING | 1 << QUEUE_DEFERRED | 1 << QUEUE_HOLD, false, 0 },
	{ 'h', "hold", "placed on hold", "Placed on hold", 1 << QUEUE_INCOMING | 1 << QUEUE_DEFERRED, false,
	  0 },
	{ 'H', "release", "released from hold", "Released from hold", 1 << QUEUE_HOLD, false, 0 },
	{ 'r', "requeue", "requeued", "Requeued", 1 << QUEUE_INCOMING | 1 << QUEUE_DEFERRED | 1 << QUEUE_HOLD,
	  false, 0 },
};

static struct action *action_of(int letter)
{
	for (size_t i = 0; i < COUNT_OF(actions); i++)
		if (actions[i].letter == letter)
			return &actions[i];
	return NULL;
}

/* ---- ids ---- */

/* One that is none is said and left out: the others are done all the same. */
static void add_id(struct buf *ids, struct str id)
{
	if (queue_id_is_valid(id))
		buf_addf(ids, "%.*s\n", PSTR(id));
	else if (id.len > 0)
		log_warning("invalid mail queue id: %.*s", PSTR(id));
}

static void read_ids(struct buf *ids)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	while ((len = getline(&line, &size, stdin)) >= 0)
		add_id(ids, str_trim(str_make(line, (size_t) len)));
	free(line);
}

static bool is_all(const char *id)
{
	return strcmp(id, "ALL") == 0;
}

static void collect(const struct super *s, const struct request *r, struct buf *ids)
{
	if (strcmp(r->id, "-") == 0)
		read_ids(ids);
	else if (is_all(r->id))
		super_all_ids(s, r->action, ids);
	else
		add_id(ids, str_of(r->id));
}

/* ---- carrying out ---- */

static void report(struct action *a, struct str done, bool one_by_one)
{
	struct str rest = done, id;

	while (str_token(&rest, "\n", &id)) {
		a->count++;
		if (one_by_one)
			log_mail(ROAD_INFO, id, "%s", a->done);
	}
}

/* For each kind of action that was asked for, also when there was nothing to do. -e and -f are one kind. */
static void report_totals(void)
{
	static const char kinds[] = "rdehH";

	for (const char *kind = kinds; *kind != 0; kind++) {
		const struct action *a = action_of(*kind), *with = *kind == 'e' ? action_of('f') : NULL;
		uint64_t n = a->count + (with != NULL ? with->count : 0);

		if (a->asked_for || (with != NULL && with->asked_for))
			log_info("%s: %llu message%s", a->total, (unsigned long long) n, n == 1 ? "" : "s");
	}
}

static void carry_out(struct super *s, const struct request *r)
{
	AUTO(buf) ids = BUF((size_t) 256 << 20);
	AUTO(buf) done = BUF((size_t) 256 << 20);

	r->action->asked_for = true;
	action_of('H')->asked_for |= r->action->letter == 'f';
	collect(s, r, &ids);
	if (ids.len == 0)
		return;
	super_act(s, r->action, buf_str(&ids), &done);
	if (r->action->letter == 'f') {		/* what was on hold goes too, to be returned */
		AUTO(buf) released = BUF((size_t) 256 << 20);

		super_act(s, action_of('H'), buf_str(&done), &released);
		report(action_of('H'), buf_str(&released), !is_all(r->id));
	}
	if (r->action->letter == 'r' && done.len > 0)
		trigger("public/pickup");
	report(r->action, buf_str(&done), !is_all(r->id));
}

/* ---- the command line ---- */

struct options {
	const char *config_dir;
	bool purge, mend;
	size_t count;
	struct request requests[MOST_ACTIONS];
};

__attribute__((noreturn)) static void usage(void)
{
	die(EX_USAGE,
	    "usage: postsuper [-c config_dir] [-psSv] [-d queue_id] [-e queue_id] [-f queue_id] "
	    "[-h queue_id] [-H queue_id] [-r queue_id] [queue ...]");
}

static void parse_options(int argc, char **argv, struct options *o)
{
	int option;

	while ((option = getopt(argc, argv, "c:d:e:f:h:H:pr:sSv")) != -1)
		switch (option) {
		case 'c':
			o->config_dir = optarg;
			break;
		case 'p':
			o->purge = true;
			break;
		case 's':
		case 'S':
			o->mend = true;
			break;
		case 'v':
			log_verbose(1);
			break;
		default:
			if (action_of(option) == NULL || o->count == MOST_ACTIONS)
				usage();
			o->requests[o->count++] = (struct request){ action_of(option), optarg };
		}
}

/* "active" is a state and not a place here: such a message is in incoming or deferred. */
static unsigned parse_queues(char **names)
{
	unsigned which = 0;
	enum queue_name q;

	for (; *names != NULL; names++) {
		if (strcmp(*names, "active") == 0)
			which |= 1 << QUEUE_INCOMING | 1 << QUEUE_DEFERRED;
		else if (queue_name_parse(str_of(*names), &q) >= 0)
			which |= 1u << q;
		else
			die(EX_USAGE, "invalid directory name: %s", *names);
	}
	return which;
}

/* Files that are made or moved keep belonging to the mail owner, whoever calls. */
static void become_mail_owner(void)
{
	struct arena *a = arena_new("account", NULL, 1 << 20);
	struct account account;
	int r;

	if (geteuid() == 0) {
		r = account_by_name(a, str_of(world.common.mail_owner), &account);
		if (r <= 0)
			die(EX_CONFIG, "mail_owner = %s: %s", world.common.mail_owner,
			    r == 0 ? "there is no such account" : error_text(r));
		r = become_user(account.uid, account.gid);
		if (r < 0)
			die(EX_OSERR, "cannot become %s: %s", world.common.mail_owner, error_text(r));
	} else if (access("incoming", R_OK | W_OK | X_OK) < 0) {
		die(EX_NOPERM, "use of this command is reserved for the superuser");
	}
	arena_free(a);
}

int main(int argc, char **argv)
{
	static const struct param_group *const groups[] = { &qmgr_group, NULL };
	static void *const structs[] = { &conf };
	static struct options o;
	AUTO(buf) why = BUF_WORDS;
	AUTO(buf) path = BUF(300);
	struct super s = { 0 };

	die_always_with(1);
	parse_options(argc, argv, &o);
	command_start("postsuper", o.config_dir, groups, structs, &world);
	if (chdir(world.common.queue_directory) < 0)
		die(EX_UNAVAILABLE, "queue_directory %s: %s", world.common.queue_directory,
		    error_text(errno));
	become_mail_owner();
	if (queue_open(AT_FDCWD, (int) world.common.hash_queue_depth, (1u << QUEUE_COUNT) - 1, &s.queue, &why)
	    < 0)
		die(EX_UNAVAILABLE, "%s", buf_text(&why));
	if (queue_open_intake(s.queue, AT_FDCWD, true, false) < 0)
		log_warning("queue directory intake cannot be read: new mail in it is not seen");
	buf_addf(&path, "public/%s", conf.queue_service_name);
	s.qmgr_path = buf_text(&path);
	s.qmgr = client_new(s.qmgr_path);
	s.only = parse_queues(argv + optind);
	if (o.count == 0 && !o.purge && !o.mend)
		o.purge = o.mend = true;
	if (o.mend || o.purge)
		super_mend(&s, o.mend, o.purge);
	for (size_t i = 0; i < o.count; i++)
		carry_out(&s, &o.requests[i]);
	report_totals();
	client_free(s.qmgr);
	queue_close(s.queue);
	return s.failed;
}
