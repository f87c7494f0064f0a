/* SPDX-License-Identifier: ISC */
/*
 * The values of access(5) tables: a verdict, something to do with the message, or restriction
 * names. An action is a row and a small function.
 */
#include <errno.h>

#include "lib/log/log.h"
#include "lib/mail/dsn.h"
#include "lib/mail/header.h"
#include "lib/mail/mail_address.h"
#include "smtpd/session.h"
#include "smtpd/smtpd.h"
#include "smtpd/transaction.h"

struct action {
	const char *name;
	struct verdict (*act)(struct question *q, const struct rule *r, struct str text) MAY_YIELD;
};

static struct verdict server_trouble(struct question *q)
{
	return reject(q->arena, 451, STR("4.3.5"), "Server configuration error");
}

/* As with Postfix the mail goes on as if there were no such entry. */
static struct verdict ignore(const struct rule *r, const char *action, struct str argument)
{
	log_warning("%s: %s \"%.*s\" makes no sense, and is ignored", r->argument, action,
		    PSTR(str_head(argument, 200)));
	return dunno();
}

/* ---- verdicts ---- */

/*
 * RFC 3463 3.2: X.1.0 to X.1.6 are about recipients, 7 and 8 about senders, and nothing of it about
 * clients.
 */
struct str fit_dsn(struct arena *a, const char *class, struct str code)
{
	static const char *const for_sender[] = { "0", "7", "8", "7", "7", "0", "7", "7", "8" };
	static const char *const for_recipient[] = { "0", "1", "2", "3", "4", "5", "6", "3", "2" };
	struct str detail = str_skip(code, 4);
	bool is_sender = strcmp(class, "Sender address") == 0,
		is_recipient = strcmp(class, "Recipient address") == 0;
	size_t n = detail.len == 1
		   && is_digit(detail.at[0]) ? (size_t) (detail.at[0] - '0') : COUNT_OF(for_sender);
	const char *fitting = "0";

	if (code.len < 5 || !str_starts(str_skip(code, 1), STR(".1.")))
		return code;
	if (!is_sender && !is_recipient)
		return arena_fmt(a, "%.*s.0.0", PSTR(str_head(code, 1)));
	if (n < COUNT_OF(for_sender))
		fitting = is_sender ? for_sender[n] : for_recipient[n];
	return arena_fmt(a, "%.*s.1.%s", PSTR(str_head(code, 1)), fitting);
}

/* "<subject>: Client host rejected: text", where the text may begin with an enhanced code. */
static struct verdict refuse(struct question *q, int code, const char *default_dsn, struct str text,
			     const char *default_text)
{
	struct str dsn = str_of(default_dsn), rest = text;

	if (dsn_split(text, &dsn, &rest) >= 0)
		dsn = fit_dsn(q->arena, q->subject_class, dsn);
	rest = str_trim(rest);
	if (rest.len == 0)
		rest = str_of(default_text);
	return reject(q->arena, code, dsn, "<%.*s>: %s rejected: %.*s", PSTR(q->subject),
		      q->subject_class, PSTR(rest));
}

static int defer_code(void) { return (int) the_smtpd->conf.access_map_defer_code; }

static struct verdict act_permit(struct question *q, const struct rule *r, struct str text)
{
	(void) q;
	(void) r;
	(void) text;
	return permit();
}

static struct verdict act_dunno(struct question *q, const struct rule *r, struct str text)
{
	(void) q;
	(void) r;
	(void) text;
	return dunno();
}

static struct verdict act_reject(struct question *q, const struct rule *r, struct str text)
{
	(void) r;
	return refuse(q, (int) the_smtpd->conf.access_map_reject_code, "5.7.1", text, "Access denied");
}

static struct verdict act_defer(struct question *q, const struct rule *r, struct str text)
{
	(void) r;
	return refuse(q, defer_code(), "4.7.1", text, "Access denied");
}

static struct verdict act_defer_if_permit(struct question *q, const struct rule *r, struct str text)
{
	(void) r;
	return defer_if_permit(q, refuse(q, defer_code(), "4.7.1", text, "Service unavailable"));
}

static struct verdict act_defer_if_reject(struct question *q, const struct rule *r, struct str text)
{
	(void) r;
	if (q->instead.act != REJECT)
		q->instead = refuse(q, defer_code(), "4.7.1", text, "Service unavailable");
	return dunno();
}

/* ---- the log ---- */

static void log_action(struct question *q, const char *what, struct str text, const char *default_text)
{
	log_check(q, what, arena_fmt(q->arena, "<%.*s>: %s %.*s", PSTR(q->subject), q->subject_class,
				     PSTR(text.len > 0 ? text : str_of(default_text))));
}

static struct verdict act_warn(struct question *q, const struct rule *r, struct str text)
{
	(void) r;
	log_check(q, "warn", text);
	return dunno();
}

static struct verdict act_info(struct question *q, const struct rule *r, struct str text)
{
	(void) r;
	log_check(q, "info", text);
	return dunno();
}

/* ---- what happens to the message ---- */

/*
 * Where such wishes are kept, or NULL when they are too many: then the mail is deferred, because a
 * wish that is silently ignored could let through what should be held.
 */
static struct effects *effects_now(struct question *q, const struct rule *r, const char *action)
{
	struct effects *fx = session_effects(q->s);

	if (fx == NULL)
		log_warning("%s: %s is not possible at %s", r->argument, action, q->s->where);
	else if (q->stage == STAGE_END_OF_DATA)
		fx->is_late = true;
	return fx;
}

static struct verdict too_late(struct question *q)
{
	return reject_subject(q, 451, "4.3.5", "Server configuration error");
}

static struct verdict act_hold(struct question *q, const struct rule *r, struct str text)
{
	struct effects *fx = effects_now(q, r, "HOLD");

	if (fx == NULL)
		return too_late(q);
	if ((fx->cleanup_flags & CLEANUP_HOLD) != 0)		/* one line for a message, not for each recipient */
		return dunno();
	log_action(q, "hold", text, "triggers HOLD action");
	fx->cleanup_flags |= CLEANUP_HOLD;
	return dunno();
}

static struct verdict act_discard(struct question *q, const struct rule *r, struct str text)
{
	struct effects *fx = session_effects(q->s);

	(void) r;
	if (fx == NULL)
		return too_late(q);
	log_action(q, "discard", text, "triggers DISCARD action");
	fx->cleanup_flags |= CLEANUP_DISCARD;
	return permit();
}

static struct verdict act_filter(struct question *q, const struct rule *r, struct str text)
{
	struct effects *fx;

	if (str_find(text, ':') <= 0 || str_has_control(text))
		return ignore(r, "FILTER", text);
	fx = effects_now(q, r, "FILTER");
	if (fx == NULL)
		return too_late(q);
	log_action(q, "filter", arena_fmt(q->arena, "triggers FILTER %.*s", PSTR(text)), "");
	fx->filter = arena_copy(fx->arena, text);
	return dunno();
}

static struct verdict act_redirect(struct question *q, const struct rule *r, struct str text)
{
	struct effects *fx;
	struct str address;

	if (str_find(text, '@') <= 0 || address_unquote(text, q->arena, &address) < 0
	    || str_has_control(address))
		return ignore(r, "REDIRECT", text);
	fx = effects_now(q, r, "REDIRECT");
	if (fx == NULL)
		return too_late(q);
	log_action(q, "redirect", arena_fmt(q->arena, "triggers REDIRECT %.*s", PSTR(text)), "");
	fx->redirect = arena_copy(fx->arena, address);
	fx->cleanup_flags |= CLEANUP_REDIRECTED;
	return dunno();
}

static struct verdict act_bcc(struct question *q, const struct rule *r, struct str text)
{
	struct effects *fx;
	struct str address;

	if (str_find(text, '@') <= 0 || address_unquote(text, q->arena, &address) < 0
	    || str_has_control(address))
		return ignore(r, "BCC", text);
	fx = effects_now(q, r, "BCC");
	if (fx == NULL)
		return too_late(q);
	/* each recipient asks anew, and gets the same answer of a list about the client or the sender */
	if (is_among(fx->bcc.at, fx->bcc.len, address))
		return dunno();
	log_action(q, "bcc", arena_fmt(q->arena, "triggers BCC %.*s", PSTR(text)), "");
	*vec_add(fx->arena, &fx->bcc) = arena_copy(fx->arena, address);
	return dunno();
}

static struct verdict act_prepend(struct question *q, const struct rule *r, struct str text)
{
	struct effects *fx;

	if (!is_header_start(text) || str_find(text, '\0') >= 0 || str_find_any(text, "\r\n") >= 0)
		return ignore(r, "PREPEND", text);
	if (q->stage == STAGE_END_OF_DATA) {	/* the headers are on their way */
		log_warning("%s: PREPEND is not possible at %s", r->argument, q->s->where);
		return too_late(q);
	}
	fx = effects_now(q, r, "PREPEND");
	if (fx == NULL)
		return too_late(q);
	if (is_among(fx->prepend.at, fx->prepend.len, text))
		return dunno();
	log_check(q, "prepend", text);
	*vec_add(fx->arena, &fx->prepend) = arena_copy(fx->arena, text);
	return dunno();
}

static const struct action actions[] = {
	{ "OK", act_permit }, { "RELAY", act_permit }, { "DUNNO", act_dunno }, { "REJECT", act_reject },
	{ "DEFER", act_defer },
	{ "DEFER_IF_PERMIT", act_defer_if_permit }, { "DEFER_IF_REJECT", act_defer_if_reject },
	{ "WARN", act_warn },
	{ "INFO", act_info }, { "HOLD", act_hold }, { "DISCARD", act_discard }, { "FILTER", act_filter },
	{ "REDIRECT", act_redirect }, { "BCC", act_bcc }, { "PREPEND", act_prepend },
};

/* ---- values ---- */

/*
 * "550 5.7.1 text", "450 text": the code stands before a blank. 0: no such code. A number alone
 * means OK, as it always did.
 */
static int reply_code(struct str value)
{
	if (value.len < 4 || (value.at[0] != '4' && value.at[0] != '5') || !is_digit(value.at[1])
	    || !is_digit(value.at[2]) || !is_blank(value.at[3]))
		return 0;
	return (value.at[0] - '0') * 100 + (value.at[1] - '0') * 10 + (value.at[2] - '0');
}

static bool is_all_digits(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_digit(s.at[i]))
			return false;
	return s.len > 0;
}

static struct verdict ask_restrictions(struct question *q, const struct rule *r, struct str value)
{
	const struct rule_list *list;

	if (restrict_compile_result(q->arena, value, q->stage, &list) < 0) {
		log_warning("%s: unknown smtpd restriction: \"%.*s\"", r->argument,
			    PSTR(str_head(value, 200)));
		return server_trouble(q);
	}
	return rules_ask(q, list);
}

static const struct action *find_action(struct str word)
{
	for (size_t i = 0; i < COUNT_OF(actions); i++)
		if (str_is_nocase(word, str_of(actions[i].name)))
			return &actions[i];
	return NULL;
}

bool access_may_permit(struct str value)
{
	const struct action *action;
	struct str word = STR_NONE;

	str_token(&value, " \t", &word);
	action = find_action(word);
	return action == NULL ? reply_code(value) == 0 : action->act == act_permit;
}

bool access_makes_sense(struct arena *a, struct str value)
{
	const struct rule_list *list;
	struct str text = value, word;

	if (is_all_digits(value) || reply_code(value) != 0)
		return true;
	if (!str_token(&text, " \t", &word))
		return false;
	if (str_is_nocase(word, STR("FILTER")))
		return str_find(text, ':') > 0;
	if (str_is_nocase(word, STR("REDIRECT")) || str_is_nocase(word, STR("BCC")))
		return str_find(text, '@') > 0;
	return find_action(word) != NULL || restrict_compile_result(a, value, STAGE_RECIPIENT, &list) >= 0;
}

struct verdict access_verdict(struct question *q, const struct rule *r, struct str value)
{
	const struct action *action;
	struct str text, word;
	int code;

	value = str_trim(value);
	if (is_all_digits(value))
		return permit();
	code = reply_code(value);
	if (code != 0)
		return refuse(q, code, code < 500 ? "4.7.1" : "5.7.1", str_trim(str_skip(value, 3)),
			      "Access denied");
	text = value;
	if (!str_token(&text, " \t", &word)) {
		log_warning("%s: an entry without an action", r->argument);
		return server_trouble(q);
	}
	action = find_action(word);
	return action != NULL ? action->act(q, r, str_trim(text)) : ask_restrictions(q, r, value);
}
