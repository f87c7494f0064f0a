/* SPDX-License-Identifier: ISC */
/*
 * The SMTP and LMTP client, a delivery agent. Called "lmtp" it speaks LMTP and takes lmtp_
 * parameters. Deliveries are coroutines; sessions outlive them for a moment and serve the next
 * message for the same place.
 */
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/conf/own_addresses.h"
#include "smtp/explain.h"
#include "smtp/smtp.h"

static void parse_preference(const char *text)
{
	the_client.ipv4_first = strcmp(text, "ipv4") == 0;
	the_client.ipv6_first = strcmp(text, "ipv6") == 0;
	if (!the_client.ipv4_first && !the_client.ipv6_first && strcmp(text, "any") != 0)
		die(EX_CONFIG, "smtp_address_preference: any, ipv4 or ipv6, not \"%s\"", text);
}

static void parse_bind(const char *name, const char *text, int family, struct address_ip *ret)
{
	struct str address = str_trim(str_of(text));

	if (address.len == 0)
		return;
	if (address.len > 2 && address.at[0] == '[')
		address = str_head(str_skip(address, 1), address.len - 2);
	if (ip_parse(address, ret) < 0 || ret->family != family)
		die(EX_CONFIG, "%s: not an address of its kind: \"%s\"", name, text);
}

static void find_own_addresses(void)
{
	static struct own_addresses own, proxied;
	static struct arena *a;			/* as long as the process */
	AUTO(buf) why = BUF_WORDS;

	a = arena_new("own addresses", NULL, 4 << 20);
	if (conf_own_addresses(the_world->conf, a, &own, &why) < 0
	    || conf_proxy_addresses(the_world->conf, a, &proxied, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	the_client.own = &own;
	the_client.proxied = &proxied;
}

/* For a verdict only: who sets it for this service alone should hear that it does nothing (lint). */
static void find_relayhost(void)
{
	the_client.memory = arena_new("relayhost", NULL, 1 << 20);
	conf_get(the_world->conf, the_client.memory, STR("relayhost"), &the_client.relayhost);
	the_client.relayhost = str_trim(the_client.relayhost);
}

/* Exactly one address of a family named in inet_interfaces, and no loopback one: mail leaves from it too. */
static void bind_to_interface(int family, struct address_ip *ret)
{
	const char *interfaces = the_world->common->inet_interfaces;
	const struct address_ip *only = NULL;

	if (ret->family != 0 || strcmp(interfaces, "all") == 0 || strcmp(interfaces, "loopback-only") == 0)
		return;
	for (size_t i = 0; i < the_client.own->len; i++) {
		if (the_client.own->at[i].ip.family != family)
			continue;
		if (only != NULL)
			return;
		only = &the_client.own->at[i].ip;
	}
	if (only != NULL && !ip_is_loopback(only))
		*ret = *only;
}

static bool has_generic;

static void open_tables(void)
{
	AUTO(buf) why = BUF_WORDS;
	int r = generic_open(the_world->conf, the_world->common, &why);

	has_generic = r > 0;
	if (r < 0 || auth_open(the_world->common, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
}

/* Tables may be behind proxymap; without them the client needs no such door. */
static const struct jail_path *more_paths(void)
{
	static const struct jail_path tables[] = { { "private/proxymap", 'c' }, { "$config", 'r' } };
	static struct jail_path paths[COUNT_OF(tables) + 3];
	size_t n = 0;

	for (size_t i = 0; i < COUNT_OF(tables) && (has_generic || auth_is_on() || policy_has_tables()
						    || tls_has_tables() || requiretls_has_tables()); i++)
		paths[n++] = tables[i];
	if (refusals_are_kept())
		paths[n++] = (struct jail_path){ "private/proxywrite", 'c' };
	if (auth_token_socket() != NULL)
		paths[n++] = (struct jail_path){ auth_token_socket(), 'c' };
	return n > 0 ? paths : NULL;
}

/*
 * Entries of the policy table may name files with trust anchors (tafile=), which are read when
 * somebody first needs them. Whatever else is read is known at the start.
 */
static unsigned more_syscalls(void)
{
	return policy_has_tables() ? SYS_FILES_READ : 0;
}

static void start(void)
{
	const struct smtp_conf *conf = &the_client.conf;

	the_client.common = the_world->common;
	the_client.hostname = str_of(the_world->common->myhostname);
	if (port_parse(str_of(conf->smtp_tcp_port), &the_client.default_port) < 0)
		die(EX_CONFIG, "smtp_tcp_port: no such port: \"%s\"", conf->smtp_tcp_port);
	parse_preference(conf->smtp_address_preference);
	parse_bind("smtp_bind_address", conf->smtp_bind_address, AF_INET, &the_client.bind4);
	parse_bind("smtp_bind_address6", conf->smtp_bind_address6, AF_INET6, &the_client.bind6);
	find_own_addresses();
	find_relayhost();
	bind_to_interface(AF_INET, &the_client.bind4);
	bind_to_interface(AF_INET6, &the_client.bind6);
	open_tables();
	tls_open();
	if (the_world->rehearsing && the_world->argument_count == 0)
		policy_rehearse();
	/* nobody who talks to servers can change what later processes find there */
	if (the_world->keepsake >= 0)
		close(the_world->keepsake);
	atexit(cache_end_all);
}

static const char *program_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

int main(int argc, char **argv)
{
	static const struct param_group *const smtp_groups[] = { &smtp_group, &tls_group, NULL };
	static const struct param_group *const lmtp_groups[] = { &smtp_group, &lmtp_group, &tls_group, NULL };
	static void *const smtp_structs[] = { &the_client.conf, &the_client.tls, NULL };
	static void *const lmtp_structs[] = { &the_client.conf, &the_client.conf, &the_client.tls, NULL };
	static struct agent agent = {
		.daemon = {
			.name = "smtp",
			.jail = {
				.user = AS_MAIL_OWNER,
				.syscalls = SYS_CORE | SYS_ACCEPT | SYS_CONNECT_INET | SYS_CONNECT_UNIX,
				.capabilities = "",
				.paths = { { "private/resolver", 'c' }, { "private/mtasts", 'c' },
					   { "private/tlsrpt", 'c' } },
			},
			.more_paths = more_paths,
			.more_syscalls = more_syscalls,
			.start = start,
			.explain = explain,
		},
		.deliver = smtp_deliver,
		.probes = true,
	};

	the_client.lmtp = argc > 0 && strcmp(program_name(argv[0]), "lmtp") == 0;
	agent.daemon.structs = the_client.lmtp ? lmtp_structs : smtp_structs;
	agent.daemon.groups = the_client.lmtp ? lmtp_groups : smtp_groups;
	if (the_client.lmtp)
		agent.daemon.name = "lmtp";
	return agent_main(argc, argv, &agent);
}
