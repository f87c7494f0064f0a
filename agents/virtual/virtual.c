/* SPDX-License-Identifier: ISC */
/*
 * The virtual delivery agent: mailboxes of people without accounts, whose place and owner are looked up in
 * tables.
 *
 * What the tables say is not trusted: no uid or gid below virtual_minimum_uid, no path that leads
 * out of virtual_mailbox_base. The mailbox is written by a process that has become its owner
 * (lib/agent/hands.h); the agent never opens it, nor the message.
 */
#include <errno.h>
#include <unistd.h>

#include "lib/agent/hands.h"
#include "lib/base/die.h"
#include "lib/conf/params/mailbox.h"
#include "lib/conf/params/route.h"
#include "lib/conf/params/virtual.h"
#include "lib/mailbox/mailbox.h"
#include "lib/table/table.h"

enum { MOST_PATH = 1000, TIME_LIMIT_MS = 3600000 };
#define LACKS_DOTLOCK "!"		/* behind the result, in a hand's reply */

static struct {
	struct virtual_conf conf;
	struct mailbox_conf mailbox;
	struct route_conf route;
	struct tables *mailboxes, *uids, *gids;
	struct mailbox_rules rules;
} the_virtual;

/* ---- what the tables say ---- */

struct mailbox {
	struct delivery *d;
	struct recipient *r;
	const char *path;
	uid_t uid;
	gid_t gid;
	struct mailbox_result result;
	struct hand_order order;
	bool is_ordered;
};

/* 1 found, else a result has been set. */
static int look_up(struct mailbox *m, struct tables *ts, const char *name, struct str *ret_value)
{
	struct address_lookup how = { .delimiter = str_of(the_world->common->recipient_delimiter) };
	int r = tables_get_address(ts, m->d->arena, m->r->address, &how, ret_value, NULL);

	if (r < 0) {
		log_mail(ROAD_WARNING, m->d->queue_id, "%s: lookup of %.*s failed: %s", name,
			 PSTR(m->r->address), tables_why(ts));
		mailbox_say(&m->result, MAILBOX_DEFERRED, "4.3.0", "%s lookup failure", name);
	}
	return r;
}

static bool leads_out(struct str path)
{
	struct str part;
	bool more = true;

	while (more) {
		more = str_cut(&path, '/', &part);
		if (str_is(part, STR("..")))
			return true;
	}
	return false;
}

static bool find_path(struct mailbox *m)
{
	struct str value;
	int r = look_up(m, the_virtual.mailboxes, "virtual_mailbox_maps", &value);

	if (r == 0)
		mailbox_say(&m->result, MAILBOX_BOUNCED, "5.1.1", "unknown user: \"%.*s\"",
			    PSTR(m->r->address));
	if (r <= 0)
		return false;
	value = str_trim(value);
	if (value.len == 0 || value.len > MOST_PATH || str_has_control(value) || leads_out(value)) {
		log_mail(ROAD_WARNING, m->d->queue_id, "virtual_mailbox_maps: bad path \"%.*s\" for %.*s",
			 PSTR(str_head(value, 200)),
			 PSTR(m->r->address));
		mailbox_say(&m->result, MAILBOX_DEFERRED, "4.3.5", "mail system configuration error");
		return false;
	}
	m->path = str_c(m->d->arena, arena_fmt(m->d->arena, "%s/%.*s", the_virtual.conf.virtual_mailbox_base,
					       PSTR(value)));
	return true;
}

static bool find_id(struct mailbox *m, struct tables *ts, const char *name, int64_t least, int64_t *ret_id)
{
	struct str value;
	int r = look_up(m, ts, name, &value);

	if (r < 0)
		return false;
	if (r > 0 && str_to_int(str_trim(value), least, INT32_MAX, ret_id) >= 0)
		return true;
	log_mail(ROAD_WARNING, m->d->queue_id, "%s: %s for %.*s", name,
		 r == 0 ? "no entry" : "bad or too small a number", PSTR(m->r->address));
	mailbox_say(&m->result, MAILBOX_DEFERRED, "4.3.5", "mail system configuration error");
	return false;
}

static bool find_mailbox(struct mailbox *m)
{
	int64_t uid, gid;

	if (the_virtual.conf.virtual_mailbox_base[0] != '/') {
		log_mail(ROAD_WARNING, m->d->queue_id,
			 "virtual_mailbox_base must be an absolute path, not \"%s\"",
			 the_virtual.conf.virtual_mailbox_base);
		mailbox_say(&m->result, MAILBOX_DEFERRED, "4.3.5", "mail system configuration error");
		return false;
	}
	if (!find_path(m)
	    || !find_id(m, the_virtual.uids, "virtual_uid_maps", the_virtual.conf.virtual_minimum_uid, &uid)
	    || !find_id(m, the_virtual.gids, "virtual_gid_maps", 1, &gid))
		return false;
	m->uid = (uid_t) uid;
	m->gid = (gid_t) gid;
	return true;
}

/* ---- delivery ---- */

static ssize_t read_message(void *arg, uint64_t at, void *to, size_t n)
{
	return content_pread(&((struct delivery *) arg)->content, at, to, n);
}

static bool is_maildir(const char *path)
{
	return path[strlen(path) - 1] == '/';
}

/* In a hand: what is the path of the mailbox. */
static int write_mailbox(struct hand_job *e)
{
	const enum { MBOX_FORM = LETTER_FROM | LETTER_QUOTE_FROM | LETTER_EMPTY_LINE
		     | LETTER_HEADERS } form = MBOX_FORM;
	struct mailbox_result *result = e->state = ARENA_NEW(e->arena, struct mailbox_result);
	const struct recipient *r = e->d->env.recipients;
	const char *path = str_c(e->arena, e->what);
	struct letter l = {
		.sender = e->d->env.sender,
		.original_to = original_to(r->original.len > 0 ? r->original : r->address),
		.delivered_to = r->address, .size = e->d->content.parts.size,
		.read = read_message, .arg = e->d,
	};
	int busy;

	result->text = BUF_WORDS;
	if (is_maildir(path))
		busy = maildir_add(&l, path, &the_virtual.rules, e->batch, result);
	else
		busy = mbox_append(&l, path, form, &the_virtual.rules, e->batch, result);
	if (busy != -EBUSY)
		return 0;
	buf_free(&result->text);
	return -EAGAIN;
}

static void say_result(struct hand_job *e)
{
	struct mailbox_result *result = e->state;

	mailbox_result_pack(result, &e->reply);
	if (result->lacks_dotlock)
		buf_add_text(&e->reply, LACKS_DOTLOCK);
	buf_free(&result->text);
}

static const struct trade trade = { .run = write_mailbox, .finish = say_result };

static void order(struct mailbox *m)
{
	struct str path = str_of(m->path);

	m->order = (struct hand_order) { .as = { .uid = m->uid, .gid = m->gid,
						 .spool_gid = (gid_t) NO_GROUP }, .d = m->d,
						 .r = m->r, .what = path,
					   .place = is_maildir(m->path) ? STR_NONE : path,
					   .time_limit_ms = TIME_LIMIT_MS };
	hands_send(&m->order, m->d->arena);
	m->is_ordered = true;
}

static void await(struct mailbox *m)
{
	int r = hands_wait(&m->order);
	struct str rest = m->order.reply, line;

	if (r >= 0) {
		str_cut(&rest, '\n', &line);
		r = mailbox_result_unpack(line, &m->result);
	}
	if (r >= 0 && str_is(rest, STR(LACKS_DOTLOCK)))
		log_mail(ROAD_WARNING, m->d->queue_id,
			 "unable to create lock file %s.lock: the directory does not let us", m->path);
	if (r == -EPERM)
		mailbox_say(&m->result, MAILBOX_DEFERRED, "4.3.5", "cannot become uid %u", (unsigned) m->uid);
	else if (r < 0)
		mailbox_say(&m->result, MAILBOX_DEFERRED, "4.3.0", "delivery process failed: %s",
			    r == -ECHILD ? "it died" : error_text(r));
}

static void report(struct mailbox *m)
{
	struct result how = { .dsn = m->result.dsn, .relay = STR("virtual") };
	const char *text = buf_text(&m->result.text);

	if (m->result.status == MAILBOX_SENT)
		delivered(m->d, m->r, &how, "%s", text);
	else if (m->result.status == MAILBOX_BOUNCED)
		bounced(m->d, m->r, &how, "%s", text);
	else
		deferred(m->d, m->r, &how, "%s", text);
}

static void begin(struct mailbox *m)
{
	if (!find_mailbox(m))
		return;
	if (m->d->flags & DELIVER_PROBE)
		mailbox_say(&m->result, MAILBOX_SENT, "2.0.0", "delivers to mailbox");
	else
		order(m);
}

/* All recipients at once: their mailboxes may share a sync. */
static void deliver(struct delivery *d)
{
	struct mailbox *mailboxes = arena_get(d->arena, d->env.recipient_count * sizeof(*mailboxes));

	for (size_t i = 0; i < d->env.recipient_count; i++) {
		mailboxes[i] = (struct mailbox) { .d = d, .r = &d->env.recipients[i],
						  .result = { .text = BUF_WORDS } };
		begin(&mailboxes[i]);
	}
	for (size_t i = 0; i < d->env.recipient_count; i++) {
		struct mailbox *m = &mailboxes[i];

		if (m->is_ordered)
			await(m);
		if (!co_is_cancelled())
			report(m);
		buf_free(&m->result.text);
	}
}

/* ---- start ---- */

static struct tables *open_tables(const char *name, const char *specs)
{
	AUTO(buf) why = BUF_WORDS;
	struct tables *ts;

	if (tables_open(str_of(specs), TABLE_FOLD_KEY | TABLE_GIVES_RIGHTS, &ts, &why) < 0)
		die(EX_CONFIG, "%s: %s", name, buf_text(&why));
	return ts;
}

static void start(void)
{
	AUTO(buf) why = BUF_WORDS;

	insist_on_mailbox_limit("virtual_mailbox_limit", the_virtual.conf.virtual_mailbox_limit);
	the_virtual.mailboxes = open_tables("virtual_mailbox_maps", the_virtual.route.virtual_mailbox_maps);
	the_virtual.uids = open_tables("virtual_uid_maps", the_virtual.conf.virtual_uid_maps);
	the_virtual.gids = open_tables("virtual_gid_maps", the_virtual.conf.virtual_gid_maps);
	the_virtual.rules = (struct mailbox_rules) {
		.lock_attempts = (int) the_virtual.mailbox.deliver_lock_attempts,
		.lock_delay_ms = the_virtual.mailbox.deliver_lock_delay,
		.stale_lock_ms = the_virtual.mailbox.stale_lock_time,
		.size_limit = the_virtual.conf.virtual_mailbox_limit,
		.strict_owner = the_virtual.mailbox.strict_mailbox_ownership,
		.host = str_of(the_world->common->myhostname),
		/* its paths are the administrator's, and none of the owner's doing */
		.waits_until_fit = true,
	};
	if (mailbox_locks_parse(str_of(the_virtual.conf.virtual_mailbox_lock), &the_virtual.rules.locks,
				&why) < 0)
		die(EX_CONFIG, "virtual_mailbox_lock: %s", buf_text(&why));
	hands_begin(&trade);
}

int main(int argc, char **argv)
{
	static const struct param_group *const groups[] = { &virtual_group, &mailbox_group, &route_group,
							    NULL };
	static void *const structs[] = { &the_virtual.conf, &the_virtual.mailbox, &the_virtual.route };
	static struct agent agent = {
		.daemon = {
			.name = "virtual",
			.groups = groups,
			.structs = structs,
			.jail = { .user = AS_MAIL_OWNER,
				  .syscalls = SYS_CORE | SYS_ACCEPT | SYS_CONNECT_UNIX, .capabilities = "",
				  .paths = { { "private/proxymap", 'c' } } },
			.start = start,
		},
		.deliver = deliver,
		.probes = true,
	};

	return agent_main(argc, argv, &agent);
}
