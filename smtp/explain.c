/* SPDX-License-Identifier: ISC */
/*
 * For `postroad explain` (smtp -R ... policy to=NEXTHOP sender=ADDRESS): the hosts that a delivery
 * would go to, the TLS policy for each of them and who made it, and as whom we would log in. Nobody
 * is connected to but our own services.
 */
#include "smtp/explain.h"

#include <sysexits.h>
#include <unistd.h>

#include "lib/daemon/daemon.h"
#include "smtp/finger.h"

static struct {
	struct arena *arena;
	struct str to, sender;
	bool failed;
} question;

/* ---- how it is told ---- */

static const char *source(const struct tls_policy *p)
{
	switch (p->from) {
	case FROM_POLICY_TABLE: return own_name(p->entry != NULL
						? "smtp_tls_policy_maps" : "smtp_tls_per_site");
	case FROM_DANE: return "DANE";
	case FROM_MTA_STS: return "MTA-STS";
	default: return own_name("smtp_tls_security_level");
	}
}

static void tell_policy(const struct tls_policy *p)
{
	if (p->refused.len > 0) {
		printf("put off: %s %.*s\n", p->refused_dsn, PSTR(p->refused));
		return;
	}
	printf("%s (%s)", policy_level_name(p->level), source(p));
	if (p->level != p->asked)
		printf(" where %s was asked for", policy_level_name(p->asked));
	if (p->from == FROM_DANE && p->anchor_count > 0)
		printf(", %zu TLSA record%s", p->anchor_count, p->anchor_count == 1 ? "" : "s");
	else if (p->match.len > 0)
		printf(", the certificate has to be for %.*s", PSTR(p->match));
	putchar('\n');
}

static void tell_sts(const struct tls_policy *p)
{
	struct str names = p->sts->mx, name;

	printf("    MTA-STS    %s, policy of %.*s:", p->sts->mode == STS_ENFORCE ? "enforce" : "testing",
	       PSTR(p->sts->domain));
	while (str_token(&names, "\n", &name))
		printf(" %.*s", PSTR(name));
	putchar('\n');
}

static void tell_login(struct job *job, const struct destination *to, struct str host)
{
	struct login *l;
	int r;

	if (!auth_is_on())
		return;
	r = login_find(job, host, to, &l);
	if (r < 0)
		puts("      login    cannot tell: see above");
	else if (r == 0)
		printf("      login    none: %s has nothing for it\n", own_name("smtp_sasl_password_maps"));
	else
		printf("      login    as %s, if the server offers AUTH (%s)\n", l->user,
		       own_name("smtp_sasl_password_maps"));
	if (r > 0 && l != job->login)
		login_free(l);
}

static void tell_host(struct job *job, const struct destination *to, const struct candidate *at)
{
	char address[64];

	policy_of_host(job, &job->site_policy, to, at, &job->policy);
	if (at != NULL) {
		ip_print(&at->ip, address);
		printf("    host       %.*s[%s]:%u\n      TLS      ", PSTR(at->host), address, at->ip.port);
	} else {
		printf("    host       %.*s\n      TLS      ", PSTR(to->path));
	}
	tell_policy(&job->policy);
	tell_login(job, to, at != NULL ? at->host : to->host);
}

/* ---- the way ---- */

static bool is_address(const struct destination *to)
{
	struct address_ip ip;

	return !to->use_mx && (ip_parse_literal(to->host, &ip) == 0 || ip_parse(to->host, &ip) == 0);
}

static void tell_destination(struct job *job, const struct destination *to)
{
	struct candidates list = { 0 };
	struct trouble why;

	policy_of_destination(job, to, &job->site_policy);
	if (job->site_policy.sts != NULL)
		tell_sts(&job->site_policy);
	if (to->path.len > 0) {
		tell_host(job, to, NULL);
		return;
	}
	if (!is_address(to) && access("private/resolver", F_OK) < 0) {
		printf("    hosts      not asked for: the mail system, whose resolver answers, is down\n    TLS        ");
		tell_policy(&job->site_policy);
		return;
	}
	if (!candidates_find(job, to, &list, &why)) {
		printf("    %s %s %.*s\n", why.kind == HARD ? "returned  " : "deferred  ", why.dsn,
		       PSTR(why.text));
		question.failed = true;
		return;
	}
	for (size_t i = 0; i < list.len; i++)
		tell_host(job, to, &list.at[i]);
}

static void run(void *unused)
{
	struct delivery d = { .arena = question.arena, .queue_id = STR_NONE, .env.sender = question.sender };
	struct job job = { .d = &d, .arena = question.arena };
	struct destinations to = { 0 };

	(void) unused;
	if (destinations_parse(question.to, question.arena, &to) < 0) {
		printf("    deferred   4.3.5 not a next hop: %.*s\n", PSTR(question.to));
		question.failed = true;
	} else if (auth_prepare(&job, &to)) {
		for (size_t i = 0; i < to.len; i++)
			tell_destination(&job, &to.at[i]);
	} else {
		puts("    deferred   4.3.0 the sender's own login cannot be looked up");
		question.failed = true;
	}
	login_free(job.login);
	loop_stop();
}

static int tell_way(void)
{
	static const struct onlooker nobody;

	for (size_t i = 1; i < the_world->argument_count; i++) {
		struct str value = the_world->arguments[i], key;

		str_cut(&value, '=', &key);
		*(str_is(key, STR("to")) ? &question.to : &question.sender) = value;
	}
	question.arena = arena_new("explanation", NULL, 64 << 20);
	the_onlooker = &nobody;		/* what is found out is not reported to domains */
	if (loop_run(run, NULL) < 0)
		question.failed = true;
	fflush(stdout);
	arena_free(question.arena);
	return question.failed;
}

int explain(void)
{
	const struct str what = the_world->arguments[0];

	if (str_is(what, STR("finger")))
		return finger();
	return str_is(what, STR("policy")) ? tell_way() : EX_USAGE;
}
