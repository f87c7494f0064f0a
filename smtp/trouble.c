/* SPDX-License-Identifier: ISC */
/* What goes wrong, in the words that log analysers know, and what it means for the recipients. */
#include <errno.h>
#include <stdarg.h>

#include "smtp/smtp.h"

static void locate(struct trouble *t, struct arena *a, const struct session *at)
{
	if (at == NULL)
		return;
	t->relay = arena_copy(a, at->relay);
	t->remote_mta = arena_copy(a, at->host);
}

struct trouble trouble_make(struct job *job, int kind, bool site, const char *dsn, const struct session *at,
			    const char *format, ...)
{
	struct trouble t = { .kind = kind, .site = site, .dsn = dsn };
	AUTO(buf) text = BUF(16384);
	va_list arguments;

	va_start(arguments, format);
	buf_addv(&text, format, arguments);
	va_end(arguments);
	t.text = arena_copy(job->arena, buf_str(&text));
	locate(&t, job->arena, at);
	return t;
}

struct trouble trouble_of_io(struct job *job, const struct session *at, int error, const char *doing)
{
	job->tls_broke = job->tls_broke || at->is_encrypted;
	if (error == -EBADMSG)
		return trouble_make(job, SOFT, false, "4.5.0", at,
				    "Protocol error: host %.*s said: %.*s (while %s)",
				    PSTR(at->name), PSTR(reply_text(&at->reply, job->arena)), doing);
	if (error == -ETIMEDOUT)
		return trouble_make(job, SOFT, true, "4.4.2", at,
				    "conversation with %.*s timed out while %s", PSTR(at->name), doing);
	return trouble_make(job, SOFT, true, "4.4.2", at, "lost connection with %.*s while %s",
			    PSTR(at->name), doing);
}

void trouble_quote(struct trouble *t, struct job *job, const struct session *at)
{
	const int class = reply_class(&at->reply);

	t->kind = class == 5 ? HARD : SOFT;
	if (class < 4)
		return;
	t->diagnostic = arena_fmt(job->arena, "smtp; %.*s", PSTR(reply_text(&at->reply, job->arena)));
	t->dsn = str_c(job->arena, reply_dsn(&at->reply, t->kind == HARD ? STR("5.0.0") : STR("4.0.0"),
					     job->arena));
}

struct trouble trouble_of_reply(struct job *job, const struct session *at, const char *in_reply_to)
{
	struct str said = reply_text(&at->reply, job->arena);
	struct trouble t = trouble_make(job, SOFT, false, "4.5.0", at, "%shost %.*s said: %.*s (in reply to %s)",
					reply_class(&at->reply) >= 4 ? "" : "Protocol error: ",
					PSTR(at->name), PSTR(said), in_reply_to);

	trouble_quote(&t, job, at);
	return t;
}

struct trouble trouble_of_refusal(struct job *job, const struct session *at)
{
	struct str said = reply_text(&at->reply, job->arena);
	struct trouble t = trouble_make(job, SOFT, true, "4.5.0", at,
					"host %.*s refused to talk to me: %.*s", PSTR(at->name), PSTR(said));

	trouble_quote(&t, job, at);
	return t;
}

/* ---- what it means ---- */

static struct result result_of(const struct trouble *t)
{
	return (struct result){ .dsn = t->dsn, .relay = t->relay, .remote_mta = t->remote_mta,
				.diagnostic = t->diagnostic };
}

static struct trouble *kept(struct job *job, const struct recipient *r)
{
	return &job->of[r - job->d->env.recipients];
}

bool job_is_done(const struct job *job)
{
	EACH_RECIPIENT(r, job->d)
		if (is_pending(job->d, r))
			return false;
	return true;
}

/* 5,000 recipients (qmgr), each with a refusal of 4 KiB in its words for the log, the notification and the reply */
enum { ROOM_FOR_REFUSALS = 128 << 20 };

bool job_has_room(const struct job *job)
{
	return arena_left(job->arena) >= ROOM_FOR_REFUSALS;
}

void trouble_one(struct job *job, struct recipient *r, const struct trouble *t)
{
	struct result how = result_of(t);

	if (t->kind == HARD && is_final(job->d))
		bounced(job->d, r, &how, "%.*s", PSTR(t->text));
	else
		*kept(job, r) = *t;
}

void trouble_keep(struct job *job, const struct trouble *t)
{
	EACH_RECIPIENT(r, job->d)
		if (is_pending(job->d, r) && kept(job, r)->kind != SOFT)
			*kept(job, r) = *t;
}

void trouble_all(struct job *job, const struct trouble *t)
{
	EACH_RECIPIENT(r, job->d)
		if (is_pending(job->d, r))
			trouble_one(job, r, t);
}

static bool is_same(const struct trouble *a, const struct trouble *b)
{
	return a->kind == b->kind && str_is(a->text, b->text);
}

void trouble_log(struct job *job)
{
	struct trouble *last = NULL;

	EACH_RECIPIENT(r, job->d) {
		struct trouble *t = kept(job, r);

		if (!is_pending(job->d, r) || t->kind == NO_TROUBLE)
			continue;
		if (!t->logged && (last == NULL || !is_same(last, t)))
			log_mail(ROAD_INFO, job->d->queue_id, "%.*s", PSTR(t->text));
		t->logged = true;
		last = t;
	}
}

/* The next hop as a whole is out of order if that is what all of them suffer from. */
static const struct trouble *common_site_trouble(struct job *job)
{
	const struct trouble *first = NULL;

	EACH_RECIPIENT(r, job->d) {
		const struct trouble *t = kept(job, r);

		if (!is_pending(job->d, r))
			continue;
		if (t->kind != SOFT || !t->site || (first != NULL && !is_same(first, t)))
			return NULL;
		first = t;
	}
	return first;
}

void job_finish(struct job *job)
{
	const struct trouble *site = common_site_trouble(job);
	struct result how;

	if (site != NULL) {
		how = result_of(site);
		site_failed(job->d, &how, "%.*s", PSTR(site->text));
		return;
	}
	EACH_RECIPIENT(r, job->d) {
		const struct trouble *t = kept(job, r);

		if (!is_pending(job->d, r))
			continue;
		how = result_of(t);
		if (t->kind == HARD)
			bounced(job->d, r, &how, "%.*s", PSTR(t->text));
		else if (t->kind == SOFT)
			deferred(job->d, r, &how, "%.*s", PSTR(t->text));
		else
			deferred(job->d, r, &(struct result){ .dsn = "4.3.0" }, "no server was tried");
	}
}
