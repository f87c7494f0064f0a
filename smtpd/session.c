/* SPDX-License-Identifier: ISC */
/*
 * The session loop: greet, read a command, dispatch. Limits on errors and the log lines about
 * beginning and end are here too.
 */
#include "smtpd/session.h"

#include <errno.h>
#include <sys/socket.h>

#include "lib/daemon/daemon.h"
#include "lib/log/log.h"
#include "lib/mail/header.h"
#include "smtpd/client_rate.h"
#include "smtpd/sasl.h"
#include "smtpd/smtpd.h"
#include "smtpd/transaction.h"

enum { SESSION_MEMORY = 256 << 10, STEP_MEMORY = 16 << 20, SHOWN_INPUT = 100 };

static struct list all_sessions = LIST_INIT(all_sessions);
static bool stopping;

static const struct smtpd_conf *conf(void) { return &the_smtpd->conf; }

struct str session_queue_id(const struct session *s)
{
	return s->tx != NULL && s->tx->queue_id[0] != 0 ? str_of(s->tx->queue_id) : STR("NOQUEUE");
}

struct str session_protocol(const struct session *s)
{
	return s->esmtp ? STR("ESMTP") : STR("SMTP");
}

/* ---- beginning and end ---- */

static struct session *session_new(struct session_socket *socket)
{
	struct arena *a = arena_new("smtpd session", NULL, SESSION_MEMORY);
	struct session *s = ARENA_NEW(a, struct session);

	s->arena = a;
	s->step = arena_new("smtpd command", a, STEP_MEMORY);
	s->stream = stream_new(socket->fd);
	s->local = socket->local;
	s->peer.ip = socket->peer;
	s->peer.name = s->peer.reverse_name = BUF(256);
	s->peer.shown = BUF(512);
	s->reply = BUF(LONGEST_REPLY);
	s->helo = BUF(4096);
	s->sasl_method = s->sasl_username = BUF(4096);
	s->where = "CONNECT";
	list_append(&all_sessions, &s->link);
	return s;
}

/* What the last command left is forgotten, and overwritten when it held a password. */
static void begin_step(struct session *s)
{
	if (!s->has_secret) {
		arena_reset(s->step);
		return;
	}
	arena_reset_wipe(s->step);
	stream_wipe_input(s->stream);
	s->has_secret = false;
}

static void session_free(struct session *s)
{
	list_remove(&s->link);
	transaction_end(s);
	begin_step(s);
	stream_free(s->stream);
	peer_free(&s->peer);
	buf_free(&s->reply);
	buf_free(&s->helo);
	buf_free(&s->sasl_method);
	buf_free(&s->sasl_username);
	arena_free(s->arena);
}

static void add_counter(struct buf *b, const char *name, unsigned good, unsigned total)
{
	buf_addf(b, " %s=%u", name, good);
	if (good != total)
		buf_addf(b, "/%u", total);
}

static void log_disconnect(const struct session *s)
{
	AUTO(buf) counters = BUF(1024);
	unsigned good = 0, total = 0;

	for (int i = 0; i < VERB_COUNT; i++) {
		if (s->total[i] == 0)
			continue;
		AUTO(buf) name = BUF(20);
		buf_add_lower(&name, str_of(verbs[i].name));
		add_counter(&counters, buf_text(&name), s->good[i], s->total[i]);
		good += s->good[i];
		total += s->total[i];
	}
	if (total == 0)
		buf_add_text(&counters, " commands=0/0");
	else
		add_counter(&counters, "commands", good, total);
	if (s->got_bare_lf && the_smtpd->bare_newline == BARE_NEWLINE_NOTE)
		buf_add_text(&counters, " notes=bare_lf");
	log_info("disconnect from %s%s", buf_text(&s->peer.shown), buf_text(&counters));
}

/*
 * Why the session ended, unless the client said QUIT. A connection that is lost when the message is
 * through is nobody's worry. A queue id or NOQUEUE in front of it, as Postfix 3.10 has it, would hide the
 * line from fail2ban's filters.
 */
static void log_end_reason(const struct session *s)
{
	bool in_content = s->tx != NULL && s->tx->content == CONTENT_COMING;

	if (s->end_reason == NULL)
		return;
	if (in_content)
		log_info("%s after %s (%llu bytes) from %s", s->end_reason, s->where,
			 (unsigned long long) (s->tx->decoder.bytes + s->tx->decoder.lines),
			 buf_text(&s->peer.shown));
	else if (strcmp(s->where, "END-OF-MESSAGE") != 0 || strcmp(s->end_reason, "lost connection") != 0)
		log_info("%s after %s from %s", s->end_reason, s->where, buf_text(&s->peer.shown));
}

/* The stream has failed: say why, to the client too where somebody may be listening. */
static void explain_end(struct session *s)
{
	int error = stream_error(s->stream);

	if (s->end_reason != NULL || s->hang_up || error == 0)
		return;
	if (error == -ETIMEDOUT)
		s->end_reason = "timeout";
	else if (error == -ECANCELED || stopping)
		s->end_reason = "server shutdown";
	else if (error == -E2BIG)
		s->end_reason = "too much data";
	else
		s->end_reason = "lost connection";
	if (error != -ETIMEDOUT && error != -ECANCELED && error != -EPIPE)
		return;
	stream_clear_error(s->stream);
	stream_deadline(s->stream, in(0));
	if (error == -ETIMEDOUT)
		writef(s->stream, "421 4.4.2 %s Error: timeout exceeded\r\n", the_smtpd->common->myhostname);
	else if (error == -ECANCELED || stopping)
		writef(s->stream, "421 4.3.2 %s Service shutting down\r\n", the_smtpd->common->myhostname);
}

/* Its input ends here for good: the session reads what was sent before, and then leaves. */
static void end_input(struct session *s)
{
	if (s->tx == NULL)
		shutdown(stream_fd(s->stream), SHUT_RD);
}

void sessions_stop(void)
{
	stopping = true;
	LIST_EACH(s, &all_sessions, struct session, link)
		end_input(s);
}

/* ---- reading ---- */

int bare_newline_code(struct session *s)
{
	struct match_list *exclusions = the_smtpd->bare_newline_exclusions;
	int r;

	s->got_bare_lf = true;
	if (the_smtpd->bare_newline != BARE_NEWLINE_REJECT)
		return 0;
	r = match_client(exclusions, s->step, buf_str(&s->peer.name), &s->peer.ip);
	if (r < 0)
		log_warning("%s", match_why(exclusions));
	return r > 0 ? 0 : r < 0 ? 451 : (int) conf()->smtpd_forbid_bare_newline_reject_code;
}

/* A bare line feed in a command. False: the session ends. */
static bool bare_newline_is_fine(struct session *s)
{
	const int code = bare_newline_code(s);
	struct question q;

	if (code == 0)
		return true;
	question_begin(&q, s, STR_NONE);
	log_check(&q, "reject", STR("bare <LF> received"));
	reply(s, code, "5.5.2", "%s Error: bare <LF> received", the_smtpd->common->myhostname);
	s->end_reason = "bare <LF> received";
	return false;
}

/* True: *ret is a command. False: a line that is none, already answered, or the end of the session. */
static bool understand(struct session *s, struct str line, struct command *ret)
{
	int r;

	s->has_secret = str_starts_nocase(line, STR("AUTH "));
	log_debug("< %s: %.*s", buf_text(&s->peer.shown), PSTR(s->has_secret ? STR("AUTH ...") : line));
	r = command_parse(arena_copy(s->step, line), conf()->smtputf8_enable, ret);

	if (r < 0) {
		s->errors++;
		reply(s, 500, "5.5.2", r == -EILSEQ ? "Error: bad UTF-8 syntax" : "Error: bad syntax");
	}
	return r >= 0;
}

/* AUTH may bring a whole answer with it (RFC 4954 4); no other command is longer than line_length_limit. */
static size_t longest_line(const struct session *s)
{
	int64_t plain = the_smtpd->common->line_length_limit;

	return (size_t) (sasl_is_active(s)
			 && !is_authenticated(s) ? MAX(plain, conf()->smtpd_sasl_response_limit) : plain);
}

static bool is_too_long(struct str line)
{
	return line.len > (size_t) the_smtpd->common->line_length_limit
	       && !str_starts_nocase(line, STR("AUTH "));
}

static enum next refuse_length(struct session *s)
{
	s->errors++;
	return reply(s, 500, "5.5.2", "Error: line too long");
}

static bool read_command(struct session *s, struct command *ret)
{
	struct str line;
	bool bare_lf = false;

	while (!s->hang_up) {
		begin_step(s);
		if (stopping)
			end_input(s);
		if (s->errors >= conf()->smtpd_hard_error_limit) {
			s->end_reason = "too many errors";
			reply(s, 421, "4.7.0", "%s Error: too many errors", the_smtpd->common->myhostname);
			return false;
		}
		stream_deadline(s->stream, in(conf()->smtpd_timeout));
		if (read_line(s->stream, longest_line(s), &line, &bare_lf)) {
			if (bare_lf && !bare_newline_is_fine(s))
				return false;
			if (is_too_long(line))
				refuse_length(s);
			else if (understand(s, line, ret))
				return true;
		} else if (stream_error(s->stream) == -EMSGSIZE) {
			/* the next read_line skips what is left of it */
			stream_clear_error(s->stream);
			refuse_length(s);
		} else {
			return false;
		}
	}
	return false;
}

/* ---- dispatch ---- */

static enum verb_id find_verb(struct str name)
{
	for (int i = 0; i < VERB_UNKNOWN; i++)
		if (str_is_nocase(name, str_of(verbs[i].name)))
			return i;
	return VERB_UNKNOWN;
}

/* Up to the first line that says AUTH: what comes then may be a password. */
static struct str before_auth(struct str bytes)
{
	struct str rest = bytes, line;

	do {
		if (str_starts_nocase(rest, STR("AUTH ")))
			return str_head(bytes, (size_t) (rest.at + strlen("AUTH ") - bytes.at));
	} while (str_cut(&rest, '\n', &line));
	return bytes;
}

/* The first bytes of what a client sends where it should not, fit for the log. */
static struct str shown_input(struct session *s, struct str bytes)
{
	AUTO(buf) b = BUF(4 * SHOWN_INPUT);

	bytes = before_auth(str_head(bytes, SHOWN_INPUT));
	for (size_t i = 0; i < bytes.len; i++) {
		unsigned char c = (unsigned char) bytes.at[i];

		if (c == '\r' || c == '\n' || c == '\\')
			buf_addf(&b, "\\%c", c == '\r' ? 'r' : c == '\n' ? 'n' : '\\');
		else if (is_print((char) c))
			buf_add_byte(&b, (char) c);
		else
			buf_addf(&b, "\\%03o", c);
	}
	return arena_copy(s->step, buf_str(&b));
}

/*
 * HTTP, mail headers, shell commands: not a mail client. Look-up errors are ignored: this is no
 * access control.
 */
static bool is_no_smtp(struct session *s, struct str verb)
{
	return is_header_start(verb) || match_text(the_smtpd->forbidden_commands, s->step, verb) > 0;
}

/* Commands sent ahead: always wrong before EHLO, and behind a command that must be the last of its group. */
static bool speaks_out_of_turn(struct session *s, const struct verb *v)
{
	struct str ahead;

	if ((s->esmtp && (v->flags & VERB_LAST) == 0) || s->told_of_pipelining
	    || !stream_poll_input(s->stream))
		return false;
	ahead = stream_peek(s->stream);
	if (ahead.len == 0)		/* the end of the connection */
		return false;
	s->told_of_pipelining = true;
	log_info("improper command pipelining after %s from %s: %.*s", v->name, buf_text(&s->peer.shown),
		 PSTR(s->has_secret ? STR("(not shown)") : shown_input(s, ahead)));
	return conf()->smtpd_forbid_unauth_pipelining;
}

static enum next refuse_unknown(struct session *s, const struct command *c)
{
	s->where = verbs[VERB_UNKNOWN].name;
	if (is_no_smtp(s, c->verb)) {
		log_warning("non-SMTP command from %s: %.*s", buf_text(&s->peer.shown),
			    PSTR(shown_input(s, c->line)));
		reply(s, 221, "2.7.0", "Error: I can break rules, too. Goodbye.");
		s->hang_up = true;
		return NEITHER;
	}
	return s->denied.act == REJECT ? FAILED : reply(s, 500, "5.5.2", "Error: command not recognized");
}

static enum next refuse_denied(struct session *s)
{
	if (s->denied.code == 421 || s->denied.code == 521)
		return reply_verdict(s, &s->denied);
	return reply(s, 503, "5.7.0", "Error: access denied for %s", buf_text(&s->peer.shown));
}

static enum next run_verb(struct session *s, enum verb_id id, const struct command *c)
{
	const struct verb *v = &verbs[id];
	struct verdict refusal;
	enum next next = DONE;

	if (id == VERB_UNKNOWN)
		next = refuse_unknown(s, c);
	if (s->hang_up)
		return next;
	if (s->denied.act == REJECT && id != VERB_QUIT)
		return refuse_denied(s);
	if (id == VERB_UNKNOWN)
		return next;
	s->where = v->name;
	refusal = tls_verdict(s, id);
	if (refusal.act == REJECT)
		return reply_verdict(s, &refusal);
	if (speaks_out_of_turn(s, v)) {
		reply(s, 554, "5.5.0", "Error: SMTP protocol synchronization");
		s->hang_up = true;
		return NEITHER;
	}
	return v->run(s, c);
}

static enum next run_command(struct session *s, const struct command *c)
{
	enum verb_id id = find_verb(c->verb);
	enum next next;

	if (match_text(the_smtpd->noop_commands, s->step, c->verb) > 0) {
		reply(s, 250, "2.0.0", "Ok");
		s->errors += s->junk++ > conf()->smtpd_junk_command_limit;
		return DONE;
	}
	s->total[id]++;
	next = run_verb(s, id, c);
	if (next == DONE || next == LEAVE)
		s->good[id]++;
	else if (next == FAILED)
		s->errors++;
	if ((verbs[id].flags & VERB_JUNK) != 0 && s->junk++ > conf()->smtpd_junk_command_limit)
		s->errors++;
	return next;
}

/* ---- the session ---- */

/* As long as the session, or until it is greeted anew: XCLIENT may come any number of times. */
static void keep_denial(struct session *s)
{
	const struct effects *fx = session_effects(s);
	struct verdict *v = &s->denied;

	v->dsn = fx == NULL ? STR("5.7.1") : arena_copy(fx->arena, v->dsn);
	v->text = fx == NULL ? STR("Access denied") : arena_copy(fx->arena, v->text);
}

void greet(struct session *s)
{
	s->denied = dunno();
	effects_free(&s->early);
	effects_free(&s->helo_effects);
	s->client_pending = s->helo_pending = dunno();
	if (!conf()->smtpd_delay_reject) {
		s->denied = restrict_now(s, STAGE_CLIENT);
		if (s->denied.act == REJECT) {
			keep_denial(s);
			reply_verdict(s, &s->denied);
			s->errors++;
			return;
		}
	}
	reply(s, 220, NULL, "%s", conf()->smtpd_banner);
}

static void converse(struct session *s)
{
	struct command c;

	greet(s);
	while (read_command(s, &c))
		if (run_command(s, &c) == LEAVE)
			break;
	explain_end(s);
	flush(s->stream);
}

void ask_whether_local(struct session *s)
{
	struct question q;
	struct verdict v;

	question_begin(&q, s, STR_NONE);
	v = rules_ask(&q, the_smtpd->local_clients);
	s->is_local = v.act == PERMIT;
	s->is_local_unknown = v.act == REJECT;
}

struct verdict local_verdict(struct session *s)
{
	struct question q;
	struct verdict v;

	if (s->is_local_unknown)
		ask_whether_local(s);
	if (!s->is_local_unknown)
		return dunno();
	question_begin(&q, s, STR_NONE);
	v = reject(q.arena, 451, STR("4.3.0"), "Temporary lookup error");
	log_verdict(&q, "reject", &v);
	return v;
}

void identity_changed(struct session *s)
{
	co_describe("%s", buf_text(&s->peer.shown));
	s->may_verp = match_client(the_smtpd->verp_clients, s->step, buf_str(&s->peer.name), &s->peer.ip) > 0;
	s->may_xclient = match_client(the_smtpd->xclient_hosts, s->step, buf_str(&s->peer.name),
				      &s->peer.ip) > 0;
	ehlo_choose_discards(s);
	ask_whether_local(s);
	begin_step(s);
}

static void turn_away(struct session *s)
{
	if (conf()->smtpd_tls_wrappermode)
		return;			/* it expects no plain words */
	stream_deadline(s->stream, in(conf()->smtpd_timeout));
	reply(s, 421, "4.7.0", "%s Error: too many connections from %s", the_smtpd->common->myhostname,
	      s->peer.address);
	flush(s->stream);
}

static void serve_peer(struct session *s)
{
	peer_identify(s);
	log_info("connect from %s", buf_text(&s->peer.shown));
	identity_changed(s);
	if (is_one_too_many(s) || comes_too_often(s, ANVIL_CONNECTION))
		turn_away(s);
	else if (tls_before_greeting(s))
		converse(s);
	is_one_less(s);
	log_end_reason(s);
	log_disconnect(s);
}

void serve_client(struct session_socket *socket)
{
	struct session *s = session_new(socket);

	if (read_proxy_header(s))
		serve_peer(s);
	session_free(s);
}
