/* SPDX-License-Identifier: ISC */
/*
 * Parameters whose value names a row of master.cf. For a reload, which is refused when there is no
 * such row, and for `postroad check` and `lint`.
 */
#include "lib/conf/conf_private.h"
#include "lib/conf/master_cf.h"
#include "lib/conf/programs.h"

/* A service, or "service:next hop". */
static const struct str naming[] = {
	STR_INIT("cleanup_service_name"), STR_INIT("content_filter"), STR_INIT("default_transport"),
	STR_INIT("fallback_transport"),
	STR_INIT("lmtp_sasl_token_service"), STR_INIT("local_transport"), STR_INIT("mailbox_transport"),
	STR_INIT("postlog_service_name"),
	STR_INIT("queue_service_name"), STR_INIT("relay_transport"), STR_INIT("showq_service_name"),
	STR_INIT("smtp_sasl_token_service"),
	STR_INIT("tlsmgr_service_name"), STR_INIT("virtual_transport"),
};

struct naming_check {
	struct conf *conf;
	const struct master_cf *table;
	struct arena *arena;
	void (*say)(void *arg, const char *text);
	void *arg;
	int wrong;
};

bool master_cf_has(const struct master_cf *m, struct str name)
{
	for (size_t i = 0; i < m->count; i++)
		if (m->services[i].type != SERVICE_INET && str_is(m->services[i].name, name))
			return true;
	return false;
}

static bool is_queue_manager(const struct service_entry *s)
{
	return program_find(s->command)->hands_over;
}

bool master_cf_is_spare(const struct master_cf *m, const struct service_entry *s)
{
	if (!is_queue_manager(s) || str_is(s->name, STR("qmgr")))
		return false;
	for (size_t i = 0; i < m->count; i++)
		if (str_is(m->services[i].name, STR("qmgr")) && is_queue_manager(&m->services[i]))
			return true;
	return false;
}

bool master_cf_is_disabled(struct str disabled, const struct service_entry *s)
{
	const struct str type = str_of(service_type_text(s->type));
	struct str word;

	while (str_token(&disabled, ", \t\r\n", &word)) {
		bool is_disabled = true;
		ssize_t mark;

		for (; str_starts(word, STR("!")); word = str_skip(word, 1))
			is_disabled = !is_disabled;
		mark = str_find_last(word, '/');
		if (mark < 0)
			mark = str_find_last(word, '.');
		if (str_is_nocase(str_skip(word, (size_t) (mark + 1)), type)
		    && (mark < 0 || str_is_nocase(str_head(word, (size_t) mark), s->name)))
			return is_disabled;
	}
	return false;
}

static bool is_naming(struct str name)
{
	for (size_t i = 0; i < COUNT_OF(naming); i++)
		if (str_is(naming[i], name))
			return true;
	return false;
}

/* What nobody has set may name a service that nobody needs. */
static void check_name(struct naming_check *k, const char *file, int line, struct str name, struct str raw)
{
	AUTO(buf) ignored = BUF_WORDS, text = BUF_WORDS;
	struct str value, service;

	if (!is_naming(name) || conf_expand(k->conf, k->arena, raw, &value, &ignored) < 0)
		return;
	str_cut(&value, ':', &service);
	service = str_trim(service);
	if (service.len == 0 || master_cf_has(k->table, service))
		return;
	buf_addf(&text, "%s, line %d: %.*s = %.*s: master.cf has no service \"%.*s\"", file, line, PSTR(name),
		 PSTR(str_head(raw, 200)), PSTR(str_head(service, 200)));
	k->say(k->arg, buf_text(&text));
	k->wrong++;
}

int master_cf_check_names(struct conf *c, const struct master_cf *m,
			  void (*say)(void *arg, const char *text), void *arg)
{
	struct arena *a = arena_new("service names", NULL, CONF_MOST_MEMORY);
	struct naming_check k = { .conf = c, .table = m, .arena = a, .say = say, .arg = arg };
	const char *path = arena_fmt(a, "%s/master.cf", c->dir).at, *file;
	AUTO(buf) ignored = BUF_WORDS;
	struct str name, value, assignment;
	int line;

	for (size_t i = 0; conf_next_set(c, &i, &name, &value);)
		if (conf_where(c, name, &file, &line))
			check_name(&k, file, line, name, value);
	for (size_t i = 0; i < m->count; i++)
		for (size_t at = 0; service_override(&m->services[i], &at, &assignment);)
			if (conf_split_assignment(assignment, &name, &value, &ignored) == 0)
				check_name(&k, path, m->services[i].line, name, value);
	arena_free(a);
	return k.wrong;
}
