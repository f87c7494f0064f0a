/* SPDX-License-Identifier: ISC */
/*
 * Thirty-five years of options. What has no meaning here is accepted and ignored where leaving it
 * out does no harm, and refused where the caller would wait for an effect that does not come.
 */
#include <getopt.h>

#include "commands/sendmail/sendmail.h"
#include "lib/base/die.h"

static __attribute__((noreturn)) void usage(void)
{
	die(EX_TEMPFAIL, "usage: sendmail [options] [recipient...]; see sendmail(1)");
}

static const char *program_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

/* main.cf may be named, too: its directory. */
static const char *config_dir(struct request *q, const char *path)
{
	const struct str file = STR("/main.cf");

	if (!str_ends(str_of(path), file))
		return str_is(str_of(path), STR("main.cf")) ? "." : path;
	return arena_fmt(q->arena, "%.*s/", PSTR(str_head(str_of(path), strlen(path) - file.len))).at;
}

static void take_mode(struct request *q, const char *argument)
{
	switch (argument[0]) {
	case 'd': case 'l': q->mode = MODE_DAEMON; break;
	case 'h': case 'H': q->mode = MODE_NOTHING; break;	/* host status: there is none */
	case 'i': q->mode = MODE_NEWALIASES; break;
	case 'm': q->mode = MODE_ENQUEUE; break;
	case 'p': q->mode = MODE_MAILQ; break;
	case 's': q->mode = MODE_SMTP; break;
	case 'v': q->mode = MODE_ENQUEUE; q->flags |= ENVELOPE_VERIFY; break;
	default: die(EX_TEMPFAIL, "unsupported: -b%s", argument);
	}
}

static void take_queue_run(struct request *q, const char *argument)
{
	if (argument == NULL)
		q->mode = MODE_FLUSH;
	else if (argument[0] == 'I' && argument[1] != '\0')
		q->mode = MODE_FLUSH_ID;
	else if (argument[0] == 'R' && argument[1] != '\0')
		q->mode = MODE_FLUSH_SITE;
	else if (is_digit(argument[0]))			/* an interval: the queue manager knows its own */
		q->mode = q->mode == MODE_DAEMON ? MODE_DAEMON : MODE_NOTHING;
	else
		die(EX_TEMPFAIL, "-q%s is not implemented", argument);
	if (q->mode == MODE_FLUSH_ID || q->mode == MODE_FLUSH_SITE)
		q->argument = argument + 1;
}

/* As with Postfix a value that means nothing does not keep the message. */
static void ignore(char option)
{
	fprintf(stderr, "sendmail: warning: bad -%c option value -- ignored\n", option);
}

static void take_notify(struct request *q, const char *text)
{
	static const struct { struct str name; unsigned bit; } known[] = {
		{ STR_INIT("never"), NOTIFY_NEVER }, { STR_INIT("success"), NOTIFY_SUCCESS },
		{ STR_INIT("failure"), NOTIFY_FAILURE }, { STR_INIT("delay"), NOTIFY_DELAY },
	};
	struct str rest = str_of(text), word;
	unsigned bits = 0, unknown = 0;

	while (str_token(&rest, ", \t", &word)) {
		unsigned bit = 0;

		for (size_t i = 0; i < COUNT_OF(known); i++)
			if (str_is_nocase(word, known[i].name))
				bit = known[i].bit;
		bits |= bit;
		unknown += bit == 0;
	}
	if (unknown > 0 || bits == 0 || ((bits & NOTIFY_NEVER) != 0 && bits != NOTIFY_NEVER))
		ignore('N');
	else
		q->notify = bits;
}

static void take_return(struct request *q, const char *text)
{
	if (str_is_nocase(str_of(text), STR("full")))
		q->ret = RETURN_FULL;
	else if (str_is_nocase(str_of(text), STR("hdrs")))
		q->ret = RETURN_HEADERS;
	else
		ignore('R');
}

static void take_body_type(struct request *q, const char *text)
{
	if (str_is_nocase(str_of(text), STR("8BITMIME")))
		q->flags |= ENVELOPE_8BITMIME;
	else if (str_is_nocase(str_of(text), STR("7BIT")))
		q->flags &= ~(unsigned) ENVELOPE_8BITMIME;
	else
		die(EX_TEMPFAIL, "-B option needs 8BITMIME or 7BIT");
}

static void take_envid(struct request *q, const char *text)
{
	struct str id = str_of(text);

	if (id.len > 100 || !str_is_ascii(id) || str_has_control(id))
		ignore('V');
	else
		q->envid = text;
}

static void take_old_option(struct request *q, const char *text)
{
	switch (text[0]) {
	case 'i': q->dot_is_content = true; break;
	case 'A':
		if (text[1] == '\0')
			die(EX_TEMPFAIL, "-oA requires pathname");
		q->alias_database = text + 1;
		break;
	case '7': q->flags &= ~(unsigned) ENVELOPE_8BITMIME; break;
	case '8': q->flags |= ENVELOPE_8BITMIME; break;
	default: break;		/* -om, -odx, -oex, ... */
	}
}

static void take_long_option(struct request *q, const char *text)
{
	struct str value = str_of(text), name;

	str_cut(&value, '=', &name);
	if (str_is_nocase(name, STR("smtputf8")) && str_is_nocase(value, STR("yes")))
		q->flags |= ENVELOPE_SMTPUTF8;
	else if (str_is_nocase(name, STR("requiretls")) && str_is_nocase(value, STR("yes")))
		q->flags |= ENVELOPE_REQUIRETLS;
}

static void take_option(struct request *q, int option)
{
	switch (option) {
	case 'b': take_mode(q, optarg); break;
	case 'B': take_body_type(q, optarg); break;
	case 'C': q->dir = config_dir(q, optarg); break;
	case 'f': case 'r': q->sender = optarg; break;
	case 'F': q->full_name = optarg; break;
	case 'G': q->flags &= ~(unsigned) ENVELOPE_LOCAL; break;
	case 'i': q->dot_is_content = true; break;
	case 'I': q->mode = MODE_NEWALIASES; break;
	case 'N': take_notify(q, optarg); break;
	case 'o': take_old_option(q, optarg); break;
	case 'O': take_long_option(q, optarg); break;
	case 'q': take_queue_run(q, optarg); break;
	case 'R': take_return(q, optarg); break;
	case 't': q->extract = true; break;
	case 'V': take_envid(q, optarg); break;
	case 'v':
		if (q->notify == 0)		/* a report of the delivery, besides what everybody hears */
			q->notify = NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY;
		break;
	case 'X':
		if (optarg[0] == 'V')
			q->verp = optarg + 1;
		break;
	case 'A': case 'c': case 'e': case 'h': case 'L': case 'm': case 'n': case 'p': case 'Q': case 'U': case 'x':
		break;
	default: usage();
	}
}

void parse_options(struct request *q, int argc, char **argv)
{
	static const char *const without_operands[] = {
		[MODE_ENQUEUE] = NULL, [MODE_SMTP] = "stand-alone mode", [MODE_MAILQ] = "display queue mode",
		[MODE_NEWALIASES] = "alias initialization mode", [MODE_DAEMON] = "daemon mode",
		[MODE_FLUSH] = "flush queue mode",
		[MODE_FLUSH_ID] = "flush queue mode", [MODE_FLUSH_SITE] = "flush queue mode",
		[MODE_NOTHING] = "this mode",	/* nor mail, which would be lost */
	};
	int option;

	if (strcmp(program_name(argv[0]), "mailq") == 0)
		q->mode = MODE_MAILQ;
	else if (strcmp(program_name(argv[0]), "newaliases") == 0)
		q->mode = MODE_NEWALIASES;
	while ((option = getopt(argc, argv, "+A:b:B:cC:e:f:F:Gh:iIL:mnN:o:O:p:q::Q:r:R:tUvV:xX:")) != -1)
		take_option(q, option);
	q->words = argv + optind;
	q->word_count = argc - optind;
	if (without_operands[q->mode] != NULL && q->word_count > 0)
		die(EX_TEMPFAIL, "%s requires no recipient", without_operands[q->mode]);
	if (q->extract && q->mode != MODE_ENQUEUE)
		die(EX_TEMPFAIL, "-t can be used only in delivery mode");
	if (q->extract && (q->flags & ENVELOPE_VERIFY) != 0)
		die(EX_TEMPFAIL, "-t option cannot be used with -bv");
}
