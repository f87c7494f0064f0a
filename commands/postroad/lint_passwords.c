/* SPDX-License-Identifier: ISC */
/*
 * postroad lint: passwords for other servers: who may read them, whether they may be said in the
 * clear, and whether the relay host has one.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/postroad/lint.h"
#include "lib/sasl/options.h"
#include "lib/table/listing.h"
#include "lib/table/source.h"
#include "lib/table/type.h"

enum { MOST_SETTINGS = 1 << 20 };

static bool everybody_reads(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & S_IROTH) != 0;
}

static void lint_file(struct lint *l, const char *place, const char *path)
{
	if (everybody_reads(path))
		lint_say(l, false, "%s: %s: everybody may read the passwords (mend: chmod o-rwx %s)",
			 place, path, path);
}

static void lint_reader(struct lint *l, const char *place, struct str spec)
{
	const char *main_cf = arena_fmt(l->arena, "%s/main.cf", conf_dir(l->conf)).at;
	const struct table_type *kind;
	struct str name, type;

	table_is_proxied(spec, &spec);
	name = spec;
	if (!str_cut(&name, ':', &type) || (kind = table_type_find(type)) == NULL)
		return;
	if (str_is(type, STR("static")) || str_is(type, STR("inline"))) {
		if (everybody_reads(main_cf))
			lint_say(l, false, "%s: passwords stand in a file that everybody may read", place);
	} else if (name.len > 0 && name.at[0] == '/') {
		lint_file(l, place, str_c(l->arena, name));
		if (kind->suffix != NULL)
			lint_file(l, place, arena_fmt(l->arena, "%.*s%s", PSTR(name), kind->suffix).at);
	}
}

struct entries {
	struct lint *lint;
	const char *place;
};

/* The words that are said of it do not have what may be the password. */
static void lint_entry(void *arg, const struct table_entry *e)
{
	const struct entries *all = arg;
	const char *place = e->path == NULL ? all->place
			    : arena_fmt(all->lint->arena, "%s, line %d", e->path, e->line).at;

	if (str_find(e->value, ':') <= 0)
		lint_say(all->lint, true, "%s: %.*s: no password behind the user's name (mend: user:password)",
			 place, PSTR(e->key));
}

static void lint_readers(struct lint *l, const char *place, struct str maps)
{
	struct str word;

	while (str_token_braced(&maps, ", \t\r\n", &word) > 0) {
		lint_reader(l, place, arena_copy(l->arena, word));
		table_each_entry(word, lint_entry, &(struct entries){ l, place });
	}
}

/* PLAIN without TLS: only where somebody in between need not do more than take STARTTLS away. */
static void lint_clear_text(struct lint *l, const char *protocol)
{
	struct str options = arena_fmt(l->arena, "%s_sasl_security_options", protocol),
		level = arena_fmt(l->arena, "%s_tls_security_level", protocol), value;
	AUTO(buf) why = BUF_WORDS;
	unsigned wanted;

	if (!conf_get(l->conf, l->arena, options, &value) || sasl_options_parse(value, &wanted, &why) < 0
	    || (wanted & SASL_NOPLAINTEXT) != 0)
		return;
	if (!conf_get(l->conf, l->arena, level, &value) || value.len == 0
	    || str_is_nocase(value, STR("none")) || str_is_nocase(value, STR("may")))
		lint_say(l, false, "%s: passwords may be said in the clear: use %s_sasl_tls_security_options for what is fine with TLS, or a %.*s of encrypt or more",
			 lint_place(l, options), protocol, PSTR(level));
}

/* The key is the next hop as it is written, brackets, port and all, or the name of the host. */
static void lint_relay_host(struct lint *l, const char *place, struct str maps)
{
	struct str relay, host, port, value;
	struct tables *tables;
	AUTO(buf) why = BUF_WORDS;

	if (!conf_get(l->conf, l->arena, STR("relayhost"), &relay) || relay.len == 0
	    || host_port_split(relay, &host, &port) < 0
	    || tables_open(maps, TABLE_FOLD_KEY | TABLE_NO_PROXY, &tables, &why) < 0)
		return;
	if (tables_get(tables, l->arena, relay, &value) == 0
	    && tables_get(tables, l->arena, host, &value) == 0)
		lint_say(l, false, "%s: there is no user and password for relayhost, neither for \"%.*s\" nor for \"%.*s\"",
			 place, PSTR(relay), PSTR(host));
	tables_free(tables);
}

/* The settings of a table that asks a server: "password = x" of databases, "bind_pw = x" of directories. */
static bool has_secret(const char *path)
{
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	AUTO(buf) text = BUF(MOST_SETTINGS + 65536);
	struct source lines;
	struct str line, name;
	bool found = false;

	if (fd < 0 || source_read_file(fd, MOST_SETTINGS, &text) < 0)
		return false;
	source_start(&lines, path, buf_str(&text));
	while (!found && source_next(&lines, &line)) {
		found = str_cut(&line, '=', &name) && str_trim(line).len > 0;
		name = str_trim(name);
		found = found && (str_is(name, STR("password")) || str_is(name, STR("bind_pw")));
	}
	source_end(&lines);
	return found;
}

void lint_table_password(struct lint *l, const char *place, struct str type, struct str name)
{
	static const char *const secrets[] = { "password", "bind_pw" };
	const struct table_type *kind = table_type_find(type);
	const char *path = str_c(l->arena, name), *file;
	int line;

	if (kind == NULL || !(kind->traits & TYPE_BLOCKS) || name.len == 0)
		return;
	if (name.at[0] == '/') {
		if (everybody_reads(path) && has_secret(path))
			lint_say(l, false, "%s: %s: everybody may read the password in it (mend: chmod o-rwx %s)",
				 place, path, path);
		return;
	}
	for (size_t i = 0; i < COUNT_OF(secrets); i++) {
		struct str parameter = arena_fmt(l->arena, "%.*s_%s", PSTR(name), secrets[i]);

		if (conf_where(l->conf, parameter, &file, &line) && everybody_reads(file))
			lint_say(l, false, "%s: everybody may read this password (mend: give the table a file of its own, which nobody else may read)",
				 lint_place(l, parameter));
	}
}

void lint_passwords(struct lint *l)
{
	static const char *const protocols[] = { "smtp", "lmtp" };
	AUTO(buf) why = BUF_WORDS;

	for (size_t i = 0; i < COUNT_OF(protocols); i++) {
		struct str name = arena_fmt(l->arena, "%s_sasl_password_maps", protocols[i]), maps;
		const char *place = lint_place(l, name);
		bool is_on = false, by_sender = false;

		if (conf_get(l->conf, l->arena, name, &maps) && maps.len > 0)
			lint_readers(l, place, maps);
		if (conf_get_bool(l->conf, arena_fmt(l->arena, "%s_sasl_auth_enable", protocols[i]), false,
				  &is_on, &why) < 0 || !is_on)
			continue;
		lint_clear_text(l, protocols[i]);
		conf_get_bool(l->conf, STR("smtp_sender_dependent_authentication"), false, &by_sender, &why);
		if (i == 0 && maps.len > 0 && !by_sender)
			lint_relay_host(l, place, maps);
	}
}
