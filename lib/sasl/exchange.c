/* SPDX-License-Identifier: ISC */
/*
 * One attempt of one client. Requests are numbered, so that a late answer to one that was given up
 * finds nobody.
 */
#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/sasl/server_private.h"

enum { MOST_RESPONSE = AUTH_LONGEST_LINE - 1024 };	/* room for the rest of the line */

static void set(struct buf *b, struct str text)
{
	buf_clear(b);
	buf_add(b, text);
}

/* ---- answers ---- */

void exchange_answered(struct auth_server *s, const struct auth_line *l)
{
	LIST_EACH(e, &s->waiting, struct sasl_exchange, link) {
		if (e->id != l->id)
			continue;
		set(&e->challenge, l->challenge);
		set(&e->user, l->user);
		set(&e->reason, l->reason);
		e->outcome = l->word == AUTH_CONT ? SASL_MORE : l->word == AUTH_OK
			     ? SASL_DONE : l->is_temporary ? SASL_UNAVAILABLE : SASL_REFUSED;
		e->is_answered = true;
		list_remove(&e->link);
		bell_ring(&e->answered);
		return;
	}
}

void exchanges_lost(struct auth_server *s)
{
	LIST_EACH(e, &s->waiting, struct sasl_exchange, link) {
		e->is_answered = e->is_lost = true;
		list_remove(&e->link);
		bell_ring(&e->answered);
	}
}

static enum sasl_outcome over(struct sasl_exchange *e, enum sasl_outcome outcome, const char *reason)
{
	e->is_over = true;
	if (reason != NULL)
		set(&e->reason, str_of(reason));
	return outcome;
}

static enum sasl_outcome lost(struct sasl_exchange *e)
{
	return over(e, SASL_UNAVAILABLE, "Connection lost to authentication server");
}

/* A line as a buffer for a secret. */
static struct buf new_line(void)
{
	struct buf line = BUF(2 * AUTH_LONGEST_LINE);

	buf_room(&line, line.limit);
	return line;
}

/* Lines are made whole before they are added: a full buffer takes nothing of one. Overwrites it. */
static int add_line(struct auth_server *s, struct buf *line)
{
	int r = line->len > AUTH_LONGEST_LINE ? -EMSGSIZE : server_add(s, buf_str(line));

	buf_wipe(line);
	return r;
}

static bool is_under_way(const struct sasl_exchange *e)
{
	return e->id != 0 && !e->is_over && e->server->state == SERVER_READY
	       && e->server->connection == e->connection;
}

static void cancel(struct sasl_exchange *e)
{
	struct buf line;

	if (!is_under_way(e))
		return;
	line = new_line();
	buf_addf(&line, "CANCEL\t%u\n", e->id);
	if (add_line(e->server, &line) == 0)
		server_send(e->server);
}

/* Sends the line in `unsent` and waits for what the server says to it. */
static enum sasl_outcome await(struct sasl_exchange *e)
{
	struct auth_server *s = e->server;
	const when_t asked = mono_ms(), until = in(s->settings.answer_ms);
	int r = 0;

	e->is_answered = e->is_lost = false;
	list_append(&s->waiting, &e->link);
	server_send(s);
	while (!e->is_answered && r == 0)
		r = bell_wait(&e->answered, until);
	if (!e->is_answered) {
		list_remove(&e->link);
		cancel(e);
		if (r == -ETIMEDOUT && s->heard <= asked)
			server_give_up(s);
		return over(e, SASL_UNAVAILABLE, "Authentication server does not answer");
	}
	if (e->is_lost)
		return lost(e);
	e->is_over = e->outcome != SASL_MORE;
	return e->outcome;
}

/* ---- requests ---- */

static void add_option(struct buf *b, const char *name, struct str value)
{
	if (value.len == 0)
		return;
	buf_addf(b, "\t%s=", name);
	auth_add_value(b, value);
}

static void add_end(struct buf *b, const char *ip_name, const char *port_name, const struct address_ip *end)
{
	char text[64];

	if (end == NULL || end->family == 0)
		return;
	ip_print(end, text);
	buf_addf(b, "\t%s=%s\t%s=%u", ip_name, text, port_name, end->port);
}

static int add_request(struct sasl_exchange *e, const struct sasl_request *q)
{
	struct buf line = new_line();

	e->id = ++e->server->last_id;
	if (e->id == 0)
		e->id = ++e->server->last_id;
	e->connection = e->server->connection;
	buf_addf(&line, "AUTH\t%u\t%.*s", e->id, PSTR(q->mechanism));
	add_option(&line, "service", q->service);
	buf_add_text(&line, "\tnologin");
	add_end(&line, "lip", "lport", q->local);
	add_end(&line, "rip", "rport", q->remote);
	if (q->is_secured)
		buf_add_text(&line, "\tsecured");
	if (q->has_trusted_certificate)
		buf_add_text(&line, "\tvalid-client-cert");
	add_option(&line, "realm", q->realm);
	if (q->has_response)
		/* as in SMTP: nothing would be none */
		buf_addf(&line, "\tresp=%.*s", PSTR(q->response.len > 0 ? q->response : STR("=")));
	buf_add_byte(&line, '\n');
	return add_line(e->server, &line);
}

/*
 * Nothing was said yet but the request: when the server was restarted since the last one, it may be
 * said again.
 */
enum sasl_outcome sasl_begin(struct sasl_exchange *e, struct auth_server *s, const struct sasl_request *q)
{
	enum sasl_outcome outcome = SASL_UNAVAILABLE;

	*e = (struct sasl_exchange){ .challenge = BUF(AUTH_LONGEST_LINE), .user = BUF(AUTH_LONGEST_LINE),
				     .reason = BUF(AUTH_LONGEST_LINE) };
	bell_init(&e->answered);
	list_init(&e->link);
	if (q->has_response && !is_base64(q->response))
		return over(e, SASL_REFUSED, "Invalid base64 data in initial response");
	if (q->response.len > MOST_RESPONSE)
		return over(e, SASL_REFUSED, "Initial response too long");
	if (s->settings.one_exchange)
		e->own_server = server_like(s);
	e->server = e->own_server != NULL ? e->own_server : s;
	for (int attempt = 0; attempt < 2; attempt++) {
		e->is_over = e->is_lost = false;
		if (server_ready(e->server) < 0 || add_request(e, q) < 0) {
			outcome = lost(e);
			break;
		}
		outcome = await(e);
		if (!e->is_lost)
			break;
	}
	if (e->own_server != NULL && outcome == SASL_UNAVAILABLE && e->own_server->why.len > 0)
		set(&s->why, buf_str(&e->own_server->why));
	return outcome;
}

enum sasl_outcome sasl_continue(struct sasl_exchange *e, struct str response)
{
	struct buf line;

	BUG_UNLESS(e->id != 0 && !e->is_over);
	if (!is_under_way(e))
		return lost(e);
	if (!is_base64(response) || response.len > MOST_RESPONSE) {
		cancel(e);
		return over(e, SASL_REFUSED, "Invalid base64 data in continued response");
	}
	line = new_line();
	buf_addf(&line, "CONT\t%u\t%.*s\n", e->id, PSTR(response));
	if (add_line(e->server, &line) < 0)
		return lost(e);
	return await(e);
}

void sasl_end(struct sasl_exchange *e)
{
	if (e->challenge.limit == 0)
		return;			/* not begun */
	if (e->own_server != NULL)
		auth_server_free(e->own_server);
	else
		cancel(e);
	e->own_server = e->server = NULL;
	e->id = 0;
	e->is_over = true;
	buf_free(&e->challenge);
	buf_free(&e->user);
	buf_free(&e->reason);
}
