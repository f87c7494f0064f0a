/* SPDX-License-Identifier: ISC */
/*
 * The proxymap service: looks keys up in tables on behalf of the other daemons: those that they
 * must not open themselves, and those that may block. It opens only what proxy_read_maps names, and
 * the tables of servers that the configuration names anywhere, for whoever can connect to its
 * socket. As the service proxywrite it changes tables too, and opens only what proxy_write_maps
 * names.
 */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/base/map.h"
#include "lib/conf/master_cf.h"
#include "lib/conf/params/table.h"
#include "lib/daemon/daemon.h"
#include "lib/ipc/channel.h"
#include "lib/table/change.h"
#include "lib/table/fold.h"
#include "lib/table/table.h"

enum { CALLS_PER_CONNECTION = 5000, MOST_TABLES = 2000, MOST_VALUE = 1 << 20, CANNOT_TELL = 2 };
/* What a client may ask for; the others are this process's own affair. */
enum { CLIENT_FLAGS = TABLE_FOLD_KEY | TABLE_NO_REGEXP_SUBSTITUTION };

static struct table_conf conf;
static struct map *approved;		/* spec -> itself */
static struct map *tables;		/* "flags spec" -> struct table */

static bool writes(void)
{
	return strcmp(the_world->service, "proxywrite") == 0;
}

static const char *list_name(void)
{
	return writes() ? "proxy_write_maps" : "proxy_read_maps";
}

/* ---- what may be asked ---- */

/*
 * unix:passwd.byname is a table, and "check_policy_service unix:private/policy" in a list of
 * restrictions is about none.
 */
static bool is_socket(struct str spec)
{
	return str_starts(spec, STR("unix:")) && str_find(spec, '/') >= 0;
}

enum approval { ALL_PROXIED, ONLY_SERVERS };

/*
 * Tables stand in lists, also between { } and behind "!"; everything else there is no table and
 * does not count. ONLY_SERVERS: of those, the ones that are asked here without being called proxy:.
 */
static void approve(struct str list, enum approval which)
{
	static char yes;
	struct str word, spec;

	while (str_token_braced(&list, ", \t\r\n", &word) > 0) {
		while (word.len > 0 && word.at[0] == '!')
			word = str_skip(word, 1);
		if (word.len >= 2 && word.at[0] == '{' && word.at[word.len - 1] == '}')
			approve(str_make(word.at + 1, word.len - 2), which);
		else if (table_is_proxied(word, &spec) && !is_socket(spec)
			 && (which == ALL_PROXIED || str_is(spec, word)))
			map_put(approved, spec, &yes);
		else if (table_is_composed(word, &spec))	/* opened by who asks, except for those inside that block */
			approve(spec, which);
	}
}

static void approve_servers(struct str raw, struct arena *a)
{
	AUTO(buf) ignored = BUF_WORDS;
	struct str value;

	if (conf_expand(the_world->conf, a, raw, &value, &ignored) >= 0)
		approve(value, ONLY_SERVERS);
}

/*
 * A table of a server is asked here so that nobody else waits, not because its daemon must not: it
 * may be wherever tables may be, in restriction classes and behind -o too.
 */
static void approve_servers_anywhere(void)
{
	struct arena *a = arena_new("values", NULL, (size_t) 256 << 20);
	AUTO(buf) ignored = BUF_WORDS;
	struct master_cf services;
	struct str name, value;
	size_t at = 0;

	while (conf_next_set(the_world->conf, &at, &name, &value))
		approve_servers(value, a);
	if (master_cf_load(the_world->conf, a, &services, &ignored) < 0)
		services.count = 0;		/* master says why */
	for (size_t i = 0; i < services.count; i++) {
		at = 0;
		while (service_override(&services.services[i], &at, &value))
			if (str_cut(&value, '=', &name))
				approve_servers(value, a);
	}
	arena_free(a);
}

/* Such a table has connections, and perhaps a file that only root may read. */
static bool asks_server(struct str spec)
{
	struct str same;

	return table_is_proxied(spec, &same);
}

/* It is opened once, and keys are folded here. */
static bool is_opened_once(struct str spec)
{
	return writes() || asks_server(spec);
}

static struct table *find_table(struct str spec, unsigned client_flags, struct buf *why)
{
	const unsigned flags = is_opened_once(spec) ? 0 : client_flags & CLIENT_FLAGS;
	AUTO(buf) key = BUF(8192);
	struct table *t;

	buf_addf(&key, "%u ", flags);
	buf_add(&key, spec);
	t = map_get(tables, buf_str(&key));
	if (t != NULL)
		return t;
	if (map_count(tables) >= MOST_TABLES)
		buf_add_text(why, "too many tables");
	else if (table_open(spec, flags | TABLE_NO_PROXY | (writes() ? TABLE_CHANGES : 0), &t, why) == 0)
		map_put(tables, buf_str(&key), t);
	return t;
}

/*
 * Opens the tables before the jail closes: so their directories stay readable in it. What cannot be
 * opened is said when it is asked for.
 */
static void start(void)
{
	approved = map_new();
	tables = map_new();
	approve(str_of(writes() ? conf.proxy_write_maps : conf.proxy_read_maps), ALL_PROXIED);
	if (!writes())
		approve_servers_anywhere();
	accounts_for_tables();
	for (struct map_at i = { 0 }; map_next(approved, &i);) {
		AUTO(buf) why = BUF_WORDS;

		if (find_table(i.key, TABLE_FOLD_KEY, &why) != NULL)
			continue;
		if (writes())		/* it may be made yet */
			log_warning("table %.*s: %s", PSTR(i.key), buf_text(&why));
		else
			daemon_complain("table %.*s: %s", PSTR(i.key), buf_text(&why));
	}
	accounts_prepare();
}

/*
 * Only a configuration with tables of that kind needs the way out. Their modules find addresses by
 * themselves.
 */
static unsigned more_syscalls(void)
{
	if (writes())
		return SYS_FILES_WRITE;
	for (struct map_at i = { 0 }; map_next(approved, &i);) {
		struct str inner;

		if ((asks_server(i.key) && !str_starts(i.key, STR("unix:"))
		     && !str_starts(i.key, STR("sqlite:"))) || table_is_composed(i.key, &inner))
			return SYS_CONNECT_INET | SYS_DNS;
	}
	return 0;
}

struct path_list {
	struct jail_path paths[MOST_TABLES + 1];
	size_t count;
};

static void add_directory(void *arg, const char *directory)
{
	struct path_list *list = arg;
	const size_t len = strlen(directory) + 1;

	if (list->count < MOST_TABLES)
		list->paths[list->count++] = (struct jail_path){ memcpy(get_memory(len), directory, len),
								 'w' };
}

/* A changed table is a new file in its directory. */
static const struct jail_path *more_paths(void)
{
	static struct path_list list;		/* for the life of the process */

	if (!writes())
		return NULL;
	table_each_directory(add_directory, &list);
	return list.paths;
}

/* ---- requests ---- */

/* The table, if it may be asked; the key is folded if that is to be done here. NULL: neither, with words. */
static struct table *admit(struct str spec, uint64_t flags, struct str *key, struct buf *folded,
			   struct buf *why)
{
	struct table *t;

	if (map_get(approved, spec) == NULL) {
		buf_addf(why, "table %.*s is not approved: %s does not name proxy:%.*s", PSTR(spec),
			 list_name(), PSTR(spec));
		log_warning_rarely(60, "request for %s", buf_text(why));
		return NULL;
	}
	t = find_table(spec, (unsigned) flags, why);
	if (t != NULL && is_opened_once(spec) && (flags & TABLE_FOLD_KEY) && table_has_fixed_keys(t)) {
		key_fold(folded, *key);
		*key = buf_str(folded);
	}
	return t;
}

static void look_up(struct arena *a, const struct table_request *request, struct table_reply *ret,
		    struct buf *why)
{
	AUTO(buf) folded = BUF(2 * request->key.len + 1);
	struct str key = request->key;
	struct table *t = admit(request->spec, request->flags, &key, &folded, why);
	int r = t == NULL ? 0 : table_get(t, a, key, &ret->value);

	if (r == -ENOENT && writes())
		r = 0;			/* nobody has stored anything yet */
	if (r > 0 && ret->value.len > MOST_VALUE) {
		buf_addf(why, "table %.*s: a result of %zu bytes is too long", PSTR(request->spec),
			 ret->value.len);
		ret->value = STR_NONE;
	} else if (r < 0) {
		buf_add_text(why, table_why(t));
		log_warning_rarely(60, "%s", buf_text(why));
	} else if (t != NULL) {
		ret->status = (uint64_t) r;
	}
}

static void change(const struct table_change *request, struct table_reply *ret, struct buf *why)
{
	AUTO(buf) folded = BUF(2 * request->key.len + 1);
	struct str key = request->key;
	struct table *t = admit(request->spec, request->flags, &key, &folded, why);
	int r = t == NULL ? 0 : database_change(t, key, request->removal ? NULL : &request->value, why);

	if (r < 0)
		log_warning_rarely(60, "%s", buf_text(why));
	else if (t != NULL)
		ret->status = (uint64_t) (request->removal ? r : 0);
}

static void serve_request(struct server_call *call)
{
	AUTO(buf) why = BUF(1000);
	struct table_request request;
	struct table_reply reply = { .status = CANNOT_TELL };

	if (get_table_request(call->frame, &request, &why) < 0) {
		log_warning("malformed request: %s", buf_text(&why));
	} else {
		FAILPOINT("proxymap.request");
		look_up(call->arena, &request, &reply, &why);
		log_debug("%.*s: %.*s: status %d", PSTR(request.spec), PSTR(request.key),
			  (int) reply.status);
	}
	reply.why = buf_str(&why);
	REPLY(call, table_reply, &reply);
}

static void serve_change(struct server_call *call)
{
	AUTO(buf) why = BUF(1000);
	struct table_change request;
	struct table_reply reply = { .status = CANNOT_TELL };

	if (get_table_change(call->frame, &request, &why) < 0) {
		log_warning("malformed request: %s", buf_text(&why));
	} else {
		FAILPOINT("proxymap.change");
		change(&request, &reply, &why);
		log_debug("%.*s: %.*s: changed, status %d", PSTR(request.spec), PSTR(request.key),
			  (int) reply.status);
	}
	reply.why = buf_str(&why);
	REPLY(call, table_reply, &reply);
}

static const struct server_row rows[] = {
	{ "table_request", true, serve_request },
	{ "table_change", true, serve_change },
	{ NULL, false, NULL },
};

static void serve(struct session_socket *socket)
{
	struct channel *ch = channel_new(socket->fd);

	serve_channel(ch, rows, NULL, CALLS_PER_CONNECTION);
	channel_free(ch);
}

static const struct param_group *const groups[] = { &table_group, NULL };
static void *const structs[] = { &conf };

static const struct daemon proxymap = {
	.name = "proxymap",
	.shape = DAEMON_SESSIONS,
	.groups = groups,
	.structs = structs,
	.jail = {
		.user = AS_MAIL_OWNER,
		/*
		 * Modules of the C library's name service have servers of their own (nscd, sssd,
		 * nslcd, winbind), on Unix sockets.
		 */
		.syscalls = SYS_CORE | SYS_ACCEPT | SYS_FILES_READ | SYS_CONNECT_UNIX,
		.capabilities = "",
		.paths = {
			{ "/etc", 'r' }, { "/run", 'r' }, { "/var/lib", 'r' }, { "/run/nscd/socket", 'c' },
			{ "/var/lib/sss/pipes", 'c' },
			{ "/usr/share/ca-certificates", 'r' }, { "/usr/local/share/ca-certificates", 'r' },
			{ "/usr/lib/ssl", 'r' }, { NULL, 0 },
		},
	},
	.more_paths = more_paths,
	.more_syscalls = more_syscalls,
	.start = start,
	.serve = serve,
};

int main(int argc, char **argv)
{
	return daemon_main(argc, argv, &proxymap);
}
