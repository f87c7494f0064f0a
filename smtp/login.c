/* SPDX-License-Identifier: ISC */
/*
 * As whom to log in: smtp_sasl_password_maps by the sender (smtp_sender_dependent_authentication),
 * by the server's name, by the next hop as it was given. A session that was opened for one sender's
 * login is no good for another's, so that login is part of its key; all others follow from server
 * and next hop.
 */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/peers/tokens.h"
#include "lib/table/table.h"
#include "smtp/smtp.h"

enum { LOGIN_MEMORY = 128 << 10, MEMORY_FOR_TOKEN = 32 << 10 };

static struct tables *passwords;	/* NULL: switched off */
static const char *recipient_delimiter;

const char *auth_token_socket(void)
{
	static char path[200];

	if (!the_client.conf.smtp_sasl_auth_enable || *the_client.conf.smtp_sasl_token_service == 0)
		return NULL;
	snprintf(path, sizeof(path), "private/%s", the_client.conf.smtp_sasl_token_service);
	return path;
}

int auth_open(const struct common_conf *common, struct buf *why)
{
	const struct smtp_conf *conf = &the_client.conf;
	int r;

	auth_close();
	if (!conf->smtp_sasl_auth_enable)
		return 0;
	if (str_trim(str_of(conf->smtp_sasl_password_maps)).len == 0) {
		buf_addf(why, "specify a password table with the parameter %s",
			 own_name("smtp_sasl_password_maps"));
		return -EINVAL;
	}
	recipient_delimiter = common->recipient_delimiter;
	r = tables_open(str_of(conf->smtp_sasl_password_maps), TABLE_FOLD_KEY, &passwords, why);
	if (*conf->smtp_sasl_token_service != 0)
		tokens_use(auth_token_socket());
	if (r >= 0)
		r = mechanisms_open(common->shlib_directory, why);
	if (r >= 0)
		r = refusals_open(why);
	if (r < 0)
		auth_close();
	return r < 0 ? r : 1;
}

void auth_close(void)
{
	mechanisms_close();
	refusals_close();
	tables_free(passwords);
	passwords = NULL;
}

bool auth_is_on(void)
{
	return passwords != NULL;
}

/* ---- looking up ---- */

static struct login *login_new(void)
{
	struct arena *a = arena_new("login", NULL, LOGIN_MEMORY);
	struct login *l = ARENA_NEW(a, struct login);

	l->arena = a;
	return l;
}

void login_free(struct login *l)
{
	if (l != NULL)
		arena_wipe(l->arena);
}

/* "user:password", or whatever stands between the two. */
static void split(struct login *l, struct str value)
{
	struct str delimiter = str_of(the_client.conf.smtp_sasl_password_result_delimiter);
	ssize_t at = str_find_str(value, delimiter);

	l->user = str_c(l->arena, at < 0 ? value : str_head(value, (size_t) at));
	l->password = str_c(l->arena, at < 0 ? STR_NONE : str_skip(value, (size_t) at + delimiter.len));
	l->is_token = *l->password == 0 && auth_token_socket() != NULL;
}

/* r of a lookup: makes it the result. No words about the table: "static:user:password" is one. */
static int conclude(struct job *job, int r, struct str value, struct login *l, struct login **ret)
{
	if (r > 0 && value.len < LOGIN_MEMORY / 4 && memchr(value.at, 0, value.len) == NULL) {
		split(l, value);
		*ret = l;
		return 1;
	}
	if (r > 0) {
		log_mail(ROAD_WARNING, job->d->queue_id, "%s: a result is no user and password",
			 own_name("smtp_sasl_password_maps"));
		r = -EINVAL;
	} else if (r < 0) {
		log_mail(ROAD_WARNING, job->d->queue_id, "%s lookup error: %s",
			 own_name("smtp_sasl_password_maps"), tables_why(passwords));
	}
	login_free(l);
	return r;
}

static int find_sender(struct job *job, struct login **ret)
{
	const struct address_lookup how = { .delimiter = str_of(recipient_delimiter) };
	struct login *l = login_new();
	struct str value;
	int r = tables_get_address(passwords, l->arena, job->d->env.sender, &how, &value, NULL);

	return conclude(job, r, value, l, ret);
}

int login_find(struct job *job, struct str host, const struct destination *to, struct login **ret)
{
	struct login *l;
	struct str value;
	int r;

	if (job->login != NULL) {
		*ret = job->login;
		return 1;
	}
	l = login_new();
	r = tables_get(passwords, l->arena, host, &value);
	if (r == 0)
		r = tables_get(passwords, l->arena, to->text, &value);
	return conclude(job, r, value, l, ret);
}

/* ---- tokens ---- */

int login_complete(struct job *job, struct login *l)
{
	AUTO(buf) why = BUF_WORDS;
	struct str token;
	int r = -E2BIG;

	if (!l->is_token || *l->password != 0)
		return 0;
	if (arena_left(l->arena) < MEMORY_FOR_TOKEN)
		buf_add_text(&why, "too many were refused");
	else
		r = token_ask(l->arena, str_of(l->user), &token, &why);
	if (r < 0)
		log_mail(ROAD_WARNING, job->d->queue_id, "no token for %s from service %s: %s", l->user,
			 the_client.conf.smtp_sasl_token_service, buf_text(&why));
	else
		l->password = str_c(l->arena, token);
	return r;
}

void login_refused(struct login *l)
{
	if (!l->is_token)
		return;
	token_refuse(str_of(l->user), str_of(l->password));
	l->password = "";
}

/* ---- which sessions may be used ---- */

static void mark_keys(struct job *job, struct destinations *to)
{
	AUTO(buf) whose = BUF(LOGIN_MEMORY);

	if (job->login != NULL)
		buf_addf(&whose, "%s%c%s", job->login->user, 0, job->login->password);
	for (size_t i = 0; i < to->len; i++) {
		struct destination *d = &to->at[i];

		d->key = arena_fmt(job->arena, "%.*s %.*s %016llx", PSTR(d->key), PSTR(d->text),
				   job->login == NULL ? 0ULL
				   : (unsigned long long) str_hash(buf_str(&whose)));
	}
	buf_wipe(&whose);
}

bool auth_prepare(struct job *job, struct destinations *to)
{
	struct trouble trouble;

	if (passwords == NULL)
		return true;
	if (the_client.conf.smtp_sender_dependent_authentication && job->d->env.sender.len > 0
	    && find_sender(job, &job->login) < 0) {
		trouble = trouble_make(job, SOFT, false, "4.3.0", NULL, "%s lookup problem",
				       own_name("smtp_sasl_password_maps"));
		trouble_all(job, &trouble);
		return false;
	}
	mark_keys(job, to);
	return true;
}

bool auth_takes_strangers(struct job *job, const struct destination *to, const struct candidate *at)
{
	struct login *l = NULL;
	int r;

	if (passwords == NULL)
		return true;
	if (job->login != NULL)
		return false;
	r = login_find(job, at->host, to, &l);
	if (r > 0)
		login_free(l);
	return r == 0;
}
