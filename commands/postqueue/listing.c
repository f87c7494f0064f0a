/* SPDX-License-Identifier: ISC */
/* See listing.h. */
#include "commands/postqueue/listing.h"

#include "lib/mail/mail_address.h"

enum { REASON_WIDTH = 76 };

/*
 * Fit for a terminal, which may take C1 control characters for commands: they are well-formed
 * UTF-8, and so can be in an address.
 */
static void quote(struct buf *b, struct str address)
{
	if (address.len == 0)
		buf_add_text(b, "MAILER-DAEMON");
	else
		address_quote_822(b, address);
	buf_make_printable(b, 0);
}

/* ---- for people ---- */

static const char *mark_of(const struct listed_message *m)
{
	return str_is(str_of(m->queue), STR("active")) ? "*" : str_is(str_of(m->queue), STR("hold")) ? "!" : "";
}

static void print_time(FILE *to, int64_t s)
{
	time_t t = (time_t) s;
	struct tm when;
	char text[32] = "";

	if (localtime_r(&t, &when) != NULL)
		strftime(text, sizeof(text), "%a %b %e %H:%M:%S", &when);
	fprintf(to, "%19s", text);
}

static void print_reason(FILE *to, struct str reason)
{
	int padding = reason.len < REASON_WIDTH ? REASON_WIDTH - (int) reason.len : 0;
	AUTO(buf) text = BUF(reason.len);

	buf_add_printable(&text, reason);
	fprintf(to, "%*s(%s)\n", padding, "", buf_text(&text));
}

/* A reason stands above all recipients that share it. */
static void print_recipients(FILE *to, struct str packed)
{
	struct str shown = STR_NONE;
	struct outcome o;

	while (outcome_unpack(&packed, &o) > 0) {
		AUTO(buf) address = BUF(8192);

		if (o.text.len > 0 && !str_is(o.text, shown))
			print_reason(to, o.text);
		shown = o.text;
		quote(&address, o.address);
		fprintf(to, "%-17s %8s %-19s %s\n", "", "", "", buf_text(&address));
	}
}

static void print_for_people(struct printer *p, const struct listed_message *m)
{
	AUTO(buf) id = BUF(100);
	AUTO(buf) sender = BUF(8192);

	if (p->count == 0)
		fprintf(p->to, "%-17s %8s %-19s %s\n", "----Queue ID-----", "--Size--", "---Arrival Time----",
			"--Sender/Recipient------");
	else
		fprintf(p->to, "\n");
	buf_addf(&id, "%.*s%s%s", PSTR(m->id), mark_of(m), m->forced_expire ? "#" : "");
	quote(&sender, m->sender);
	fprintf(p->to, "%-17s %8llu ", buf_text(&id), (unsigned long long) m->size);
	print_time(p->to, m->arrival_s);
	fprintf(p->to, " %s\n", buf_text(&sender));
	print_recipients(p->to, m->recipients);
}

/* ---- for programs ---- */

static void print_string(FILE *to, struct str s)
{
	putc('"', to);
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char) s.at[i];

		if (c == '"' || c == '\\')
			fprintf(to, "\\%c", c);
		else if (c < 32 || c == 127)
			fprintf(to, "\\u%04x", c);
		else if (c == 0xc2 && i + 1 < s.len && (unsigned char) s.at[i + 1] < 0xa0)	/* C1 */
			fprintf(to, "\\u%04x", (unsigned char) s.at[++i]);
		else
			putc(c, to);
	}
	putc('"', to);
}

static void print_address(FILE *to, const char *name, struct str address)
{
	AUTO(buf) quoted = BUF(8192);

	if (address.len > 0)
		address_quote_822(&quoted, address);
	fprintf(to, "\"%s\": ", name);
	if (str_is_utf8(buf_str(&quoted))) {
		print_string(to, buf_str(&quoted));
	} else {
		AUTO(buf) printable = BUF(8192);

		for (size_t i = 0; i < quoted.len; i++)
			buf_add_byte(&printable, (unsigned char) quoted.at[i] < 128 ? quoted.at[i] : '?');
		print_string(to, buf_str(&printable));
	}
}

static void print_json_recipient(FILE *to, const struct outcome *o)
{
	AUTO(buf) text = BUF(65536);
	const bool utf8 = str_is_utf8(o->text);

	putc('{', to);
	print_address(to, "address", o->address);
	fprintf(to, ", ");
	print_address(to, "orig_address", o->original);
	if (o->text.len > 0) {
		for (size_t i = 0; i < o->text.len; i++)
			buf_add_byte(&text, utf8 || (unsigned char) o->text.at[i] < 128
				     ? o->text.at[i] : '?');
		fprintf(to, ", \"%s\": ", o->status == OUTCOME_BOUNCED ? "bounce_reason" : "delay_reason");
		print_string(to, buf_str(&text));
	}
	putc('}', to);
}

static void print_json(struct printer *p, const struct listed_message *m)
{
	struct str packed = m->recipients;
	struct outcome o;
	bool first = true;

	fprintf(p->to,
		"{\"queue_name\": \"%s\", \"queue_id\": \"%.*s\", \"arrival_time\": %lld, "
		"\"message_size\": %llu, \"forced_expire\": %s, ",
		m->queue, PSTR(m->id), (long long) m->arrival_s, (unsigned long long) m->size,
		m->forced_expire ? "true" : "false");
	print_address(p->to, "sender", m->sender.len == 0 ? STR("MAILER-DAEMON") : m->sender);
	fprintf(p->to, ", \"recipients\": [");
	while (outcome_unpack(&packed, &o) > 0) {
		fprintf(p->to, "%s", first ? "" : ", ");
		print_json_recipient(p->to, &o);
		first = false;
	}
	fprintf(p->to, "]}\n");
}

void print_message(struct printer *p, const struct listed_message *m)
{
	if (p->as_json)
		print_json(p, m);
	else
		print_for_people(p, m);
	p->count++;
	p->bytes += m->size;
}

void print_end(struct printer *p)
{
	if (p->as_json)
		return;
	if (p->count == 0)
		fprintf(p->to, "Mail queue is empty\n");
	else
		fprintf(p->to, "\n-- %llu Kbytes in %llu Request%s.\n",
			(unsigned long long) (p->bytes / 1024), (unsigned long long) p->count,
			p->count == 1 ? "" : "s");
}
