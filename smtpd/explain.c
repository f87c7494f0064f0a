/* SPDX-License-Identifier: ISC */
/*
 * A dialogue without a client: the restrictions are asked as they would be during one, with the
 * tables as they are now, and every answer is told. No mail is taken.
 */
#include "smtpd/explain.h"

#include <sysexits.h>

#include "lib/daemon/daemon.h"
#include "lib/mail/mail_address.h"
#include "lib/tls/tls.h"
#include "smtpd/imagined.h"
#include "smtpd/restrict_rows.h"
#include "smtpd/sasl.h"
#include "smtpd/session.h"
#include "smtpd/smtpd.h"
#include "smtpd/transaction.h"

struct request {
	struct str client, name, helo, sender;
	struct str sasl, ccert;		/* user; fingerprint of the client's certificate. Empty: none */
	/* is the connection encrypted; did a CA that we trust sign the certificate */
	bool tls, trusted;
	VEC(struct str) recipients;
};

static struct arena *memory;
static bool asks_policy;		/* are policy servers really asked */

/* ---- what is asked ---- */

static bool take(struct str argument, const char *key, struct str *ret)
{
	if (!str_starts(argument, str_of(key)))
		return false;
	*ret = str_skip(argument, strlen(key));
	return true;
}

static bool parse_argument(struct request *q, struct str argument)
{
	const struct { const char *key; struct str *to; } texts[] = {
		{ "client=", &q->client }, { "name=", &q->name }, { "helo=", &q->helo },
		{ "sender=", &q->sender }, { "sasl=", &q->sasl }, { "ccert=", &q->ccert },
	};
	struct str value;

	for (size_t i = 0; i < COUNT_OF(texts); i++)
		if (take(argument, texts[i].key, texts[i].to))
			return true;
	if (take(argument, "recipient=", &value))
		*vec_add(memory, &q->recipients) = value;
	else if (take(argument, "tls=", &value))
		q->tls = str_is(value, STR("yes"));
	else if (take(argument, "ask-policy=", &value))
		asks_policy = str_is(value, STR("yes"));
	else if (take(argument, "trusted=", &value))
		q->trusted = str_is(value, STR("yes"));
	else
		return false;
	return true;
}

static bool parse_request(struct request *q)
{
	*q = (struct request){ .client = STR_NONE };
	for (size_t i = 1; i < the_world->argument_count; i++)
		if (!parse_argument(q, the_world->arguments[i]))
			return false;
	return q->client.len > 0 && q->recipients.len > 0;
}

/* ---- how it is told ---- */

static void tell_answer(const struct verdict *v, bool warn_only)
{
	switch (v->act) {
	case PERMIT:
		printf("PERMIT: the rest of this list is not asked\n");
		break;
	case REJECT:
		printf("%s %d %.*s %.*s%s\n", v->code >= 500 ? "REJECT" : "DEFER", v->code, PSTR(v->dsn),
		       PSTR(v->text), warn_only ? " (only logged: warn_if_reject)" : "");
		break;
	default:
		printf("no objection\n");
	}
}

static void put_rule(const struct question *q, const struct rule *r)
{
	const struct str argument = r->argument == NULL ? STR_NONE : str_of(r->argument);

	printf("    %*s%s%s%s%.*s: ", 2 * MAX(q->depth - 1, 0), "", r->warn_only ? "warn_if_reject " : "",
	       r->row->arg == ARG_CLASS ? r->class->name : r->row->name, argument.len > 0 ? " " : "",
	       PSTR(argument));
}

static void on_list(const struct question *q, const struct rule_list *list)
{
	if (q->depth <= 1)
		printf("  %s%s\n", list->name, list->count == 0 ? ": empty" : "");
}

static void on_rule(const struct question *q, const struct rule *r, const struct verdict *v)
{
	static const struct { unsigned what; const char *name; } knowledge[] = {
		{ KNOWS_HELO, "there is no HELO name" }, { KNOWS_SENDER, "no sender is known yet" },
		{ KNOWS_RECIPIENT, "there is not one recipient" },
		{ KNOWS_ETRN, "this is about ETRN" },
	};

	put_rule(q, r);
	if (v != NULL && restrict_observer->passes(r)) {
		printf("not asked: another program's decision\n");
		return;
	}
	if (v != NULL) {
		tell_answer(v, q->warn_only && v->act == REJECT);
		if (v->act == DUNNO && q->pending.act == REJECT && r->row->arg != ARG_CLASS)
			printf("      (pending, if nothing refuses: %d %.*s %.*s)\n", q->pending.code,
			       PSTR(q->pending.dsn), PSTR(q->pending.text));
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
	(void) q;
	printf("  %s\n    = yes: ", parameter);
	tell_answer(v, false);
}

/* A policy service would remember the question. */
static bool passes(const struct rule *r)
{
	return !asks_policy && r->row->ask == ask_policy_service;
}

static const struct restrict_observer observer = { .list = on_list, .rule = on_rule, .check = on_check,
						   .passes = passes };

/* ---- the dialogue ---- */

static bool tell_reply(const char *step, const struct verdict *v)
{
	int code = v->code;

	if (v->act != REJECT)
		return true;
	if (the_smtpd->soft_bounce && code >= 500)
		code -= 100;
	printf("%s is answered: %d %d%.*s %.*s\n", step, code, code / 100, PSTR(str_skip(v->dsn, 1)),
	       PSTR(v->text));
	return false;
}

/* As verb_mail.c and verb_rcpt.c read it and answer. */
static bool parse_address(struct str address, const char *verb, const char *dsn, const char *whose,
			  struct str *ret)
{
	struct str path = arena_fmt(memory, str_starts(address, STR("<")) ? "%.*s" : "<%.*s>", PSTR(address));
	struct verdict v;

	printf("%s %s:%.*s\n", verb, strcmp(verb, "MAIL") == 0 ? "FROM" : "TO", PSTR(path));
	if (path_parse(&path, memory, the_smtpd->conf.strict_rfc821_envelopes,
		       the_smtpd->conf.smtputf8_enable, ret) >= 0 && !str_has_control(*ret) &&
	    (ret->len > 0 ? !address_is_malformed(the_smtpd->route, memory, *ret) : strcmp(verb,
	    "MAIL") == 0))
		return true;
	v = reject(memory, 501, str_of(dsn), "Bad %s address syntax", whose);
	return tell_reply(verb, &v);
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

	if (!parse_address(address, "RCPT", "5.1.3", "recipient", &to))
		return false;
	s->where = "RCPT";
	if (is_bare_postmaster(to))
		puts("  postmaster without a domain is accepted from everybody: nothing is asked");
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
	if (fx->redirect.len > 0)
		printf("access: REDIRECT <%.*s> gets the message in the place of all recipients, copies and filters\n",
		       PSTR(fx->redirect));
	else if (fx->filter.len > 0)
		printf("access: FILTER %.*s gets the message first\n", PSTR(fx->filter));
	else if (the_smtpd->receive.filter.len > 0)
		printf("content_filter: %.*s gets the message first\n", PSTR(the_smtpd->receive.filter));
	for (size_t i = 0; i < fx->prepend.len; i++)
		printf("access: PREPEND %.*s\n", PSTR(fx->prepend.at[i]));
	for (size_t i = 0; i < fx->bcc.len && fx->redirect.len == 0; i++)
		printf("access: BCC <%.*s> gets a copy\n", PSTR(fx->bcc.at[i]));
}

static bool ask_content(struct session *s)
{
	static const struct { enum stage stage; const char *step; } steps[] = { { STAGE_DATA, "DATA" },
			{ STAGE_END_OF_DATA, "END-OF-MESSAGE" } };

	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		struct verdict v;

		s->where = steps[i].step;
		v = restrict_now(s, steps[i].stage);
		if (!tell_reply(steps[i].step, &v))
			return false;
	}
	return true;
}

/* What is supposed about TLS and the client's certificate. */
static void encrypt(struct session *s, const struct request *r)
{
	struct tls_peer *tls = ARENA_NEW(memory, struct tls_peer);

	if (!r->tls && r->ccert.len == 0)
		return;
	tls->fingerprint = r->ccert;
	if (r->ccert.len > 0)
		tls->trust = r->trusted ? TLS_TRUSTED : TLS_UNTRUSTED;
	s->tls = tls;
}

static bool can_encrypt(const struct session *s)
{
	if (offers_tls(s) || s->tls != NULL)
		return true;
	puts("STARTTLS is answered: there is no TLS in this service");
	return false;
}

static bool log_in(struct session *s, const struct request *r)
{
	struct verdict v;

	if (r->sasl.len == 0)
		return true;
	v = tls_verdict(s, VERB_AUTH);
	if (v.act != REJECT && (!sasl_is_active(s) || (s->discard_ehlo & EHLO_AUTH) != 0))
		v = reject(memory, 503, STR("5.5.1"), "Error: authentication not enabled");
	if (!tell_reply("AUTH", &v))
		return false;
	sasl_set_user(s, STR("PLAIN"), r->sasl);
	printf("logged in as %.*s\n", PSTR(r->sasl));
	return true;
}

/* Until MAIL is answered with 250. */
static bool introduce(struct session *s, const struct request *r)
{
	const struct mail_args none = { .envid = STR_NONE };
	struct str sender;
	struct verdict v;

	if (!ask_early(s, STAGE_CLIENT, "CONNECT"))
		return false;
	if ((r->tls || r->ccert.len > 0) && !can_encrypt(s))
		return false;
	encrypt(s, r);
	set_helo(s, r->helo.len > 0 ? r->helo : s->peer.status == PEER_OK
		 ? buf_str(&s->peer.name) : arena_fmt(memory, "[%s]", s->peer.address));
	if (!ask_early(s, STAGE_HELO, "EHLO") || !log_in(s, r))
		return false;
	v = tls_verdict(s, VERB_MAIL);
	if (!tell_reply("MAIL", &v))
		return false;
	if (!parse_address(r->sender, "MAIL", "5.1.7", "sender", &sender))
		return false;
	v = local_verdict(s);
	if (!tell_reply("MAIL", &v))
		return false;
	s->tx = transaction_begin(s, sender, &none);
	return ask_early(s, STAGE_SENDER, "MAIL");
}

/* 0: every recipient is accepted. */
static int go_through(struct session *s, const struct request *r)
{
	size_t accepted = 0;

	printf("client %s, service %s\n", buf_text(&s->peer.shown), the_world->service);
	identity_changed(s);
	if (!introduce(s, r))
		return 1;
	for (size_t i = 0; i < r->recipients.len; i++)
		accepted += ask_recipient(s, r->recipients.at[i]);
	if (accepted == 0 || !ask_content(s))
		return 1;
	tell_effects(s);
	return accepted == r->recipients.len ? 0 : 1;
}

static int explain_dialogue(void)
{
	struct request r;
	struct session *s;
	int status;

	if (!parse_request(&r) || (s = imagined_session(memory, r.client, r.name)) == NULL)
		return EX_USAGE;
	restrict_observer = &observer;
	status = go_through(s, &r);
	restrict_observer = NULL;
	imagined_session_end(s);
	return status;
}

int explain(void)
{
	const struct str what = the_world->arguments[0];
	int status = EX_USAGE;

	memory = arena_new("explanation", NULL, 256 << 20);
	if (str_is(what, STR("explain")))
		status = explain_dialogue();
	else if (str_is(what, STR("lint")))
		status = lint_restrictions(memory);
	fflush(stdout);
	arena_free(memory);
	return status;
}
