/* SPDX-License-Identifier: ISC */
/*
 * postroad explain: what would become of a mail. smtpd itself says what its restrictions would
 * answer (started with -R and the options of its row in master.cf); then the rewriting and the way
 * of each address are worked out by the code that cleanup and qmgr use; local says what becomes of
 * a name of this machine, and smtp to which hosts it would go and under which policy. Nothing is
 * sent.
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
#include "lib/peers/cleanup.h"
#include "lib/peers/receive.h"
#include "lib/route/route.h"

extern char **environ;

/* The configuration as one service has it, with its overrides in master.cf. */
struct view {
	struct conf *conf;
	struct common_conf common;
	struct route *route;
};

struct explanation {
	struct work *work;
	struct arena *arena;
	struct master_cf table;
	struct view taker, cleanup, qmgr;	/* the smtpd that would take the mail, and those behind it */
	struct receive receive;		/* the taker's */
	VEC(struct str) unexpanded;	/* the recipients that recipient_bcc_maps is asked about */
	const char *from, *client, *name, *helo, *service, *sasl, *ccert;
	bool tls, trusted, asks_policy;
	char **recipients;
	int count;
};

__attribute__((noreturn)) static void usage(void)
{
	die(EX_USAGE, "usage: postroad explain [--from sender] [--client address] [--name hostname] [--helo name] [--tls] [--ccert fingerprint] [--trusted] "
	    "[--sasl user] [--service name] [--ask-policy] recipient...");
}

static void take_words(struct explanation *e, int argc, char **argv)
{
	static const struct option words[] = { { "from", required_argument, NULL, 'f' },
					       { "client", required_argument, NULL, 'c' },
					       { "name", required_argument, NULL, 'n' },
					       { "helo", required_argument, NULL, 'h' },
					       { "service", required_argument, NULL, 's' },
					       { "tls", no_argument, NULL, 't' },
					       { "ccert", required_argument, NULL, 'C' },
					       { "trusted", no_argument, NULL, 'T' },
					       { "sasl", required_argument, NULL, 'S' }, { "ask-policy",
					       no_argument, NULL, 'p' }, { NULL, 0, NULL, 0 } };
	int c;

	e->from = "";
	e->client = "192.0.2.1";
	optind = 0;		/* begins anew, and lets options stand behind recipients */
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
		case 'p': e->asks_policy = true; break;
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

		if (str_is(s->command, STR("smtpd"))
		    && (e->service == NULL || str_is(s->name, str_of(e->service))))
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
	add_pair(e, &more, "ask-policy", e->asks_policy ? "yes" : NULL);
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
	char **argv = rehearsal_command(e->arena, &e->work->world.common, conf_dir(e->work->world.conf),
					s, more, &path);
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

static int ask_smtpd(struct explanation *e, const struct service_entry *s)
{
	if (s == NULL) {
		puts("no service in master.cf runs smtpd: mail comes only from this machine's own programs");
		return 0;
	}
	return ask_daemon(e, s, questions(e));
}

/* ---- what each service sees ---- */

static const struct service_entry *find_unix(const struct explanation *e, struct str name)
{
	for (size_t i = 0; i < e->table.count; i++)
		if (e->table.services[i].type == SERVICE_UNIX && str_is(e->table.services[i].name, name))
			return &e->table.services[i];
	return NULL;
}

/* s NULL: main.cf alone. */
static void open_view(struct explanation *e, const struct service_entry *s, struct view *ret)
{
	AUTO(buf) why = BUF_WORDS;
	struct str assignment;
	size_t at = 0;
	int r = conf_load(conf_dir(e->work->world.conf), &ret->conf, &why);

	while (r >= 0 && s != NULL && service_override(s, &at, &assignment))
		r = conf_override(ret->conf, assignment, &why);
	if (r >= 0)
		r = conf_fill(ret->conf, &common_group, &ret->common, &why);
	if (r < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
}

static void open_routes(struct view *v)
{
	AUTO(buf) why = BUF_WORDS;

	if (route_open(v->conf, &v->common, &v->route, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
}

/* The service that takes the mail may have a cleanup and a filter of its own. */
static void open_views(struct explanation *e, const struct service_entry *taker)
{
	AUTO(buf) why = BUF_WORDS;
	struct receive_conf *settings = ARENA_NEW(e->arena, struct receive_conf);

	open_view(e, taker, &e->taker);
	if (conf_fill(e->taker.conf, &receive_group, settings, &why) < 0
	    || receive_parse(settings, &e->receive, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	open_view(e, find_unix(e, str_of(e->taker.common.cleanup_service_name)), &e->cleanup);
	open_view(e, find_unix(e, STR("qmgr")), &e->qmgr);
	open_routes(&e->cleanup);
	open_routes(&e->qmgr);
}

static struct str setting(const struct view *v, struct arena *a, const char *parameter)
{
	struct str value;

	return conf_get(v->conf, a, str_of(parameter), &value) ? str_trim(value) : STR_NONE;
}

static void close_view(struct view *v)
{
	route_free(v->route);
	conf_free(v->conf);
}

/* ---- rewriting and the way ---- */

static void tell_failure(const struct route *r, const char *step)
{
	printf("  %s: cannot tell: %s\n", step, route_why(r));
}

static bool maps_addresses(const struct explanation *e)
{
	return (e->receive.cleanup_flags & CLEANUP_NO_MAPPINGS) == 0;
}

/* "user@host" typed without quotes is meant as it stands; "joe" gets its domain by rewriting. */
static struct str rewritten(struct explanation *e, struct str address, unsigned use)
{
	struct route *route = e->cleanup.route;
	struct str full = rewrite_address(route, e->arena, address, true), other = full;
	int r;

	if (!str_is(full, address))
		printf("  rewritten to <%.*s>\n", PSTR(full));
	if (!maps_addresses(e))
		return full;
	r = route_canonical(route, e->arena, use, full, &other);
	if (r < 0)
		tell_failure(route, "canonical_maps");
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

/*
 * The service that delivers; local says itself what becomes of one of its names, and smtp to which
 * hosts it would go, and how.
 */
static void tell_service(struct explanation *e, struct str sender, const struct resolution *to)
{
	const struct service_entry *s = find_unix(e, to->transport);
	struct str local = to->recipient, domain;
	struct words words = { 0 };

	if (s == NULL) {
		printf("    service    %.*s: there is no such service in master.cf: mail would be deferred\n",
		       PSTR(to->transport));
		return;
	}
	printf("    service    %.*s (master.cf, line %d) runs %.*s\n", PSTR(s->name), s->line,
	       PSTR(s->command));
	if (str_is(s->command, STR("local"))) {
		address_split(to->recipient, &local, &domain);
		ask_daemon(e, s, (const char *const[]){ "explain", str_c(e->arena, local), NULL });
	} else if (str_is(s->command, STR("smtp")) || str_is(s->command, STR("lmtp"))) {
		*vec_add(e->arena, &words) = "policy";
		add_pair(e, &words, "to", str_c(e->arena, to->nexthop));
		add_pair(e, &words, "sender", str_c(e->arena, sender));
		*vec_add(e->arena, &words) = NULL;
		ask_daemon(e, s, words.at);
	}
}

static void tell_path(struct explanation *e, struct str sender, const struct resolution *to)
{
	printf("    transport  %.*s\n    next hop   %.*s\n    recipient  %.*s\n", PSTR(to->transport),
	       PSTR(to->nexthop), PSTR(to->recipient));
	tell_service(e, sender, to);
}

/*
 * A content filter gets the address as it is (qmgr/intake.c): what becomes of it is asked when it
 * comes back.
 */
static void tell_filter(struct explanation *e, struct str sender, struct str recipient)
{
	struct resolution to = { .recipient = recipient, .nexthop = e->receive.filter };
	struct str local, domain;

	str_cut(&to.nexthop, ':', &to.transport);
	if (to.nexthop.len == 0)
		to.nexthop = setting(&e->qmgr, e->arena, "default_filter_nexthop");
	if (to.nexthop.len == 0 && address_split(recipient, &local, &domain))
		to.nexthop = domain;
	printf("  <%.*s>\n    filtered   by content_filter; the way from there is that of the service which the filter hands it to\n",
	       PSTR(recipient));
	tell_path(e, sender, &to);
}

static void tell_way(struct explanation *e, struct str sender, struct str recipient)
{
	struct route *route = e->qmgr.route;
	struct resolution to;
	struct str text = STR_NONE;

	if (e->receive.filter.len > 0) {
		tell_filter(e, sender, recipient);
		return;
	}
	if (resolve_address(route, e->arena, sender, recipient, &to) < 0) {
		tell_failure(route, "route");
		return;
	}
	printf("  <%.*s>\n    class      %s\n", PSTR(recipient), class_name(to.class));
	if (to.is_error) {
		printf("    %s %.*s\n", str_is(to.transport, STR("retry")) ? "deferred  " : "returned  ",
		       PSTR(to.nexthop));
		return;
	}
	if (recipient_exists(route, e->arena, to.recipient, &to, &text) == 0)
		printf("    unknown    %.*s\n", PSTR(text));
	tell_path(e, sender, &to);
}

/* How it gets into the queue: in canonical form, or as those that it is an alias for. */
static void tell_recipient(struct explanation *e, struct str sender, struct str recipient)
{
	struct route *route = e->cleanup.route;
	struct str_list members = { 1, &recipient };

	recipient = rewritten(e, recipient, USE_ENVELOPE_RECIPIENT);
	*vec_add(e->arena, &e->unexpanded) = recipient;
	if (maps_addresses(e) && expand_virtual_alias(route, e->arena, recipient, &members) < 0) {
		tell_failure(route, "virtual_alias_maps");
		return;
	}
	if (members.count != 1 || !str_is(members.at[0], recipient))
		printf("  virtual_alias_maps: %zu address%s\n", members.count, members.count == 1 ? "" : "es");
	for (size_t i = 0; i < members.count; i++)
		tell_way(e, sender, members.at[i]);
}

/* ---- copies ---- */

static void tell_copy(struct explanation *e, struct str sender, const char *parameter, struct str copy)
{
	printf("\ncopy <%.*s>, as %s says\n", PSTR(copy), parameter);
	tell_recipient(e, sender, copy);
}

static void tell_mapped_copy(struct explanation *e, struct str sender, const char *parameter, struct str key)
{
	AUTO(buf) why = BUF_WORDS;
	struct str specs = setting(&e->cleanup, e->arena, parameter), copy;
	struct tables *ts;
	int r;

	if (specs.len == 0)
		return;
	if (tables_open(specs, TABLE_FOLD_KEY, &ts, &why) < 0)
		die(EX_CONFIG, "%s: %s", parameter, buf_text(&why));
	r = route_lookup_address(e->cleanup.route, ts, e->arena, key, &copy, NULL);
	if (r < 0)
		printf("\ncopy: %s: cannot tell: %s\n", parameter, tables_why(ts));
	else if (r > 0)
		tell_copy(e, sender, parameter, copy);
	tables_free(ts);
}

static void tell_copies(struct explanation *e, struct str sender)
{
	const struct str always = setting(&e->cleanup, e->arena, "always_bcc");
	const size_t recipients = e->unexpanded.len;

	if (!maps_addresses(e))
		return;
	if (always.len > 0)
		tell_copy(e, sender, "always_bcc", always);
	if (sender.len > 0)
		tell_mapped_copy(e, sender, "sender_bcc_maps", sender);
	for (size_t i = 0; i < recipients; i++)
		tell_mapped_copy(e, sender, "recipient_bcc_maps", e->unexpanded.at[i]);
}

/* What depends on the content, which is not known. */
static void tell_checks(struct explanation *e)
{
	static const char *const names[] = { "header_checks", "body_checks" };

	for (size_t i = 0; i < COUNT_OF(names) && (e->receive.cleanup_flags & CLEANUP_NO_CHECKS) == 0; i++) {
		const struct str value = setting(&e->cleanup, e->arena, names[i]);

		if (value.len > 0)
			printf("\nalso: %s = %.*s\n", names[i], PSTR(value));
	}
}

/*
 * As the server takes it from a client: quoted strings undone. What cannot be read stays; the
 * server has said what it thinks of it.
 */
static struct str as_written(struct explanation *e, const char *text)
{
	struct str address;

	return address_unquote(str_of(text), e->arena, &address) < 0 ? str_of(text) : address;
}

int do_explain(struct work *w, int argc, char **argv)
{
	struct explanation e = { .work = w, .arena = arena_new("explanation", NULL, 256 << 20) };
	AUTO(buf) why = BUF_WORDS;
	const struct service_entry *taker;
	struct str sender;
	int status;

	take_words(&e, argc, argv);
	if (master_cf_load(w->world.conf, e.arena, &e.table, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	taker = find_smtpd(&e);
	open_views(&e, taker);
	status = ask_smtpd(&e, taker);
	printf("\nsender <%s>\n", e.from);
	if (!maps_addresses(&e))
		puts("  receive_override_options: no canonical, virtual alias or bcc maps");
	sender = e.from[0] == 0 ? STR_NONE : rewritten(&e, as_written(&e, e.from), USE_ENVELOPE_SENDER);
	for (int i = 0; i < e.count; i++) {
		printf("\nrecipient <%s>\n", e.recipients[i]);
		tell_recipient(&e, sender, as_written(&e, e.recipients[i]));
	}
	tell_copies(&e, sender);
	tell_checks(&e);
	close_view(&e.taker);
	close_view(&e.cleanup);
	close_view(&e.qmgr);
	arena_free(e.arena);
	return status;
}
