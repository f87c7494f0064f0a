/* SPDX-License-Identifier: ISC */
/*
 * A message on standard input goes to postdrop, with the envelope that the command line describes.
 * Content passes as it is, but for line ends (sendmail_fix_line_endings), the final dot, and
 * leading mbox "From " lines. With -t cleanup takes the recipients from the headers; here they are
 * only looked at, so that a message for nobody is refused while its writer still listens.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "commands/sendmail/sendmail.h"
#include "lib/base/die.h"
#include "lib/mail/header.h"
#include "lib/mail/mail_address.h"

enum { MOST_HEADERS = 1 << 20, MOST_RECIPIENTS = 100000 };

enum line_ends { FIX_NEVER, FIX_ALWAYS, FIX_STRICT };

struct intake {
	struct request *q;
	struct submission *out;
	enum line_ends fix;
	bool first_line;
	bool line_start;		/* the next piece begins a line */
	bool pending_cr;		/* a piece of a long line ended in CR */
	struct buf headers;		/* with -t: what was read of the headers */
	bool in_headers;
};

const char *postdrop_path(struct request *q)
{
	return arena_fmt(q->arena, "%s/postdrop", q->world.common.command_directory).at;
}

/* ---- the envelope ---- */

struct str default_sender(struct request *q)
{
	struct account account;

	if (account_by_uid(q->arena, getuid(), &account) <= 0)
		die(EX_TEMPFAIL, "unable to find out the account name of uid %ld; use -f", (long) getuid());
	return account.name;
}

static struct str sender_of(struct request *q)
{
	struct address_list words = { 0 };
	struct str rest, sender;
	int r;

	if (q->sender == NULL)
		return default_sender(q);
	rest = str_trim(str_of(q->sender));
	if (rest.len == 0)
		return STR_NONE;
	r = header_address_next(&rest, q->arena, &sender);
	if (r > 0)
		return sender;
	words.rest = str_of(q->sender);		/* "-f Somebody Else": the mail need not suffer */
	if (address_list_next(&words, q->arena, &sender) <= 0)
		die(EX_USAGE, "malformed sender address: %s", q->sender);
	log_warning("malformed sender address: %s", q->sender);
	return sender;
}

/* -F, or $NAME, or the account's real name. */
static struct str full_name(struct request *q)
{
	struct account account;
	struct str gecos, first;

	if (q->full_name != NULL)
		return str_has_control(str_of(q->full_name)) ? STR_NONE : str_of(q->full_name);
	if (account_by_uid(q->arena, getuid(), &account) <= 0)
		return STR_NONE;
	gecos = account.gecos;
	str_cut(&gecos, ',', &first);
	return str_has_control(first) || str_find(first, '&') >= 0 ? STR_NONE : first;
}

/* Each word may be a list, in any form that a header could have. */
static void recipients_of(struct request *q, struct envelope *e)
{
	VEC(struct recipient) list = { 0 };

	for (int i = 0; i < q->word_count; i++) {
		struct address_list words = { .rest = str_of(q->words[i]) };
		struct str address;
		int r;

		while ((r = address_list_next(&words, q->arena, &address)) > 0) {
			if (list.len >= MOST_RECIPIENTS)
				die(EX_USAGE, "too many recipients");
			if (address.len > 0)
				*vec_add(q->arena, &list) = (struct recipient){ .index = (uint32_t) list.len,
						.address = address, .notify = q->notify };
		}
		if (r < 0)
			die(EX_USAGE, "malformed recipient address: %s", q->words[i]);
	}
	e->recipients = list.at;
	e->recipient_count = list.len;
	if (list.len == 0 && !q->extract)
		die(EX_USAGE, "Recipient addresses must be specified on the command line or via the -t option");
}

static bool has_non_ascii(const struct envelope *e)
{
	bool found = !str_is_ascii(e->sender);

	for (size_t i = 0; i < e->recipient_count && !found; i++)
		found = !str_is_ascii(e->recipients[i].address);
	return found;
}

static struct str verp_of(const struct request *q, struct str sender)
{
	const struct common_conf *c = &q->world.common;
	struct str delimiters = str_of(q->verp == NULL
				       || q->verp[0] == '\0' ? c->default_verp_delimiters : q->verp);

	if (q->verp == NULL)
		return STR_NONE;
	if (!verp_delimiters_are_valid(delimiters, c->verp_delimiter_filter))
		die(EX_USAGE, "-XV requires two characters from %s", c->verp_delimiter_filter);
	if (sender.len == 0)
		die(EX_USAGE, "-XV requires a sender that is not the null sender");
	return delimiters;
}

static void make_envelope(struct request *q, struct envelope *e)
{
	*e = (struct envelope){ .sender = sender_of(q), .flags = q->flags, .ret = q->ret,
				.envid = str_of(q->envid), .full_name = full_name(q) };
	e->verp = verp_of(q, e->sender);
	if (q->extract) {
		e->flags |= ENVELOPE_EXTRACT;
		e->notify = q->notify;
	}
	recipients_of(q, e);
	if (has_non_ascii(e))
		e->flags |= ENVELOPE_SMTPUTF8;
}

/* ---- the content ---- */

static enum line_ends line_ends_of(struct request *q)
{
	struct str text = str_of(q->conf.sendmail_fix_line_endings);

	if (str_is_nocase(text, STR("always")))
		return FIX_ALWAYS;
	if (str_is_nocase(text, STR("strict")))
		return FIX_STRICT;
	if (str_is_nocase(text, STR("never")))
		return FIX_NEVER;
	die(EX_TEMPFAIL, "parameter sendmail_fix_line_endings = %s: always, strict or never expected",
	    text.at);
}

static void put(struct intake *i, struct str bytes)
{
	if (i->in_headers && buf_add(&i->headers, bytes) < 0)
		i->in_headers = false;		/* too much to look at: cleanup will */
	submission_write(i->out, bytes);
}

static void put_fixed(struct intake *i, struct str piece)
{
	bool ends = piece.len > 0 && piece.at[piece.len - 1] == '\n';

	if (i->pending_cr && !(piece.len == 1 && ends))
		put(i, STR("\r"));
	i->pending_cr = false;
	if (str_ends(piece, STR("\r\n"))) {
		put(i, str_head(piece, piece.len - 2));
		put(i, STR("\n"));
	} else if (!ends && str_ends(piece, STR("\r"))) {
		i->pending_cr = true;
		put(i, str_head(piece, piece.len - 1));
	} else {
		put(i, piece);
	}
}

static bool is_final_dot(const struct intake *i, struct str line)
{
	return i->line_start && !i->q->dot_is_content && (str_is(line, STR(".\n")) || str_is(line, STR("."))
							  || str_is(line, STR(".\r\n")));
}

static void take_line(struct intake *i, struct str line)
{
	if (i->first_line && i->fix == FIX_STRICT)
		i->fix = str_ends(line, STR("\r\n")) ? FIX_ALWAYS : FIX_NEVER;
	if (i->in_headers && i->line_start && (str_is(line, STR("\n")) || str_is(line, STR("\r\n"))))
		i->in_headers = false;
	if (i->fix == FIX_ALWAYS)
		put_fixed(i, line);
	else
		put(i, line);
}

/* "From ", or ">From " of a message that has been in several mailboxes. */
static bool is_mbox_line(struct str line)
{
	while (line.len > 0 && line.at[0] == '>')
		line = str_skip(line, 1);
	return str_starts(line, STR("From "));
}

static void copy_content(struct intake *i, struct input *in)
{
	struct str line;

	while (input_line(in, &line)) {
		bool whole = line.at[line.len - 1] == '\n';

		if (is_final_dot(i, line))
			break;
		if (!i->first_line || !is_mbox_line(line)) {
			take_line(i, line);
			i->first_line = false;
		}
		i->line_start = whole;
	}
	if (i->pending_cr)
		put(i, STR("\r"));
	if (!i->line_start)
		put(i, STR("\n"));
}

/* ---- -t ---- */

static bool names_recipients(struct str name)
{
	static const struct str names[] = {
		STR_INIT("To"), STR_INIT("Cc"), STR_INIT("Bcc"), STR_INIT("Resent-To"),
		STR_INIT("Resent-Cc"), STR_INIT("Resent-Bcc"),
	};

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (str_is_nocase(name, names[i]))
			return true;
	return false;
}

/* An address that nobody can read gets nothing, and whoever named it is the only one who can tell why. */
static bool has_recipient(struct arena *a, struct str headers)
{
	struct address_list list;
	struct str address;
	struct header h;
	bool found = false;
	int r;

	while (header_next(&headers, &h) > 0) {
		list = (struct address_list){ .rest = h.value, .is_lenient = true };
		while (names_recipients(h.name) && (r = address_list_next(&list, a, &address)) != 0)
			if (r < 0)
				log_warning("header %.*s: a malformed address in it gets no mail", PSTR(h.name));
			else
				found |= address.len > 0;
	}
	return found;
}

static void insist_on_recipients(struct intake *i, const struct envelope *e)
{
	struct arena *a;
	bool found;

	if (!i->q->extract || e->recipient_count > 0 || i->headers.len >= MOST_HEADERS / 2)
		return;
	a = arena_new("recipients", NULL, 64 << 20);
	found = has_recipient(a, buf_str(&i->headers));
	arena_free(a);
	if (found)
		return;
	submission_abort(i->out);
	die(EX_DATAERR, "No recipient addresses found in message header");
}

/* What is wrong with this system may be mended before the next attempt. */
static int finish(struct submission *out)
{
	char id[32];
	const int status = submission_end(out, id);

	return status == EX_CONFIG ? EX_TEMPFAIL : status;
}

int enqueue(struct request *q)
{
	struct intake i = { .q = q, .fix = line_ends_of(q), .first_line = true, .line_start = true,
			    .headers = BUF(MOST_HEADERS),
			    .in_headers = q->extract };
	AUTO(buf) why = BUF_WORDS;
	struct envelope e;
	struct input in;

	make_envelope(q, &e);
	if (submission_begin(postdrop_path(q), q->dir, &e, &i.out, &why) < 0)
		die(EX_TEMPFAIL, "%s", buf_text(&why));
	if (q->flags & ENVELOPE_VERIFY) {		/* -bv: there is no message */
		submission_write(i.out, STR("Subject: probe\n\n"));
		printf("Mail Delivery Status Report will be mailed to <%.*s>.\n", PSTR(e.sender));
		return finish(i.out);
	}
	input_begin(&in, STDIN_FILENO);
	copy_content(&i, &in);
	if (in.error < 0) {
		submission_abort(i.out);
		die(EX_TEMPFAIL, "reading the message: %s", error_text(in.error));
	}
	input_free(&in);
	insist_on_recipients(&i, &e);
	buf_free(&i.headers);
	return finish(i.out);
}
