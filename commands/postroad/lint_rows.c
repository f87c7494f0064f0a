/* SPDX-License-Identifier: ISC */
/*
 * postroad lint: rows of master.cf that are missing, that stand there twice, and ports that
 * somebody else has.
 */
#include <errno.h>
#include <unistd.h>

#include "commands/postroad/lint.h"
#include "lib/base/die.h"
#include "lib/conf/own_addresses.h"

/* Whom every mail needs. */
static void lint_missing_rows(struct lint *l)
{
	static const char *const needed[] = { "cleanup", "qmgr", "bounce", "proxymap" };

	for (size_t i = 0; i < COUNT_OF(needed); i++)
		if (!master_cf_has(&l->table, str_of(needed[i])))
			lint_say(l, true, "%s/master.cf: there is no service %s, without which no mail is delivered (mend: take its row from the master.cf that is installed)",
				 conf_dir(l->conf), needed[i]);
}

static void lint_replaced_rows(struct lint *l)
{
	for (size_t i = 0; i < l->table.count; i++) {
		const struct service_entry *s = &l->table.services[i];

		if (s->replaced_line > 0)
			lint_say(l, false, "%s/master.cf, line %d: service %.*s: the row for it in line %d does not count (mend: remove one of them)",
				 conf_dir(l->conf),
				 s->line, PSTR(s->name), s->replaced_line);
	}
}

/* An address that a row wants. */
struct wanted_port {
	const struct service_entry *by;
	struct address_ip at;
};

static bool ip_is_any(const struct address_ip *ip)
{
	static const unsigned char zeros[16];

	return memcmp(ip->bytes, zeros, ip->family == AF_INET ? 4 : 16) == 0;
}

/* Both cannot have it: the same address, or one that stands for all. */
static bool excludes(const struct address_ip *a, const struct address_ip *b)
{
	return a->port == b->port && a->family == b->family && (ip_is_any(a) || ip_is_any(b)
								|| ip_is_same(a, b));
}

/* Of two rows of ours that want the same, the second does not get it. */
static bool is_free_of_ours(struct lint *l, const struct service_entry *s, const struct address_ip *at)
{
	for (size_t i = 0; i < l->ports.len; i++)
		if (l->ports.at[i].by != s && excludes(&l->ports.at[i].at, at)) {
			lint_say(l, true, "%s/master.cf, line %d: service %.*s: the service in line %d has that port already (mend: another port or address for one of them)",
				 conf_dir(l->conf), s->line, PSTR(s->name), l->ports.at[i].by->line);
			return false;
		}
	*vec_add(l->arena, &l->ports) = (struct wanted_port){ s, *at };
	return true;
}

static void try_port(struct lint *l, const struct service_entry *s, const struct address_ip *at)
{
	char where[64];
	int fd;

	if (!is_free_of_ours(l, s, at))
		return;
	ip_print(at, where);
	fd = bind_tcp(at);
	if (fd >= 0)
		close(fd);
	else if (fd != -EADDRINUSE || !l->is_running)
		lint_say(l, true, "%s/master.cf, line %d: service %.*s: cannot listen at port %u of %s: %s%s",
			 conf_dir(l->conf), s->line, PSTR(s->name), (unsigned) at->port, where,
			 error_text(fd),
			 fd == -EADDRINUSE ? " (mend: stop who has the port, or take another)" : "");
}

/* As master does: IPv6 may be wanted by default, and absent from this machine. */
static void try_all_interfaces(struct lint *l, const struct service_entry *s, uint16_t port)
{
	struct address_ip any = { .family = AF_INET, .port = port };
	AUTO(buf) ignored = BUF_WORDS;
	bool ipv4, ipv6;
	int fd;

	if (conf_inet_protocols(l->conf, &ipv4, &ipv6, &ignored) < 0)
		return;
	if (ipv4)
		try_port(l, s, &any);
	any.family = AF_INET6;
	fd = ipv6 ? bind_tcp(&any) : -EAFNOSUPPORT;
	if (fd >= 0)
		close(fd);
	if (fd != -EAFNOSUPPORT && fd != -EADDRNOTAVAIL)
		try_port(l, s, &any);
}

/* As inet_interfaces says: each address that one of them could be taken at. */
static void try_interfaces(struct lint *l, const struct service_entry *s, uint16_t port)
{
	AUTO(buf) why = BUF_WORDS;
	struct own_addresses own;

	if (str_is(str_trim(str_of(l->work->world.common.inet_interfaces)), STR("all")))
		try_all_interfaces(l, s, port);
	else if (conf_own_addresses(l->conf, l->arena, &own, &why) < 0)
		lint_say(l, true, "%s", buf_text(&why));
	else
		for (size_t i = 0; i < own.len; i++) {
			own.at[i].ip.port = port;
			try_port(l, s, &own.at[i].ip);
		}
}

/* A host name in the place of an address is left to master, which asks for it once. */
static void lint_port(struct lint *l, const struct service_entry *s)
{
	struct address_ip ip = { 0 };
	struct str host, port_text;
	uint16_t port;
	bool good = host_port_split(s->name, &host, &port_text) >= 0;

	if (good && port_text.len == 0) {	/* "smtp", "2525" */
		port_text = host;
		host = STR_NONE;
	}
	if (!good || port_parse(port_text, &port) < 0) {
		lint_say(l, true, "%s/master.cf, line %d: service %.*s: neither a port number nor a service name",
			 conf_dir(l->conf), s->line,
		    PSTR(s->name));
		return;
	}
	if (host.len == 0)
		try_interfaces(l, s, port);
	else if (ip_parse(host, &ip) == 0) {
		ip.port = port;
		try_port(l, s, &ip);
	}
}

/* While the system runs its ports are taken, by itself. */
static void lint_ports(struct lint *l)
{
	struct str disabled = STR_NONE;

	conf_get(l->conf, l->arena, STR("master_service_disable"), &disabled);
	for (size_t i = 0; i < l->table.count; i++)
		if (l->table.services[i].type == SERVICE_INET
		    && !master_cf_is_disabled(disabled, &l->table.services[i]))
			lint_port(l, &l->table.services[i]);
}

void lint_rows(struct lint *l)
{
	lint_missing_rows(l);
	lint_replaced_rows(l);
	lint_ports(l);
}
