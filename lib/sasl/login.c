/* SPDX-License-Identifier: ISC */
/*
 * See login.h. What a server says is not believed here before it was looked at: how often, how
 * long, and how much work it asks for.
 */
#include "lib/sasl/login.h"

#include <errno.h>

#include "lib/base/die.h"
#include "lib/sasl/bearer.h"
#include "lib/sasl/module.h"
#include "lib/sasl/options.h"

/*
 * SCRAM lets the server say how often the password is hashed. Fewer than the least of RFC 5802 and
 * 7677 would make guessing easier for a server that is not the right one; more than the most would
 * keep a processor busy for seconds.
 */
enum { LEAST_ROUNDS = 4096, MOST_ROUNDS = 1000000, MOST_CHALLENGES = 8 };

struct sasl_mechanism {
	const char *name;
	bool begins, is_scram;
	int (*bearer)(const struct sasl_credentials *who, struct buf *ret);
	const char *end_of_bearer;	/* the answer to a challenge that says why not */
};

static const struct sasl_mechanism mechanisms[] = {		/* the best first */
	{ .name = "SCRAM-SHA-256", .begins = true, .is_scram = true },
	{ .name = "SCRAM-SHA-1", .begins = true, .is_scram = true },
	{ .name = "DIGEST-MD5" },
	{ .name = "CRAM-MD5" },
	{ .name = "PLAIN", .begins = true },
	{ .name = "LOGIN" },
	{ .name = "OAUTHBEARER", .begins = true, .bearer = bearer_oauthbearer, .end_of_bearer = "\001" },
	{ .name = "XOAUTH2", .begins = true, .bearer = bearer_xoauth2, .end_of_bearer = "" },
};

struct sasl_login {
	const struct sasl_mechanism *mechanism;
	const struct sasl_credentials *who;
	void *attempt;			/* of the driver; NULL: none */
	unsigned challenges;
	bool is_through;
};

/* ---- which one ---- */

const char *sasl_mechanism_name(const struct sasl_mechanism *m)
{
	return m->name;
}

bool sasl_mechanism_begins(const struct sasl_mechanism *m)
{
	return m->begins;
}

bool sasl_mechanism_takes_token(const struct sasl_mechanism *m)
{
	return m->bearer != NULL;
}

const struct sasl_mechanism *sasl_mechanism_choose(struct str offered, unsigned options, bool is_token)
{
	for (size_t i = 0; i < COUNT_OF(mechanisms); i++) {
		const struct sasl_mechanism *m = &mechanisms[i];

		if ((sasl_options_of(str_of(m->name)) & options) != options
		    || (is_token && m->bearer == NULL) || !str_lists_nocase(offered, str_of(m->name)))
			continue;
		if (m->bearer != NULL || (sasl_module() != NULL && sasl_module()->knows(m->name)))
			return m;
	}
	return NULL;
}

/* ---- an attempt ---- */

int sasl_login_begin(const struct sasl_mechanism *m, const struct sasl_credentials *who,
		     struct sasl_login **ret, struct buf *why)
{
	const struct sasl_login_data data = { who->user, who->password, who->authorize,
					      who->service, who->host };
	struct sasl_login *l = get_memory(sizeof(*l));
	char words[500] = "";

	*l = (struct sasl_login){ .mechanism = m, .who = who };
	if (m->bearer == NULL) {
		l->attempt = sasl_module()->begin(m->name, &data,
						  (struct driver_words){ words, sizeof(words) });
		if (l->attempt == NULL) {
			buf_add_text(why, words);
			free(l);
			return -EINVAL;
		}
	}
	*ret = l;
	return 0;
}

void sasl_login_end(struct sasl_login *l)
{
	if (l != NULL && l->attempt != NULL)
		sasl_module()->end(l->attempt);
	free(l);
}

bool sasl_login_may_end(const struct sasl_login *l)
{
	return l->is_through || (sasl_options_of(str_of(l->mechanism->name)) & SASL_MUTUAL_AUTH) == 0;
}

/* The first message of a SCRAM server: "r=...,s=...,i=4096". */
static int check_rounds(struct str challenge, struct buf *why)
{
	struct str one;
	int64_t rounds;

	while (str_token(&challenge, ",", &one)) {
		if (!str_starts(one, STR("i=")))
			continue;
		if (str_to_int(str_skip(one, 2), LEAST_ROUNDS, MOST_ROUNDS, &rounds) == 0)
			continue;
		buf_addf(why, "the server asks for \"%.*s\" rounds of hashing: from %d to %d are right",
			 (int) MIN(one.len - 2, (size_t) 20), one.at + 2, LEAST_ROUNDS, MOST_ROUNDS);
		return -EPROTO;
	}
	return 0;
}

static int answer_bearer(struct sasl_login *l, bool is_challenge, struct buf *ret)
{
	if (is_challenge)
		return buf_add_text(ret, l->mechanism->end_of_bearer);
	l->is_through = true;
	return l->mechanism->bearer(l->who, ret);
}

struct step {
	struct sasl_login *login;
	struct str challenge;
	struct driver_answer answer;
	char words[500];
};

static int run_step(void *arg)
{
	struct step *s = arg;

	return sasl_module()->step(s->login->attempt, s->challenge.at, s->challenge.len, &s->answer,
				   (struct driver_words){ s->words, sizeof(s->words) });
}

int sasl_login_answer(struct sasl_login *l, const struct str *challenge, struct buf *ret, struct buf *why)
{
	struct step step = { .login = l, .challenge = challenge == NULL ? STR_NONE : *challenge };
	bool is_late = challenge != NULL && l->is_through && l->mechanism->bearer == NULL;
	int r;

	if (is_late || l->challenges++ > MOST_CHALLENGES
	    || (l->mechanism->bearer != NULL && l->challenges > 2)) {
		buf_add_text(why, "the server asks for more than the mechanism has");
		return -EPROTO;
	}
	if (l->mechanism->bearer != NULL)
		return answer_bearer(l, challenge != NULL, ret);
	if (step.challenge.len > 0 && memchr(step.challenge.at, 0, step.challenge.len) != NULL) {
		buf_add_text(why, "the server's challenge has a NUL byte in it");
		return -EPROTO;
	}
	if (l->mechanism->is_scram && check_rounds(step.challenge, why) < 0)
		return -EPROTO;
	step.answer = (struct driver_answer){ .at = buf_room(ret, ret->limit - ret->len),
					      .size = ret->limit - ret->len };
	/* hashing may take long: the others go on meanwhile */
	r = l->mechanism->is_scram && challenge != NULL ? co_offload(run_step, &step) : run_step(&step);
	if (r == -ECANCELED)
		return r;
	if (r == DRIVER_REFUSES) {
		buf_add_printable(why, str_of(step.words));
		return -EPROTO;
	}
	ret->len += step.answer.len;
	ret->at[ret->len] = 0;
	l->is_through = r == DRIVER_DONE;
	return 0;
}
