/* SPDX-License-Identifier: ISC */
/*
 * What a sender says about TLS for his message (RFC 8689). "TLS-Required: No": no policy holds it
 * up. REQUIRETLS: what that comes to for a destination, smtp_requiretls_policy says.
 *
 *   enforce                  only servers that are proved to be the right ones, and that know REQUIRETLS themselves, get it; else it goes back with 5.7.30
 *   opportunistic+starttls   only over TLS, else it goes back; whoever knows REQUIRETLS is told
 *   opportunistic            whoever knows REQUIRETLS is told
 *   disable                  as any other mail
 */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/table/table.h"
#include "smtp/policy_table.h"
#include "smtp/smtp.h"

static struct {
	struct tables *tables;		/* NULL: there are none */
	bool may_be_outside;		/* some of them are files, or behind proxymap */
	enum sender_wish otherwise;	/* where they say nothing */
} enforcement;

static int enforcement_parse(struct str word, enum sender_wish *ret)
{
	static const struct { struct str name; enum sender_wish wish; } rows[] = {
		{ STR_INIT("enforce"), TLS_DEMANDED }, { STR_INIT("opportunistic+starttls"), TLS_WANTED },
		{ STR_INIT("opportunistic"), TLS_WELCOME }, { STR_INIT("disable"), AS_CONFIGURED },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (str_is_nocase(word, rows[i].name)) {
			*ret = rows[i].wish;
			return 0;
		}
	return -EINVAL;
}

/* ---- start ---- */

/* Text of main.cf itself needs no door to the outside. */
static bool is_within(struct str spec)
{
	return str_starts(spec, STR("inline:")) || str_starts(spec, STR("cidr:{"))
	       || str_starts(spec, STR("static:"));
}

/* Tables, and at the end perhaps a word that holds for what is in none of them. */
static void parse_list(struct str list, struct buf *ret_tables)
{
	const char *name = own_name("smtp_requiretls_policy");
	struct str word;
	int r;

	enforcement.otherwise = TLS_DEMANDED;
	enforcement.may_be_outside = false;
	while ((r = str_token_braced(&list, ", \t\r\n", &word)) > 0) {
		if (str_find(word, ':') >= 0) {
			enforcement.may_be_outside = enforcement.may_be_outside || !is_within(word);
			buf_addf(ret_tables, "%s%.*s", ret_tables->len > 0 ? ", " : "", PSTR(word));
		} else if (enforcement_parse(word, &enforcement.otherwise) < 0) {
			die(EX_CONFIG, "%s: \"%.*s\" is no table, and none of enforce, opportunistic+starttls, opportunistic, disable",
			    name, PSTR(word));
		} else if (str_token(&list, ", \t\r\n", &word)) {
			die(EX_CONFIG, "%s: \"%.*s\" stands behind a word that holds for everything",
			    name, PSTR(word));
		}
	}
	if (r < 0)
		die(EX_CONFIG, "%s: closing brace missing", name);
}

void requiretls_open(void)
{
	AUTO(buf) specs = BUF(64 << 10);
	AUTO(buf) why = BUF_WORDS;

	tables_free(enforcement.tables);
	enforcement.tables = NULL;
	if (!the_client.common->requiretls_enable)
		return;
	parse_list(str_of(the_client.conf.smtp_requiretls_policy), &specs);
	if (specs.len > 0 && tables_open(buf_str(&specs), TABLE_FOLD_KEY, &enforcement.tables, &why) < 0)
		die(EX_CONFIG, "%s: %s", own_name("smtp_requiretls_policy"), buf_text(&why));
}

bool requiretls_has_tables(void)
{
	return enforcement.tables != NULL && enforcement.may_be_outside;
}

/* ---- for a message ---- */

/* Without the brackets and words of address literals. */
static struct str name_of(struct job *job, const struct destination *to)
{
	struct address_ip ip;
	char text[64];

	if (to->path.len > 0 || ip_parse_literal(to->host, &ip) < 0)
		return to->path.len > 0 ? to->path : to->host;
	ip_print(&ip, text);
	return arena_copy(job->arena, str_of(text));
}

static int enforcement_for(struct job *job, const struct destination *to, enum sender_wish *ret)
{
	struct str name = name_of(job, to), key, word;
	int r = enforcement.tables == NULL ? 0 : next_hop_find(enforcement.tables, job->arena,
							       name, &key, &word);

	*ret = enforcement.otherwise;
	if (r < 0)
		log_warning("%s: lookup error for \"%.*s\": %s", own_name("smtp_requiretls_policy"),
			    PSTR(key), tables_why(enforcement.tables));
	else if (r > 0 && enforcement_parse(str_trim(word), ret) < 0)
		log_warning("%s: \"%.*s\" has \"%.*s\", which is no such policy",
			    own_name("smtp_requiretls_policy"), PSTR(key), PSTR(word));
	else
		return 0;
	return -EIO;
}

int sender_wish(struct job *job, const struct destination *to, enum sender_wish *ret)
{
	unsigned flags = job->d->env.flags;
	bool wants_less = (flags & ENVELOPE_TLS_OPTIONAL) && the_client.common->tls_required_enable;

	*ret = wants_less ? TLS_OPTIONAL : AS_CONFIGURED;
	if ((flags & ENVELOPE_REQUIRETLS) == 0 || !the_client.common->requiretls_enable)
		return 0;
	return enforcement_for(job, to, ret);
}

bool requiretls_is_met(const struct tls_policy *p, const struct session *s)
{
	return p->wish != TLS_DEMANDED || (s->is_encrypted && (s->offers.features & EHLO_REQUIRETLS));
}

bool requiretls_is_said(const struct tls_policy *p, const struct session *s)
{
	return p->wish >= TLS_WELCOME && s->is_encrypted && (s->offers.features & EHLO_REQUIRETLS);
}

/* "may/!requiretls:nocertmatch" */
const char *requiretls_for_log(const struct job *job, const struct session *s)
{
	const char *words = "!requiretls";

	if (job->site_policy.wish < TLS_WELCOME)
		return str_c(job->arena, str_of(s->tls));	/* the delivery outlives the session */
	if (!s->is_encrypted)
		words = s->offers.features & EHLO_STARTTLS
			? "!requiretls:noencryption" : "!requiretls:nostarttls";
	else if (!policy_proves_host(&job->policy))
		words = "!requiretls:nocertmatch";
	else if (s->offers.features & EHLO_REQUIRETLS)
		words = "requiretls";
	return str_c(job->arena, arena_fmt(job->arena, "%s/%s", s->tls, words));
}

bool name_is_certain(const struct candidate *at)
{
	return !at->by_mx || at->mx_is_signed;
}
