/* SPDX-License-Identifier: ISC */
/* The table of restrictions, and the evaluation of lists. */
#include "smtpd/restrict.h"

#include "lib/log/log.h"
#include "smtpd/restrict_rows.h"
#include "smtpd/session.h"
#include "smtpd/smtpd.h"
#include "smtpd/transaction.h"

enum { DEEPEST = 20 };

/* To add one: a row here, and its function in the file of its family. */
const struct restriction restrictions[] = {
	/* name, what must be known, argument, function, refuses strangers */
	{ "permit", 0, NO_ARG, ask_permit, false },
	{ "reject", 0, NO_ARG, ask_reject, true },
	{ "defer", 0, NO_ARG, ask_defer, true },
	{ "defer_if_permit", 0, NO_ARG, ask_defer_if_permit, true },
	{ "defer_if_reject", 0, NO_ARG, ask_defer_if_reject, false },
	{ "sleep", 0, ARG_TIME, ask_sleep, false },
	{ "check_policy_service", 0, ARG_SERVICE, ask_policy_service, false },
	{ "reject_unauth_pipelining", 0, NO_ARG, ask_unauth_pipelining, false },
	{ "reject_multi_recipient_bounce", 0, NO_ARG, ask_multi_recipient_bounce, false },

	{ "permit_inet_interfaces", KNOWS_CLIENT, NO_ARG, ask_inet_interfaces, false },
	{ "permit_mynetworks", KNOWS_CLIENT, NO_ARG, ask_mynetworks, false },
	{ "permit_sasl_authenticated", KNOWS_CLIENT, NO_ARG, ask_authenticated, false },
	{ "check_sasl_access", KNOWS_CLIENT, ARG_TABLE, ask_login_access, false },
	{ "permit_tls_clientcerts", KNOWS_CLIENT, NO_ARG, ask_client_certificate, false },
	{ "permit_tls_all_clientcerts", KNOWS_CLIENT, NO_ARG, ask_trusted_certificate, false },
	{ "check_ccert_access", KNOWS_CLIENT, ARG_CERTIFICATE_TABLE, ask_certificate_access, false },
	{ "reject_plaintext_session", 0, NO_ARG, ask_plaintext, false },
	{ "check_client_access", KNOWS_CLIENT, ARG_TABLE, ask_client_access, false },
	{ "check_reverse_client_hostname_access", KNOWS_CLIENT, ARG_TABLE, ask_reverse_name_access, false },
	{ "check_client_a_access", KNOWS_CLIENT, ARG_TABLE, ask_client_servers, false },
	{ "check_client_mx_access", KNOWS_CLIENT, ARG_TABLE, ask_client_servers, false },
	{ "check_client_ns_access", KNOWS_CLIENT, ARG_TABLE, ask_client_servers, false },
	{ "check_reverse_client_hostname_a_access", KNOWS_CLIENT, ARG_TABLE, ask_reverse_name_servers, false },
	{ "check_reverse_client_hostname_mx_access", KNOWS_CLIENT, ARG_TABLE, ask_reverse_name_servers, false },
	{ "check_reverse_client_hostname_ns_access", KNOWS_CLIENT, ARG_TABLE, ask_reverse_name_servers, false },
	{ "check_address_map", KNOWS_CLIENT, ARG_TABLE, ask_address_map, false },
	{ "reject_unknown_client_hostname", KNOWS_CLIENT, NO_ARG, ask_unknown_client, false },
	{ "reject_unknown_client", KNOWS_CLIENT, NO_ARG, ask_unknown_client, false },
	{ "reject_unknown_reverse_client_hostname", KNOWS_CLIENT, NO_ARG, ask_unknown_reverse_name, false },
	{ "reject_rbl_client", KNOWS_CLIENT, ARG_DOMAIN, ask_rbl_client, false },
	{ "reject_rbl", KNOWS_CLIENT, ARG_DOMAIN, ask_rbl_client, false },
	{ "reject_rhsbl_client", KNOWS_CLIENT, ARG_DOMAIN, ask_rhsbl_client, false },
	{ "reject_rhsbl_reverse_client", KNOWS_CLIENT, ARG_DOMAIN, ask_rhsbl_reverse_client, false },
	{ "permit_dnswl_client", KNOWS_CLIENT, ARG_DOMAIN, ask_dnswl_client, false },
	{ "permit_rhswl_client", KNOWS_CLIENT, ARG_DOMAIN, ask_rhswl_client, false },

	{ "check_helo_access", KNOWS_HELO, ARG_TABLE, ask_helo_access, false },
	{ "check_helo_a_access", KNOWS_HELO, ARG_TABLE, ask_helo_servers, false },
	{ "check_helo_mx_access", KNOWS_HELO, ARG_TABLE, ask_helo_servers, false },
	{ "check_helo_ns_access", KNOWS_HELO, ARG_TABLE, ask_helo_servers, false },
	{ "reject_invalid_helo_hostname", KNOWS_HELO, NO_ARG, ask_invalid_helo, false },
	{ "reject_invalid_hostname", KNOWS_HELO, NO_ARG, ask_invalid_helo, false },
	{ "reject_non_fqdn_helo_hostname", KNOWS_HELO, NO_ARG, ask_non_fqdn_helo, false },
	{ "reject_non_fqdn_hostname", KNOWS_HELO, NO_ARG, ask_non_fqdn_helo, false },
	{ "reject_unknown_helo_hostname", KNOWS_HELO, NO_ARG, ask_unknown_helo, false },
	{ "reject_unknown_hostname", KNOWS_HELO, NO_ARG, ask_unknown_helo, false },
	{ "reject_rhsbl_helo", KNOWS_HELO, ARG_DOMAIN, ask_rhsbl_helo, false },

	{ "check_sender_access", KNOWS_SENDER, ARG_TABLE, ask_sender_access, false },
	{ "check_sender_a_access", KNOWS_SENDER, ARG_TABLE, ask_sender_servers, false },
	{ "check_sender_mx_access", KNOWS_SENDER, ARG_TABLE, ask_sender_servers, false },
	{ "check_sender_ns_access", KNOWS_SENDER, ARG_TABLE, ask_sender_servers, false },
	{ "reject_non_fqdn_sender", KNOWS_SENDER, NO_ARG, ask_non_fqdn_sender, false },
	{ "reject_unknown_sender_domain", KNOWS_SENDER, NO_ARG, ask_unknown_sender_domain, false },
	{ "reject_unlisted_sender", KNOWS_SENDER, NO_ARG, ask_unlisted_sender, false },
	{ "reject_rhsbl_sender", KNOWS_SENDER, ARG_DOMAIN, ask_rhsbl_sender, false },
	{ "reject_sender_login_mismatch", KNOWS_SENDER, NO_ARG, ask_senders_login, false },
	{ "reject_authenticated_sender_login_mismatch", KNOWS_SENDER, NO_ARG, ask_users_sender, false },
	{ "reject_unauthenticated_sender_login_mismatch", KNOWS_SENDER, NO_ARG, ask_strangers_sender, false },
	{ "reject_known_sender_login_mismatch", KNOWS_SENDER, NO_ARG, ask_known_senders_login, false },

	{ "check_recipient_access", KNOWS_RECIPIENT, ARG_TABLE, ask_recipient_access, false },
	{ "check_recipient_a_access", KNOWS_RECIPIENT, ARG_TABLE, ask_recipient_servers, false },
	{ "check_recipient_mx_access", KNOWS_RECIPIENT, ARG_TABLE, ask_recipient_servers, false },
	{ "check_recipient_ns_access", KNOWS_RECIPIENT, ARG_TABLE, ask_recipient_servers, false },
	{ "permit_auth_destination", KNOWS_RECIPIENT, NO_ARG, ask_permit_auth_destination, false },
	{ "reject_unauth_destination", KNOWS_RECIPIENT, NO_ARG, ask_reject_unauth_destination, true },
	{ "defer_unauth_destination", KNOWS_RECIPIENT, NO_ARG, ask_defer_unauth_destination, true },
	{ "reject_non_fqdn_recipient", KNOWS_RECIPIENT, NO_ARG, ask_non_fqdn_recipient, false },
	{ "reject_unknown_recipient_domain", KNOWS_RECIPIENT, NO_ARG, ask_unknown_recipient_domain, false },
	{ "reject_unlisted_recipient", KNOWS_RECIPIENT, NO_ARG, ask_unlisted_recipient, false },
	{ "check_recipient_maps", KNOWS_RECIPIENT, NO_ARG, ask_unlisted_recipient, false },
	{ "check_etrn_access", KNOWS_ETRN, ARG_TABLE, ask_etrn_access, false },
	{ "reject_rhsbl_recipient", KNOWS_RECIPIENT, ARG_DOMAIN, ask_rhsbl_recipient, false },
	{ .name = NULL },
};

/* ---- logging ---- */

void log_check(const struct question *q, const char *what, struct str text)
{
	const struct session *s = q->s;
	AUTO(buf) more = BUF(8192);

	if ((q->knows & KNOWS_SENDER) != 0)
		buf_addf(&more, " from=<%.*s>", PSTR(q->sender));
	if ((q->knows & KNOWS_RECIPIENT) != 0)
		buf_addf(&more, " to=<%.*s>", PSTR(q->recipient));
	buf_addf(&more, " proto=%.*s", PSTR(session_protocol(s)));
	if (s->helo.len > 0)
		buf_addf(&more, " helo=<%s>", buf_text(&s->helo));
	if (s->sasl_username.len > 0)
		buf_addf(&more, " sasl_username=<%s>", buf_text(&s->sasl_username));
	log_mail(ROAD_INFO, session_queue_id(s), "%s: %s from %s: %.*s;%s", what, s->where,
		 buf_text(&s->peer.shown), PSTR(text), buf_text(&more));
}

/* As the client hears it: soft_bounce turns a refusal for good into one for now (reply.c). */
void log_verdict(const struct question *q, const char *what, const struct verdict *v)
{
	struct verdict said = *v;

	if (the_smtpd->soft_bounce && v->code >= 500)
		said = reject(q->arena, v->code - 100, v->dsn, "%.*s", PSTR(v->text));
	log_check(q, what, arena_fmt(q->arena, "%d %.*s %.*s", said.code, PSTR(said.dsn), PSTR(said.text)));
}

/* ---- evaluation ---- */

void question_begin(struct question *q, struct session *s, struct str recipient)
{
	*q = (struct question){ .s = s, .arena = s->step, .knows = KNOWS_CLIENT, .sender = STR_NONE,
				.recipient = recipient, .etrn = STR_NONE,
				.subject = STR_NONE, .subject_class = "",
				.vanishes = session_discards(s) };
	if (s->helo.len > 0)
		q->knows |= KNOWS_HELO;
	if (s->tx != NULL) {
		q->knows |= KNOWS_SENDER;
		q->sender = s->tx->envelope.sender;
	}
	if (recipient.len > 0)
		q->knows |= KNOWS_RECIPIENT;
}

static void set_subject(struct question *q, enum stage stage)
{
	static const char *const classes[STAGE_COUNT] = {
		"Client host",	     "Helo command", "Sender address", "Recipient address",
		"Recipient address", "Data command", "End-of-data",    "Etrn command",
	};
	const struct str subjects[STAGE_COUNT] = {
		buf_str(&q->s->peer.shown), buf_str(&q->s->helo), q->sender, q->recipient, q->recipient,
			STR("DATA"), STR("END-OF-MESSAGE"),
		q->etrn,
	};

	q->stage = stage;
	q->subject_class = classes[stage];
	q->subject = subjects[stage];
}

/* warn_if_reject: the refusal is only logged. */
static struct verdict only_warn(struct question *q, const struct verdict *v)
{
	log_verdict(q, "reject_warning", v);
	return dunno();
}

static struct verdict settle_reject(struct question *q, struct verdict v)
{
	if (q->instead.act == REJECT && v.code >= 500)
		v = q->instead;
	log_verdict(q, "reject", &v);
	return v;
}

const struct restrict_observer *restrict_observer;

static void observe_rule(const struct question *q, const struct rule *r, const struct verdict *v)
{
	if (restrict_observer != NULL && restrict_observer->rule != NULL)
		restrict_observer->rule(q, r, v);
}

static struct verdict ask_rule(struct question *q, const struct rule *r)
{
	struct verdict v;

	v = restrict_observer != NULL && restrict_observer->passes(r) ? dunno() : r->row->ask(q, r);
	observe_rule(q, r, &v);
	return v;
}

/* Neither a permit nor a refusal would change anything: it is a deferral. */
static bool is_deferred_anyhow(const struct question *q)
{
	return q->pending.act == REJECT && q->instead.act == REJECT;
}

struct verdict rules_ask(struct question *q, const struct rule_list *list)
{
	bool warn_before = q->warn_only;
	struct verdict v = dunno();

	if (q->depth >= DEEPEST) {
		log_warning("restriction lists refer to each other too deeply in %s", list->name);
		return reject_subject(q, 451, "4.3.5", "Server configuration error");
	}
	q->depth++;
	if (restrict_observer != NULL && restrict_observer->list != NULL)
		restrict_observer->list(q, list);
	for (size_t i = 0; i < list->count; i++) {
		const struct rule *r = &list->rules[i];

		if (v.act != DUNNO || (i > 0 && is_deferred_anyhow(q)) || (r->row->needs & ~q->knows) != 0) {
			observe_rule(q, r, NULL);
			continue;
		}
		q->warn_only = warn_before || r->warn_only;
		v = ask_rule(q, r);
		if (v.act == REJECT && q->warn_only && r->row->arg != ARG_CLASS)
			v = only_warn(q, &v);
	}
	q->warn_only = warn_before;
	q->depth--;
	return v;
}

/*
 * Evaluates the list of a stage. A REJECT is already logged, and texts are ready for the client. A
 * pending defer_if_permit stays in q for restrict_settle(), which turns it into the final verdict.
 */
static struct verdict restrict_run(struct question *q, enum stage stage)
{
	struct verdict v;

	if (session_discards(q->s))		/* nobody may refuse what is to vanish */
		return dunno();
	set_subject(q, stage);
	v = rules_ask(q, the_smtpd->rules[stage]);
	return v.act == REJECT ? settle_reject(q, v) : v;
}

static struct verdict restrict_settle(struct question *q)
{
	if (q->pending.act != REJECT || q->vanishes)
		return dunno();
	log_verdict(q, "reject", &q->pending);
	return q->pending;
}

struct verdict defer_if_permit(struct question *q, struct verdict v)
{
	if (q->warn_only)
		return only_warn(q, &v);
	if (q->pending.act != REJECT)
		q->pending = v;
	return dunno();
}

struct verdict reject_subject(struct question *q, int code, const char *dsn, const char *text)
{
	return reject(q->arena, code, str_of(dsn), "<%.*s>: %s rejected: %s", PSTR(q->subject),
		      q->subject_class, text);
}

/* ---- the moments at which lists are asked ---- */

/* Each is about something that must have been said: without HELO nobody asks the list about it. */
static const struct { enum stage stage; unsigned about; } delayed[] = {
	{ STAGE_CLIENT, KNOWS_CLIENT }, { STAGE_HELO, KNOWS_HELO }, { STAGE_SENDER, KNOWS_SENDER },
};

/*
 * What was not asked when its time was (smtpd_delay_reject = yes), or what is left of it: at RCPT,
 * and at VRFY and ETRN without a sender.
 */
static struct verdict ask_delayed(struct question *q)
{
	struct verdict v = dunno();

	if (!the_smtpd->conf.smtpd_delay_reject) {
		if (q->s->client_pending.act == REJECT)
			q->pending = q->s->client_pending;
		else if (q->s->helo_pending.act == REJECT)
			q->pending = q->s->helo_pending;
		else if (q->s->tx != NULL)
			q->pending = q->s->tx->pending;
		return v;
	}
	for (size_t i = 0; i < COUNT_OF(delayed) && v.act != REJECT; i++)
		if ((q->knows & delayed[i].about) != 0) {
			q->instead = dunno();
			v = restrict_run(q, delayed[i].stage);
		}
	return v;
}

static struct verdict observed(const struct question *q, const char *parameter, struct verdict v)
{
	if (restrict_observer != NULL && restrict_observer->check != NULL)
		restrict_observer->check(q, parameter, &v);
	return v;
}

bool is_bare_postmaster(struct str recipient)
{
	return str_is_nocase(recipient, STR("postmaster"));
}

/* The implicit checks: is there such a sender, such a recipient? */
static struct verdict check_listed(struct question *q, const char *parameter, bool is_wanted,
				   struct verdict (*check)(struct question *q))
{
	struct verdict v = dunno();

	if (!is_wanted || session_discards(q->s))
		return v;
	v = observed(q, parameter, check(q));
	return v.act == REJECT ? settle_reject(q, v) : v;
}

static struct verdict check_sender_listed(struct question *q)
{
	return check_listed(q, "smtpd_reject_unlisted_sender", the_smtpd->conf.smtpd_reject_unlisted_sender
			    && (q->knows & KNOWS_SENDER) != 0, check_sender_exists);
}

struct verdict restrict_recipient(struct session *s, struct str recipient)
{
	const struct smtpd_conf *conf = &the_smtpd->conf;
	bool relay_first = conf->smtpd_relay_before_recipient_restrictions;
	struct question q;
	struct verdict v;

	if (is_bare_postmaster(recipient))
		return dunno();
	question_begin(&q, s, recipient);
	v = ask_delayed(&q);
	if (v.act != REJECT && conf->smtpd_delay_reject)
		v = check_sender_listed(&q);
	q.instead = dunno();			/* what follows is one list in this */
	if (v.act != REJECT)
		v = restrict_run(&q, relay_first ? STAGE_RELAY : STAGE_RECIPIENT);
	if (v.act != REJECT)
		v = restrict_run(&q, relay_first ? STAGE_RECIPIENT : STAGE_RELAY);
	if (v.act != REJECT)
		v = restrict_settle(&q);
	if (v.act != REJECT)
		v = check_listed(&q, "smtpd_reject_unlisted_recipient", conf->smtpd_reject_unlisted_recipient,
				 check_recipient_exists);
	return v;
}

struct verdict restrict_vrfy(struct session *s, struct str recipient)
{
	struct effects none = { .arena = s->step };
	struct verdict v;

	s->idle = &none;
	v = restrict_recipient(s, recipient);
	s->idle = NULL;
	return v;
}

/* A pending verdict must outlive the command: it is kept with what it is about. */
static void keep_pending(struct session *s, const struct question *q, enum stage stage)
{
	struct effects *fx = session_effects(s);
	struct verdict *keep = stage == STAGE_SENDER ? &s->tx->pending : stage == STAGE_HELO
			       ? &s->helo_pending : &s->client_pending;

	if (q->pending.act != REJECT || keep->act == REJECT)
		return;
	*keep = q->pending;
	keep->dsn = fx == NULL ? STR("4.7.1") : arena_copy(fx->arena, keep->dsn);
	keep->text = fx == NULL ? STR("Service unavailable") : arena_copy(fx->arena, keep->text);
}

/* Behind RCPT there is "the recipient" only if there is one. */
struct str only_recipient(const struct session *s)
{
	return s->tx != NULL && s->tx->recipients.len == 1 ? s->tx->recipients.at[0].address : STR_NONE;
}

struct verdict restrict_etrn(struct session *s, struct str domain)
{
	struct effects none = { .arena = s->step };
	struct question q;
	struct verdict v;

	s->idle = &none;
	question_begin(&q, s, STR_NONE);
	q.etrn = domain;
	q.knows |= KNOWS_ETRN;
	v = ask_delayed(&q);
	q.instead = dunno();
	if (v.act != REJECT)
		v = restrict_run(&q, STAGE_ETRN);
	s->idle = NULL;
	return v.act == REJECT ? v : restrict_settle(&q);
}

struct verdict restrict_now(struct session *s, enum stage stage)
{
	struct question q;
	struct verdict v;

	if (the_smtpd->rules[stage]->count == 0 && stage != STAGE_SENDER)
		return dunno();
	question_begin(&q, s, only_recipient(s));
	v = restrict_run(&q, stage);
	if (stage == STAGE_DATA || stage == STAGE_END_OF_DATA)
		return v.act == REJECT ? v : restrict_settle(&q);
	if (v.act != REJECT && stage == STAGE_SENDER)
		v = check_sender_listed(&q);
	if (v.act != REJECT)
		keep_pending(s, &q, stage);
	return v;
}
