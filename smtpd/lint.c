/* SPDX-License-Identifier: ISC */
/* smtpd's part of `postroad lint`: what is wrong with the restrictions, said as warnings; see imagined.h. */
#include "lib/daemon/daemon.h"
#include "lib/mail/mail_address.h"
#include "lib/sasl/options.h"
#include "lib/table/files_value.h"
#include "lib/table/listing.h"
#include "lib/tls/tls.h"
#include "smtpd/imagined.h"
#include "smtpd/restrict_rows.h"
#include "smtpd/smtpd.h"
#include "smtpd/transaction.h"

enum { MOST_CLASSES = 10, MOST_CLAIMS = 2000 };		/* within each other; of a list */

/* ---- lists ---- */

/* Nothing is asked behind it: "permit", "reject", "defer", or a class with one of these. */
static bool is_final(const struct rule *r, int depth)
{
	if (r->warn_only)
		return false;
	if (r->row->arg == ARG_CLASS && depth < MOST_CLASSES)
		for (size_t i = 0; i < r->class->count; i++)
			if (is_final(&r->class->rules[i], depth + 1))
				return true;
	return r->row->ask == ask_permit || r->row->ask == ask_reject || r->row->ask == ask_defer;
}

static bool is_same(const struct rule *a, const struct rule *b)
{
	return a->row == b->row && a->row->arg != ARG_CLASS && a->row->arg != ARG_TIME
	       && a->warn_only == b->warn_only && str_is_nocase(str_of(a->argument), str_of(b->argument));
}

static void place(const struct rule_list *list, struct buf *b)
{
	const char *file;
	int line;

	if (conf_where(the_world->conf, str_of(list->name), &file, &line))
		buf_addf(b, "%s, line %d: ", file, line);
	buf_addf(b, "%s: ", list->name);
}

static const char *name_of(const struct rule *r)
{
	return r->row->arg == ARG_CLASS ? r->class->name : r->row->name;
}

/* "reject_rbl_client, permit_mynetworks" asks the list permit_mynetworks. */
static void lint_argument(const char *where, const struct rule *r)
{
	if (r->row->arg == ARG_CLASS || r->argument == NULL)
		return;
	for (const struct restriction *row = restrictions; row->name != NULL; row++)
		if (str_is_nocase(str_of(r->argument), str_of(row->name)))
			log_warning("%s%s has the restriction %s for its argument (mend: give it one)",
				    where, r->row->name, r->argument);
}

/* Said once of a class, wherever it is used. */
static void lint_list(const struct rule_list *list, int depth)
{
	AUTO(buf) where = BUF(1024);

	place(list, &where);
	for (size_t i = 0; i < list->count; i++) {
		if (list->rules[i].row->arg == ARG_CLASS && depth < MOST_CLASSES)
			lint_list(list->rules[i].class, depth + 1);
		lint_argument(buf_text(&where), &list->rules[i]);
		if (is_final(&list->rules[i], 0) && i + 1 < list->count) {
			log_warning("%s%s is never reached behind %s (mend: remove it, or move it to the front)",
				    buf_text(&where), name_of(&list->rules[i + 1]), name_of(&list->rules[i]));
			return;
		}
		for (size_t j = 0; j < i; j++)
			if (is_same(&list->rules[i], &list->rules[j])) {
				log_warning("%s%s stands there twice (mend: remove the second, which cannot say anything new)",
					    buf_text(&where), list->rules[i].row->name);
				break;
			}
	}
}

/* ---- access tables ---- */

struct values {
	struct arena *arena;
	const char *place;		/* of a table in the parameter itself */
	const struct rule *rule;
	size_t *tried;
};

static void lint_value(void *arg, const struct table_entry *e)
{
	const struct values *v = arg;
	AUTO(buf) where = BUF(8192);
	const bool is_found = e->key.len < 2 || str_find_any(str_head(e->key, 1), "*@") < 0;

	if (is_found && access_makes_sense(v->arena, e->value))
		return;
	if (e->path != NULL)
		buf_addf(&where, "%s, line %d: ", e->path, e->line);
	else
		buf_add_text(&where, v->place);
	if (!is_found) {
		log_warning("%snothing is looked up under \"%.*s\" (mend: example.com or .example.com)",
			    buf_text(&where), PSTR(e->key));
		return;
	}
	log_warning("%s%s%.*s: \"%.*s\" is no action, and no restriction: mail that meets it is answered 451 (mend: see access(5))",
		    buf_text(&where), e->key.len > 0 ? "key " : v->rule->row->name, PSTR(e->key),
		    PSTR(str_head(e->value, 100)));
}

/* What Postfix calls access tables: what they say is an action. */
static bool is_access(const struct rule *r)
{
	return r->row->arg == ARG_TABLE && str_starts(str_of(r->row->name), STR("check_"))
	       && str_ends(str_of(r->row->name), STR("_access"));
}

/* ... about what the client alone says. */
static bool is_claim(const struct rule *r)
{
	return r->row->ask == ask_sender_access || r->row->ask == ask_helo_access;
}

static void each_value(struct arena *a, const struct rule_list *list, bool (*wants)(const struct rule *r),
		       void (*look)(void *arg, const struct table_entry *e), int depth)
{
	AUTO(buf) where = BUF(1024);
	size_t tried = 0;

	place(list, &where);
	for (size_t i = 0; i < list->count; i++) {
		const struct rule *r = &list->rules[i];
		struct values v = { a, buf_text(&where), r, &tried };

		if (r->row->arg == ARG_CLASS && depth < MOST_CLASSES)
			each_value(a, r->class, wants, look, depth + 1);
		else if (wants(r))
			table_each_entry(str_of(r->argument), look, &v);
	}
}

/* ---- relaying ---- */

/*
 * The stranger is spotless as far as others tell: no DNS list knows him, all his names exist, and a
 * policy service, which would remember the question, has no objection. What refuses him then
 * refuses every stranger.
 */
static bool passes(const struct rule *r)
{
	static const char *const of_others[] = { "reject_unknown_", "reject_rbl", "reject_rhsbl",
						 "reject_invalid_", "reject_non_fqdn_",
						 "reject_unauth_pipelining", "reject_unverified_",
						 "permit_dnswl", "permit_rhswl", "sleep" };

	for (size_t i = 0; i < COUNT_OF(of_others); i++)
		if (str_starts(str_of(r->row->name), str_of(of_others[i])))
			return true;
	return r->row->ask == ask_policy_service;
}

static const struct restrict_observer observer = { .passes = passes };

/*
 * Of blocks for examples (RFC 5737, RFC 3849), which may be in mynetworks nevertheless, as on a
 * test machine; and from beside them.
 */
static struct session *a_stranger(struct arena *a, int family)
{
	static const char *const addresses[][2] = { { "192.0.2.1", "192.0.3.1" },
						    { "2001:db8::1", "2001:db9::1" } };
	const char *const *mine = addresses[family == AF_INET6];
	struct session *s;

	for (size_t i = 0; i < COUNT_OF(addresses[0]); i++) {
		s = imagined_session(a, str_of(mine[i]), STR("unknown"));
		if (match_client(the_smtpd->mynetworks, a, STR("unknown"), &s->peer.ip) <= 0)
			return s;
		imagined_session_end(s);
	}
	return imagined_session(a, str_of(mine[0]), STR("unknown"));
}

static void introduce(struct session *s, struct str helo, struct str sender)
{
	const struct mail_args none = { .envid = STR_NONE };

	identity_changed(s);
	set_helo(s, helo);
	s->tx = transaction_begin(s, sender, &none);
	s->where = "RCPT";
}

static const char *const elsewhere[] = { "someone@not-here.invalid", "someone%%not-here.invalid@%s",
					 "not-here.invalid!someone@%s", "\"someone@not-here.invalid\"@%s" };

static bool is_elsewhere(struct session *s, struct str to)
{
	struct question q;

	question_begin(&q, s, to);
	return way_of_recipient(&q)->error < 0 || way_of_recipient(&q)->to.class == CLASS_OTHER;
}

/*
 * A stranger's mail to a place that is nobody's here. Accepting it is what an open relay does.
 * True: so it is.
 */
static bool lint_relaying(struct arena *a, int family)
{
	bool is_open = false;
	struct session *s = a_stranger(a, family);
	struct str to;

	introduce(s, STR("not-here.invalid"), STR("stranger@not-here.invalid"));
	for (size_t i = 0; i < COUNT_OF(elsewhere); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"	/* from the table above */
		struct str path = arena_fmt(a, elsewhere[i], the_smtpd->common->mydomain);
#pragma GCC diagnostic pop

		path = arena_fmt(a, "<%.*s>", PSTR(path));
		if (path_parse(&path, a, false, true, &to) < 0)
			continue;
		/* Mail that stays here, even for a strange local part, is not relayed. */
		if (i > 0 && !is_elsewhere(s, to))
			continue;
		is_open = restrict_recipient(s, to).act != REJECT;
		if (is_open) {
			log_error("open relay: a stranger (client %s) may send mail to <%.*s> (mend: mynetworks, or what permits before reject_unauth_destination)",
				  s->peer.address, PSTR(to));
			break;
		}
	}
	if (match_client(the_smtpd->xclient_hosts, a, STR("unknown"), &s->peer.ip) > 0)
		log_error("smtpd_authorized_xclient_hosts: a stranger (client %s) may say that he is anybody (mend: name the hosts)",
			  s->peer.address);
	imagined_session_end(s);
	return is_open;
}

/* ---- what strangers claim ---- */

/* Anybody can write a sender's address or a HELO name that a table knows. */
static void lint_claim(void *arg, const struct table_entry *e)
{
	const struct values *v = arg;
	const bool is_sender = v->rule->row->ask == ask_sender_access;
	AUTO(buf) where = BUF(8192);
	struct str claim = e->key;
	struct session *s;

	if (e->key.len == 0 || !access_may_permit(e->value) || v->tried[0]++ >= MOST_CLAIMS)
		return;
	if (is_sender && (str_find(claim, '@') <= 0 || str_is(claim, STR("<>"))))
		claim = str_is(claim, STR("<>")) ? STR_NONE : arena_fmt(v->arena, "someone%s%.*s",
									claim.at[0] == '@' ? "" : "@",
									PSTR(claim));
	else if (is_sender && str_ends(claim, STR("@")))
		claim = arena_fmt(v->arena, "%.*snot-here.invalid", PSTR(claim));
	s = a_stranger(v->arena, AF_INET);
	introduce(s, is_sender ? STR("not-here.invalid") : claim,
		  is_sender ? claim : STR("stranger@not-here.invalid"));
	if (restrict_recipient(s, STR("someone@not-here.invalid")).act != REJECT) {
		if (e->path != NULL)
			buf_addf(&where, "%s, line %d: ", e->path, e->line);
		else
			buf_add_text(&where, v->place);
		log_error("%sopen relay: any stranger may relay who says %s %.*s (mend: no %s before reject_unauth_destination that permits)",
			  buf_text(&where),
			  is_sender ? "MAIL FROM" : "HELO", PSTR(e->key), v->rule->row->name);
	}
	imagined_session_end(s);
}

/* ---- certificates for names ---- */

static void say_of_name(void *where, const char *text)
{
	log_warning("%s%s", (char *) where, text);
}

/* What the table has for the name, and whether that is what its files say now. */
static void lint_name(void *arg, const struct table_entry *e)
{
	const struct values *v = arg;
	AUTO(buf) where = BUF(8192), now = BUF(MOST_FILES_VALUE), pem = BUF(MOST_FILES_VALUE),
		why = BUF_WORDS, ignored = BUF_WORDS;
	struct str value;
	int r;

	if (e->path != NULL)
		buf_addf(&where, "%s, line %d: %.*s: ", e->path, e->line, PSTR(e->key));
	else
		buf_addf(&where, "%s%.*s: ", v->place, PSTR(e->key));
	r = tables_get(the_smtpd->sni_maps, v->arena, e->key, &value);
	if (r < 0)
		return;		/* said where tables are opened */
	if (r == 0 || decode_files_value(value, &pem, &ignored) < 0)
		buf_add_text(&why, "the table does not have its key and certificates (mend: make it with postmap -F)");
	else if (files_value(e->value, &now, &ignored) >= 0 && !str_is(buf_str(&now), value))
		buf_add_text(&why, "the files have changed since the table was made (mend: postmap -F)");
	else if (tls_text_review(the_smtpd->tls_context, buf_str(&pem), say_of_name, where.at, &ignored) < 0)
		buf_addf(&why, "its key and certificates cannot be used: %s", buf_text(&ignored));
	if (why.len > 0)
		log_warning("%s%s", buf_text(&where), buf_text(&why));
	arena_reset_wipe(v->arena);
}

static void lint_names(void)
{
	struct values v = { .arena = arena_new("names", NULL, 64 << 20), .place = "tls_server_sni_maps: " };
	struct str rest = str_of(the_smtpd->tls.tls_server_sni_maps), spec;

	while (the_smtpd->sni_maps != NULL && str_token_braced(&rest, ", \t\r\n", &spec) > 0)
		table_each_entry(spec, lint_name, &v);
	arena_free(v.arena);
}

/* ---- anonymous clients ---- */

static void lint_logins(void)
{
	const struct smtpd_conf *c = &the_smtpd->conf;
	const struct { const char *name, *value; } options[] = {
		{ "smtpd_sasl_security_options", c->smtpd_sasl_security_options },
		{ "smtpd_sasl_tls_security_options", c->smtpd_sasl_tls_security_options },
	};
	AUTO(buf) ignored = BUF_WORDS;
	unsigned wanted;

	for (size_t i = 0; i < COUNT_OF(options) && c->smtpd_sasl_auth_enable; i++)
		if (sasl_options_parse(str_of(options[i].value), &wanted, &ignored) >= 0
		    && (wanted & SASL_NOANONYMOUS) == 0)
			log_warning("%s: without noanonymous everybody is logged in who wants to be, if the server has the mechanism (mend: add noanonymous)",
				    options[i].name);
}

int lint_restrictions(struct arena *a)
{
	for (int i = 0; i < STAGE_COUNT; i++) {
		lint_list(the_smtpd->rules[i], 0);
		each_value(a, the_smtpd->rules[i], is_access, lint_value, 0);
	}
	restrict_observer = &observer;
	if (!lint_relaying(a, AF_INET))
		lint_relaying(a, AF_INET6);
	for (int i = 0; i < STAGE_COUNT; i++)
		each_value(a, the_smtpd->rules[i], is_claim, lint_claim, 0);
	restrict_observer = NULL;
	lint_logins();
	lint_names();
	return 0;
}
