/* SPDX-License-Identifier: ISC */
#include "smtp/finger.h"

#include <errno.h>

#include "lib/base/die.h"
#include "lib/dns/dns.h"

static struct {
	struct arena *arena;
	struct str to, resolver;
	bool json, chat, chain, every;
	int64_t reconnect_s, most;	/* reconnect_s -1: never */
	struct finding now;
	bool failed;
} look;

/* ---- what the client shows while it works ---- */

static void print_chat(void *arg, char direction, struct str bytes)
{
	struct str line;

	(void) arg;
	while (str_cut(&bytes, '\n', &line) || line.len > 0) {
		AUTO(buf) printable = BUF(8192);

		buf_add_printable(&printable, str_head(str_trim_end(line), 2000));
		printf("posttls-finger: %c %s\n", direction, buf_text(&printable));
	}
}

static void connected(struct session *s)
{
	look.now.relay = arena_copy(look.arena, s->relay);
	if (look.json || !look.chat)
		return;
	printf("posttls-finger: Connected to %.*s\n", PSTR(s->relay));
	stream_transcript(s->stream, print_chat, NULL);
}

static void greeted(const struct session *s)
{
	struct str rest = buf_str(&s->reply.lines), line;
	AUTO(buf) words = BUF(8192);
	bool first = true;

	look.now.offers_starttls = look.now.offers_starttls || (s->offers.features & EHLO_STARTTLS) != 0;
	for (; reply_next(&rest, &line); first = false)
		if (!first && words.len + line.len + 1 < words.limit)
			buf_addf(&words, "%.*s\n", PSTR(line));
	look.now.offers = arena_copy(look.arena, buf_str(&words));
}

static void shaken(const struct session *s, const struct tls *t, const struct tls_peer *p, bool verified)
{
	AUTO(buf) chain = BUF(1 << 20);

	(void) s;
	look.now.has_tls = true;
	look.now.is_verified = verified;
	look.now.peer = *p;
	if (!look.json)
		finding_print_tls(&look.now);
	if (!look.chain)
		return;
	tls_chain(t, &chain);
	fputs(buf_text(&chain), look.json ? stderr : stdout);
}

static const struct onlooker onlooker = { connected, greeted, shaken };

/* ---- one address ---- */

static void print(const struct trouble *trouble)
{
	look.now.trouble = trouble;
	look.failed = look.failed || trouble != NULL;
	if (look.json)
		finding_print_json(&look.now);
	else
		finding_print(&look.now);
	fflush(stdout);
}

static void print_records(const struct tls_policy *p, const struct candidate *at)
{
	for (size_t i = 0; i < p->anchor_count && p->from == FROM_DANE && !look.json; i++) {
		const struct tls_tlsa *t = &p->anchors[i];

		printf("posttls-finger: using DANE RR: _%u._tcp.%.*s IN TLSA %u %u %u ", at->ip.port,
		       PSTR(p->servername), t->usage, t->selector, t->matching);
		for (size_t k = 0; k < t->data.len; k++)
			printf("%s%02X", k > 0 ? ":" : "", (unsigned char) t->data.at[k]);
		putchar('\n');
	}
}

/* Again over a session that should be resumed. */
static void reconnect(struct job *job, const struct destination *to, const struct candidate *at)
{
	struct trouble why;

	for (int64_t i = 0; i < look.most; i++) {
		struct session *s;

		if (co_sleep(in(look.reconnect_s * 1000)) < 0)
			return;
		s = session_open(job, to, at, &why);
		print(s == NULL ? &why : NULL);
		if (s == NULL)
			return;
		session_end(s);
		if (look.now.has_tls && look.now.peer.resumed)
			return;
	}
}

/* False: nobody answered there, so the next one is worth a try. */
static bool try_one(struct job *job, const struct destination *to, const struct candidate *at)
{
	struct trouble why;
	struct session *s;

	look.now = (struct finding){ .destination = to->text, .at = at, .policy = &job->policy };
	policy_of_host(job, &job->site_policy, to, at, &job->policy);
	if (job->policy.refused.len > 0) {
		why = trouble_make(job, SOFT, true, job->policy.refused_dsn, NULL, "%.*s",
				   PSTR(job->policy.refused));
		print(&why);
		return true;
	}
	if (at != NULL)
		print_records(&job->policy, at);
	s = session_open(job, to, at, &why);
	print(s == NULL ? &why : NULL);
	if (s != NULL)
		session_end(s);
	if (s != NULL && look.reconnect_s >= 0)
		reconnect(job, to, at);
	return s != NULL || why.relay.len > 0;
}

static void try_all(struct job *job, const struct destination *to)
{
	struct candidates list = { 0 };
	struct trouble why;
	bool answered = false;

	policy_of_destination(job, to, &job->site_policy);
	job->policy = job->site_policy;
	look.now = (struct finding){ .destination = to->text, .policy = &job->policy };
	if (job->policy.refused.len > 0) {
		why = trouble_make(job, SOFT, true, job->policy.refused_dsn, NULL, "%.*s",
				   PSTR(job->policy.refused));
		print(&why);
		return;
	}
	if (to->path.len > 0) {
		try_one(job, to, NULL);
		return;
	}
	if (!candidates_find(job, to, &list, &why)) {
		print(&why);
		return;
	}
	for (size_t i = 0; i < list.len && (!answered || look.every); i++) {
		if (!look.every)
			look.failed = false;		/* a later address makes up for an earlier one */
		answered = try_one(job, to, &list.at[i]);
	}
}

static void run(void *unused)
{
	struct delivery d = { .arena = look.arena, .queue_id = STR_NONE };
	struct job job = { .d = &d, .arena = look.arena };
	struct destinations to = { 0 };

	(void) unused;
	if (destinations_parse(look.to, look.arena, &to) < 0)
		die(EX_USAGE, "not a destination: \"%.*s\"", PSTR(look.to));
	try_all(&job, &to.at[0]);
	loop_stop();
}

/* ---- start ---- */

static int64_t number(struct str value)
{
	int64_t n;

	if (str_to_int(value, -1, 1000000, &n) < 0)
		die(EX_USAGE, "not a number of seconds or times: \"%.*s\"", PSTR(value));
	return n;
}

static void take_argument(struct str value)
{
	static const struct { struct str key; bool *to; } switches[] = {
		{ STR_INIT("json"), &look.json }, { STR_INIT("chat"), &look.chat },
		{ STR_INIT("chain"), &look.chain }, { STR_INIT("every"), &look.every },
	};
	struct str key;

	str_cut(&value, '=', &key);
	for (size_t i = 0; i < COUNT_OF(switches); i++)
		if (str_is(key, switches[i].key))
			*switches[i].to = str_is(value, STR("yes"));
	if (str_is(key, STR("to")))
		look.to = value;
	else if (str_is(key, STR("resolver")))
		look.resolver = value;
	else if (str_is(key, STR("reconnect")))
		look.reconnect_s = number(value);
	else if (str_is(key, STR("most")))
		look.most = number(value);
}

int finger(void)
{
	const struct str protocols = str_of(the_world->common->inet_protocols);
	const bool all = str_find_str(protocols, STR("all")) >= 0;

	look.arena = arena_new("finger", NULL, 64 << 20);
	look.reconnect_s = -1;
	look.most = 5;
	for (size_t i = 1; i < the_world->argument_count; i++)
		take_argument(the_world->arguments[i]);
	if (look.resolver.len > 0)
		dns_use(str_c(look.arena, look.resolver), all || str_find_str(protocols, STR("ipv4")) >= 0,
			all || str_find_str(protocols, STR("ipv6")) >= 0, 30000);
	the_onlooker = &onlooker;
	if (loop_run(run, NULL) < 0)
		look.failed = true;
	fflush(stdout);
	arena_free(look.arena);
	return look.failed ? 1 : 0;
}
