/* SPDX-License-Identifier: ISC */
#include "services/tlsrpt/tally.h"

#include <errno.h>

#include "lib/base/die.h"
#include "lib/base/map.h"

/* what a domain costs besides its texts */
enum { MOST_POLICIES = 20, MOST_DETAILS = 200, DOMAIN_ROOM = 4 << 20, MOST_WORDS = 200, MOST_NAME = 255,
       DOMAIN_BYTES = 1500 };

static const struct str HEAD = STR_INIT("postroad-tlsrpt 1\n");

static struct {
	struct map *by_key;		/* "period name" */
	struct list all;
	size_t bytes, most_bytes;
} tally;

void tally_open(size_t most_bytes)
{
	tally.by_key = map_new();
	list_init(&tally.all);
	tally.bytes = 0;
	tally.most_bytes = most_bytes;
}

static size_t key_of(int64_t period, struct str name, char key[300])
{
	return (size_t) snprintf(key, 300, "%lld %.*s", (long long) period,
				 (int) MIN(name.len, (size_t) MOST_NAME), name.at);
}

void tally_drop(struct counted_domain *d)
{
	char key[300];

	map_remove(tally.by_key, str_make(key, key_of(d->period, d->name, key)));
	tally.bytes -= DOMAIN_BYTES + arena_used(d->arena);
	list_remove(&d->link);
	arena_free(d->arena);
}

void tally_close(void)
{
	LIST_EACH(d, &tally.all, struct counted_domain, link)
		tally_drop(d);
	map_free(tally.by_key, NULL);
}

struct list *tally_all(void)
{
	return &tally.all;
}

/* ---- finding, and making what is not there ---- */

static struct counted_domain *domain_get(int64_t period, struct str name)
{
	char key[300];
	struct str k = str_make(key, key_of(period, name, key));
	struct counted_domain *d = map_get(tally.by_key, k);
	struct arena *a;

	if (d != NULL)
		return d;
	a = arena_new("report", NULL, DOMAIN_ROOM);
	d = ARENA_NEW(a, struct counted_domain);
	d->arena = a;
	d->period = period;
	d->name = arena_copy(a, str_head(name, MOST_NAME));
	list_init(&d->policies);
	list_append(&tally.all, &d->link);
	map_put(tally.by_key, k, d);
	tally.bytes += DOMAIN_BYTES + arena_used(a);
	return d;
}

/* NULL: too many, or no room. */
static struct counted_policy *policy_get(struct counted_domain *d, struct str type, struct str text)
{
	struct counted_policy *p;

	LIST_EACH(known, &d->policies, struct counted_policy, link)
		if (str_is(known->type, type) && str_is(known->text, text))
			return known;
	if (d->policy_count == MOST_POLICIES || arena_left(d->arena) < text.len + 4096)
		return NULL;
	d->policy_count++;
	p = ARENA_NEW(d->arena, struct counted_policy);
	p->type = arena_copy(d->arena, type);
	p->text = arena_copy(d->arena, text);
	list_init(&p->details);
	list_append(&d->policies, &p->link);
	return p;
}

static bool is_that(const struct detail *x, const struct session_result *r)
{
	return str_is(x->result, r->result) && str_is(x->mx, r->mx) && str_is(x->ip, r->ip)
	       && str_is(x->local_ip, r->local_ip) && str_is(x->words, r->words);
}

/* With the last one that there is room for all others are counted. */
static struct detail *detail_get(struct counted_domain *d, struct counted_policy *p,
				 const struct session_result *r)
{
	struct detail *x;

	LIST_EACH(known, &p->details, struct detail, link)
		if (is_that(known, r))
			return known;
	if (p->detail_count == MOST_DETAILS || arena_left(d->arena) < 8192)
		return p->detail_count == 0 ? NULL : LIST_ENTRY(p->details.prev, struct detail, link);
	p->detail_count++;
	x = ARENA_NEW(d->arena, struct detail);
	*x = (struct detail){ .result = arena_copy(d->arena, r->result), .mx = arena_copy(d->arena, r->mx),
			      .ip = arena_copy(d->arena, r->ip),
			      .local_ip = arena_copy(d->arena, r->local_ip),
			      .words = arena_copy(d->arena, r->words) };
	list_append(&p->details, &x->link);
	return x;
}

/* ---- counting ---- */

static struct str cleaned(struct arena *a, struct str s, size_t most)
{
	AUTO(buf) clean = BUF(1 << 20);

	buf_add_printable(&clean, str_head(s, most));
	return arena_copy(a, buf_str(&clean));
}

/* The lines of a policy, with a TAB behind each. */
static struct str cleaned_lines(struct arena *a, struct str text)
{
	AUTO(buf) clean = BUF(1 << 20);
	struct str line;

	while (str_token(&text, "\r\n\t", &line)) {
		buf_add_printable(&clean, line);
		buf_add_byte(&clean, '\t');
	}
	return arena_copy(a, buf_str(&clean));
}

static bool count(int64_t period, const struct session_result *r, uint64_t successes, uint64_t failures)
{
	struct counted_domain *d = domain_get(period, r->domain);
	size_t before = arena_used(d->arena);
	struct counted_policy *p = policy_get(d, r->type, r->text);
	struct detail *x = p == NULL || failures == 0 || r->result.len == 0 ? NULL : detail_get(d, p, r);

	if (p != NULL) {
		p->successes += successes;
		p->failures += failures;
	}
	if (x != NULL)
		x->count += failures;
	tally.bytes += arena_used(d->arena) - before;
	return p != NULL;
}

bool tally_add(int64_t period, const struct session_result *r)
{
	bool success = str_is(r->result, STR("success"));
	struct session_result clean;
	struct arena *a;
	bool counted;

	if (tally.bytes >= tally.most_bytes)
		return false;
	a = arena_new("session", NULL, 1 << 20);
	clean = (struct session_result){ .domain = cleaned(a, r->domain, MOST_NAME),
					 .type = cleaned(a, r->type, 40), .text = cleaned_lines(a, r->text),
					 .result = cleaned(a, r->result, 40),
					 .mx = cleaned(a, r->mx, MOST_NAME), .ip = cleaned(a, r->ip, 64),
					 .local_ip = cleaned(a, r->local_ip, 64),
					 .words = cleaned(a, r->words, MOST_WORDS) };
	counted = count(period, &clean, success, !success);
	arena_free(a);
	return counted;
}

/* ---- the file ---- */

void tally_print(struct buf *b)
{
	buf_add(b, HEAD);
	LIST_EACH(d, &tally.all, struct counted_domain, link) {
		buf_addf(b, "domain\t%lld\t%.*s\n", (long long) d->period, PSTR(d->name));
		LIST_EACH(p, &d->policies, struct counted_policy, link) {
			buf_addf(b, "policy\t%.*s\t%llu\t%llu\t%.*s\n", PSTR(p->type),
				 (unsigned long long) p->successes, (unsigned long long) p->failures,
					 PSTR(p->text));
			LIST_EACH(x, &p->details, struct detail, link)
				buf_addf(b, "detail\t%llu\t%.*s\t%.*s\t%.*s\t%.*s\t%.*s\n",
					 (unsigned long long) x->count, PSTR(x->result), PSTR(x->mx),
					 PSTR(x->ip), PSTR(x->local_ip), PSTR(x->words));
		}
	}
}

/* What the lines so far have said, for those below. */
struct reading {
	int64_t period;
	struct counted_domain *d;
	struct counted_policy *p;
};

static bool read_domain(struct reading *at, struct str line)
{
	struct str period;

	at->d = NULL;
	at->p = NULL;
	if (!str_cut(&line, '\t', &period) || str_to_int(period, 0, INT64_MAX, &at->period) < 0
	    || line.len == 0 || line.len > MOST_NAME)
		return false;
	at->d = domain_get(at->period, line);
	return true;
}

static bool read_policy(struct reading *at, struct str line)
{
	struct str type, successes, failures;
	uint64_t good, bad;

	at->p = NULL;
	if (at->d == NULL || !str_cut(&line, '\t', &type) || !str_cut(&line, '\t', &successes)
	    || !str_cut(&line, '\t', &failures)
	    || str_to_uint64(successes, 10, &good) < 0 || str_to_uint64(failures, 10, &bad) < 0)
		return false;
	at->p = policy_get(at->d, type, line);
	if (at->p == NULL)
		return false;
	at->p->successes += good;
	at->p->failures += bad;
	return true;
}

static bool read_detail(struct reading *at, struct str line)
{
	struct session_result r;
	struct str number;
	struct detail *x;
	uint64_t n;

	if (at->p == NULL || !str_cut(&line, '\t', &number) || str_to_uint64(number, 10, &n) < 0
	    || !str_cut(&line, '\t', &r.result) || !str_cut(&line, '\t', &r.mx)
	    || !str_cut(&line, '\t', &r.ip) || !str_cut(&line, '\t', &r.local_ip))
		return false;
	r.words = str_head(line, MOST_WORDS);
	x = detail_get(at->d, at->p, &r);
	if (x != NULL)
		x->count += n;
	return x != NULL;
}

static bool read_line_of_file(struct reading *at, struct str line)
{
	size_t before = at->d == NULL ? 0 : arena_used(at->d->arena);
	struct counted_domain *same = at->d;
	struct str kind;
	bool good;

	str_cut(&line, '\t', &kind);
	good = str_is(kind, STR("domain")) ? read_domain(at, line) : str_is(kind, STR("policy"))
	       ? read_policy(at, line)
	       : str_is(kind, STR("detail")) && read_detail(at, line);
	if (same != NULL && same == at->d)
		tally.bytes += arena_used(same->arena) - before;
	return good;
}

int tally_parse(struct str text)
{
	struct reading at = { .d = NULL };
	struct str line;
	int malformed = 0;

	if (!str_starts(text, HEAD) || str_find(text, '\0') >= 0)	/* text, as it was written */
		return -EINVAL;
	text = str_skip(text, HEAD.len);
	while (text.len > 0 && tally.bytes < tally.most_bytes) {
		str_cut(&text, '\n', &line);
		malformed += !read_line_of_file(&at, line);
	}
	return malformed;
}
