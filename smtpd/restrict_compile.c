/* SPDX-License-Identifier: ISC */
/*
 * From the text of a restriction list to rules. Done once at start, where a mistake ends the
 * program with words that name the file and line; and for the results of access tables, whose
 * mistakes are the mail's misfortune (451).
 */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/base/map.h"
#include "lib/daemon/daemon.h"
#include "smtpd/policy.h"
#include "smtpd/restrict_rows.h"
#include "smtpd/smtpd.h"

#define SEPARATORS ", \t\r\n"
enum { MOST_NESTED = 20 };

static const struct restriction class_row = { .name = "class", .arg = ARG_CLASS, .ask = ask_class };
static const struct restriction broken_row = { .name = "broken class", .ask = ask_broken };

/* What Postfix knows and we do not yet: the message should not call it a typing error. */
static const char *const not_yet[] = {
	"reject_unverified_sender", "reject_unverified_recipient", "permit_mx_backup",
};

/* One list under way. conf NULL: the result of a table, where no new tables are opened. */
struct compiler {
	struct conf *conf;
	struct arena *arena;
	const char *parameter;
	enum stage stage;
	bool delayed;
	struct str rest;
	bool warn_only;
	VEC(struct rule) rules;
	struct buf *why;
};

/*
 * Tables and policy services that lists share, and classes by stage and name; all live as long as
 * the process.
 */
static struct map *open_tables, *open_services, *classes;
static struct arena *forever;

static bool equals(struct str word, const char *name)
{
	return str_is_nocase(word, str_of(name));
}

static const struct restriction *find_row(struct str word)
{
	for (const struct restriction *row = restrictions; row->name != NULL; row++)
		if (equals(word, row->name))
			return row;
	return NULL;
}

static bool is_table_spec(struct str word)
{
	ssize_t colon = str_find(word, ':');

	for (ssize_t i = 0; i < colon; i++)
		if (!is_alnum(word.at[i]) && word.at[i] != '_')
			return false;
	return colon > 0;
}

/* ---- what is known when ---- */

static unsigned known_at(enum stage stage, bool delayed)
{
	unsigned all = KNOWS_CLIENT | KNOWS_HELO | KNOWS_SENDER | KNOWS_RECIPIENT;

	if (stage == STAGE_ETRN)
		return KNOWS_CLIENT | KNOWS_HELO | KNOWS_ETRN;
	if (delayed || stage > STAGE_SENDER)
		return all;
	return stage == STAGE_CLIENT ? KNOWS_CLIENT : stage == STAGE_HELO
	       ? KNOWS_CLIENT | KNOWS_HELO : all & ~(unsigned) KNOWS_RECIPIENT;
}

/* The meaning of a bare type:table depends on what the list is about. */
static const struct restriction *row_of_bare_table(const struct compiler *c)
{
	static const char *const names[STAGE_COUNT] = {
		"check_client_access",	  "check_helo_access",	    "check_sender_access",
		"check_recipient_access", "check_recipient_access", [STAGE_ETRN] = "check_etrn_access",
	};

	if (strcmp(c->parameter, "local_header_rewrite_clients") == 0)
		return find_row(STR("check_address_map"));
	return names[c->stage] == NULL ? NULL : find_row(str_of(names[c->stage]));
}

/* ---- arguments ---- */

static int need_table(struct compiler *c, struct str spec, struct rule *r)
{
	int error;

	if (!is_table_spec(spec)) {
		buf_addf(c->why, "%s needs a type:table, not \"%.*s\"", r->row->name, PSTR(spec));
		return -EINVAL;
	}
	r->table = map_get(open_tables, spec);
	if (r->table == NULL) {
		if (c->conf == NULL) {
			buf_addf(c->why, "%.*s is not in any list of main.cf", PSTR(spec));
			return -EINVAL;
		}
		error = table_open(spec, TABLE_FOLD_KEY, &r->table, c->why);
		if (error < 0)
			return error;
		map_put(open_tables, spec, r->table);
	}
	r->partial = table_has_fixed_keys(r->table);
	return 0;
}

static struct str without_braces(struct str text)
{
	const bool has = text.len >= 2 && text.at[0] == '{' && text.at[text.len - 1] == '}';

	return has ? str_trim(str_head(str_skip(text, 1), text.len - 2)) : text;
}

/* "search_order = pubkey_fingerprint, cert_fingerprint" */
static int parse_search_order(struct compiler *c, struct str text, enum certificate_key *ret)
{
	enum certificate_key *end = ret;
	struct str name, word;

	if (!str_cut(&text, '=', &name) || !equals(str_trim(name), "search_order"))
		goto refuse;
	while (str_token(&text, SEPARATORS, &word)) {
		const bool is_key = equals(word, "pubkey_fingerprint");

		if ((!is_key && !equals(word, "cert_fingerprint")) || end == ret + 2)
			goto refuse;
		*end++ = is_key ? CERTIFICATE_KEY_FINGERPRINT : CERTIFICATE_FINGERPRINT;
	}
	*end = CERTIFICATE_KEYS_END;
	if (end > ret)
		return 0;
refuse:
	buf_addf(c->why, "check_ccert_access: besides the table there may be { search_order = cert_fingerprint, pubkey_fingerprint }, in either order, or one of them");
	return -EINVAL;
}

static int need_certificate_table(struct compiler *c, struct str word, struct rule *r)
{
	struct str rest = without_braces(word), spec = STR_NONE, more;

	r->order[0] = CERTIFICATE_FINGERPRINT;
	r->order[1] = CERTIFICATE_KEY_FINGERPRINT;
	if (rest.len == word.len)
		return need_table(c, word, r);
	str_token_braced(&rest, SEPARATORS, &spec);
	while (str_token_braced(&rest, SEPARATORS, &more) > 0)
		if (parse_search_order(c, without_braces(more), r->order) < 0)
			return -EINVAL;
	return need_table(c, spec, r);
}

static int need_service(struct compiler *c, struct str spec, struct rule *r)
{
	int error;

	r->policy = map_get(open_services, spec);
	if (r->policy != NULL)
		return 0;
	if (c->conf == NULL) {
		buf_addf(c->why, "%.*s is not in any list of main.cf", PSTR(spec));
		return -EINVAL;
	}
	error = policy_service_new(forever, spec, &r->policy, c->why);
	if (error >= 0)
		map_put(open_services, arena_copy(forever, spec), r->policy);
	return error;
}

static int next_word(struct compiler *c, const struct restriction *row, struct str *ret)
{
	int got = str_token_braced(&c->rest, SEPARATORS, ret);

	if (got <= 0)
		buf_addf(c->why, "%s needs an argument", row->name);
	return got <= 0 ? -EINVAL : 0;
}

static int compile_argument(struct compiler *c, struct rule *r)
{
	struct str word;

	if (r->row->arg == NO_ARG)
		return 0;
	if (next_word(c, r->row, &word) < 0)
		return -EINVAL;
	r->argument = str_c(c->arena, word);
	switch (r->row->arg) {
	case ARG_TABLE:
		return need_table(c, word, r);
	case ARG_CERTIFICATE_TABLE:
		return need_certificate_table(c, word, r);
	case ARG_DOMAIN:
		if (dns_list_parse(c->conf == NULL ? c->arena : forever, word, &r->dns_list) < 0) {
			buf_addf(c->why, "%s: bad domain or filter \"%.*s\"", r->row->name, PSTR(word));
			return -EINVAL;
		}
		return 0;
	case ARG_SERVICE:
		return need_service(c, word, r);
	case ARG_TIME:
		if (conf_parse_time(word, 's', &r->milliseconds) < 0) {
			buf_addf(c->why, "%s needs a time, not \"%.*s\"", r->row->name, PSTR(word));
			return -EINVAL;
		}
		return 0;
	default:
		BUG("restriction %s with an impossible argument", r->row->name);
	}
}

/* ---- words ---- */

static int refuse_word(struct compiler *c, struct str word)
{
	for (size_t i = 0; i < COUNT_OF(not_yet); i++)
		if (equals(word, not_yet[i])) {
			buf_addf(c->why, "%s is not available yet", not_yet[i]);
			return -EINVAL;
		}
	buf_addf(c->why, "unknown restriction \"%.*s\"", PSTR(word));
	return -EINVAL;
}

static int add_rule(struct compiler *c, struct rule r)
{
	if ((r.row->needs & ~known_at(c->stage, c->delayed)) != 0) {
		buf_addf(c->why, "%s cannot work here: what it looks at is not known at this stage%s",
			 r.row->name, c->delayed ? "" : " when smtpd_delay_reject = no");
		return -EINVAL;
	}
	r.warn_only = c->warn_only;
	c->warn_only = false;
	*vec_add(c->arena, &c->rules) = r;
	return 0;
}

static const struct rule_list *find_class(const struct compiler *c, struct str name)
{
	struct rule_list *const *by_stage = map_get(classes, arena_lower(c->arena, name));

	return by_stage == NULL ? NULL : by_stage[c->stage];
}

static int compile_word(struct compiler *c, struct str word)
{
	struct rule r = { .row = find_row(word) };
	int error;

	if (equals(word, "warn_if_reject")) {
		c->warn_only = true;
		return 0;
	}
	if (r.row == NULL && is_table_spec(word)) {
		r.row = row_of_bare_table(c);
		if (r.row == NULL)
			return refuse_word(c, word);
		r.argument = str_c(c->arena, word);
		error = need_table(c, word, &r);
	} else if (r.row == NULL) {
		r.row = &class_row;
		r.class = find_class(c, word);
		error = r.class == NULL ? refuse_word(c, word) : 0;
	} else {
		error = compile_argument(c, &r);
	}
	return error < 0 ? error : add_rule(c, r);
}

static int compile_text(struct compiler *c, struct str text, struct rule_list *ret)
{
	struct str word;
	int got;

	c->rest = text;
	while ((got = str_token_braced(&c->rest, SEPARATORS, &word)) > 0) {
		int error = compile_word(c, word);

		if (error < 0)
			return error;
	}
	if (got < 0)
		buf_add_text(c->why, "closing brace missing");
	ret->name = c->parameter;
	ret->count = c->rules.len;
	ret->rules = c->rules.at;
	return got;
}

static void die_with_place(struct conf *c, const char *parameter, const struct buf *why)
{
	const char *file;
	int line;

	if (conf_where(c, str_of(parameter), &file, &line))
		die(EX_CONFIG, "%s, line %d: %s: %s", file, line, parameter, buf_text(why));
	die(EX_CONFIG, "%s: %s", parameter, buf_text(why));
}

/* ---- classes ---- */

/*
 * Every class is compiled for every stage that it makes sense at. Lists exist before their rules,
 * so that classes may name each other.
 */
static void declare_classes(void)
{
	struct str names = str_of(the_smtpd->conf.smtpd_restriction_classes), word;

	while (str_token(&names, SEPARATORS, &word)) {
		struct rule_list **by_stage = arena_get(forever, STAGE_COUNT * sizeof(*by_stage));

		if (find_row(word) != NULL)
			die(EX_CONFIG, "smtpd_restriction_classes: \"%.*s\" is the name of a restriction",
			    PSTR(word));
		for (int i = 0; i < STAGE_COUNT; i++) {
			by_stage[i] = ARENA_NEW(forever, struct rule_list);
			by_stage[i]->name = str_c(forever, word);
		}
		map_put(classes, arena_lower(forever, word), by_stage);
	}
}

static void compile_class(struct conf *conf, struct str name, enum stage stage, bool delayed)
{
	AUTO(buf) why = BUF_WORDS;
	struct rule_list **by_stage = map_get(classes, arena_lower(forever, name));
	struct compiler c = { .conf = conf, .arena = forever, .parameter = by_stage[stage]->name,
			      .stage = stage, .delayed = delayed,
			      .why = &why };
	struct str text;

	if (!conf_get(conf, forever, name, &text))
		die(EX_CONFIG, "smtpd_restriction_classes: restriction class %s is not defined", c.parameter);
	if (compile_text(&c, text, by_stage[stage]) >= 0)
		return;
	if (stage < STAGE_DATA)
		die_with_place(conf, c.parameter, &why);
	/*
	 * a bare type:table means nothing about content, nor a recipient anything to ETRN: only
	 * whoever uses the class there is told so
	 */
	by_stage[stage]->rules = ARENA_NEW(forever, struct rule);
	by_stage[stage]->rules[0].row = &broken_row;
	by_stage[stage]->count = 1;
}

static void define_classes(struct conf *c)
{
	struct str names = str_of(the_smtpd->conf.smtpd_restriction_classes), word;

	while (str_token(&names, SEPARATORS, &word))
		for (int stage = 0; stage < STAGE_COUNT; stage++)
			compile_class(c, word, stage, true);	/* rules_ask() skips what cannot be known */
}

static void prepare(struct conf *c)
{
	if (forever != NULL)
		return;
	forever = arena_new("smtpd restrictions", NULL, 64 << 20);
	open_tables = map_new();
	open_services = map_new();
	classes = map_new();
	declare_classes();
	define_classes(c);
}

/* ---- entries ---- */

const struct rule_list *restrict_compile(struct conf *conf, const char *parameter, const char *text,
					 enum stage stage, bool delayed)
{
	AUTO(buf) why = BUF_WORDS;
	struct compiler c;
	struct rule_list *list;

	prepare(conf);
	list = ARENA_NEW(forever, struct rule_list);
	c = (struct compiler){ .conf = conf, .arena = forever, .parameter = parameter, .stage = stage,
			       .delayed = delayed, .why = &why };
	if (compile_text(&c, str_of(text), list) < 0)
		die_with_place(conf, parameter, &why);
	return list;
}

int restrict_compile_result(struct arena *a, struct str text, enum stage stage, const struct rule_list **ret)
{
	AUTO(buf) why = BUF_WORDS;
	struct rule_list *list = ARENA_NEW(a, struct rule_list);
	struct compiler c = { .arena = a, .parameter = "access table", .stage = stage, .delayed = true,
			      .why = &why };
	int r = compile_text(&c, text, list);

	if (r < 0)
		return r;
	*ret = list;
	return 0;
}

static bool refuses(const struct rule_list *list, int depth)
{
	for (size_t i = 0; i < list->count && depth < MOST_NESTED; i++) {
		const struct rule *r = &list->rules[i];

		if (r->row->ask == ask_permit)
			return false;
		if (!r->warn_only && (r->row->refuses_strangers
				      || (r->row == &class_row && refuses(r->class, depth + 1))))
			return true;
	}
	return false;
}

/* Does a stranger's mail to elsewhere meet a refusal, before anything lets everybody through? */
bool refuses_strangers(const struct rule_list *list)
{
	return refuses(list, 0);
}
