/* SPDX-License-Identifier: ISC */
/*
 * A session without a client: the restrictions are asked as they would be during a dialogue, with the tables as they are now, and every answer is
 * told. No mail is taken.
 */
#include "smtpd/explain.h"

#include <inttypes.h>
#include <sysexits.h>

#include "lib/daemon/daemon.h"
#include "lib/mail/mail_address.h"
#include "smtpd/restrict_rows.h"
#include "smtpd/session.h"
#include "smtpd/smtpd.h"
#include "smtpd/transaction.h"

struct request {
	struct str client, name, helo, sender;
	VEC(struct str) recipients;
};

static struct arena *memory;

/* ---- what is asked ---- */

static bool take(struct str argument, const char *key, struct str *ret)
{
	if (!str_starts(argument, str_of(key)))
		return false;
	*ret = str_skip(argument, strlen(key));
	return true;
}

static bool parse_request(struct request *q)
{
	struct str recipient;

	*q = (struct request){ .client = STR_NONE, .name = STR_NONE, .helo = STR_NONE, .sender = STR_NONE };
	for (size_t i = 1; i < the_world->argument_count; i++) {
		const struct str argument = the_world->arguments[i];

		if (take(argument, "recipient=", &recipient))
			*vec_add(memory, &q->recipients) = recipient;
		else if (!take(argument, "client=", &q->client) && !take(argument, "name=", &q->name) && !take(argument, "helo=", &q->helo) &&
			 !take(argument, "sender=", &q->sender))
			return false;
	}
	return q->client.len > 0 && q->recipients.len > 0;
}

/* ---- how it is told ---- */

static bool silent;			/* lint asks for the result alone */

static void tell_answer(const struct question *q, const struct verdict *v, bool warn_only)
{
	switch (v->act) {
	case PERMIT:
		printf("PERMIT: the rest of this list is not asked\n");
		break;
	case REJECT:
		printf("%s %d %.*s %.*s%s\n", v->code >= 500 ? "REJECT" : "DEFER", v->code, PSTR(v->dsn), PSTR(v->text),
		       warn_only ? " (only logged: warn_if_reject)" : "");
		break;
	default:
		printf("no objection\n");
	}
	(void) q;
}

static void put_rule(const struct question *q, const struct rule *r)
{
	const struct str argument = r->argument == NULL ? STR_NONE : str_of(r->argument);

	printf("    %*s%s%s%s%.*s: ", 2 * MAX(q->depth - 1, 0), "", r->warn_only ? "warn_if_reject " : "",
	       r->row->arg == ARG_CLASS ? r->class->name : r->row->name, argument.len > 0 ? " " : "", PSTR(argument));
}

static void on_list(const struct question *q, const struct rule_list *list)
{
	if (silent)
		return;
	if (q->depth <= 1)
		printf("  %s%s\n", list->name, list->count == 0 ? ": empty" : "");
}

static void on_rule(const struct question *q, const struct rule *r, const struct verdict *v)
{
	static const struct { unsigned what; const char *name; } knowledge[] = {
		{ KNOWS_HELO, "there is no HELO name" }, { KNOWS_SENDER, "no sender is known yet" }, { KNOWS_RECIPIENT, "there is not one recipient" },
		{ KNOWS_ETRN, "this is about ETRN" },
	};

	if (silent)
		return;
	put_rule(q, r);
	if (v != NULL && r->row->ask == ask_policy_service) {
		printf("not asked: another program's decision\n");
		return;
	}
	if (v != NULL) {
		tell_answer(q, v, q->warn_only && v->act == REJECT);
		if (v->act == DUNNO && q->pending.act == REJECT && r->row->arg != ARG_CLASS)
			printf("      (pending, if nothing refuses: %d %.*s %.*s)\n", q->pending.code, PSTR(q->pending.dsn), PSTR(q->pending.text));
		return;
	}
	for (size_t i = 0; i < COUNT_OF(knowledge); i++)
		if ((r->row->needs & ~q->knows & knowledge[i].what) != 0) {
			printf("not asked: %s\n", knowledge[i].name);
			return;
		}
	printf("not asked\n");
}

static void on_check(const struct question *q, const char *parameter, const struct verdict *v)
{
	if (silent)
		return;
	printf("  %s\n    = yes: ", parameter);
	tell_answer(q, v, false);
}

/*
 * A policy service would remember the question. For lint the stranger is spotless as far as others tell: no DNS list knows him, all his names exist. What
 * refuses him then refuses every stranger.
 */
static bool passes(const struct rule *r)
{
	static const char *const of_others[] = { "reject_unknown_", "reject_rbl", "reject_rhsbl", "reject_invalid_", "reject_non_fqdn_",
						 "reject_unauth_pipelining", "reject_unverified_", "permit_dnswl", "permit_rhswl", "sleep" };

	for (size_t i = 0; silent && i < COUNT_OF(of_others); i++)
		if (str_starts(str_of(r->row->name), str_of(of_others[i])))
			return true;
	return r->row->ask == ask_policy_service;
}

static const struct restrict_observer observer = { .list = on_list, .rule = on_rule, .check = on_check, .passes = passes };

/* ---- the dialogue ---- */

static void set(struct buf *b, struct str text)
{
	buf_clear(b);
	buf_add(b, text);
}

static struct session *begin_session(const struct request *r)
{
	struct session *s = ARENA_NEW(memory, struct session);

	s->arena = memory;
	s->step = arena_new("smtpd command", memory, 64 << 20);
	s->peer.name = s->peer.reverse_name = BUF(256);
	s->peer.shown = BUF(512);
	s->helo = BUF(4096);
	s->sasl_method = s->sasl_username = BUF(4096);
	s->where = "CONNECT";
	s->esmtp = true;
	if (ip_parse(r->client, &s->peer.ip) < 0)
		return NULL;
	if (r->name.len == 0) {
		peer_identify(s);
		return s;
	}
	ip_print(&s->peer.ip, s->peer.address);
	snprintf(s->peer.port, sizeof(s->peer.port), "0");
	set(&s->peer.name, r->name);
	set(&s->peer.reverse_name, r->name);
	s->peer.status = s->peer.reverse_status = str_is(r->name, STR("unknown")) ? PEER_NO_NAME : PEER_OK;
	peer_renamed(&s->peer);
	return s;
}

static void end_session(struct session *s)
{
	transaction_end(s);
	buf_free(&s->helo);
	buf_free(&s->sasl_method);
	buf_free(&s->sasl_username);
	peer_free(&s->peer);
}

static bool parse_address(struct session *s, struct str address, struct str *ret)
{
	struct str path = arena_fmt(memory, str_starts(address, STR("<")) ? "%.*s" : "<%.*s>", PSTR(address));

	if (path_parse(&path, memory, the_smtpd->conf.strict_rfc821_envelopes, the_smtpd->conf.smtputf8_enable, ret) >= 0)
		return true;
	printf("  501 Bad address syntax: %.*s\n", PSTR(address));
	(void) s;
	return false;
}

static bool tell_reply(const char *step, const struct verdict *v)
{
	if (v->act == REJECT)
		printf("%s is answered: %d %.*s %.*s\n", step, v->code, PSTR(v->dsn), PSTR(v->text));
	return v->act != REJECT;
}

/* Lists that are asked before RCPT only if they are not delayed until then. */
static bool ask_early(struct session *s, enum stage stage, const char *step)
{
	struct verdict v;

	s->where = step;
	if (the_smtpd->conf.smtpd_delay_reject)
		return true;
	v = restrict_now(s, stage);
	return tell_reply(step, &v);
}

static bool ask_recipient(struct session *s, struct str address)
{
	const struct rcpt_args none = { .orcpt = STR_NONE };
	struct verdict v;
	struct str to;

	if (!parse_address(s, address, &to))
		return false;
	printf("RCPT TO:<%.*s>\n", PSTR(to));
	s->where = "RCPT";
	v = restrict_recipient(s, to);
	if (!tell_reply("RCPT", &v))
		return false;
	printf("RCPT is answered: 250 2.1.5 Ok\n");
	transaction_add_recipient(s, to, &none);
	return true;
}

static void tell_effects(const struct session *s)
{
	const struct effects *fx = &s->tx->effects;

	if ((fx->cleanup_flags & CLEANUP_HOLD) != 0)
		printf("access: HOLD: the message waits in the hold queue\n");
	if ((fx->cleanup_flags & CLEANUP_DISCARD) != 0)
		printf("access: DISCARD: the message is thrown away\n");
	if (fx->filter.len > 0)
		printf("access: FILTER %.*s\n", PSTR(fx->filter));
	else if (the_smtpd->receive.filter.len > 0)
		printf("content_filter: %.*s\n", PSTR(the_smtpd->receive.filter));
	if (fx->redirect.len > 0)
		printf("access: REDIRECT %.*s\n", PSTR(fx->redirect));
	for (size_t i = 0; i < fx->prepend.len; i++)
		printf("access: PREPEND %.*s\n", PSTR(fx->prepend.at[i]));
	for (size_t i = 0; i < fx->bcc.len; i++)
		printf("access: BCC %.*s\n", PSTR(fx->bcc.at[i]));
}

static bool ask_content(struct session *s)
{
	static const struct { enum stage stage; const char *step; } steps[] = { { STAGE_DATA, "DATA" }, { STAGE_END_OF_DATA, "END-OF-MESSAGE" } };

	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		struct verdict v;

		s->where = steps[i].step;
		v = restrict_now(s, steps[i].stage);
		if (!tell_reply(steps[i].step, &v))
			return false;
	}
	return true;
}

/* 0: every recipient is accepted. */
static int go_through(struct session *s, const struct request *r)
{
	const struct mail_args none = { .envid = STR_NONE };
	struct str sender;
	size_t accepted = 0;

	printf("client %s, service %s\n", buf_text(&s->peer.shown), the_world->service);
	identity_changed(s);
	if (!ask_early(s, STAGE_CLIENT, "CONNECT"))
		return 1;
	set_helo(s, r->helo.len > 0 ? r->helo : buf_str(&s->peer.name));
	if (!ask_early(s, STAGE_HELO, "EHLO") || !parse_address(s, r->sender, &sender))
		return 1;
	printf("MAIL FROM:<%.*s>\n", PSTR(sender));
	s->tx = transaction_begin(s, sender, &none);
	if (!ask_early(s, STAGE_SENDER, "MAIL"))
		return 1;
	for (size_t i = 0; i < r->recipients.len; i++)
		accepted += ask_recipient(s, r->recipients.at[i]);
	if (accepted > 0 && !ask_content(s))
		return 1;
	tell_effects(s);
	return accepted == r->recipients.len ? 0 : 1;
}

static int explain_dialogue(void)
{
	struct request r;
	struct session *s;
	int status;

	if (!parse_request(&r) || (s = begin_session(&r)) == NULL)
		return EX_USAGE;
	restrict_observer = &observer;
	status = go_through(s, &r);
	restrict_observer = NULL;
	end_session(s);
	return status;
}

/* ---- lint ---- */

static bool is_final(const struct rule *r)
{
	return !r->warn_only && (r->row->ask == ask_permit || r->row->ask == ask_reject || r->row->ask == ask_defer);
}

static bool is_same(const struct rule *a, const struct rule *b)
{
	return a->row == b->row && a->row->arg != ARG_CLASS && a->row->arg != ARG_TIME && a->warn_only == b->warn_only &&
	       str_is_nocase(str_of(a->argument), str_of(b->argument));
}

static void place(const struct rule_list *list, struct buf *b)
{
	const char *file;
	int line;

	if (conf_where(the_world->conf, str_of(list->name), &file, &line))
		buf_addf(b, "%s, line %d: ", file, line);
	buf_addf(b, "%s: ", list->name);
}

static void lint_list(const struct rule_list *list)
{
	AUTO(buf) where = BUF(1024);

	place(list, &where);
	for (size_t i = 0; i < list->count; i++) {
		if (is_final(&list->rules[i]) && i + 1 < list->count) {
			log_warning("%s%s is never reached behind %s", buf_text(&where),
				    list->rules[i + 1].row->arg == ARG_CLASS ? list->rules[i + 1].class->name : list->rules[i + 1].row->name,
				    list->rules[i].row->name);
			return;
		}
		for (size_t j = 0; j < i; j++)
			if (is_same(&list->rules[i], &list->rules[j])) {
				log_warning("%s%s stands there twice: the second cannot say anything new", buf_text(&where),
					    list->rules[i].row->name);
				break;
			}
	}
}

/* A stranger's mail to a place that is nobody's here. Accepting it is what an open relay does. */
static void lint_relaying(void)
{
	static const char *const elsewhere[] = { "someone@not-here.invalid", "someone%%not-here.invalid@%s", "not-here.invalid!someone@%s",
						 "\"someone@not-here.invalid\"@%s" };
	struct request r = { .client = STR("192.0.2.1"), .name = STR("unknown"), .helo = STR("not-here.invalid"),
			     .sender = STR("stranger@not-here.invalid") };
	struct session *s = begin_session(&r);
	const struct mail_args none = { .envid = STR_NONE };
	struct str to;

	identity_changed(s);
	set_helo(s, r.helo);
	s->tx = transaction_begin(s, r.sender, &none);
	s->where = "RCPT";
	for (size_t i = 0; i < COUNT_OF(elsewhere); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"	/* from the table above */
		const struct str address = arena_fmt(memory, elsewhere[i], the_smtpd->common->mydomain);
#pragma GCC diagnostic pop
		struct question q;

		if (!parse_address(s, address, &to))
			continue;
		question_begin(&q, s, to);
		/* Mail that stays here, even for a strange local part, is not relayed. */
		if (i > 0 && way_of_recipient(&q)->error >= 0 && way_of_recipient(&q)->to.class != CLASS_OTHER)
			continue;
		if (restrict_recipient(s, to).act != REJECT) {
			log_error("open relay: a stranger (client 192.0.2.1, not in mynetworks as it should be) may send mail to <%.*s>", PSTR(to));
			break;
		}
	}
	end_session(s);
}

static int lint(void)
{
	silent = true;
	for (int i = 0; i < STAGE_COUNT; i++)
		lint_list(the_smtpd->rules[i]);
	restrict_observer = &observer;
	lint_relaying();
	restrict_observer = NULL;
	return 0;
}

int explain(void)
{
	const struct str what = the_world->arguments[0];
	int status = EX_USAGE;

	memory = arena_new("explanation", NULL, 256 << 20);
	if (str_is(what, STR("explain")))
		status = explain_dialogue();
	else if (str_is(what, STR("lint")))
		status = lint();
	fflush(stdout);
	arena_free(memory);
	return status;
}
