/* SPDX-License-Identifier: ISC */
#include "smtp/policy_table.h"

#include <errno.h>

#include "lib/base/die.h"
#include "lib/dns/idn.h"
#include "lib/mail/mail_address.h"
#include "lib/table/table.h"
#include "smtp/smtp.h"

/* ---- one entry ---- */

static bool takes_names(enum tls_level level)
{
	return level == TLS_VERIFY || level == TLS_SECURE;
}

static int again(struct str name, struct buf *why)
{
	buf_addf(why, "attribute \"%.*s\" is specified multiple times", PSTR(name));
	return -EINVAL;
}

static int wrong_level(struct str name, enum tls_level level, struct buf *why)
{
	buf_addf(why, "attribute \"%.*s\" invalid at security level \"%s\"", PSTR(name),
		 policy_level_name(level));
	return -EINVAL;
}

/* One that may be there once. */
static int take_once(struct str name, struct str value, struct str *to, struct buf *why)
{
	if (to->at != NULL)
		return again(name, why);
	*to = value;
	return 0;
}

/* One that adds to what is there. */
static void take_more(struct arena *a, struct str value, char between, struct str *to)
{
	*to = to->at == NULL ? value : arena_fmt(a, "%.*s%c%.*s", PSTR(*to), between, PSTR(value));
}

static int take_yes_no(struct str name, struct str value, int *to, struct buf *why)
{
	if (*to >= 0)
		return again(name, why);
	if (!str_is_nocase(value, STR("yes")) && !str_is_nocase(value, STR("no"))) {
		buf_addf(why, "attribute \"%.*s\" has bad value: \"%.*s\"", PSTR(name), PSTR(value));
		return -EINVAL;
	}
	*to = str_is_nocase(value, STR("yes"));
	return 0;
}

static int take_attribute(struct arena *a, struct str name, struct str value, struct policy_entry *e,
			  struct buf *why)
{
	int raw_keys = -1, r;

	if (value.len == 0 && !str_is_nocase(name, STR("exclude")) && !str_is_nocase(name, STR("servername"))) {
		buf_addf(why, "attribute \"%.*s\" has empty value", PSTR(name));
		return -EINVAL;
	}
	if (str_is_nocase(name, STR("protocols")))
		return take_once(name, value, &e->protocols, why);
	if (str_is_nocase(name, STR("ciphers")))
		return take_once(name, value, &e->ciphers, why);
	if (str_is_nocase(name, STR("exclude")))
		return take_once(name, value, &e->exclude, why);
	if (str_is_nocase(name, STR("servername")))
		return take_once(name, value, &e->servername, why);
	if (str_is_nocase(name, STR("connection_reuse")))
		return take_yes_no(name, value, &e->reuse, why);
	/* OpenSSL has raw public keys from 3.2 on: certificates do */
	if (str_is_nocase(name, STR("enable_rpk"))) {
		r = take_yes_no(name, value, &raw_keys, why);
		if (raw_keys == 1)
			log_warning_rarely(86400,
					   "%s: enable_rpk=yes has no effect: servers are asked for their certificates",
					   own_name("smtp_tls_policy_maps"));
		return r;
	}
	if (str_is_nocase(name, STR("match"))) {
		if (!takes_names(e->level) && e->level != TLS_FINGERPRINT)
			return wrong_level(name, e->level, why);
		take_more(a, value, takes_names(e->level) ? ':' : '|', &e->match);
		return 0;
	}
	if (str_is_nocase(name, STR("tafile"))) {
		if (!takes_names(e->level))
			return wrong_level(name, e->level, why);
		take_more(a, value, ' ', &e->anchor_files);
		return 0;
	}
	r = sts_attribute_take(a, name, value, e, why);
	if (r == 0)
		buf_addf(why, "invalid attribute name: \"%.*s\"", PSTR(name));
	return r == 1 ? 0 : -EINVAL;
}

/* 1 a word, 0 the end, -EINVAL. In braces a value may have blanks: { policy_string = version: STSv1 }. */
static int next_word(struct str *rest, struct str *ret, struct buf *why)
{
	int r = str_token_braced(rest, ", \t\r\n", ret);

	if (r < 0)
		buf_addf(why, "closing brace missing in \"%.*s\"", PSTR(*rest));
	else if (r > 0 && ret->len >= 2 && ret->at[0] == '{')
		*ret = str_trim(str_head(str_skip(*ret, 1), ret->len - 2));
	return r;
}

int policy_entry_parse(struct arena *a, struct str text, struct policy_entry *ret, struct buf *warn,
		       struct buf *why)
{
	struct policy_entry e = { .reuse = -1 };
	struct str word, name;
	int level, r = next_word(&text, &word, why);

	if (r == 0)
		buf_add_text(why, "invalid empty policy");
	if (r <= 0)
		return -EINVAL;
	level = policy_level_of(word);
	if (level < 0) {
		buf_addf(why, "invalid security level \"%.*s\"", PSTR(word));
		return level;
	}
	e.level = (enum tls_level) level;
	while ((r = next_word(&text, &word, why)) > 0) {
		struct str value = word;

		if (e.level == TLS_NONE) {
			buf_addf(warn, "%signoring attribute \"%.*s\" with TLS disabled",
				 warn->len > 0 ? "; " : "", PSTR(word));
			continue;
		}
		if (!str_cut(&value, '=', &name) || name.len == 0) {
			buf_addf(why, "malformed attribute/value pair \"%.*s\"", PSTR(word));
			return -EINVAL;
		}
		if (take_attribute(a, str_trim_end(name), str_trim(value), &e, why) < 0)
			return -EINVAL;
	}
	if (r < 0 || sts_attributes_check(&e, why) < 0)
		return -EINVAL;
	*ret = e;
	return 0;
}

/* ---- the tables ---- */

static struct tables *tables;

bool policy_table_open(void)
{
	AUTO(buf) why = BUF_WORDS;

	policy_table_close();
	if (str_trim(str_of(the_client.conf.smtp_tls_policy_maps)).len == 0)
		return false;
	if (tables_open(str_of(the_client.conf.smtp_tls_policy_maps), TABLE_FOLD_KEY, &tables, &why) < 0)
		die(EX_CONFIG, "%s: %s", own_name("smtp_tls_policy_maps"), buf_text(&why));
	return true;
}

void policy_table_close(void)
{
	tables_free(tables);
	tables = NULL;
}

/*
 * Under the name itself, in each of its forms, and for a domain under those above it. *ret_key:
 * where it was found, or where trouble was.
 */
int next_hop_find(struct tables *in, struct arena *a, struct str next_hop, struct str *ret_key,
		  struct str *ret_text)
{
	struct str forms[IDN_FORMS];
	const size_t n = idn_forms(a, arena_lower(a, next_hop), forms);
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		*ret_key = forms[i];
		r = hostname_is_valid(forms[i], true) ? tables_get_domain(in, a, forms[i], ret_key, ret_text)
		    : tables_get(in, a, forms[i], ret_text);
	}
	return r;
}

int policy_table_get(struct arena *a, struct str next_hop, struct policy_entry *ret)
{
	AUTO(buf) why = BUF_WORDS;
	AUTO(buf) warn = BUF_WORDS;
	struct str key, text;
	int r = tables == NULL ? 0 : next_hop_find(tables, a, next_hop, &key, &text);

	if (r < 0) {
		log_warning("%s: lookup error for next-hop destination \"%.*s\": %s",
			    own_name("smtp_tls_policy_maps"), PSTR(key), tables_why(tables));
		return r == -EINVAL ? -EIO : r;
	}
	if (r == 0)
		return 0;
	if (policy_entry_parse(a, text, ret, &warn, &why) < 0) {
		log_warning("%s, next-hop destination \"%.*s\": %s", own_name("smtp_tls_policy_maps"),
			    PSTR(key), buf_text(&why));
		return -EINVAL;
	}
	if (warn.len > 0)
		log_warning("%s, next-hop destination \"%.*s\": %s", own_name("smtp_tls_policy_maps"),
			    PSTR(key), buf_text(&warn));
	return 1;
}
