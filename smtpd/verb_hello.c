/* SPDX-License-Identifier: ISC */
/* HELO and EHLO (RFC 5321 4.1.1.1), and which extensions are announced. */
#include <errno.h>

#include "lib/log/log.h"
#include "smtpd/sasl.h"
#include "smtpd/smtpd.h"
#include "smtpd/transaction.h"
#include "smtpd/verbs.h"

static const struct { struct str name; unsigned bit; } keywords[] = {
	{ STR_INIT("PIPELINING"), EHLO_PIPELINING }, { STR_INIT("SIZE"), EHLO_SIZE },
	{ STR_INIT("VRFY"), EHLO_VRFY },
	{ STR_INIT("ETRN"), EHLO_ETRN }, { STR_INIT("XCLIENT"), EHLO_XCLIENT },
	{ STR_INIT("8BITMIME"), EHLO_8BITMIME },
	{ STR_INIT("ENHANCEDSTATUSCODES"), EHLO_ENHANCEDSTATUSCODES }, { STR_INIT("DSN"), EHLO_DSN },
	{ STR_INIT("STARTTLS"), EHLO_STARTTLS }, { STR_INIT("SMTPUTF8"), EHLO_SMTPUTF8 },
	{ STR_INIT("CHUNKING"), EHLO_CHUNKING },
	{ STR_INIT("AUTH"), EHLO_AUTH }, { STR_INIT("REQUIRETLS"), EHLO_REQUIRETLS },
	/* not announced anyhow */
	{ STR_INIT("XVERP"), 0 }, { STR_INIT("XFORWARD"), 0 },
	{ STR_INIT("silent-discard"), EHLO_SILENT },
};

static int keyword_bit(struct str word)
{
	for (size_t i = 0; i < COUNT_OF(keywords); i++)
		if (str_is_nocase(word, keywords[i].name))
			return (int) keywords[i].bit;
	return -EINVAL;
}

int ehlo_keywords_parse(struct str text, unsigned *ret, struct buf *why)
{
	struct str word;
	unsigned bits = 0;

	while (str_token(&text, ", \t\r\n", &word)) {
		int bit = keyword_bit(word);

		if (bit < 0) {
			buf_addf(why, "unknown EHLO keyword \"%.*s\"", PSTR(word));
			return bit;
		}
		bits |= (unsigned) bit;
	}
	*ret = bits;
	return 0;
}

void ehlo_choose_discards(struct session *s)
{
	AUTO(buf) why = BUF_WORDS;
	struct str value;
	int r;

	s->discard_ehlo = the_smtpd->discard_ehlo;
	if (tables_are_empty(the_smtpd->discard_ehlo_maps))
		return;
	r = tables_get(the_smtpd->discard_ehlo_maps, s->step, str_of(s->peer.address), &value);
	if (r < 0)
		log_warning("smtpd_discard_ehlo_keyword_address_maps: %s",
			    tables_why(the_smtpd->discard_ehlo_maps));
	else if (r > 0 && ehlo_keywords_parse(value, &s->discard_ehlo, &why) < 0)
		log_warning("smtpd_discard_ehlo_keyword_address_maps: %s: %s", s->peer.address,
			    buf_text(&why));
}

/*
 * Characters that have a meaning in headers and logs become '?'. What was in doubt and what was wished
 * for was about the former name; no transaction refers to it any more.
 */
void set_helo(struct session *s, struct str name)
{
	AUTO(buf) printable = BUF(4096);

	buf_add_printable(&printable, name);
	for (size_t i = 0; i < printable.len; i++)
		if (strchr(" <>()\\\";@", printable.at[i]) != NULL)
			printable.at[i] = '?';
	buf_clear(&s->helo);
	buf_add(&s->helo, buf_str(&printable));
	s->helo_pending = dunno();
	effects_free(&s->helo_effects);
}

/*
 * Both begin anew. False: the name was refused, all is as it was (RFC 5321 4.1.4), and the reply is out.
 * The lists are about the new name, and what they wish for is for mail that comes under it.
 */
static bool accept_name(struct session *s, const struct command *c)
{
	struct transaction *tx = s->tx;
	AUTO(buf) before = s->helo;		/* tx refers to it */
	struct verdict pending = s->helo_pending, v = dunno();
	struct effects *early = s->early, *former = s->helo_effects;

	s->tx = NULL;
	s->early = s->helo_effects = NULL;
	s->helo = BUF(4096);
	set_helo(s, c->args);
	if (!the_smtpd->conf.smtpd_delay_reject)
		v = restrict_now(s, STAGE_HELO);
	s->tx = tx;
	s->helo_effects = s->early;
	s->early = early;
	if (v.act != REJECT) {
		transaction_end(s);
		effects_free(&former);
		return true;
	}
	buf_free(&s->helo);
	effects_free(&s->helo_effects);
	s->helo = before;
	before = BUF(0);
	s->helo_pending = pending;
	s->helo_effects = former;
	reply_verdict(s, &v);
	return false;
}

enum next verb_helo(struct session *s, const struct command *c)
{
	if (c->args.len == 0)
		return reply(s, 501, NULL, "Syntax: HELO hostname");
	if (!accept_name(s, c))
		return FAILED;
	return reply(s, 250, NULL, "%s", the_smtpd->common->myhostname);
}

static bool offers(const struct session *s, enum ehlo_keyword keyword)
{
	return (s->discard_ehlo & keyword) == 0;
}

static void log_discarded(const struct session *s)
{
	AUTO(buf) names = BUF(500);

	if (s->discard_ehlo == 0 || !offers(s, EHLO_SILENT))
		return;
	for (size_t i = 0; i < COUNT_OF(keywords); i++)
		if (keywords[i].bit != EHLO_SILENT && (s->discard_ehlo & keywords[i].bit) != 0)
			buf_addf(&names, " %.*s", PSTR(keywords[i].name));
	log_info("discarding EHLO keywords:%s", buf_text(&names));
}

bool offers_requiretls(const struct session *s)
{
	return s->tls != NULL && the_smtpd->common->requiretls_enable && offers(s, EHLO_REQUIRETLS);
}

struct lines { size_t count; struct str at[20]; };

static void add_line(struct lines *l, bool wanted, struct str line)
{
	if (wanted)
		l->at[l->count++] = line;
}

/* The order is the one that analysers and people know. */
static void list_extensions(struct session *s, struct lines *l)
{
	const struct str auth = sasl_offered(s);
	long long limit = (long long) the_smtpd->common->message_size_limit;

	add_line(l, true, str_of(the_smtpd->common->myhostname));
	add_line(l, offers(s, EHLO_PIPELINING), STR("PIPELINING"));
	add_line(l, offers(s, EHLO_SIZE), limit > 0 ? arena_fmt(s->step, "SIZE %lld", limit) : STR("SIZE"));
	add_line(l, offers(s, EHLO_VRFY) && !the_smtpd->conf.disable_vrfy_command, STR("VRFY"));
	add_line(l, offers(s, EHLO_ETRN), STR("ETRN"));
	add_line(l, offers(s, EHLO_STARTTLS) && offers_tls(s), STR("STARTTLS"));
	if (auth.len > 0) {
		add_line(l, true, arena_fmt(s->step, "AUTH %.*s", PSTR(auth)));
		add_line(l, the_smtpd->conf.broken_sasl_auth_clients,
			 arena_fmt(s->step, "AUTH=%.*s", PSTR(auth)));
	}
	add_line(l, s->may_verp, STR("XVERP"));
	add_line(l, offers(s, EHLO_XCLIENT) && s->may_xclient,
		 STR("XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT"));
	add_line(l, offers(s, EHLO_ENHANCEDSTATUSCODES), STR("ENHANCEDSTATUSCODES"));
	add_line(l, offers(s, EHLO_8BITMIME), STR("8BITMIME"));
	add_line(l, offers(s, EHLO_DSN), STR("DSN"));
	add_line(l, offers(s, EHLO_SMTPUTF8) && the_smtpd->conf.smtputf8_enable, STR("SMTPUTF8"));
	add_line(l, offers(s, EHLO_CHUNKING), STR("CHUNKING"));
	add_line(l, offers_requiretls(s), STR("REQUIRETLS"));
}

enum next verb_ehlo(struct session *s, const struct command *c)
{
	struct lines l = { 0 };

	if (c->args.len == 0)
		return reply(s, 501, NULL, "Syntax: EHLO hostname");
	if (!accept_name(s, c))
		return FAILED;
	s->esmtp = true;
	log_discarded(s);
	list_extensions(s, &l);
	for (size_t i = 0; i + 1 < l.count; i++)
		reply_more(s, 250, l.at[i]);
	return reply(s, 250, NULL, "%.*s", PSTR(l.at[l.count - 1]));
}
