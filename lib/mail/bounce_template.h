/* SPDX-License-Identifier: ISC */
/*
 * What notifications say, as bounce(5) describes it: four templates, each of headers and a text
 * with $names of main.cf. bounce uses them, postconf shows them (-b, -t). What a file does not
 * have, or has wrong, is built in.
 */
#ifndef ROAD_MAIL_BOUNCE_TEMPLATE_H
#define ROAD_MAIL_BOUNCE_TEMPLATE_H

#include "lib/conf/conf.h"

enum bounce_kind { BOUNCE_FAILURE, BOUNCE_DELAY, BOUNCE_SUCCESS, BOUNCE_VERIFY, BOUNCE_KINDS };

struct bounce_template {
	struct str charset, from, subject;
	struct str postmaster_subject;	/* of a postmaster's copy; empty: there are none of this kind */
	struct str text;		/* whole lines, not empty */
};

/* "failure": failure_template, expanded_failure_text */
extern const char *const bounce_kind_names[BOUNCE_KINDS];

/* For what has to be said about a template that is then not used. */
typedef void bounce_say_fn(void *arg, const char *text);

/*
 * All four, with texts in the arena: the built-in ones, and over them those of the file at path
 * (empty: none). -errno with words: the file cannot be read, or is no file of templates; *ret is
 * then what is built in.
 */
int bounce_templates_load(struct arena *a, const char *path, struct bounce_template ret[BOUNCE_KINDS],
			  bounce_say_fn *say, void *arg, struct buf *why);
/*
 * Replaces the text of each by what its $names are now, with those of a time in other units:
 * delay_warning_time_hours and so on. A text that cannot be expanded is replaced by the built-in
 * template's. path is for the words.
 */
void bounce_templates_expand(struct arena *a, struct conf *c, const char *path,
			     struct bounce_template t[BOUNCE_KINDS], bounce_say_fn *say, void *arg);
/* As the file has it, with its line end. */
void bounce_template_print(const struct bounce_template *t, enum bounce_kind kind, struct buf *b);

#endif
