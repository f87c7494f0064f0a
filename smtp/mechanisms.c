/* SPDX-License-Identifier: ISC */
/*
 * Which mechanism to log in with: what the server offers, smtp_sasl_mechanism_filter lets through,
 * and is good enough for this connection.
 */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/sasl/login.h"
#include "lib/sasl/options.h"
#include "lib/table/match.h"
#include "smtp/smtp.h"

static struct {
	/* enum sasl_option */
	struct demand { unsigned options; const char *words; } plain, encrypted, verified;
	struct match_list *filter;	/* NULL: all mechanisms are fine */
} settings;

/* ---- start ---- */

static int parse_options(const char *name, const char *text, struct demand *ret, struct buf *why)
{
	AUTO(buf) words = BUF_WORDS;
	int r = sasl_options_parse(str_of(text), &ret->options, &words);

	ret->words = text;
	if (r < 0)
		buf_addf(why, "%s: %s", own_name(name), buf_text(&words));
	return r;
}

static int check_type(struct buf *why)
{
	struct str type = str_of(the_client.conf.smtp_sasl_type);

	if (str_is_nocase(type, STR("cyrus")) || str_is_nocase(type, STR("gsasl")))
		return 0;
	buf_addf(why, "%s: there is no \"%.*s\"; gsasl, or cyrus for the same",
		 own_name("smtp_sasl_type"), PSTR(type));
	return -EINVAL;
}

int mechanisms_open(const char *module_directory, struct buf *why)
{
	const struct smtp_conf *conf = &the_client.conf;
	struct str filter = str_trim(str_of(conf->smtp_sasl_mechanism_filter));
	AUTO(buf) words = BUF_WORDS;
	int r = check_type(why);

	if (r == 0)
		r = parse_options("smtp_sasl_security_options", conf->smtp_sasl_security_options,
				  &settings.plain, why);
	if (r == 0)
		r = parse_options("smtp_sasl_tls_security_options", conf->smtp_sasl_tls_security_options,
				  &settings.encrypted, why);
	if (r == 0)
		r = parse_options("smtp_sasl_tls_verified_security_options",
				  conf->smtp_sasl_tls_verified_security_options, &settings.verified, why);
	if (r == 0 && filter.len > 0)
		r = match_list_open(own_name("smtp_sasl_mechanism_filter"), filter, 0, &settings.filter, why);
	if (r < 0)
		return r;
	r = sasl_login_open(*conf->smtp_sasl_path != 0 ? conf->smtp_sasl_path : module_directory, &words);
	if (r < 0)
		buf_addf(why, "%s: no mechanisms to log in with: %s", own_name("smtp_sasl_auth_enable"),
			 buf_text(&words));
	return r;
}

void mechanisms_close(void)
{
	match_list_free(settings.filter);
	settings.filter = NULL;
}

/* ---- what is offered ---- */

void auth_note_offers(struct session *s)
{
	AUTO(buf) offered = BUF(REPLY_MAX), usable = BUF(REPLY_MAX);
	struct str rest, one;

	s->mechanisms = STR_NONE;
	if (!auth_is_on() || !(s->offers.features & EHLO_AUTH))
		return;
	ehlo_mechanisms(&s->reply, &offered);
	rest = buf_str(&offered);
	while (str_token(&rest, " ", &one)) {
		int r = settings.filter == NULL ? 1 : match_text(settings.filter, s->arena, one);

		if (r < 0)
			log_warning("%s: %s", own_name("smtp_sasl_mechanism_filter"),
				    match_why(settings.filter));
		if (r > 0)
			buf_addf(&usable, "%s%.*s", usable.len > 0 ? " " : "", PSTR(one));
	}
	if (usable.len > 0)
		s->mechanisms = arena_copy(s->arena, str_head(buf_str(&usable), 4096));
	else if (offered.len > 0)
		log_warning("%.*s offered no supported AUTH mechanisms: '%.*s'", PSTR(s->relay),
			    (int) MIN(offered.len, (size_t) 200), offered.at);
	else
		log_warning("%.*s offered null AUTH mechanism list", PSTR(s->relay));
}

/* ---- what is good enough ---- */

static const struct demand *demand_for(const struct job *job, const struct session *s)
{
	if (!s->is_encrypted)
		return &settings.plain;
	return policy_proves_exchanger(&job->policy) ? &settings.verified : &settings.encrypted;
}

const struct sasl_mechanism *auth_choose(const struct job *job, const struct session *s,
					 const struct login *l)
{
	const struct demand *demand = demand_for(job, s);
	const struct sasl_mechanism *m = sasl_mechanism_choose(s->mechanisms, demand->options, l->is_token);

	if (m == NULL)
		log_mail(ROAD_WARNING, job->d->queue_id,
			 "SASL authentication failure: No worthy mechs found: %.*s offers %.*s, and what we ask for %s TLS is: %s%s",
			 PSTR(s->relay), PSTR(s->mechanisms), s->is_encrypted ? "with" : "without",
			 demand->words, l->is_token ? ", a token" : "");
	return m;
}
