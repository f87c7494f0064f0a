/* SPDX-License-Identifier: ISC */
/*
 * header_checks and body_checks: a table looked up with each header or line, and the action that
 * the result names (header_checks(5)). Who configures none does not come here.
 */
#include "cleanup/message.h"

#include "lib/log/log.h"
#include "lib/mail/dsn.h"
#include "lib/table/listing.h"

enum { MOST_LOOKED_AT = 1 << 20 };

struct tables *checks_for(const struct message *m, enum check_class c)
{
	if ((m->flags & CLEANUP_NO_CHECKS) != 0)
		return NULL;
	switch (c) {
	case CHECK_HEADER:
		return the_cleanup.header_checks;
	case CHECK_MIME_HEADER:
		return the_cleanup.mime_checks;
	case CHECK_NESTED_HEADER:
		return the_cleanup.nested_checks;
	case CHECK_BODY:
		return the_cleanup.body_checks;
	}
	return NULL;
}

bool checks_look_at_body(const struct message *m)
{
	return checks_for(m, CHECK_BODY) != NULL || checks_for(m, CHECK_MIME_HEADER) != NULL
	       || checks_for(m, CHECK_NESTED_HEADER) != NULL;
}

/* In the log: of whichever part, it is a header. Log analysers know no other word. */
static const char *const class_names[] = { "header", "header", "header", "body" };
static const char *const class_parameters[] = { "header_checks", "mime_header_checks",
						"nested_header_checks", "body_checks" };

/* One check under way. */
struct check {
	struct message *m;
	enum check_class class;
	struct str text;		/* what was looked up */
	struct str argument;		/* behind the action's name */
	struct str *ret;		/* what the text becomes */
};

/* "QID: reject: header Subject: x from NAME[ADDR]; from=<> to=<> proto=ESMTP helo=<x>: words" */
static void log_about(const struct message *m, const char *action, const char *what, struct str text,
		      struct str words)
{
	const struct envelope *e = &m->e;
	AUTO(buf) b = BUF(8 << 10);
	struct str last = e->recipient_count == 0 ? STR_NONE : e->recipients[e->recipient_count - 1].address;
	const bool is_client = str_is(str_of(m->origin), STR("smtpd"));

	buf_addf(&b, "%s: %s ", action, what);
	buf_add_printable(&b, str_head(text, 200));
	if (is_client)
		buf_addf(&b, " from %.*s[%.*s]", PSTR(e->client_name), PSTR(e->client_address));
	else
		buf_add_text(&b, " from local");
	buf_addf(&b, "; from=<%.*s> to=<%.*s>", PSTR(e->sender), PSTR(last));
	if (e->client_protocol.len > 0)
		buf_addf(&b, " proto=%.*s", PSTR(e->client_protocol));
	if (e->client_helo.len > 0)
		buf_addf(&b, " helo=<%.*s>", PSTR(e->client_helo));
	if (words.len > 0)
		buf_addf(&b, ": %.*s", PSTR(words));
	log_mail(ROAD_INFO, str_of(m->id), "%s", buf_text(&b));
}

static void log_action(const struct check *c, const char *action, struct str words)
{
	log_about(c->m, action, class_names[c->class], c->text, words);
}

void refuse_nesting(struct message *m, struct str line)
{
	log_about(m, "reject", "mime-error MIME nesting exceeds safety limit:", line, STR_NONE);
	refuse(m, 550, "5.6.0", "MIME nesting exceeds safety limit");
}

static void warn(const struct check *c, const char *words)
{
	log_mail(ROAD_WARNING, str_of(c->m->id), "%s: %s: \"%.*s\"", class_parameters[c->class], words,
		 PSTR(c->argument));
}

/* ---- what of the message came into the result ($1) ---- */

/* What goes into an envelope has no control characters. */
static bool is_fit_for_envelope(const struct check *c)
{
	if (!str_has_control(c->argument))
		return true;
	warn(c, "control character in the result, ignored");
	return false;
}

/* For the log and the client. */
static struct str printable_argument(const struct check *c)
{
	AUTO(buf) b = BUF(c->argument.len + 1);

	buf_add_printable(&b, c->argument);
	return arena_copy(c->m->arena, buf_str(&b));
}

/* For the content: folded lines stay folded, and nothing begins a line of its own. */
static struct str argument_as_content(const struct check *c)
{
	struct str copy = arena_copy(c->m->arena, c->argument);
	char *at = (char *) (uintptr_t) copy.at;

	for (size_t i = 0; i < copy.len; i++)
		if (at[i] == '\n' && (c->class == CHECK_BODY || i + 1 == copy.len || !is_blank(at[i + 1])))
			at[i] = ' ';
	return copy;
}

/* ---- the actions; false: the text is left out ---- */

static bool do_nothing(struct check *c)
{
	(void) c;
	return true;
}

static bool do_pass(struct check *c)
{
	log_action(c, "pass", printable_argument(c));
	c->m->flags |= CLEANUP_NO_CHECKS;
	return true;
}

static bool do_reject(struct check *c)
{
	struct str dsn, text, all = printable_argument(c);

	if (dsn_split(all, &dsn, &text) < 0) {
		dsn = STR("5.7.1");
		text = all;
	}
	if (text.len == 0)
		text = STR("message content rejected");
	log_action(c, "reject", arena_fmt(c->m->arena, "%.*s %.*s", PSTR(dsn), PSTR(text)));
	refuse(c->m, dsn.at[0] == '4' ? 451 : 550, str_c(c->m->arena, dsn), str_c(c->m->arena, text));
	return false;
}

static bool do_warn(struct check *c)
{
	log_action(c, "warning", printable_argument(c));
	return true;
}

static bool do_info(struct check *c)
{
	log_action(c, "info", printable_argument(c));
	return true;
}

static bool do_hold(struct check *c)
{
	log_action(c, "hold", printable_argument(c));
	c->m->hold = true;
	return true;
}

static bool do_discard(struct check *c)
{
	log_action(c, "discard", printable_argument(c));
	c->m->discard = true;
	c->m->flags |= CLEANUP_NO_CHECKS;	/* or what follows might be refused, and its sender hear of it */
	return false;
}

static bool do_ignore(struct check *c)
{
	(void) c;
	return false;
}

static bool do_strip(struct check *c)
{
	log_action(c, "strip", printable_argument(c));
	return false;
}

static bool do_redirect(struct check *c)
{
	if (!is_fit_for_envelope(c))
		return true;
	if (str_find(c->argument, '@') < 0) {
		warn(c, "bad REDIRECT address, ignored");
		return true;
	}
	log_action(c, "redirect", c->argument);
	c->m->redirect = c->argument;
	return true;
}

static bool do_bcc(struct check *c)
{
	if (!is_fit_for_envelope(c))
		return true;
	if (str_find(c->argument, '@') < 0) {
		warn(c, "bad BCC address, ignored");
		return true;
	}
	if (!HAS_ROOM(c->m, &c->m->added))
		return true;
	log_action(c, "bcc", c->argument);
	*vec_add(c->m->arena, &c->m->added) = c->argument;
	return true;
}

static bool do_filter(struct check *c)
{
	if (!is_fit_for_envelope(c))
		return true;
	if (str_find(c->argument, ':') < 0) {
		warn(c, "FILTER needs transport:destination, ignored");
		return true;
	}
	log_action(c, "filter", c->argument);
	c->m->e.filter_transport = c->argument;
	return true;
}

/* Among headers, a line that is none would end them. */
static bool is_fit_for_its_place(const struct check *c)
{
	return c->class == CHECK_BODY ? c->argument.len > 0 : is_header_start(c->argument);
}

static bool do_prepend(struct check *c)
{
	if (!is_fit_for_its_place(c)) {
		warn(c, c->class == CHECK_BODY ? "PREPEND without text, ignored"
		     : "PREPEND needs \"name: value\" before a header, ignored");
		return true;
	}
	log_action(c, "prepend", printable_argument(c));
	if (c->class == CHECK_HEADER) {
		add_header(c->m, argument_as_content(c));
		return true;
	}
	*c->ret = arena_fmt(c->m->arena, "%.*s\n%.*s", PSTR(argument_as_content(c)), PSTR(c->text));
	return true;
}

static bool do_replace(struct check *c)
{
	if (!is_fit_for_its_place(c)) {
		warn(c, c->class == CHECK_BODY ? "REPLACE without text, ignored"
		     : "REPLACE needs \"name: value\" for a header, ignored");
		return true;
	}
	log_action(c, "replace", printable_argument(c));
	*c->ret = argument_as_content(c);
	return true;
}

static const struct action {
	struct str name;
	bool (*run)(struct check *c);
} actions[] = {
	{ STR_INIT("DUNNO"), do_nothing }, { STR_INIT("OK"), do_nothing }, { STR_INIT("PASS"), do_pass },
	{ STR_INIT("REJECT"), do_reject }, { STR_INIT("WARN"), do_warn }, { STR_INIT("INFO"), do_info },
	{ STR_INIT("HOLD"), do_hold }, { STR_INIT("DISCARD"), do_discard }, { STR_INIT("IGNORE"), do_ignore },
	{ STR_INIT("STRIP"), do_strip }, { STR_INIT("REDIRECT"), do_redirect }, { STR_INIT("BCC"), do_bcc },
	{ STR_INIT("FILTER"), do_filter }, { STR_INIT("PREPEND"), do_prepend },
	{ STR_INIT("REPLACE"), do_replace },
};

static const struct action *find_action(struct str name)
{
	for (size_t i = 0; i < COUNT_OF(actions); i++)
		if (str_is_nocase(name, actions[i].name))
			return &actions[i];
	return NULL;
}

static void rehearse_entry(void *parameter, const struct table_entry *e)
{
	struct str value = e->value, name = STR_NONE;

	str_token(&value, " \t", &name);
	if (find_action(name) != NULL)
		return;
	if (e->path != NULL)
		log_warning("%s, line %d: \"%.*s\" is no action of %s, and will be ignored", e->path,
			    e->line, PSTR(str_head(name, 60)), (char *) parameter);
	else
		log_warning("%s: \"%.*s\" is no action, and will be ignored", (char *) parameter,
			    PSTR(str_head(name, 60)));
}

void checks_rehearse(const char *parameter, const char *tables)
{
	struct str rest = str_of(tables), spec;

	while (str_token_braced(&rest, ", \t\r\n", &spec) > 0)
		table_each_entry(spec, rehearse_entry, (void *) (uintptr_t) parameter);
}

/* No expression looks beyond a NUL, and so would never see what is behind it. */
static void hide_nuls(struct str copy)
{
	char *at = (char *) (uintptr_t) copy.at, *end = at + copy.len;

	while (at < end && (at = memchr(at, '\0', (size_t) (end - at))) != NULL)
		*at++ = ' ';
}

/* Most lookups find nothing: what they need on the way is given back at once. */
static int look_up(struct message *m, struct tables *tables, struct str text, struct str *ret)
{
	struct arena *scratch = arena_new("check", NULL, 4 << 20);
	/* copied, so that it ends with a NUL: not every regular expression library keeps to the length */
	struct str copy = arena_copy(scratch, str_head(text, MOST_LOOKED_AT));
	int found;

	hide_nuls(copy);
	found = tables_get(tables, scratch, copy, ret);
	if (found > 0)
		*ret = arena_copy(m->arena, *ret);
	arena_free(scratch);
	return found;
}

bool check_text(struct message *m, enum check_class class, struct str text, struct str *ret)
{
	struct tables *tables = checks_for(m, class);
	struct check c = { .m = m, .class = class, .text = text, .ret = ret };
	const struct action *action;
	struct str value, name;
	int found;

	*ret = text;
	if (!has_memory(m, 0))
		return false;
	found = look_up(m, tables, text, &value);
	if (found < 0)
		refuse_table(m, class_parameters[class], tables_why(tables));
	if (found <= 0)
		return true;
	c.argument = str_trim(value);
	str_token(&c.argument, " \t", &name);
	c.argument = str_trim(c.argument);
	action = find_action(name);
	if (action != NULL)
		return action->run(&c);
	c.argument = value;
	warn(&c, "unknown action, ignored");
	return true;
}
