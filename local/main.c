/* SPDX-License-Identifier: ISC */
/* The local delivery agent: start, settings, requests. */
#include <errno.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/peers/cleanup.h"
#include "local/explain.h"

struct local the_local;

static struct tables *open_tables(const char *name, const char *specs, unsigned flags)
{
	AUTO(buf) why = BUF_WORDS;
	struct tables *ts;

	if (tables_open(str_of(specs), TABLE_FOLD_KEY | flags, &ts, &why) < 0)
		die(EX_CONFIG, "%s: %s", name, buf_text(&why));
	return ts;
}

static void read_locks(void)
{
	AUTO(buf) why = BUF_WORDS;
	struct mailbox_rules *rules = &the_local.rules;

	if (mailbox_locks_parse(str_of(the_local.conf.mailbox_delivery_lock), &rules->locks, &why) < 0)
		die(EX_CONFIG, "mailbox_delivery_lock: %s", buf_text(&why));
	rules->lock_attempts = (int) the_local.mailbox.deliver_lock_attempts;
	rules->lock_delay_ms = the_local.mailbox.deliver_lock_delay;
	rules->stale_lock_ms = the_local.mailbox.stale_lock_time;
	rules->size_limit = the_local.conf.mailbox_size_limit;
	rules->strict_owner = the_local.mailbox.strict_mailbox_ownership;
	rules->host = str_of(the_world->common->myhostname);
}

/* Who makes new messages. */
static void find_mail_owner(void)
{
	struct arena *a = arena_new("account", NULL, 1 << 20);
	struct account owner;

	the_local.mail_uid = the_local.own_uid;
	the_local.mail_gid = the_local.own_gid;
	if (the_local.privileged && account_by_name(a, str_of(the_world->common->mail_owner), &owner) > 0) {
		the_local.mail_uid = owner.uid;
		the_local.mail_gid = owner.gid;
	}
	if (the_local.privileged && account_by_name(a, str_of(the_world->common->default_privs), &owner) == 0)
		daemon_complain("default_privs: there is no account \"%s\"", the_world->common->default_privs);
	arena_free(a);
}

/*
 * The transport's own limit. The queue manager allows more, since what is not slow is done together
 * (qmgr/rules.c).
 */
static void read_limit(void)
{
	AUTO(buf) why = BUF_WORDS;
	AUTO(buf) name = BUF(300);
	int64_t limit = 0;

	buf_addf(&name, "%s_destination_concurrency_limit", the_world->service);
	if (conf_get_int(the_world->conf, buf_str(&name), STR("$default_destination_concurrency_limit"), 0,
			 1000000, &limit, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	the_local.most_slow = (int) limit;
}

/* What is written in main.cf, and cannot be meant. */
static void insist_on_sense(const struct local_conf *conf)
{
	static const char sources[] = "alias, forward, include";

	insist_on_words("allow_mail_to_commands", conf->allow_mail_to_commands, sources);
	insist_on_words("allow_mail_to_files", conf->allow_mail_to_files, sources);
	insist_on_words("prepend_delivered_header", conf->prepend_delivered_header, "command, file, forward");
	insist_on_mailbox_limit("mailbox_size_limit", conf->mailbox_size_limit);
}

static void start(void)
{
	AUTO(buf) why = BUF_WORDS;
	const struct local_conf *conf = &the_local.conf;

	insist_on_sense(conf);
	the_local.privileged = geteuid() == 0;
	the_local.own_uid = geteuid();
	the_local.own_gid = getegid();
	the_local.delimiter = str_of(the_world->common->recipient_delimiter);
	the_local.aliases = open_tables("alias_maps", the_local.route.alias_maps, TABLE_GIVES_RIGHTS);
	the_local.mailbox_command = open_tables("mailbox_command_maps", conf->mailbox_command_maps,
						TABLE_GIVES_RIGHTS);
	the_local.mailbox_transport = open_tables("mailbox_transport_maps", conf->mailbox_transport_maps,
						  TABLE_NO_REGEXP_SUBSTITUTION);
	the_local.fallback_transport = open_tables("fallback_transport_maps", conf->fallback_transport_maps,
						   TABLE_NO_REGEXP_SUBSTITUTION);
	if (route_open_resolving(the_world->conf, the_world->common, &the_local.routing, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	find_mail_owner();
	read_limit();
	read_locks();
	accounts_prepare();
	mail_out_use(the_world->common->cleanup_service_name);
	hands_begin(&local_trade);
}

static void deliver(struct delivery *d)
{
	EACH_RECIPIENT(r, d)
		if (!co_is_cancelled())
			deliver_recipient(d, r);
}

int main(int argc, char **argv)
{
	static const struct param_group *const groups[] = { &local_group, &mailbox_group, &route_group,
							    NULL };
	static void *const structs[] = { &the_local.conf, &the_local.mailbox, &the_local.route };
	static struct agent agent = {
		.daemon = {
			.name = "local",
			.groups = groups,
			.structs = structs,
			/*
			 * Accounts are asked for here, like in proxymap: name services have files
			 * and servers of their own.
			 */
			.jail = { .user = AS_MAIL_OWNER,
				  .syscalls = SYS_CORE | SYS_ACCEPT | SYS_CONNECT_UNIX | SYS_FILES_READ,
				  .capabilities = "",
				  .paths = { { "/etc", 'r' }, { "/run", 'r' }, { "/var/lib", 'r' },
					     { "/run/nscd/socket", 'c' },
					     { "/var/lib/sss/pipes", 'c' }, { "private", 'c' } } },
			.start = start,
			.explain = explain,
		},
		.deliver = deliver,
		.probes = true,
	};

	return agent_main(argc, argv, &agent);
}
