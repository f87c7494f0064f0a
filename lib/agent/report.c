/* SPDX-License-Identifier: ISC */
/*
 * What became of a recipient: kept for the reply, and said in the log in the shape that log analysers know.
 */
#include <stdarg.h>

#include "lib/agent/delays.h"
#include "lib/agent/request.h"
#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/mail/mail_address.h"

enum { MOST_TEXT = 4096 };

static struct outcome *outcome_of(const struct delivery *d, const struct recipient *r)
{
	BUG_UNLESS(r >= d->env.recipients && r < d->env.recipients + d->env.recipient_count);
	return &d->outcomes[r - d->env.recipients];
}

bool is_pending(const struct delivery *d, const struct recipient *r)
{
	return outcome_of(d, r)->status == OUTCOME_PENDING;
}

static void add_address(struct buf *line, const char *key, struct str address)
{
	buf_add_text(line, key);
	buf_add_byte(line, '<');
	address_quote_822(line, address);
	buf_add_byte(line, '>');
}

/* became: as of struct result. */
static void log_outcome(struct delivery *d, const struct recipient *r, struct str became,
			const struct outcome *o, const char *status)
{
	const struct str to = became.len > 0 ? became : r->address, original = r->original.len > 0
			? r->original : r->address;
	const struct stations stations = { .arrival = d->env.arrival_us,
					   .active = d->active_us,
					   .dispatch = d->dispatch_us,
					   .connected = d->connected_us,
					   .done = o->at_us };
	struct buf *line = &d->line;

	buf_clear(line);
	add_address(line, "to=", to);
	if (!str_is_nocase(original, to))
		add_address(line, ", orig_to=", original);
	buf_add_text(line, ", relay=");
	buf_add(line, o->relay);
	buf_add_text(line, ", ");
	if (d->conn_use > 1)
		buf_addf(line, "conn_use=%u, ", d->conn_use);
	delays_add(line, &stations, (int) the_agent_conf->delay_logging_resolution_limit);
	if (d->tls != NULL)
		buf_addf(line, ", tls=%s", d->tls);
	buf_add_text(line, ", dsn=");
	buf_add(line, o->dsn);
	buf_add_text(line, ", status=");
	buf_add_text(line, status);
	buf_add_text(line, " (");
	buf_add(line, o->text);
	buf_add_byte(line, ')');
	log_mail_text(ROAD_INFO, d->queue_id, buf_str(line));
}

static const char *status_word(const struct delivery *d, enum outcome_status status)
{
	bool good = status != OUTCOME_DEFERRED && status != OUTCOME_BOUNCED;

	if (d->flags & DELIVER_PROBE)
		return good ? "deliverable" : "undeliverable";
	return good ? "sent" : status == OUTCOME_DEFERRED ? "deferred" : "bounced";
}

/* A DSN code must not contradict the status that it goes with. */
static struct str fitting_dsn(struct delivery *d, const char *dsn, char class)
{
	struct str code = str_of(dsn == NULL || *dsn == '\0' ? "X.0.0" : dsn);

	return arena_fmt(d->arena, "%c%.*s", class, PSTR(str_skip(code, 1)));
}

static char class_of(enum outcome_status status)
{
	return status == OUTCOME_DEFERRED ? '4' : status == OUTCOME_BOUNCED ? '5' : '2';
}

static void report(struct delivery *d, struct recipient *r, enum outcome_status status, const char *word,
		   const struct result *how, struct str text)
{
	const bool is_told = status == OUTCOME_HANDED_ON && word != NULL;	/* a failure */
	struct outcome *o = outcome_of(d, r);

	BUG_UNLESS(o->status == OUTCOME_PENDING);
	*o = (struct outcome){
		.index = r->index,
		.status = status,
		.dsn = fitting_dsn(d, how->dsn, is_told ? '5' : class_of(status)),
		.relay = how->relay.len > 0 ? arena_copy(d->arena, how->relay) : STR("none"),
		.remote_mta = arena_copy(d->arena, how->remote_mta),
		.diagnostic = arena_copy(d->arena, str_head(how->diagnostic, MOST_TEXT)),
		.text = text,
		.at_us = wall_us(),
	};
	log_outcome(d, r, how->became, o, word == NULL ? status_word(d, status) : word);
}

__attribute__((format(printf, 2, 0))) static struct str format_text(struct arena *a, const char *format,
								    va_list arguments)
{
	AUTO(buf) whole = BUF(FRAME_LIMIT);

	buf_addv(&whole, format, arguments);
	return arena_copy(a, str_head(buf_str(&whole), MOST_TEXT));
}

#define REPORT(d, r, status, word, how, format) do { \
	va_list arguments_; \
	struct str text_; \
	va_start(arguments_, format); \
	text_ = format_text((d)->arena, (format), arguments_); \
	va_end(arguments_); \
	report((d), (r), (status), (word), (how), text_); \
} while (0)

void delivered(struct delivery *d, struct recipient *r, const struct result *how, const char *format, ...)
{
	REPORT(d, r, OUTCOME_DELIVERED, NULL, how, format);
}

void deferred(struct delivery *d, struct recipient *r, const struct result *how, const char *format, ...)
{
	REPORT(d, r, OUTCOME_DEFERRED, NULL, how, format);
}

bool is_final(const struct delivery *d)
{
	return !the_agent_conf->soft_bounce || (d->flags & DELIVER_PROBE) != 0;
}

void bounced(struct delivery *d, struct recipient *r, const struct result *how, const char *format, ...)
{
	bool soft = !is_final(d);

	REPORT(d, r, soft ? OUTCOME_DEFERRED : OUTCOME_BOUNCED, soft ? "SOFTBOUNCE" : NULL, how, format);
}

void bounced_and_told(struct delivery *d, struct recipient *r, const struct result *how, const char *format,
		      ...)
{
	REPORT(d, r, OUTCOME_HANDED_ON, "bounced", how, format);
}

void expanded(struct delivery *d, struct recipient *r, const struct result *how, const char *format, ...)
{
	REPORT(d, r, OUTCOME_EXPANDED, NULL, how, format);
}

void relayed(struct delivery *d, struct recipient *r, const struct result *how, const char *format, ...)
{
	REPORT(d, r, OUTCOME_RELAYED, NULL, how, format);
}

void handed_on(struct delivery *d, struct recipient *r, const struct result *how, const char *format, ...)
{
	REPORT(d, r, OUTCOME_HANDED_ON, NULL, how, format);
}

void passed_on(struct delivery *d, struct recipient *r, const struct outcome *outcome)
{
	struct outcome *o = outcome_of(d, r);

	BUG_UNLESS(o->status == OUTCOME_PENDING && outcome->status != OUTCOME_PENDING);
	*o = *outcome;
	o->index = r->index;
}

void site_failed(struct delivery *d, const struct result *how, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	d->site_reason = format_text(d->arena, format, arguments);
	va_end(arguments);
	d->site_dsn = fitting_dsn(d, how->dsn, '4');
	EACH_RECIPIENT(r, d)
		if (is_pending(d, r))
			report(d, r, OUTCOME_DEFERRED, NULL, how, d->site_reason);
}
