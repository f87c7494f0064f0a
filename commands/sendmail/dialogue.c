/* SPDX-License-Identifier: ISC */
/*
 * sendmail -bs: SMTP on standard input and output, for a local program that speaks nothing else. It
 * works for any user and without a running mail system, because each message goes to postdrop like
 * any other. The client is the user himself, so there are no access rules here, and relay control
 * does not apply: cleanup and the queue see a local message.
 */
#include <inttypes.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/sendmail/sendmail.h"
#include "lib/base/die.h"
#include "lib/mail/mail_address.h"
#include "lib/smtp/command.h"
#include "lib/smtp/dot_in.h"
#include "lib/smtp/esmtp_args.h"

enum { MOST_RECIPIENTS = 100000, MOST_ERRORS = 100, TRANSACTION_MEMORY = 64 << 20 };

/*
 *   bare_lf     the last command, or the first line of content behind it, ended in LF alone, as whoever
 *               types at a terminal ends lines, or a program that only knows how SMTP's commands end
 *   has_sender  MAIL was accepted; recipients may follow. Ends with DATA, RSET, HELO, EHLO
 */
struct dialogue {
	struct request *q;
	struct input in;
	struct arena *transaction;
	bool bare_lf, has_sender;
	struct envelope e;
	VEC(struct recipient) recipients;
	int errors;
};

typedef bool verb_function(struct dialogue *d, struct str args);	/* false: the dialogue is over */

static __attribute__((format(printf, 2, 3))) bool reply(struct dialogue *d, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	if (format[0] >= '4')
		d->errors++;
	vprintf(format, arguments);
	va_end(arguments);
	fputs("\r\n", stdout);
	if (fflush(stdout) != 0)
		return false;
	return d->errors < MOST_ERRORS;
}

static void end_transaction(struct dialogue *d)
{
	arena_reset(d->transaction);
	d->has_sender = false;
	d->e = (struct envelope){ 0 };
	d->recipients.at = NULL;
	d->recipients.len = d->recipients.cap = 0;
}

/* ---- verbs ---- */

static bool say_helo(struct dialogue *d, struct str args)
{
	if (args.len == 0)
		return reply(d, "501 Syntax: HELO hostname");
	end_transaction(d);
	return reply(d, "250 %s", d->q->world.common.myhostname);
}

static bool say_ehlo(struct dialogue *d, struct str args)
{
	if (args.len == 0)
		return reply(d, "501 Syntax: EHLO hostname");
	end_transaction(d);
	printf("250-%s\r\n250-PIPELINING\r\n", d->q->world.common.myhostname);
	if (d->q->world.common.message_size_limit > 0)
		printf("250-SIZE %" PRId64 "\r\n", d->q->world.common.message_size_limit);
	else
		printf("250-SIZE\r\n");
	return reply(d, "250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n250 SMTPUTF8");
}

static bool reply_bad_argument(struct dialogue *d, enum esmtp_error error, struct str bad)
{
	switch (error) {
	case ESMTP_BAD_SIZE: return reply(d, "501 5.5.4 Bad message size syntax");
	case ESMTP_SIZE_OVERFLOW: return reply(d, "552 5.3.4 Message size exceeds file system imposed limit");
	case ESMTP_BAD_RET: return reply(d, "501 5.5.4 Bad RET parameter syntax");
	case ESMTP_BAD_ENVID: return reply(d, "501 5.5.4 Bad ENVID parameter syntax");
	case ESMTP_BAD_NOTIFY: return reply(d, "501 5.5.4 Error: Bad NOTIFY parameter syntax");
	case ESMTP_BAD_ORCPT: return reply(d, "501 5.5.4 Error: Bad ORCPT parameter syntax");
	default: return reply(d, "555 5.5.4 Unsupported option: %.*s", PSTR(str_head(bad, 100)));
	}
}

static bool says_smtputf8(struct str args)
{
	struct str word;

	while (command_word(&args, &word))
		if (str_is_nocase(word, STR("SMTPUTF8")))
			return true;
	return false;
}

static bool say_mail(struct dialogue *d, struct str args)
{
	struct mail_args said;
	struct str sender, bad = STR_NONE;
	enum esmtp_error error;

	if (d->has_sender)
		return reply(d, "503 5.5.1 Error: nested MAIL command");
	if (!command_keyword(&args, STR("FROM:"))
	    || path_parse(&args, d->transaction, false, says_smtputf8(args), &sender) < 0)
		return reply(d, "501 5.5.4 Syntax: MAIL FROM:<address>");
	error = esmtp_mail_args(args, d->transaction, &said, &bad);
	if (error != ESMTP_OK)
		return reply_bad_argument(d, error, bad);
	if (d->q->world.common.message_size_limit > 0
	    && said.size > (uint64_t) d->q->world.common.message_size_limit)
		return reply(d, "552 5.3.4 Message size exceeds fixed limit");
	d->e = (struct envelope){ .sender = sender, .flags = ENVELOPE_LOCAL, .ret = said.ret,
				  .envid = said.envid };
	if (said.body == BODY_8BITMIME)
		d->e.flags |= ENVELOPE_8BITMIME;
	if (said.smtputf8)
		d->e.flags |= ENVELOPE_SMTPUTF8;
	d->has_sender = true;
	return reply(d, "250 2.1.0 Ok");
}

static bool say_rcpt(struct dialogue *d, struct str args)
{
	struct rcpt_args said;
	struct str address, bad = STR_NONE;
	enum esmtp_error error;

	if (!d->has_sender)
		return reply(d, "503 5.5.1 Error: need MAIL command");
	if (d->recipients.len >= MOST_RECIPIENTS || arena_left(d->transaction) < TRANSACTION_MEMORY / 4)
		return reply(d, "452 4.5.3 Error: too many recipients");
	if (!command_keyword(&args, STR("TO:"))
	    || path_parse(&args, d->transaction, false, (d->e.flags & ENVELOPE_SMTPUTF8) != 0, &address) < 0
	    || address.len == 0)
		return reply(d, "501 5.5.4 Syntax: RCPT TO:<address>");
	error = esmtp_rcpt_args(args, d->transaction, &said, &bad);
	if (error != ESMTP_OK)
		return reply_bad_argument(d, error, bad);
	*vec_add(d->transaction, &d->recipients) = (struct recipient){
		.index = (uint32_t) d->recipients.len, .address = address, .notify = said.notify,
		.orcpt = said.orcpt,
	};
	return reply(d, "250 2.1.5 Ok");
}

static void feed(struct dialogue *d, struct dot_in *dots, struct str bytes, struct buf *decoded)
{
	input_give_back(&d->in, bytes.len - dot_in_feed(dots, bytes, decoded));
}

/*
 * Content ends with a dot between lines that end as DATA or its first line did. So LF "." LF within
 * the lines of who says CR LF, which may be somebody else's, ends nothing.
 */
static bool read_data(struct dialogue *d, bool is_first, struct dot_in *dots, struct buf *decoded)
{
	struct str bytes;
	bool ends_in_lf;

	if (!d->bare_lf && !is_first) {
		if (!input_bytes(&d->in, INPUT_SIZE / 2, &bytes))
			return false;
		feed(d, dots, bytes, decoded);
		return true;
	}
	if (!input_line(&d->in, &bytes))
		return false;
	ends_in_lf = str_ends(bytes, STR("\n")) && !str_ends(bytes, STR("\r\n"));
	d->bare_lf |= ends_in_lf;
	feed(d, dots, ends_in_lf ? str_head(bytes, bytes.len - 1) : bytes, decoded);
	if (ends_in_lf)
		dot_in_feed(dots, STR("\r\n"), decoded);
	return true;
}

/* Reads to the final dot; out NULL: for nothing. False: the input ended before. */
static bool copy_data(struct dialogue *d, struct submission *out)
{
	AUTO(buf) decoded = BUF(2 * INPUT_SIZE);
	struct dot_in dots;

	dot_in_begin(&dots, true);
	for (bool is_first = true; !dot_in_ended(&dots); is_first = false) {
		if (!read_data(d, is_first, &dots, &decoded))
			return false;
		if (out != NULL)
			submission_write(out, buf_str(&decoded));
		buf_clear(&decoded);
	}
	return true;
}

static bool reply_outcome(struct dialogue *d, int status, const char *id)
{
	switch (status) {
	case EX_OK: return reply(d, "250 2.0.0 Ok: queued as %s", id);
	case EX_DATAERR: return reply(d, "552 5.3.4 Error: message file too big");
	case EX_NOPERM: return reply(d, "550 5.7.1 Error: this account may not submit mail");
	default: return reply(d, "451 4.3.0 Error: queue file write error");
	}
}

static bool say_data(struct dialogue *d, struct str args)
{
	struct submission *out = NULL;
	AUTO(buf) why = BUF_WORDS;
	int status = EX_TEMPFAIL;
	char id[32];

	if (!d->has_sender || d->recipients.len == 0)
		return reply(d, d->has_sender ? "554 5.5.1 Error: no valid recipients"
			     : "503 5.5.1 Error: need RCPT command");
	if (args.len > 0)
		return reply(d, "501 5.5.4 Syntax: DATA");
	if (!reply(d, "354 End data with <CR><LF>.<CR><LF>"))
		return false;
	d->e.recipients = d->recipients.at;
	d->e.recipient_count = d->recipients.len;
	if (submission_begin(postdrop_path(d->q), d->q->dir, &d->e, &out, &why) < 0)
		log_warning("%s", buf_text(&why));
	if (!copy_data(d, out)) {
		submission_abort(out);
		return false;
	}
	if (out != NULL)
		status = submission_end(out, id);
	end_transaction(d);
	return reply_outcome(d, status, id);
}

static bool say_rset(struct dialogue *d, struct str args)
{
	(void) args;
	end_transaction(d);
	return reply(d, "250 2.0.0 Ok");
}

static bool say_noop(struct dialogue *d, struct str args)
{
	(void) args;
	return reply(d, "250 2.0.0 Ok");
}

static bool say_vrfy(struct dialogue *d, struct str args)
{
	return args.len == 0 ? reply(d, "501 5.5.4 Syntax: VRFY address") : reply(d, "252 2.0.0 %.*s",
			PSTR(str_head(args, 200)));
}

static bool say_help(struct dialogue *d, struct str args)
{
	(void) args;
	return reply(d, "214 2.0.0 EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT");
}

static bool say_quit(struct dialogue *d, struct str args)
{
	(void) args;
	reply(d, "221 2.0.0 Bye");
	return false;
}

static const struct { struct str verb; verb_function *say; } verbs[] = {
	{ STR_INIT("HELO"), say_helo }, { STR_INIT("EHLO"), say_ehlo }, { STR_INIT("MAIL"), say_mail },
	{ STR_INIT("RCPT"), say_rcpt }, { STR_INIT("DATA"), say_data }, { STR_INIT("RSET"), say_rset },
	{ STR_INIT("NOOP"), say_noop }, { STR_INIT("VRFY"), say_vrfy }, { STR_INIT("HELP"), say_help },
	{ STR_INIT("QUIT"), say_quit },
};

static bool answer(struct dialogue *d, struct str line)
{
	struct command c;

	if (command_parse(line, true, &c) < 0)
		return reply(d, "500 5.5.2 Error: bad syntax");
	for (size_t i = 0; i < COUNT_OF(verbs); i++)
		if (str_is_nocase(c.verb, verbs[i].verb))
			return verbs[i].say(d, c.args);
	return reply(d, "502 5.5.2 Error: command not recognized");
}

/* A line that does not fit is read to its end and refused. */
static bool read_command(struct dialogue *d, struct str *ret_line, bool *ret_too_long)
{
	*ret_too_long = false;
	while (input_line(&d->in, ret_line)) {
		bool whole = ret_line->at[ret_line->len - 1] == '\n';

		if (whole || ret_line->len < INPUT_SIZE) {
			*ret_too_long |= ret_line->len > (size_t) d->q->world.common.line_length_limit + 2;
			d->bare_lf = str_ends(*ret_line, STR("\n")) && !str_ends(*ret_line, STR("\r\n"));
			*ret_line = str_trim_end(*ret_line);
			return true;
		}
		*ret_too_long = true;
	}
	return false;
}

/* In somebody's own instance everything is his, and he is no other than the user. */
static bool is_mail_owner(struct request *q)
{
	struct account account;
	struct stat st;

	return account_by_uid(q->arena, getuid(), &account) > 0
	       && str_is(account.name, str_of(q->world.common.mail_owner))
	       && stat(q->world.common.queue_directory, &st) == 0 && st.st_uid != getuid();
}

/*
 * There are no access rules here: anybody on the network would be taken for a user of this machine.
 * To have rules applied to others is also what somebody wants who runs Postfix's as mail_owner.
 */
static void insist_on_local_client(struct request *q)
{
	struct sockaddr_storage own;
	socklen_t len = sizeof(own);

	if (getsockname(STDIN_FILENO, (struct sockaddr *) &own, &len) == 0
	    && (own.ss_family == AF_INET || own.ss_family == AF_INET6))
		die(EX_TEMPFAIL, "standard input is a network connection: -bs is for programs on this machine, smtpd for the network");
	if (is_mail_owner(q))
		die(EX_TEMPFAIL, "-bs as %s: the access rules that would apply are smtpd's alone",
		    q->world.common.mail_owner);
}

int run_dialogue(struct request *q)
{
	struct dialogue d = { .q = q, .transaction = arena_new("dialogue", NULL, TRANSACTION_MEMORY) };
	struct str line;
	bool too_long, on;

	insist_on_local_client(q);
	input_begin(&d.in, STDIN_FILENO);
	on = reply(&d, "220 %s ESMTP %s", q->world.common.myhostname, q->world.common.mail_name);
	while (on && read_command(&d, &line, &too_long))
		on = too_long ? reply(&d, "500 5.5.2 Error: line too long") : answer(&d, line);
	input_free(&d.in);
	arena_free(d.transaction);
	return EX_OK;
}
