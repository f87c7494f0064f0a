/* SPDX-License-Identifier: ISC */
/*
 * The text is a template with $names, of the administrator's. Values come from strangers: they are
 * not expanded again, and what is not printable in them has become something else before.
 */
#include "smtpd/rbl_reply.h"

#include "lib/log/log.h"
#include "lib/mail/dsn.h"
#include "lib/mail/mail_address.h"
#include "lib/table/table.h"
#include "smtpd/session.h"
#include "smtpd/smtpd.h"

/* The default of default_rbl_reply is not worth an expansion. */
static const struct str built_in =
STR_INIT("$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using $rbl_domain"
					    "${rbl_reason?; $rbl_reason}");

static void define(struct conf *c, struct question *q, const char *name, struct str value)
{
	AUTO(buf) plain = BUF(8192);
	AUTO(buf) quoted = BUF(16384);

	buf_add_printable(&plain, str_head(value, 4000));
	for (size_t i = 0; i < plain.len; i++) {
		if (plain.at[i] == '$')
			buf_add_byte(&quoted, '$');
		buf_add_byte(&quoted, plain.at[i]);
	}
	conf_set(c, str_of(name), arena_copy(q->arena, buf_str(&quoted)));
}

/* "sender", "sender_name" and "sender_domain", say. */
static void define_address(struct conf *c, struct question *q, const char *name, struct str address)
{
	struct str local = address, domain = STR_NONE;

	address_split(address, &local, &domain);
	define(c, q, name, address);
	define(c, q, arena_fmt(q->arena, "%s_name", name).at, local);
	define(c, q, arena_fmt(q->arena, "%s_domain", name).at, domain);
}

static void define_names(struct conf *c, struct question *q, const struct rbl_hit *hit)
{
	const struct peer *p = &q->s->peer;

	define(c, q, "rbl_code", arena_fmt(q->arena, "%d", (int) the_smtpd->conf.maps_rbl_reject_code));
	define(c, q, "rbl_domain", hit->domain);
	define(c, q, "rbl_reason", hit->reason);
	define(c, q, "rbl_txt", hit->reason);
	define(c, q, "rbl_what", hit->what);
	define(c, q, "rbl_class", str_of(hit->class));
	define(c, q, "client", buf_str(&p->shown));
	define(c, q, "client_address", str_of(p->address));
	define(c, q, "client_name", buf_str(&p->name));
	define(c, q, "reverse_client_name", buf_str(&p->reverse_name));
	define(c, q, "helo_name", buf_str(&q->s->helo));
	define_address(c, q, "sender", q->sender);
	define_address(c, q, "recipient", q->recipient);
	define(c, q, "server_name", str_of(the_smtpd->common->myhostname));
}

static bool expand(struct question *q, const struct rbl_hit *hit, struct str template, struct str *ret)
{
	AUTO(buf) why = BUF_WORDS;
	struct conf *c;
	bool good = false;

	if (conf_from_text("/", STR_NONE, &c, &why) >= 0) {
		define_names(c, q, hit);
		good = conf_expand(c, q->arena, template, ret, &why) >= 0;
		conf_free(c);
	}
	if (!good)
		log_warning_rarely(60, "default_rbl_reply, rbl_reply_maps: \"%.*s\": %s", PSTR(template),
				   buf_text(&why));
	return good;
}

static bool take_code(struct str *text, int *ret_code)
{
	struct str rest = *text, word;
	int64_t code;

	if (!str_token(&rest, " \t", &word) || str_to_int(word, 400, 599, &code) < 0)
		return false;
	*ret_code = (int) code;
	*text = str_trim(rest);
	return true;
}

/*
 * The list's own template, or the general one. False: a lookup failed, or there is nothing but the
 * built-in text.
 */
static bool find_template(struct question *q, const struct rbl_hit *hit, struct str *ret)
{
	int found = tables_get(the_smtpd->rbl_replies, q->arena, hit->domain, ret);

	if (found < 0)
		log_warning_rarely(60, "rbl_reply_maps: %s", tables_why(the_smtpd->rbl_replies));
	if (found <= 0)
		*ret = str_of(the_smtpd->conf.default_rbl_reply);
	return ret->len > 0 && !str_is(*ret, built_in);
}

struct verdict rbl_reply(struct question *q, const struct rbl_hit *hit)
{
	struct str template, text, dsn = STR("5.7.1"), rest;
	int code;

	if (find_template(q, hit, &template) && expand(q, hit, template, &text)) {
		if (take_code(&text, &code)) {
			if (dsn_split(text, &dsn, &rest) >= 0)
				text = str_trim(rest);
			return reject(q->arena, code, dsn, "%.*s", PSTR(text));
		}
		log_warning_rarely(60, "default_rbl_reply, rbl_reply_maps: no reply code in front of \"%.*s\"",
				   PSTR(text));
	}
	return reject(q->arena, (int) the_smtpd->conf.maps_rbl_reject_code, STR("5.7.1"),
		      "Service unavailable; %s [%.*s] blocked using %.*s%s%.*s", hit->class, PSTR(hit->what),
		      PSTR(hit->domain), hit->reason.len > 0 ? "; " : "", PSTR(hit->reason));
}
