/* SPDX-License-Identifier: ISC */
/*
 * Mail addresses. Inside Postroad an address is in internal form: local part unquoted, '@', domain; no
 * angle brackets, no comments, no source route. External forms are quoted when needed (RFC 5321 4.1.2, RFC
 * 5322 3.4).
 */
#ifndef ROAD_MAIL_ADDRESS_H
#define ROAD_MAIL_ADDRESS_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"

/*
 * The path argument of MAIL FROM / RCPT TO: "<a@b>", "<>" , "<@relay:a@b>" (route removed), "<postmaster>",
 * "<user>", with blanks in it, dots in odd places, any domain text; with strict = false also without brackets,
 * or with a name before them: "Joe<a@b>". Comments and a second unquoted '@' are never accepted. *ret is in
 * internal form in the arena; *rest what follows (ESMTP parameters). -EINVAL bad syntax, -EMSGSIZE part too
 * long (RFC 5321 4.5.3.1, with slack), -EILSEQ non-ASCII without smtputf8 or invalid UTF-8.
 */
int path_parse(struct str *rest, struct arena *a, bool strict, bool smtputf8, struct str *ret);

/* Splits at the last '@' of the internal form. False: no domain. */
bool address_split(struct str address, struct str *ret_local, struct str *ret_domain);
/*
 * "user+ext" at the first of delimiters' characters, not for owner-x, x-request, mailer-daemon,
 * postmaster, double-bounce. True: split.
 */
bool local_part_split(struct str local, struct str delimiters, struct str *ret_user,
		      struct str *ret_extension);
/*
 * The same where owner_request_special says whether owner-x and x-request stay whole (it only matters when
 * '-' is a delimiter).
 */
bool local_part_split_at(struct str local, struct str delimiters, bool owner_request_special,
			 struct str *ret_user, struct str *ret_extension);

bool is_dot_string(struct str local);	/* atom *("." atom): a local part that needs no quotes */

/* -EINVAL: a control character in it; -EMSGSIZE: b is full. Then nothing was added. "" adds nothing. */
int address_quote_821(struct buf *b, struct str internal);	/* for MAIL FROM:<...> */
int address_quote_822(struct buf *b, struct str internal);	/* for headers */
/*
 * Internal form from external text, as tables and command lines have it: quoted-strings undone. -EINVAL: a
 * quote is open, control characters.
 */
int address_unquote(struct str external, struct arena *a, struct str *ret);

/*
 * Walks the addresses of a header value (To, Cc, From, Bcc): groups, comments, quoted strings, folded text
 * (RFC 5322 3.4), obsolete syntax as lenient as it is safe. Each call yields the next mailbox in internal
 * form ("" for "<>"); 1, 0 at end, -EINVAL at unparsable text (which is skipped to the next comma). Linear
 * time, no recursion. A phrase without address ("John Doe"), a second "<...>" without a comma, control
 * characters are errors.
 */
int header_address_next(struct str *rest, struct arena *a, struct str *ret);

/*
 * The same for lists in tables, on command lines and in what sendmail -t reads, where blanks separate
 * addresses as commas do: "a@b c@d". Words in front of "<...>" are a phrase there too.
 */
struct address_list {
	struct str rest;		/* at first all of it, and nothing known */
	size_t element;			/* of rest: up to the next comma. 0: not looked for yet */
	bool is_plain;			/* there is no "<...>" in that */
	/* set by who asks: a '<' or '(' that nobody closed ends with the list, a '>' that nobody opened is passed over */
	bool is_lenient;
};
int address_list_next(struct address_list *l, struct arena *a, struct str *ret);

/* As header_address_next(), and where the address stands. */
struct header_mailbox {
	struct str address;		/* in internal form */
	/*
	 * The part of the value that names it: without angle brackets, phrase and what surrounds it, with its
	 * route, and with comments and folding that stand between its words.
	 */
	struct str text;
	bool has_route;			/* "@relay:", which is not in `address` */
};
int header_mailbox_next(struct str *rest, struct arena *a, struct header_mailbox *ret);

/* VERP: two characters of `allowed`. */
bool verp_delimiters_are_valid(struct str delimiters, const char *allowed);
/*
 * "list@origin" to "user@domain" with "+=": "list+user=domain@origin". The null sender stays, and
 * without delimiters any.
 */
struct str verp_sender(struct arena *a, struct str sender, struct str delimiters, struct str recipient);

/*
 * A host name: letters, digits, '-', '_', '.', labels of 1..63, 255 in all; ASCII (or UTF-8 labels with
 * utf8). Not one of digits and dots only.
 */
bool hostname_is_valid(struct str name, bool utf8);
bool domain_literal_is_valid(struct str text);	/* "[192.0.2.1]", "[IPv6:...]" */

#endif
