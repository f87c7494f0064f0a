/* SPDX-License-Identifier: ISC */
#include "smtpd/sasl.h"

#include "lib/base/die.h"
#include "lib/daemon/daemon.h"
#include "lib/log/log.h"
#include "lib/sasl/options.h"
#include "lib/sasl/server.h"
#include "smtpd/smtpd.h"

/* Dovecot holds back its answer to a client that guesses, for up to 17 seconds; nobody else waits for it. */
enum { CONNECT_MS = 10000, ANSWER_MS = 30000 };

/* ---- start ---- */

static unsigned parse_options(const char *name, const char *text)
{
	AUTO(buf) why = BUF_WORDS;
	unsigned options;

	if (sasl_options_parse(str_of(text), &options, &why) < 0)
		die(EX_CONFIG, "%s: %s", name, buf_text(&why));
	return options;
}

static struct match_list *open_list(const char *name, const char *patterns)
{
	AUTO(buf) why = BUF_WORDS;
	struct match_list *list;

	if (match_list_open(name, str_of(patterns), 0, &list, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
	return list;
}

static struct auth_server *open_server(const struct smtpd_conf *c)
{
	struct sasl_settings settings = { .where = str_of(c->smtpd_sasl_path), .connect_ms = CONNECT_MS,
					  .answer_ms = ANSWER_MS };
	AUTO(buf) why = BUF_WORDS;
	struct auth_server *server;

	if (str_is_nocase(str_of(c->smtpd_sasl_type), STR("cyrus"))) {
		settings.where = STR("private/cyrus-sasl");	/* which reads smtpd_sasl_path */
		settings.one_exchange = true;
	} else if (!str_is_nocase(str_of(c->smtpd_sasl_type), STR("dovecot"))) {
		die(EX_CONFIG, "smtpd_sasl_type: \"%s\" is neither dovecot nor cyrus", c->smtpd_sasl_type);
	}
	if (auth_server_new(&settings, &server, &why) < 0)
		die(EX_CONFIG, "smtpd_sasl_path: %s", buf_text(&why));
	return server;
}

void open_sasl(struct smtpd *to)
{
	const struct smtpd_conf *c = &to->conf;
	AUTO(buf) why = BUF_WORDS;

	if (tables_open(str_of(c->smtpd_sender_login_maps), TABLE_FOLD_KEY, &to->sender_logins, &why) < 0)
		die(EX_CONFIG, "smtpd_sender_login_maps: %s", buf_text(&why));
	if (!c->smtpd_sasl_auth_enable)
		return;
	to->sasl = open_server(c);
	to->sasl_options = parse_options("smtpd_sasl_security_options", c->smtpd_sasl_security_options);
	to->sasl_tls_options = parse_options("smtpd_sasl_tls_security_options",
					     c->smtpd_sasl_tls_security_options);
	to->sasl_filter = open_list("smtpd_sasl_mechanism_filter", c->smtpd_sasl_mechanism_filter);
	to->sasl_exceptions = open_list("smtpd_sasl_exceptions_networks", c->smtpd_sasl_exceptions_networks);
}

const char *sasl_socket(void)
{
	return the_smtpd->sasl == NULL ? NULL : auth_server_path(the_smtpd->sasl);
}

bool sasl_needs_inet(void)
{
	return the_smtpd->sasl != NULL && auth_server_is_inet(the_smtpd->sasl);
}

/* ---- mechanisms ---- */

bool sasl_is_active(const struct session *s)
{
	return the_smtpd->sasl != NULL && tls_allows_auth(s);
}

static bool fits(struct session *s, const struct sasl_offer *o)
{
	unsigned wanted = s->tls != NULL ? the_smtpd->sasl_tls_options : the_smtpd->sasl_options;
	int r;

	if ((wanted & ~o->options) != 0)
		return false;
	r = match_text(the_smtpd->sasl_filter, s->step, str_of(o->name));
	if (r < 0) {
		log_warning_rarely(10, "smtpd_sasl_mechanism_filter: %s", match_why(the_smtpd->sasl_filter));
		s->sasl_is_down = true;
	}
	return r > 0;
}

/* The server's own list, copied: it may change while tables are asked. */
static int list_offers(struct session *s, struct sasl_offer **ret)
{
	const struct sasl_offer *offers;
	int n = auth_server_offers(the_smtpd->sasl, &offers);

	s->sasl_is_down = n < 0;
	if (n < 0) {
		log_warning_rarely(1, "SASL: %s", auth_server_why(the_smtpd->sasl));
		return 0;
	}
	*ret = arena_get(s->step, ((size_t) n + 1) * sizeof(**ret));
	memcpy(*ret, offers, (size_t) n * sizeof(**ret));
	return n;
}

static bool is_exempt(struct session *s)
{
	return match_client(the_smtpd->sasl_exceptions, s->step, buf_str(&s->peer.name), &s->peer.ip) > 0;
}

struct str sasl_offered(struct session *s)
{
	AUTO(buf) names = BUF(SASL_MOST_OFFERS * (AUTH_LONGEST_NAME + 1));
	struct sasl_offer *offers;
	int n;

	if (!sasl_is_active(s) || (s->discard_ehlo & EHLO_AUTH) != 0 || is_exempt(s))
		return STR_NONE;
	n = list_offers(s, &offers);
	for (int i = 0; i < n; i++)
		if (fits(s, &offers[i]))
			buf_addf(&names, "%s%s", names.len > 0 ? " " : "", offers[i].name);
	if (n > 0 && names.len == 0)
		log_warning_rarely(60, "the authentication server has no mechanism that smtpd_sasl_security_options and "
				   "smtpd_sasl_mechanism_filter allow");
	return arena_copy(s->step, buf_str(&names));
}

struct str sasl_find(struct session *s, struct str mechanism)
{
	struct sasl_offer *offers;
	int n = list_offers(s, &offers);

	for (int i = 0; i < n; i++)
		if (str_is_nocase(mechanism, str_of(offers[i].name)) && fits(s, &offers[i]))
			return str_of(offers[i].name);
	return STR_NONE;
}

/* ---- who it is ---- */

static void set(struct buf *b, struct str text)
{
	buf_clear(b);
	buf_add_printable(b, text);
}

void sasl_set_user(struct session *s, struct str method, struct str user)
{
	set(&s->sasl_method, user.len > 0 ? method : STR_NONE);
	set(&s->sasl_username, user);
}
