/* SPDX-License-Identifier: ISC */
/*
 * postroad explain: what would become of a mail. smtpd itself says what its restrictions would answer (started with -R and the options of its row in
 * master.cf); then the rewriting and the way of each address are worked out by the code that cleanup and qmgr use; local says what becomes of a name of
 * this machine, and smtp to which hosts it would go and under which policy. Nothing is sent.
 */
#include "commands/postroad/postroad.h"

#include <errno.h>
#include <getopt.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/conf/master_cf.h"
#include "lib/daemon/rehearsal.h"
#include "lib/mail/mail_address.h"
#include "lib/route/route.h"

extern char **environ;

struct explanation {
	struct work *work;
	struct arena *arena;
	struct master_cf table;
	struct route *route;
	const char *from, *client, *name, *helo, *service, *sasl, *ccert;
	bool tls, trusted;
	char **recipients;
	int count;
};

__attribute__((noreturn)) static void usage(void)
{
	die(EX_USAGE, "usage: postroad explain [--from sender] [--client address] [--name hostname] [--helo name] [--tls] [--ccert fingerprint] [--trusted] "
	    "[--sasl user] [--service name] recipient...");
}

static void take_words(struct explanation *e, int argc, char **argv)
{
	static const struct option words[] = { { "from", required_argument, NULL, 'f' }, { "client", required_argument, NULL, 'c' },
					       { "name", required_argument, NULL, 'n' }, { "helo", required_argument, NULL, 'h' },
					       { "service", required_argument, NULL, 's' }, { "tls", no_argument, NULL, 't' },
					       { "ccert", required_argument, NULL, 'C' }, { "trusted", no_argument, NULL, 'T' },
					       { "sasl", required_argument, NULL, 'S' }, { NULL, 0, NULL, 0 } };
	int c;

	e->from = "";
	e->client = "192.0.2.1";
	optind = 1;
	while ((c = getopt_long(argc, argv, "", words, NULL)) != -1)
		switch (c) {
		case 'f': e->from = optarg; break;
		case 'c': e->client = optarg; break;
		case 'n': e->name = optarg; break;
		case 'h': e->helo = optarg; break;
		case 's': e->service = optarg; break;
		case 't': e->tls = true; break;
		case 'C': e->ccert = optarg; break;
		case 'T': e->trusted = true; break;
		case 'S': e->sasl = optarg; break;
		default: usage();
		}
	e->recipients = argv + optind;
	e->count = argc - optind;
	if (e->count == 0)
		usage();
}

/* ---- smtpd's part ---- */

static const struct service_entry *find_smtpd(struct explanation *e)
{
	for (size_t i = 0; i < e->table.count; i++) {
		const struct service_entry *s = &e->table.services[i];

		if (str_is(s->command, STR("smtpd")) && (e->service == NULL || str_is(s->name, str_of(e->service))))
			return s;
	}
	if (e->service != NULL)
		die(EX_USAGE, "no service %s in master.cf runs smtpd", e->service);
	return NULL;
}

struct words { const char **at; size_t len, cap; };

/* value NULL: nothing was said about it */
static void add_pair(struct explanation *e, struct words *to, const char *key, const char *value)
{
	if (value != NULL)
		*vec_add(e->arena, to) = arena_fmt(e->arena, "%s=%s", key, value).at;
}

static const char *const *questions(struct explanation *e)
{
	struct words more = { 0 };

	*vec_add(e->arena, &more) = "explain";
	add_pair(e, &more, "client", e->client);
	add_pair(e, &more, "name", e->name);
	add_pair(e, &more, "helo", e->helo);
	add_pair(e, &more, "tls", e->tls ? "yes" : NULL);
	add_pair(e, &more, "ccert", e->ccert);
	add_pair(e, &more, "trusted", e->trusted ? "yes" : NULL);
	add_pair(e, &more, "sasl", e->sasl);
	add_pair(e, &more, "sender", e->from);
	for (int i = 0; i < e->count; i++)
		add_pair(e, &more, "recipient", e->recipients[i]);
	*vec_add(e->arena, &more) = NULL;
	return more.at;
}

/* Its exit status, 0 or 1. What the daemon logs goes to standard error, what it answers is ours. */
static int ask_daemon(struct explanation *e, const struct service_entry *s, const char *const *more)
{
	const char *path;
	char **argv = rehearsal_command(e->arena, &e->work->world.common, conf_dir(e->work->world.conf), s, more, &path);
	int status, r;
	pid_t pid;

	fflush(stdout);
	r = posix_spawn(&pid, path, NULL, NULL, argv, environ);
	if (r != 0)
		die(EX_UNAVAILABLE, "%s: %s", path, error_text(r));
	while ((r = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
		;
	if (r < 0 || !WIFEXITED(status) || WEXITSTATUS(status) > 1)
		die(EX_CONFIG, "%s could not be asked: see above", path);
	return WEXITSTATUS(status);
}

static int ask_smtpd(struct explanation *e)
{
	const struct service_entry *s = find_smtpd(e);

	if (s == NULL) {
		puts("no service in master.cf runs smtpd: mail comes only from this machine's own programs");
		return 0;
	}
	return ask_daemon(e, s, questions(e));
}

/* ---- rewriting and the way ---- */

static void tell_failure(struct explanation *e, const char *step)
{
	printf("  %s: cannot tell: %s\n", step, route_why(e->route));
}

/* "user@host" typed without quotes is meant as it stands; "joe" gets its domain by rewriting. */
static struct str rewritten(struct explanation *e, struct str address, unsigned use)
{
	struct str full = rewrite_address(e->route, e->arena, address, true), other = full;
	int r;

	if (!str_is(full, address))
		printf("  rewritten to <%.*s>\n", PSTR(full));
	r = route_canonical(e->route, e->arena, use, full, &other);
	if (r < 0)
		tell_failure(e, "canonical_maps");
	else if (r > 0)
		printf("  canonical_maps, masquerade_domains: <%.*s>\n", PSTR(other));
	return r > 0 ? other : full;
}

static const char *class_name(enum address_class class)
{
	switch (class) {
	case CLASS_LOCAL: return "local (mydestination, inet_interfaces, proxy_interfaces)";
	case CLASS_VIRTUAL_ALIAS: return "virtual alias (virtual_alias_domains)";
	case CLASS_VIRTUAL_MAILBOX: return "virtual mailbox (virtual_mailbox_domains)";
	case CLASS_RELAY: return "relay (relay_domains)";
	default: return "elsewhere";
	}
}

static const struct service_entry *find_transport(const struct explanation *e, struct str transport)
{
	for (size_t i = 0; i < e->table.count; i++)
		if (e->table.services[i].type == SERVICE_UNIX && str_is(e->table.services[i].name, transport))
			return &e->table.services[i];
	return NULL;
}

/* The service that delivers; local says itself what becomes of one of its names, and smtp to which hosts it would go, and how. */
static void tell_service(struct explanation *e, struct str sender, const struct resolution *to)
{
	const struct service_entry *s = find_transport(e, to->transport);
	struct str local = to->recipient, domain;
	struct words words = { 0 };

	if (s == NULL) {
		printf("    service    %.*s: there is no such service in master.cf: mail would be deferred\n", PSTR(to->transport));
		return;
	}
	printf("    service    %.*s (master.cf, line %d) runs %.*s\n", PSTR(s->name), s->line, PSTR(s->command));
	if (str_is(s->command, STR("local"))) {
		address_split(to->recipient, &local, &domain);
		ask_daemon(e, s, (const char *const[]){ str_c(e->arena, local), NULL });
	} else if (str_is(s->command, STR("smtp")) || str_is(s->command, STR("lmtp"))) {
		*vec_add(e->arena, &words) = "policy";
		add_pair(e, &words, "to", str_c(e->arena, to->nexthop));
		add_pair(e, &words, "sender", str_c(e->arena, sender));
		*vec_add(e->arena, &words) = NULL;
		ask_daemon(e, s, words.at);
	}
}

static void tell_way(struct explanation *e, struct str sender, struct str recipient)
{
	struct resolution to;
	struct str text = STR_NONE;

	if (resolve_address(e->route, e->arena, sender, recipient, &to) < 0) {
		tell_failure(e, "route");
		return;
	}
	printf("  <%.*s>\n    class      %s\n", PSTR(recipient), class_name(to.class));
	if (to.is_error) {
		printf("    %s %.*s\n", str_is(to.transport, STR("retry")) ? "deferred  " : "returned  ", PSTR(to.nexthop));
		return;
	}
	if (recipient_exists(e->route, e->arena, to.recipient, &to, &text) == 0)
		printf("    unknown    %.*s\n", PSTR(text));
	printf("    transport  %.*s\n    next hop   %.*s\n    recipient  %.*s\n", PSTR(to.transport), PSTR(to.nexthop), PSTR(to.recipient));
	tell_service(e, sender, &to);
}

static void tell_recipient(struct explanation *e, struct str sender, struct str recipient)
{
	struct str_list members;
	int r;

	printf("\nrecipient <%.*s>\n", PSTR(recipient));
	recipient = rewritten(e, recipient, USE_ENVELOPE_RECIPIENT);
	r = expand_virtual_alias(e->route, e->arena, recipient, &members);
	if (r < 0) {
		tell_failure(e, "virtual_alias_maps");
		return;
	}
	if (members.count != 1 || !str_is(members.at[0], recipient))
		printf("  virtual_alias_maps: %zu address%s\n", members.count, members.count == 1 ? "" : "es");
	for (size_t i = 0; i < members.count; i++)
		tell_way(e, sender, members.at[i]);
}

static void tell_copies(struct explanation *e)
{
	static const char *const names[] = { "always_bcc", "sender_bcc_maps", "recipient_bcc_maps", "header_checks", "body_checks" };
	struct str value;

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (conf_get(e->work->world.conf, e->arena, str_of(names[i]), &value) && value.len > 0)
			printf("also: %s = %.*s\n", names[i], PSTR(value));
}

int do_explain(struct work *w, int argc, char **argv)
{
	struct explanation e = { .work = w, .arena = arena_new("explanation", NULL, 256 << 20) };
	AUTO(buf) why = BUF_WORDS;
	struct str sender;
	int status;

	take_words(&e, argc, argv);
	if (master_cf_load(w->world.conf, e.arena, &e.table, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	if (route_open(w->world.conf, &w->world.common, &e.route, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	status = ask_smtpd(&e);
	printf("\nsender <%s>\n", e.from);
	sender = e.from[0] == 0 ? STR_NONE : rewritten(&e, str_of(e.from), USE_ENVELOPE_SENDER);
	for (int i = 0; i < e.count; i++)
		tell_recipient(&e, sender, str_of(e.recipients[i]));
	tell_copies(&e);
	route_free(e.route);
	arena_free(e.arena);
	return status;
}
