/* SPDX-License-Identifier: ISC */
/*
 * Logins that a server has refused with 535, so that they are not tried again and again until it
 * locks the account. They are in the table smtp_sasl_auth_cache_name, which proxywrite changes for
 * all processes: "host;user" has "time;password's hash;dsn;reply". An entry counts until
 * smtp_sasl_auth_cache_time has passed or the password is another one. A table that fails costs no
 * mail: the login is tried.
 */
#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/mail/dsn.h"
#include "lib/sasl/password_hash.h"
#include "lib/table/table.h"
#include "smtp/smtp.h"

enum { LONGEST_KEY = 2048, LONGEST_TEXT = 4096 };

static struct table *cache;		/* NULL: refusals are not kept */

int refusals_open(struct buf *why)
{
	const struct str name = str_trim(str_of(the_client.conf.smtp_sasl_auth_cache_name));
	AUTO(buf) words = BUF_WORDS;
	int r;

	refusals_close();
	if (name.len == 0 || the_client.conf.smtp_sasl_auth_cache_time == 0)
		return 0;
	if (!str_starts(name, STR("proxy:"))) {
		buf_addf(why, "%s: the name must begin with \"proxy:\", since all processes change the table",
			 own_name("smtp_sasl_auth_cache_name"));
		return -EINVAL;
	}
	r = table_open(name, TABLE_CHANGES, &cache, &words);
	if (r < 0)
		buf_addf(why, "%s: %s", own_name("smtp_sasl_auth_cache_name"), buf_text(&words));
	return r;
}

void refusals_close(void)
{
	table_free(cache);
	cache = NULL;
}

bool refusals_are_kept(void)
{
	return cache != NULL;
}

static int make_key(struct str host, const struct login *l, struct buf *ret)
{
	int r = buf_addf(ret, "%.*s;%s", PSTR(host), l->user);

	for (size_t i = 0; r == 0 && i < host.len; i++)
		ret->at[i] = to_lower(ret->at[i]);
	return r;
}

/* 1: it still counts; 0: not any more, or it is no entry; -errno. */
static int judge(struct str entry, const struct login *l, struct refusal *ret)
{
	const int64_t now = wall_s(), longest = the_client.conf.smtp_sasl_auth_cache_time / 1000;
	struct str when, hash, dsn;
	int64_t since;

	if (!str_cut(&entry, ';', &when) || !str_cut(&entry, ';', &hash) || !str_cut(&entry, ';', &dsn)
	    || dsn.len >= sizeof(ret->dsn) || !dsn_is_valid(dsn) || str_to_int(when, 0, INT64_MAX, &since) < 0
	    || since > now || now - since >= longest)
		return 0;
	*ret = (struct refusal){ .code = 535, .text = entry };
	memcpy(ret->dsn, dsn.at, dsn.len);
	return password_fits(l->password, hash);
}

static void warn(const struct job *job, const char *what, const char *why)
{
	log_mail(ROAD_WARNING, job->d->queue_id, "%s: %s: %s", own_name("smtp_sasl_auth_cache_name"), what,
		 why);
}

bool refusal_find(struct job *job, struct str host, const struct login *l, struct refusal *ret)
{
	AUTO(buf) key = BUF(LONGEST_KEY);
	struct str entry;
	int r;

	if (cache == NULL || make_key(host, l, &key) < 0)
		return false;
	r = table_get(cache, job->arena, buf_str(&key), &entry);
	if (r < 0)
		warn(job, "the lookup failed", table_why(cache));
	if (r <= 0)
		return false;
	r = judge(entry, l, ret);
	if (r < 0)
		warn(job, "the password cannot be compared", error_text(r));
	else if (r == 0 && table_delete(cache, buf_str(&key)) < 0)
		warn(job, "an entry was not removed", table_why(cache));
	return r > 0;
}

void refusal_keep(struct job *job, struct str host, const struct login *l, const struct refusal *what)
{
	AUTO(buf) key = BUF(LONGEST_KEY), entry = BUF(2 * LONGEST_TEXT);
	int r;

	if (cache == NULL || make_key(host, l, &key) < 0)
		return;
	buf_addf(&entry, "%lld;", (long long) wall_s());
	r = password_hash(l->password, &entry);
	if (r < 0) {
		warn(job, "an entry was not made", error_text(r));
		return;
	}
	buf_addf(&entry, ";%s;%.*s", what->dsn, PSTR(str_head(what->text, LONGEST_TEXT)));
	if (table_put(cache, buf_str(&key), buf_str(&entry)) < 0)
		warn(job, "an entry was not stored", table_why(cache));
}
