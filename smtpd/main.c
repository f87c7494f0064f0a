/* SPDX-License-Identifier: ISC */
/*
 * smtpd: receives mail over SMTP and hands it to cleanup. Opens everything that its configuration
 * names, then locks itself in: no file is opened afterwards but changed tables, no connection made
 * but to the suite's own sockets.
 */
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/daemon/daemon.h"
#include "lib/peers/cleanup.h"
#include "smtpd/client_rate.h"
#include "smtpd/explain.h"
#include "smtpd/policy.h"
#include "smtpd/sasl.h"
#include "smtpd/session.h"
#include "smtpd/smtpd.h"

static struct smtpd smtpd;
const struct smtpd *const the_smtpd = &smtpd;

/* ---- start ---- */

static struct match_list *open_list(const char *name, const char *patterns)
{
	AUTO(buf) why = BUF_WORDS;
	struct match_list *list;
	unsigned parent = match_parent_flag(str_of(smtpd.common->parent_domain_matches_subdomains),
					    str_of(name));

	if (match_list_open(name, str_of(patterns), parent, &list, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	return list;
}

static bool is_yes_no_value(const char *value, const char *a, const char *b, const char *name)
{
	if (!str_is_nocase(str_of(value), str_of(a)) && !str_is_nocase(str_of(value), str_of(b)))
		die(EX_CONFIG, "%s: \"%s\" is neither %s nor %s", name, value, a, b);
	return str_is_nocase(str_of(value), str_of(a));
}

static enum bare_newline parse_bare_newline(struct str value)
{
	static const struct { struct str name; enum bare_newline what; } rows[] = {
		{ STR_INIT("no"), BARE_NEWLINE_OK }, { STR_INIT("yes"), BARE_NEWLINE_OK },
		{ STR_INIT("normalize"), BARE_NEWLINE_OK },
		{ STR_INIT("note"), BARE_NEWLINE_NOTE }, { STR_INIT("reject"), BARE_NEWLINE_REJECT },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (str_is_nocase(value, rows[i].name))
			return rows[i].what;
	die(EX_CONFIG, "smtpd_forbid_bare_newline: \"%.*s\" is none of no, yes, normalize, note, reject",
	    PSTR(value));
}

static void compile_restrictions(void)
{
	const struct smtpd_conf *conf = &smtpd.conf;
	const struct { const char *parameter, *text; } rows[STAGE_COUNT] = {
		[STAGE_CLIENT] = { "smtpd_client_restrictions", conf->smtpd_client_restrictions },
		[STAGE_HELO] = { "smtpd_helo_restrictions", conf->smtpd_helo_restrictions },
		[STAGE_SENDER] = { "smtpd_sender_restrictions", conf->smtpd_sender_restrictions },
		[STAGE_RELAY] = { "smtpd_relay_restrictions", conf->smtpd_relay_restrictions },
		[STAGE_RECIPIENT] = { "smtpd_recipient_restrictions", conf->smtpd_recipient_restrictions },
		[STAGE_DATA] = { "smtpd_data_restrictions", conf->smtpd_data_restrictions },
		[STAGE_END_OF_DATA] = { "smtpd_end_of_data_restrictions",
					conf->smtpd_end_of_data_restrictions },
		[STAGE_ETRN] = { "smtpd_etrn_restrictions", conf->smtpd_etrn_restrictions },
	};

	for (int i = 0; i < STAGE_COUNT; i++)
		smtpd.rules[i] = restrict_compile(the_world->conf, rows[i].parameter, rows[i].text, i,
						  conf->smtpd_delay_reject);
	smtpd.local_clients = restrict_compile(the_world->conf, "local_header_rewrite_clients",
					       conf->local_header_rewrite_clients, STAGE_CLIENT, false);
	if (!refuses_strangers(smtpd.rules[STAGE_RELAY]) && !refuses_strangers(smtpd.rules[STAGE_RECIPIENT]))
		die(EX_CONFIG, "in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working "
		    "instance of: reject_unauth_destination, defer_unauth_destination, reject, defer or defer_if_permit");
}

static void start(void)
{
	AUTO(buf) why = BUF_WORDS;
	const struct smtpd_conf *conf = &smtpd.conf;

	smtpd.common = the_world->common;
	if (conf_get_bool(the_world->conf, STR("soft_bounce"), false, &smtpd.soft_bounce, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	if (receive_parse(&smtpd.receive_conf, &smtpd.receive, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	if (route_open(the_world->conf, smtpd.common, &smtpd.route, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	smtpd.mynetworks = open_list("mynetworks", smtpd.common->mynetworks);
	smtpd.xclient_hosts = open_list("smtpd_authorized_xclient_hosts",
					conf->smtpd_authorized_xclient_hosts);
	smtpd.verp_clients = open_list("smtpd_authorized_verp_clients", conf->smtpd_authorized_verp_clients);
	smtpd.noop_commands = open_list("smtpd_noop_commands", conf->smtpd_noop_commands);
	smtpd.forbidden_commands = open_list("smtpd_forbidden_commands", conf->smtpd_forbidden_commands);
	smtpd.bare_newline_exclusions = open_list("smtpd_forbid_bare_newline_exclusions",
						  conf->smtpd_forbid_bare_newline_exclusions);
	smtpd.etrn_domains = open_list("fast_flush_domains", conf->fast_flush_domains);
	smtpd.limit_exceptions = open_list("smtpd_client_event_limit_exceptions",
					   conf->smtpd_client_event_limit_exceptions);
	if (tables_open(str_of(conf->smtpd_discard_ehlo_keyword_address_maps), 0,
			&smtpd.discard_ehlo_maps, &why) < 0)
		die(EX_CONFIG, "smtpd_discard_ehlo_keyword_address_maps: %s", buf_text(&why));
	if (tables_open(str_of(conf->rbl_reply_maps), TABLE_FOLD_KEY, &smtpd.rbl_replies, &why) < 0)
		die(EX_CONFIG, "rbl_reply_maps: %s", buf_text(&why));
	if (ehlo_keywords_parse(str_of(conf->smtpd_discard_ehlo_keywords), &smtpd.discard_ehlo, &why) < 0)
		die(EX_CONFIG, "smtpd_discard_ehlo_keywords: %s", buf_text(&why));
	if (conf->smtpd_upstream_proxy_protocol[0] != 0 && strcmp(conf->smtpd_upstream_proxy_protocol,
								  "haproxy") != 0)
		die(EX_CONFIG, "smtpd_upstream_proxy_protocol: \"%s\" is not haproxy",
		    conf->smtpd_upstream_proxy_protocol);
	smtpd.behind_proxy = conf->smtpd_upstream_proxy_protocol[0] != 0;
	smtpd.bare_newline = parse_bare_newline(str_of(conf->smtpd_forbid_bare_newline));
	smtpd.access_parents = str_lists(str_of(smtpd.common->parent_domain_matches_subdomains),
					 STR("smtpd_access_maps"));
	smtpd.defer_unknown_address = is_yes_no_value(conf->unknown_address_tempfail_action, "defer",
						      "defer_if_permit", "unknown_address_tempfail_action");
	smtpd.defer_unknown_helo = is_yes_no_value(conf->unknown_helo_hostname_tempfail_action, "defer",
						   "defer_if_permit", "unknown_helo_hostname_tempfail_action");
	open_tls(&smtpd);
	/* nobody who talks to clients can change what later processes find there */
	if (the_world->keepsake >= 0)
		close(the_world->keepsake);
	open_sasl(&smtpd);
	compile_restrictions();
	mail_out_use(the_world->common->cleanup_service_name);
}

/* ---- powers ---- */

static const struct param_group *const groups[] = { &smtpd_group, &queue_group, &receive_group, &tls_group,
						    &tlsmgr_group, NULL };
static void *const structs[] = { &smtpd.conf, &smtpd.queue, &smtpd.receive_conf, &smtpd.tls, &smtpd.tickets };

static unsigned more_syscalls(void)
{
	return policy_services_need_inet() || sasl_needs_inet() ? SYS_CONNECT_INET : 0;
}

static const struct jail_path *more_paths(void)
{
	static struct jail_path paths[4];
	const char *const sockets[] = { tls_socket(), sasl_socket(), rates_socket() };
	size_t n = 0;

	for (size_t i = 0; i < COUNT_OF(sockets); i++)
		if (sockets[i] != NULL)
			paths[n++] = (struct jail_path){ sockets[i], 'c' };
	return paths;
}

static const struct daemon smtpd_daemon = {
	.name = "smtpd",
	.shape = DAEMON_SESSIONS,
	.groups = groups,
	.structs = structs,
	.jail = {
		.user = AS_MAIL_OWNER,
		.syscalls = SYS_CORE | SYS_ACCEPT | SYS_CONNECT_UNIX,
		.capabilities = "",
		.paths = {			/* and the directories of tables, which lib/daemon adds */
			{ "public/cleanup", 'c' }, { "public/qmgr", 'c' }, { "private/resolver", 'c' },
			{ "private/proxymap", 'c' },
			{ "public/postlog", 'c' },
		},
	},
	.more_paths = more_paths,
	.more_syscalls = more_syscalls,
	.start = start,
	.serve = serve_client,
	.explain = explain,
	.stop = sessions_stop,
};

int main(int argc, char **argv)
{
	return daemon_main(argc, argv, &smtpd_daemon);
}
