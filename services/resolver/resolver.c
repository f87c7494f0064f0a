/* SPDX-License-Identifier: ISC */
/*
 * The resolver service: answers the other daemons' questions about DNS, so that one jailed process
 * reads all packets and one cache serves the whole suite. Follows the name servers of resolv.conf
 * and the hosts file when they change.
 */
#include <errno.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/daemon/daemon.h"
#include "lib/dns/rdata.h"
#include "lib/ipc/channel.h"
#include "lib/table/source.h"
#include "lib/table/watch.h"
#include "services/resolver/hosts.h"
#include "services/resolver/upstream.h"

enum { FILE_LIMIT = 4 << 20, HOSTS_TTL = 5, CALLS_PER_CONNECTION = 1000, MOST_SERVERS = 16 };

static struct dns_conf conf;
static struct upstream *upstream;	/* the current one */
static struct scope *answer_takers;
static struct hosts *hosts;
static struct watch *hosts_file, *servers_file;	/* NULL: not followed */
static struct buf servers;		/* that upstream was made for */

/* ---- what is followed ---- */

/* The text of a watched file; what is not there is empty. */
static int read_watched(struct watch *w, struct buf *text)
{
	AUTO(buf) why = BUF_WORDS;
	struct stat st;
	AUTO_FD fd = watch_open(w, &st, &why);
	int r = fd < 0 ? fd : source_read_file(fd, FILE_LIMIT, text);

	if (fd >= 0)
		watch_saw(w, &st);
	else
		w->seen = false;
	if (r < 0 && r != -ENOENT)
		log_warning_rarely(600, "%s: %s", w->path, error_text(r));
	return r;
}

static void read_hosts(void)
{
	AUTO(buf) text = BUF(FILE_LIMIT + 65536);
	int r = hosts_file == NULL ? 0 : read_watched(hosts_file, &text);

	if (r < 0 && r != -ENOENT && hosts != NULL)
		return;				/* unreadable for the moment: what we know still holds */
	hosts_free(hosts);
	hosts = hosts_parse(buf_str(&text));
}

/* The nameserver lines of resolv.conf, as dns_resolver_addresses would have them. */
static void servers_of(struct str text, struct buf *ret_servers)
{
	struct str line, word;
	struct address_ip ip;
	int count = 0;

	while (text.len > 0 && count < MOST_SERVERS) {
		str_cut(&text, '\n', &line);
		if (!str_token(&line, " \t\r", &word) || !str_is(word, STR("nameserver"))
		    || !str_token(&line, " \t\r", &word))
			continue;
		if (ip_parse(word, &ip) < 0) {
			log_warning("%s: \"%.*s\" is not the address of a name server",
				    conf.dns_resolver_configuration_file, PSTR(str_head(word, 60)));
			continue;
		}
		buf_addf(ret_servers, "%.*s ", PSTR(word));
		count++;
	}
	if (count == 0)
		buf_add_text(ret_servers, "127.0.0.1");
}

static int use_servers(struct str text, struct buf *why)
{
	struct upstream *fresh;
	int r = upstream_new(&conf, text, &fresh, why);

	if (r < 0)
		return r;
	if (answer_takers != NULL)
		upstream_start(fresh, answer_takers);
	if (upstream != NULL)
		upstream_retire(upstream);
	upstream = fresh;
	buf_clear(&servers);
	buf_add(&servers, text);
	return 0;
}

static void follow_servers(void)
{
	AUTO(buf) text = BUF(FILE_LIMIT + 65536), fresh = BUF(4096), why = BUF_WORDS;
	int r = read_watched(servers_file, &text);

	if (r < 0 && r != -ENOENT)
		return;
	servers_of(buf_str(&text), &fresh);
	if (str_is(buf_str(&fresh), buf_str(&servers)))
		return;
	if (use_servers(buf_str(&fresh), &why) < 0)
		log_warning("%s: %s", conf.dns_resolver_configuration_file, buf_text(&why));
	else
		log_info("name servers are now %s", buf_text(&servers));
}

static struct watch *follow(const char *path)
{
	AUTO(buf) why = BUF_WORDS;
	struct watch *w = NULL;

	if (path[0] != 0 && watch_new(str_of(path), &w, &why) < 0)
		log_warning("%s", buf_text(&why));
	return w;
}

static void start(void)
{
	AUTO(buf) text = BUF(FILE_LIMIT + 65536), chosen = BUF(4096), why = BUF_WORDS;

	servers = BUF(4096);
	hosts_file = follow(conf.dns_hosts_file);
	read_hosts();
	if (conf.dns_resolver_addresses[0] != 0) {
		buf_add_text(&chosen, conf.dns_resolver_addresses);
	} else {
		servers_file = follow(conf.dns_resolver_configuration_file);
		if (servers_file != NULL)
			read_watched(servers_file, &text);
		servers_of(buf_str(&text), &chosen);
	}
	if (conf.dns_resolver_trust_anchor_file[0] != 0
	    && access(conf.dns_resolver_trust_anchor_file, R_OK) < 0)
		die(EX_CONFIG, "dns_resolver_trust_anchor_file %s: %s", conf.dns_resolver_trust_anchor_file,
		    error_text(errno));
	if (use_servers(buf_str(&chosen), &why) < 0)
		die(EX_CONFIG, "%s: %s", servers_file == NULL
		    ? "dns_resolver_addresses" : conf.dns_resolver_configuration_file, buf_text(&why));
}

static void run(void)
{
	answer_takers = scope_open("dns answers");
	upstream_start(upstream, answer_takers);
	while (co_sleep(in(1000)) == 0) {
		if (hosts_file != NULL && watch_changed(hosts_file, true))
			read_hosts();
		if (servers_file != NULL && watch_changed(servers_file, true))
			follow_servers();
	}
	scope_close(answer_takers);
}

/* ---- questions ---- */

static void answer(struct server_call *call)
{
	AUTO(buf) why = BUF_WORDS, records = BUF(1 << 16);
	struct dns_request request;
	struct dns_reply reply = { .status = DNS_BAD_NAME };
	char room[256];
	struct str name;

	if (get_dns_request(call->frame, &request, &why) < 0) {
		log_warning("malformed question: %s", buf_text(&why));
		return;
	}
	FAILPOINT("resolver.question");
	if (!dns_name_is_valid(request.name, room, &name) || request.type == 0 || request.type > 65535) {
		REPLY(call, dns_reply, &reply);
		return;
	}
	if (hosts_find(hosts, name, (enum dns_type) request.type, &records))
		reply = (struct dns_reply){ .status = records.len > 0 ? DNS_OK : DNS_NO_DATA,
					    .ttl = HOSTS_TTL, .canonical = name,
					    .records = buf_str(&records) };
	else
		upstream_ask(upstream, call->arena, name, (unsigned) request.type,
			     in(conf.dns_resolver_time_limit), &reply);
	log_debug("%.*s type %u: status %u security %u ttl %u", PSTR(name), (unsigned) request.type,
		  (unsigned) reply.status, (unsigned) reply.security, (unsigned) reply.ttl);
	REPLY(call, dns_reply, &reply);
}

static const struct server_row rows[] = {
	{ "dns_request", true, answer },
	{ NULL, false, NULL },
};

static void serve(struct session_socket *socket)
{
	struct channel *ch = channel_new(socket->fd);

	serve_channel(ch, rows, NULL, CALLS_PER_CONNECTION);
	channel_free(ch);
}

static const struct jail_path *more_paths(void)
{
	static struct jail_path paths[2];

	if (conf.dns_resolver_trust_anchor_file[0] != 0)
		paths[0] = (struct jail_path){ conf.dns_resolver_trust_anchor_file, 'r' };
	return paths;
}

static const struct param_group *const groups[] = { &dns_group, NULL };
static void *const structs[] = { &conf };

static const struct daemon resolver = {
	.name = "resolver",
	.shape = DAEMON_SESSIONS,
	.singleton = true,
	.groups = groups,
	.structs = structs,
	.jail = {
		.user = AS_MAIL_OWNER,
		.syscalls = SYS_CORE | SYS_ACCEPT | SYS_DNS | SYS_CONNECT_INET | SYS_FILES_READ,
		.capabilities = "",
		.most_memory = (size_t) 1 << 30,
	},
	.more_paths = more_paths,
	.start = start,
	.run = run,
	.serve = serve,
};

int main(int argc, char **argv)
{
	return daemon_main(argc, argv, &resolver);
}
