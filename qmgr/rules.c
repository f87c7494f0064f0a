/* SPDX-License-Identifier: ISC */
/* What main.cf and master.cf say about one transport. Asked once, when its first mail comes. */
#include "lib/base/die.h"
#include "lib/log/log.h"
#include "qmgr/qmgr.h"

enum {
	MANY_PROCESSES = 1000,		/* stands for "no limit": every delivery has a descriptor */
	/* recipients, likewise: with the longest addresses and all that DSN adds they fit a frame */
	MOST_IN_A_REQUEST = 5000,
};

const struct service_entry *service_of(const struct qmgr *q, struct str transport)
{
	for (size_t i = 0; i < q->services.count; i++) {
		const struct service_entry *s = &q->services.services[i];

		if (s->type == SERVICE_UNIX && str_is(s->name, transport))
			return s;
	}
	return NULL;
}

struct asker {
	const struct qmgr *q;
	struct str transport;
};

static int family_int(const struct asker *a, const char *suffix, const char *fallback, int64_t min,
		      int64_t max)
{
	AUTO(buf) name = BUF(300);
	AUTO(buf) why = BUF_WORDS;
	int64_t value = min;

	buf_addf(&name, "%.*s_%s", PSTR(a->transport), suffix);
	if (conf_get_int(a->q->raw, buf_str(&name), str_of(fallback), min, max, &value, &why) < 0)
		log_warning("%s", buf_text(&why));
	return (int) value;
}

static int64_t family_time(const struct asker *a, const char *suffix, const char *fallback)
{
	AUTO(buf) name = BUF(300);
	AUTO(buf) why = BUF_WORDS;
	int64_t ms = 0;

	buf_addf(&name, "%.*s_%s", PSTR(a->transport), suffix);
	if (conf_get_time(a->q->raw, buf_str(&name), str_of(fallback), &ms, &why) < 0)
		log_warning("%s", buf_text(&why));
	return ms;
}

static struct feedback family_feedback(const struct asker *a, const char *suffix, const char *fallback)
{
	struct feedback f = { .amount = 1 };
	AUTO(buf) name = BUF(300);
	AUTO(buf) why = BUF_WORDS;
	struct arena *scratch = arena_new("feedback", NULL, 1 << 20);
	struct str text;

	buf_addf(&name, "%.*s_%s", PSTR(a->transport), suffix);
	if (!conf_get(a->q->raw, scratch, buf_str(&name), &text) || text.len == 0)
		text = str_of(fallback);
	if (feedback_parse(text, &f, &why) < 0)
		log_warning("%s: %s", buf_text(&name), buf_text(&why));
	arena_free(scratch);
	return f;
}

static int processes_of(const struct qmgr *q, struct str transport)
{
	const struct service_entry *s = service_of(q, transport);

	if (s == NULL)
		return (int) MIN(q->common->default_process_limit, MANY_PROCESSES);
	return s->maxproc == 0 ? MANY_PROCESSES : MIN(s->maxproc, MANY_PROCESSES);
}

/*
 * The limit is there for expensive commands in .forward and alias files, and local itself keeps to
 * it for those. Everything else that comes at once for a mailbox is written at once
 * (lib/agent/hands.h): the more, the better.
 */
static int window_of_local(const struct qmgr *q, int limit)
{
	int general = (int) q->conf->default_destination_concurrency_limit;

	return limit == 0 || general == 0 ? 0 : MAX(limit, general);
}

void rules_of(void *qmgr, struct str transport, struct transport_rules *ret)
{
	const struct qmgr *q = qmgr;
	const struct asker a = { q, transport };
	const struct qmgr_conf *c = q->conf;
	struct transport_rules r = {
		.process_limit = processes_of(q, transport),
		.dead_ms = c->minimal_backoff_time,
		.transport_dead_ms = c->transport_retry_time,
	};

	r.recipient_limit = family_int(&a, "destination_recipient_limit",
				       "$default_destination_recipient_limit", 0, 1000000);
	if (r.recipient_limit == 0 || r.recipient_limit > MOST_IN_A_REQUEST)
		r.recipient_limit = MOST_IN_A_REQUEST;
	r.window.limit = family_int(&a, "destination_concurrency_limit",
				    "$default_destination_concurrency_limit", 0, 1000000);
	if (service_of(q, transport) != NULL && str_is(service_of(q, transport)->command, STR("local")))
		r.window.limit = window_of_local(q, r.window.limit);
	r.window.initial = family_int(&a, "initial_destination_concurrency",
				      "$initial_destination_concurrency", 1, 1000000);
	r.window.cohort_limit = family_int(&a, "destination_concurrency_failed_cohort_limit",
					   "$default_destination_concurrency_failed_cohort_limit", 0,
					   1000000);
	r.window.positive = family_feedback(&a, "destination_concurrency_positive_feedback",
					    c->default_destination_concurrency_positive_feedback);
	r.window.negative = family_feedback(&a, "destination_concurrency_negative_feedback",
					    c->default_destination_concurrency_negative_feedback);
	r.rate_delay_ms = family_time(&a, "destination_rate_delay", "$default_destination_rate_delay");
	r.transport_rate_delay_ms = family_time(&a, "transport_rate_delay", "$default_transport_rate_delay");
	r.slot_cost = family_int(&a, "delivery_slot_cost", "$default_delivery_slot_cost", 0, 1000000);
	r.slot_loan = family_int(&a, "delivery_slot_loan", "$default_delivery_slot_loan", 0, 1000000);
	r.slot_discount = family_int(&a, "delivery_slot_discount", "$default_delivery_slot_discount", 0, 100);
	r.minimum_slots = family_int(&a, "minimum_delivery_slots", "$default_minimum_delivery_slots", 0,
				     1000000);
	if (r.rate_delay_ms > 0)
		r.window.initial = r.window.limit = 1;
	*ret = r;
}
