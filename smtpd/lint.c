/* SPDX-License-Identifier: ISC */
/* smtpd's part of `postroad lint`: what is wrong with the restrictions, said as warnings; see imagined.h. */
#include "lib/daemon/daemon.h"
#include "lib/mail/mail_address.h"
#include "smtpd/imagined.h"
#include "smtpd/restrict_rows.h"
#include "smtpd/smtpd.h"
#include "smtpd/transaction.h"

/* ---- lists ---- */

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
			log_warning("%s%s is never reached behind %s (mend: remove it, or move it to the front)", buf_text(&where),
				    list->rules[i + 1].row->arg == ARG_CLASS ? list->rules[i + 1].class->name : list->rules[i + 1].row->name,
				    list->rules[i].row->name);
			return;
		}
		for (size_t j = 0; j < i; j++)
			if (is_same(&list->rules[i], &list->rules[j])) {
				log_warning("%s%s stands there twice (mend: remove the second, which cannot say anything new)", buf_text(&where),
					    list->rules[i].row->name);
				break;
			}
	}
}

/* ---- relaying ---- */

/*
 * The stranger is spotless as far as others tell: no DNS list knows him, all his names exist, and a policy service, which would remember the question, has
 * no objection. What refuses him then refuses every stranger.
 */
static bool passes(const struct rule *r)
{
	static const char *const of_others[] = { "reject_unknown_", "reject_rbl", "reject_rhsbl", "reject_invalid_", "reject_non_fqdn_",
						 "reject_unauth_pipelining", "reject_unverified_", "permit_dnswl", "permit_rhswl", "sleep" };

	for (size_t i = 0; i < COUNT_OF(of_others); i++)
		if (str_starts(str_of(r->row->name), str_of(of_others[i])))
			return true;
	return r->row->ask == ask_policy_service;
}

static const struct restrict_observer observer = { .passes = passes };

/* Of a block for examples (RFC 5737), which may be in mynetworks nevertheless, as on a test machine; and from beside it. */
static struct session *a_stranger(struct arena *a)
{
	static const char *const addresses[] = { "192.0.2.1", "192.0.3.1" };
	struct session *s;

	for (size_t i = 0; i < COUNT_OF(addresses); i++) {
		s = imagined_session(a, str_of(addresses[i]), STR("unknown"));
		if (match_client(the_smtpd->mynetworks, a, STR("unknown"), &s->peer.ip) <= 0)
			return s;
		imagined_session_end(s);
	}
	return imagined_session(a, str_of(addresses[0]), STR("unknown"));
}

static const char *const elsewhere[] = { "someone@not-here.invalid", "someone%%not-here.invalid@%s", "not-here.invalid!someone@%s",
					 "\"someone@not-here.invalid\"@%s" };

static bool is_elsewhere(struct session *s, struct str to)
{
	struct question q;

	question_begin(&q, s, to);
	return way_of_recipient(&q)->error < 0 || way_of_recipient(&q)->to.class == CLASS_OTHER;
}

/* A stranger's mail to a place that is nobody's here. Accepting it is what an open relay does. */
static void lint_relaying(struct arena *a)
{
	struct session *s = a_stranger(a);
	const struct mail_args none = { .envid = STR_NONE };
	struct str to;

	identity_changed(s);
	set_helo(s, STR("not-here.invalid"));
	s->tx = transaction_begin(s, STR("stranger@not-here.invalid"), &none);
	s->where = "RCPT";
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
		if (restrict_recipient(s, to).act != REJECT) {
			log_error("open relay: a stranger (client %s) may send mail to <%.*s> (mend: mynetworks, or what permits before reject_unauth_destination)",
				  s->peer.address, PSTR(to));
			break;
		}
	}
	imagined_session_end(s);
}

int lint_restrictions(struct arena *a)
{
	for (int i = 0; i < STAGE_COUNT; i++)
		lint_list(the_smtpd->rules[i]);
	restrict_observer = &observer;
	lint_relaying(a);
	restrict_observer = NULL;
	return 0;
}
