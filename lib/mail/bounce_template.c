/* SPDX-License-Identifier: ISC */
/* Templates of notifications: the built-in ones, those of a file, and their $names. */
#include "lib/mail/bounce_template.h"

#include <errno.h>
#include <inttypes.h>

const char *const bounce_kind_names[BOUNCE_KINDS] = { "failure", "delay", "success", "verify" };

#define LIFETIME "${{$maximal_queue_lifetime_days} > {0} ? {$maximal_queue_lifetime_days days} : {$maximal_queue_lifetime_hours hours}}"

static const struct bounce_template built_in[BOUNCE_KINDS] = {
	[BOUNCE_FAILURE] = {
		.subject = STR_INIT("Undelivered Mail Returned to Sender"),
		.postmaster_subject = STR_INIT("Postmaster Copy: Undelivered Mail"),
		.text = STR_INIT("This is the mail system at $myhostname.\n\n"
				 "Your message could not be delivered to the recipients below, and will not be\n"
				 "tried again.\n\n"
				 "The reason stands behind each address. If it does not help, show this whole\n"
				 "notification to the postmaster of your mail system.\n"),
	},
	[BOUNCE_DELAY] = {
		.subject = STR_INIT("Delayed Mail (still being retried)"),
		.postmaster_subject = STR_INIT("Postmaster Warning: Delayed Mail"),
		.text = STR_INIT("This is the mail system at $myhostname.\n\n"
				 "Your message has not reached the recipients below yet. There is nothing for\n"
				 "you to do: it is tried again until it is " LIFETIME " old.\n"),
	},
	[BOUNCE_SUCCESS] = {
		.subject = STR_INIT("Successful Mail Delivery Report"),
		.text = STR_INIT("This is the mail system at $myhostname.\n\n"
				 "You asked to be told: your message went to the recipients below. Where it says\n"
				 "\"relayed\", the next mail system will not tell you more.\n"),
	},
	[BOUNCE_VERIFY] = {
		.subject = STR_INIT("Mail Delivery Status Report"),
		.text = STR_INIT("This is the mail system at $myhostname.\n\n"
				 "You asked what became, or would become, of a message to the recipients below.\n"),
	},
};

static struct bounce_template built_in_template(enum bounce_kind kind)
{
	struct bounce_template t = built_in[kind];

	t.charset = STR("us-ascii");
	t.from = STR("Mail Delivery System <MAILER-DAEMON>");
	return t;
}

/* ---- one template: headers, an empty line, a text ---- */

static struct str *header_of(struct bounce_template *t, struct str label)
{
	const struct { struct str label; struct str *at; } known[] = {
		{ STR("Charset"), &t->charset }, { STR("From"), &t->from }, { STR("Subject"), &t->subject },
		{ STR("Postmaster-Subject"), &t->postmaster_subject },
	};

	for (size_t i = 0; i < COUNT_OF(known); i++)
		if (str_is_nocase(label, known[i].label))
			return known[i].at;
	return NULL;
}

/* RFC 5322 3.6.8 */
static bool is_label(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_print(s.at[i]) || s.at[i] == ' ')
			return false;
	return s.len > 0;
}

static bool is_charset(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_alnum(s.at[i]) && strchr("-_.:+", s.at[i]) == NULL)
			return false;
	return s.len > 0;
}

/* Takes the headers off *rest. False, with words: there is a wrong one. */
static bool take_headers(struct str *rest, struct bounce_template *t, struct buf *why)
{
	struct str ahead = *rest, line, label, *value;

	while (ahead.len > 0) {
		str_cut(&ahead, '\n', &line);
		if (!str_cut(&line, ':', &label) || !is_label(str_trim_end(label)))
			return true;
		label = str_trim_end(label);
		line = str_trim(line);
		value = header_of(t, label);
		if (value == NULL)
			buf_addf(why, "unknown \"%.*s\" header label", PSTR(label));
		else if (line.len == 0 || (value == &t->charset && !is_charset(line)))
			buf_addf(why, "empty or malformed \"%.*s\" header value", PSTR(label));
		else if (!str_is_ascii(line) || str_has_control(line))
			buf_addf(why, "non-ASCII \"%.*s\" header value", PSTR(label));
		if (why->len > 0)
			return false;
		*value = line;
		*rest = ahead;
	}
	return true;
}

static bool parse_template(struct str body, struct bounce_template *t, struct buf *why)
{
	if (!take_headers(&body, t, why))
		return false;
	while (body.len > 0 && body.at[0] == '\n')
		body = str_skip(body, 1);
	if (body.len == 0)
		buf_add_text(why, "missing message text");
	else if (!str_is_ascii(body) && str_is_nocase(t->charset, STR("us-ascii")))
		buf_add_text(why, "8-bit message text, and no charset value other than us-ascii");
	t->text = body;
	return why->len == 0;
}

/* ---- the file: NAME_template = <<MARK, lines, MARK ---- */

struct template_file {
	struct arena *arena;
	const char *path;
	struct str rest;
	int line;			/* number of the one taken last */
	bounce_say_fn *say;
	void *arg;
};

static bool take_line(struct template_file *f, struct str *ret)
{
	if (f->rest.len == 0)
		return false;
	str_cut(&f->rest, '\n', ret);
	f->line++;
	return true;
}

static void say(struct template_file *f, struct str what, const char *consequence)
{
	f->say(f->arg, arena_fmt(f->arena, "%s, line %d: %.*s%s", f->path, f->line, PSTR(what),
				 consequence).at);
}

/* The lines up to the mark, in the arena. */
static struct str take_document(struct template_file *f, struct str mark)
{
	AUTO(buf) lines = BUF(f->rest.len + 1);
	struct str line;

	while (take_line(f, &line)) {
		if (str_is(line, mark))
			return arena_copy(f->arena, buf_str(&lines));
		buf_add(&lines, line);
		buf_add_byte(&lines, '\n');
	}
	say(f, arena_fmt(f->arena, "missing \"%.*s\" end marker", PSTR(mark)), "");
	return arena_copy(f->arena, buf_str(&lines));
}

static void take_template(struct template_file *f, struct str name, struct str body,
			  struct bounce_template ret[BOUNCE_KINDS])
{
	AUTO(buf) why = BUF_WORDS;

	for (int k = 0; k < BOUNCE_KINDS; k++) {
		struct bounce_template t = built_in_template(k);

		if (!str_is(name, arena_fmt(f->arena, "%s_template", bounce_kind_names[k])))
			continue;
		ret[k] = t;
		if (parse_template(body, &t, &why))
			ret[k] = t;
		else
			say(f, arena_fmt(f->arena, "%s in %s template", buf_text(&why),
					 bounce_kind_names[k]), " -- ignoring this template");
		return;
	}
	say(f, arena_fmt(f->arena, "unknown template name: %.*s", PSTR(name)), " -- ignoring this template");
}

static int take_entry(struct template_file *f, struct str line, struct bounce_template ret[BOUNCE_KINDS],
		      struct buf *why)
{
	const int number = f->line;
	AUTO(buf) words = BUF_WORDS;
	struct str name, value;
	int r = conf_split_assignment(line, &name, &value, &words);

	if (r < 0) {
		buf_addf(why, "%s, line %d: %s", f->path, number, buf_text(&words));
		return r;
	}
	if (!str_starts(value, STR("<<"))) {
		take_template(f, name, arena_fmt(f->arena, "%.*s\n", PSTR(value)), ret);
		return 0;
	}
	value = str_trim(str_skip(value, 2));
	if (value.len == 0) {
		buf_addf(why, "%s, line %d: missing end marker after <<", f->path, number);
		return -EINVAL;
	}
	take_template(f, name, take_document(f, value), ret);
	return 0;
}

static int take_file(struct template_file *f, struct bounce_template ret[BOUNCE_KINDS], struct buf *why)
{
	struct str line;
	int r = conf_read_file(f->arena, f->path, &f->rest, why);

	while (r >= 0 && take_line(f, &line)) {
		line = str_trim(line);
		if (line.len > 0 && line.at[0] != '#')
			r = take_entry(f, line, ret, why);
	}
	return r;
}

static void use_built_in(struct bounce_template ret[BOUNCE_KINDS])
{
	for (int k = 0; k < BOUNCE_KINDS; k++)
		ret[k] = built_in_template(k);
}

int bounce_templates_load(struct arena *a, const char *path, struct bounce_template ret[BOUNCE_KINDS],
			  bounce_say_fn *say_it, void *arg, struct buf *why)
{
	struct template_file f = { .arena = a, .path = path, .say = say_it, .arg = arg };
	int r;

	use_built_in(ret);
	if (path[0] == '\0')
		return 0;
	r = take_file(&f, ret, why);
	if (r < 0)
		use_built_in(ret);
	return r;
}

/* ---- $names ---- */

static const struct { const char *suffix; int64_t ms; } units[] = {
	{ "_seconds", 1000 }, { "_minutes", 60 * 1000 }, { "_hours", 60 * 60 * 1000 },
	{ "_days", 24 * 60 * 60 * 1000 },
	{ "_weeks", 7 * 24 * 60 * 60 * 1000 },
};

/* Makes NAME_seconds to NAME_weeks of the times that templates speak about. */
static void define_times(struct arena *a, struct conf *c)
{
	static const char *const times[] = { "delay_warning_time", "maximal_queue_lifetime",
					     "bounce_queue_lifetime" };
	AUTO(buf) why = BUF_WORDS;
	int64_t ms;

	for (size_t i = 0; i < COUNT_OF(times); i++)
		for (size_t u = 0; u < COUNT_OF(units); u++)
			if (conf_get_time(c, str_of(times[i]), STR("0s"), &ms, &why) >= 0)
				conf_set(c, arena_fmt(a, "%s%s", times[i], units[u].suffix),
					 arena_fmt(a, "%" PRId64, ms / units[u].ms));
}

struct undefined {
	struct str name;		/* the first one; empty: none */
};

static void note_undefined(void *arg, struct str name)
{
	struct undefined *u = arg;

	if (u->name.len == 0)
		u->name = name;
}

static bool expand(struct arena *a, struct conf *c, struct str *text, struct buf *why)
{
	struct undefined u = { STR_NONE };
	struct str expanded;

	if (conf_expand_noting(c, a, *text, &expanded, why, note_undefined, &u) < 0)
		return false;
	if (u.name.len > 0) {
		buf_addf(why, "undefined $%.*s", PSTR(u.name));
		return false;
	}
	*text = expanded;
	return true;
}

void bounce_templates_expand(struct arena *a, struct conf *c, const char *path,
			     struct bounce_template t[BOUNCE_KINDS], bounce_say_fn *say_it, void *arg)
{
	AUTO(buf) why = BUF_WORDS;

	define_times(a, c);
	for (int k = 0; k < BOUNCE_KINDS; k++) {
		buf_clear(&why);
		if (expand(a, c, &t[k].text, &why))
			continue;
		say_it(arg, arena_fmt(a, "%s: %s in %s template -- ignoring this template", path,
				      buf_text(&why), bounce_kind_names[k]).at);
		t[k] = built_in_template(k);
		expand(a, c, &t[k].text, &why);
	}
}

void bounce_template_print(const struct bounce_template *t, enum bounce_kind kind, struct buf *b)
{
	buf_addf(b, "%s_template = <<EOF\n", bounce_kind_names[kind]);
	buf_addf(b, "Charset: %.*s\nFrom: %.*s\nSubject: %.*s\n", PSTR(t->charset), PSTR(t->from),
		 PSTR(t->subject));
	if (t->postmaster_subject.len > 0)
		buf_addf(b, "Postmaster-Subject: %.*s\n", PSTR(t->postmaster_subject));
	buf_addf(b, "\n%.*sEOF\n", PSTR(t->text));
}
