/* SPDX-License-Identifier: ISC */
/*
 * Tables that ask a server through a loadable module. A content is one reading of the table's file:
 * parameters, the question made of them, and the pool of connections. A lookup waits, so a content
 * that is replaced meanwhile stays until the last one that uses it is through.
 */
#include "lib/table/server.h"

#include <errno.h>

#include "lib/base/die.h"
#include "lib/table/helpers.h"

enum { MOST_RESULT = 1 << 20, MOST_ARGUMENT = 1 << 16, MOST_ARGUMENTS = 50, MOST_FILES = 30 };

struct server {
	const struct server_kind *kind;
	struct settings *settings;
	struct question_form form;
	struct results results;
	struct helpers *helpers;
	/* that the driver opens by itself: their directories have to stay readable in the jail */
	struct watch *files[MOST_FILES];
	size_t file_count;
	int users;
	bool closed;
};

static const char *const common_parameters[] = {
	"hosts", "domain", "result_format", "result_filter", "expansion_limit", "timeout", "connections",
	"idle_interval", "retry_interval", NULL,
};

static void free_server(struct server *s)
{
	results_free(&s->results);
	for (size_t i = 0; i < s->file_count; i++)
		watch_free(s->files[i]);
	/* A thread that does not come back keeps the parameters. */
	if (s->helpers != NULL)
		helpers_release(s->helpers, settings_free, s->settings);
	else
		settings_free(s->settings);
	free(s);
}

static void server_close(void *content)
{
	struct server *s = content;

	s->closed = true;
	if (s->users == 0)
		free_server(s);
}

static int make_helpers(struct server *s, const struct server_driver *driver, struct buf *why)
{
	const struct server_kind *k = s->kind;
	const char *hosts = settings_get(s->settings, k->host_parameter, "");
	struct helper_settings h = { .driver = driver, .settings = &s->settings->for_driver };
	int64_t timeout, most, idle, retry;
	int r = settings_seconds(s->settings, "timeout", k->default_timeout, 1, 75, &timeout, why);

	if (r == 0)
		r = settings_number(s->settings, "connections", 10, 1, 200, &most, why);
	if (r == 0)
		r = settings_seconds(s->settings, "idle_interval", 60, 1, 86400, &idle, why);
	if (r == 0)
		r = settings_seconds(s->settings, "retry_interval", 60, 1, 86400, &retry, why);
	if (r < 0)
		return r;
	h.timeout_ms = (int) timeout * 1000;
	h.most = (int) most;
	h.idle_ms = (int) idle * 1000;
	h.retry_ms = (int) retry * 1000;
	h.hosts = str_of(*hosts == 0 || k->hosts_are_one ? k->default_host : hosts);
	s->helpers = helpers_new(&h);
	return 0;
}

/* What is no path is none of ours. */
static int keep_readable(struct server *s, struct str path, struct buf *why)
{
	int r;

	if (!str_starts(path, STR("/")) || s->file_count == MOST_FILES)
		return 0;
	r = watch_new(path, &s->files[s->file_count], why);
	if (r == 0)
		s->file_count++;
	return r;
}

/*
 * A database that is a file has to be there; what certificates and keys lack, the library says when
 * it wants them.
 */
static int keep_files_readable(struct server *s, struct buf *why)
{
	static const char *const files[] = {
		"option_file", "tls_CAfile", "tls_cert_file", "tls_key_file", "tls_ca_cert_file",
		"tls_cert", "tls_key",
	}, *const directories[] = { "tls_CApath", "tls_ca_cert_dir" };
	struct str hosts = str_of(settings_get(s->settings, "hosts", "")), host, part;
	AUTO(buf) unsaid = BUF_WORDS;

	for (size_t i = 0; i < COUNT_OF(files); i++)
		keep_readable(s, str_of(settings_get(s->settings, files[i], "")), &unsaid);
	for (size_t i = 0; i < COUNT_OF(directories); i++) {
		part = str_of(settings_get(s->settings, directories[i], ""));
		if (part.len > 0)
			keep_readable(s, arena_fmt(s->settings->arena, "%.*s/.", PSTR(part)), &unsaid);
	}
	/* postgresql://host/name?sslrootcert=/path&sslcert=/path */
	while (str_token(&hosts, ", \t\r\n", &host))
		for (str_cut(&host, '?', &part); str_token(&host, "&", &part);) {
			struct str name;

			str_cut(&part, '=', &name);
			if (str_starts(name, STR("ssl")))
				keep_readable(s, part, &unsaid);
		}
	return keep_readable(s, str_of(settings_get(s->settings, "dbpath", "")), why);
}

static int open_server(struct server *s, const struct server_driver *driver, struct buf *why)
{
	AUTO(buf) words = BUF_WORDS;
	char room[400] = "";
	int r = s->kind->form(s->settings, &s->form, &words);

	if (r == 0)
		r = results_open(&s->results, s->settings, settings_get(s->settings, "result_format",
									NULL) == NULL ? "result_filter"
									: "result_format",
				 &words);
	if (r == 0 && driver->check != NULL
	    && driver->check(&s->settings->for_driver, (struct driver_words){ room, sizeof(room) }) < 0) {
		buf_add_text(&words, room);
		r = -EINVAL;
	}
	if (r == 0)
		r = make_helpers(s, driver, &words);
	if (r == 0)
		r = keep_files_readable(s, &words);
	if (r < 0)
		buf_addf(why, "%s: %s", s->settings->file, buf_text(&words));
	return r;
}

static int server_read(const struct server_kind *kind, struct table *t, struct source *lines,
		       void **ret_content, struct buf *why)
{
	const char *known[80];
	size_t n = 0;
	struct server *s;
	int r;

	for (const char *const *name = common_parameters; *name != NULL; name++)
		known[n++] = *name;
	for (const char *const *name = kind->parameters; *name != NULL && n + 1 < COUNT_OF(known); name++)
		known[n++] = *name;
	known[n] = NULL;
	s = get_memory(sizeof(*s));
	s->kind = kind;
	s->settings = settings_read(lines, known);
	r = open_server(s, t->drivers.server, why);
	if (r < 0)
		free_server(s);
	else
		*ret_content = s;
	return r;
}

/* The arguments for this key. 1, 0 suppressed, -errno. */
static int fill_in(const struct server *s, struct arena *a, const struct address_parts *key,
		   struct str *arguments, struct buf *why)
{
	for (size_t i = 0; i < s->form.count; i++) {
		AUTO(buf) text = BUF(MOST_ARGUMENT);
		int r = template_expand(&s->form.arguments[i], key, NULL, s->form.quote, &text);

		if (r < 0)
			buf_add_text(why, "the question is too long");
		if (r <= 0)
			return r;
		arguments[i] = arena_copy(a, buf_str(&text));
	}
	return 1;
}

static int join(const struct server *s, const struct address_parts *key, const struct helper_answer *answer,
		struct buf *joined, struct buf *why)
{
	const char *at = answer->bytes.at;
	size_t count = 0;
	int r = 0;

	for (size_t i = 0; i < answer->count && r >= 0; i++) {
		r = results_add(&s->results, key, str_make(at, answer->lengths[i]), &count, joined, why);
		at += answer->lengths[i];
	}
	return r;
}

static int look_up(struct server *s, struct arena *own, struct arena *a, struct str text,
		   struct str *ret_value, struct buf *why)
{
	const struct address_parts key = address_parts(text);
	AUTO(helper_answer) answer = { .bytes = BUF(1) };
	AUTO(buf) joined = BUF(MOST_RESULT);
	struct str arguments[MOST_ARGUMENTS];
	int r;

	/* No server stores such a key, and modules take C strings. */
	if (memchr(text.at, 0, text.len) != NULL || (s->form.keys_are_utf8 && !str_is_utf8(text)))
		return 0;
	r = results_wants(&s->results, own, &key, why);
	if (r > 0)
		r = fill_in(s, own, &key, arguments, why);
	if (r <= 0)
		return r;
	r = helpers_ask(s->helpers, s->form.statement, arguments, s->form.count, s->results.most,
			&answer, why);
	if (r >= 0)
		r = join(s, &key, &answer, &joined, why);
	if (r < 0)
		return r;
	return joined.len == 0 ? 0 : table_value(a, buf_str(&joined), ret_value, why);
}

static int server_get(struct table *t, void *content, struct arena *a, struct str key, struct str *ret_value,
		      struct buf *why)
{
	struct server *s = content;
	struct arena *own = arena_new("question", NULL, (size_t) (MOST_ARGUMENTS + 4) * MOST_ARGUMENT);
	int r;

	(void) t;
	s->users++;
	r = look_up(s, own, a, key, ret_value, why);
	arena_free(own);
	if (--s->users == 0 && s->closed)
		free_server(s);
	return r;
}

#define SERVER_TYPE(type_) \
	static int type_##_read(struct table *t, struct source *lines, void **ret_content, struct buf *why) \
	{ \
		return server_read(&type_##_kind, t, lines, ret_content, why); \
	} \
	const struct table_type type_##_type = { \
		.name = #type_, .traits = TYPE_FIXED_KEYS | TYPE_BLOCKS, .module = #type_, .find_drivers = drivers_find, .read = type_##_read, .get = server_get, .close = server_close, \
	}

SERVER_TYPE(pgsql);
SERVER_TYPE(mysql);
SERVER_TYPE(sqlite);
SERVER_TYPE(ldap);
SERVER_TYPE(redis);
