/* SPDX-License-Identifier: ISC */
/*
 * What a queue file holds, in sections as administrators know them. A damaged file is shown as far
 * as it goes: each part by itself, and what is wrong with it on stderr.
 */
#include "commands/postcat/show.h"

#include <errno.h>
#include <sys/stat.h>

#include "lib/base/die.h"
#include "lib/base/map.h"
#include "lib/disk/disk.h"
#include "lib/log/log.h"
#include "lib/mail/header.h"

enum { PIECE = 64 << 10 };

struct showing {
	int fd;
	const char *name;
	unsigned what;
	uint64_t file_size;
	struct queue_head head;
	bool damaged;
	struct map *done;		/* indices of recipients that are through */
	bool is_through;		/* all are, and the file was about to be removed */
};

__attribute__((format(printf, 2, 3))) static void complain(struct showing *s, const char *format, ...)
{
	AUTO(buf) line = BUF(4096);
	va_list arguments;

	va_start(arguments, format);
	buf_addv(&line, format, arguments);
	va_end(arguments);
	fflush(stdout);
	log_warning("%s: %s", s->name, buf_text(&line));
	log_flush();
	s->damaged = true;
}

static void marker(const struct showing *s, const char *text)
{
	if (s->what & SHOW_ENVELOPE)
		printf("*** %s %s ***\n", text, s->name);
}

/* ---- the parts that are bytes ---- */

static void show_bytes(struct showing *s, const char *part, uint64_t at, uint64_t len, const uint32_t *crc)
{
	char *piece = get_memory(PIECE);
	uint32_t sum = 0;
	ssize_t n = 1;

	while (len > 0 && n > 0) {
		n = pread_all(s->fd, piece, (size_t) MIN(len, (uint64_t) PIECE), (off_t) at);
		if (n <= 0)
			break;
		fwrite(piece, 1, (size_t) n, stdout);
		sum = crc32c(sum, piece, (size_t) n);
		at += (uint64_t) n;
		len -= (uint64_t) n;
	}
	free(piece);
	if (n < 0)
		complain(s, "cannot read the %s: %s", part, error_text((int) n));
	else if (len > 0)
		complain(s, "the %s is cut off: %llu bytes are missing", part, (unsigned long long) len);
	else if (crc != NULL && sum != *crc)
		complain(s, "the %s is damaged: its checksum does not hold", part);
}

static void show_message(struct showing *s)
{
	const struct queue_head *h = &s->head;

	if (s->what & SHOW_HEADERS)
		show_bytes(s, "headers", h->headers.at, h->headers.len, &h->headers.crc);
	if ((s->what & SHOW_BODY) == 0)
		return;
	if ((h->flags & QUEUE_NO_EMPTY_LINE) == 0)
		putchar('\n');
	show_bytes(s, "body", h->body.at, h->body.len, &h->body.crc);
}

/* ---- envelope and journal ---- */

static void show_line(const char *name, struct str value)
{
	AUTO(buf) plain = BUF(64 << 10);

	buf_add_printable(&plain, value);
	printf("%s: %s\n", name, buf_text(&plain));
}

static void show_attribute(const char *name, struct str value)
{
	AUTO(buf) plain = BUF(64 << 10);

	buf_add_printable(&plain, value);
	if (plain.len > 0)
		printf("named_attribute: %s=%s\n", name, buf_text(&plain));
}

static void show_date(const char *name, int64_t at_s)
{
	char date[64];

	date_print(at_s, date);
	show_line(name, str_of(date));
}

static bool is_done(const struct showing *s, uint32_t index)
{
	char key[16];

	snprintf(key, sizeof(key), "%u", index);
	return s->is_through || map_get(s->done, str_of(key)) != NULL;
}

static void show_recipient(const struct showing *s, const struct recipient *r)
{
	static const struct { unsigned bit; const char *word; } words[] = {
		{ NOTIFY_NEVER, "NEVER" }, { NOTIFY_SUCCESS, "SUCCESS" }, { NOTIFY_FAILURE, "FAILURE" },
		{ NOTIFY_DELAY, "DELAY" } };
	AUTO(buf) notify = BUF(64);

	for (size_t i = 0; i < COUNT_OF(words); i++)
		if (r->notify & words[i].bit)
			buf_addf(&notify, "%s%s", notify.len == 0 ? "" : ",", words[i].word);
	if (notify.len > 0)
		printf("named_attribute: notify_flags=%s\n", buf_text(&notify));
	if (r->orcpt.len > 0)
		show_attribute("dsn_orig_rcpt", r->orcpt);
	if (r->original.len > 0)
		show_line("original_recipient", r->original);
	show_line(is_done(s, r->index) ? "done_recipient" : "recipient", r->address);
}

static void show_attributes(const struct envelope *e)
{
	const struct { const char *name; struct str value; } texts[] = {
		{ "dsn_envelope_id", e->envid }, { "full_name", e->full_name },
		{ "log_client_name", e->client_name },
		{ "log_client_address", e->client_address }, { "log_client_port", e->client_port },
		{ "log_helo_name", e->client_helo }, { "log_protocol_name", e->client_protocol },
		{ "client_tls", e->client_tls },
		{ "reverse_client_name", e->reverse_name }, { "sasl_method", e->sasl_method },
		{ "sasl_username", e->sasl_username }, { "sasl_sender", e->sasl_sender },
		{ "message_id", e->message_id },
	};
	static const struct { unsigned bit; const char *text; } flags[] = {
		{ ENVELOPE_8BITMIME, "named_attribute: encoding=8bit" },
		{ ENVELOPE_SMTPUTF8, "named_attribute: smtputf8=yes" },
		{ ENVELOPE_REQUIRETLS, "named_attribute: requiretls=yes" },
		{ ENVELOPE_TLS_OPTIONAL, "named_attribute: tls_required=no" },
		{ ENVELOPE_LOCAL, "named_attribute: rewrite_context=local" },
		{ ENVELOPE_NOTICE, "named_attribute: notification=yes" } };

	for (size_t i = 0; i < COUNT_OF(flags); i++)
		if (e->flags & flags[i].bit)
			printf("%s\n", flags[i].text);
	if (e->ret != RETURN_NOT_SAID)
		printf("named_attribute: ret_flags=%s\n", e->ret == RETURN_FULL ? "FULL" : "HDRS");
	for (size_t i = 0; i < COUNT_OF(texts); i++)
		show_attribute(texts[i].name, texts[i].value);
	if (e->filter_transport.len > 0)
		show_line("content_filter", e->filter_transport);
}

static void show_envelope(struct showing *s)
{
	const struct queue_head *h = &s->head;
	struct queue_file f = { .fd = s->fd, .envelope_at = h->envelope.at, .envelope_len = h->envelope.len,
				.envelope_crc = h->envelope.crc, .recipient_count = h->recipient_count };
	struct arena *a = arena_new("envelope", NULL, (size_t) 1 << 30);
	struct envelope e;
	int r;

	memcpy(f.id, h->id, sizeof(f.id));
	printf("message_size: %15llu %15llu %15u %15d %15llu %15d\n",
	       (unsigned long long) queue_head_message_size(h), (unsigned long long) h->headers.at,
	       h->recipient_count, 0, (unsigned long long) h->body.len, (int) h->flags);
	show_date("message_arrival_time", h->arrival_us / 1000000);
	r = queue_file_envelope(&f, a, &e);
	if (r < 0) {
		complain(s, "the envelope is damaged (%s); as it stands:", error_text(r));
		show_bytes(s, "envelope", h->envelope.at, h->envelope.len, NULL);
		putchar('\n');
	} else {
		show_attributes(&e);
		show_line("sender", e.sender);
		for (size_t i = 0; i < e.recipient_count; i++)
			show_recipient(s, &e.recipients[i]);
	}
	arena_free(a);
}

static void note_done(void *arg, const struct journal_record *r)
{
	struct showing *s = arg;
	char key[16];

	s->is_through |= r->kind == JOURNAL_DONE;
	if (r->kind != JOURNAL_TOLD
	    && (r->kind != JOURNAL_OUTCOME || r->outcome.status == OUTCOME_DEFERRED
		|| r->outcome.status == OUTCOME_PENDING))
		return;
	snprintf(key, sizeof(key), "%u", r->outcome.index);
	map_put(s->done, str_of(key), s);
}

static void show_outcome(const struct outcome *o)
{
	AUTO(buf) line = BUF(64 << 10);

	buf_addf(&line, "%u %.*s %.*s", o->index, PSTR(outcome_status_text(o->status)), PSTR(o->dsn));
	if (o->relay.len > 0)
		buf_addf(&line, " relay=%.*s", PSTR(o->relay));
	if (o->text.len > 0)
		buf_addf(&line, " (%.*s)", PSTR(o->text));
	show_line("outcome", buf_str(&line));
}

static void show_record(void *arg, const struct journal_record *r)
{
	(void) arg;
	switch (r->kind) {
	case JOURNAL_OUTCOME:
		show_outcome(&r->outcome);
		break;
	case JOURNAL_TOLD:
		printf("sender_told: %u\n", r->outcome.index);
		break;
	case JOURNAL_DELAY_WARNED:
		printf("delay_warned: yes\n");
		break;
	case JOURNAL_EXPIRE:
		printf("forced_expire: yes\n");
		break;
	case JOURNAL_HELD:
		printf("order: hold\n");
		break;
	case JOURNAL_REQUEUED:
		printf("order: requeue\n");
		break;
	case JOURNAL_RELEASED:
		printf("order: release\n");
		break;
	case JOURNAL_DONE:
		printf("through: yes\n");
		break;
	}
}

static int walk_journal(struct showing *s, void (*each)(void *arg, const struct journal_record *r))
{
	struct queue_file f = { .fd = s->fd, .journal_at = s->head.journal_at, .file_size = s->file_size };

	memcpy(f.id, s->head.id, sizeof(f.id));
	return journal_read(&f, each, s);
}

/* ---- the file ---- */

static void show_parts(struct showing *s)
{
	int skipped = walk_journal(s, note_done);

	marker(s, "ENVELOPE RECORDS");
	if (s->what & SHOW_ENVELOPE)
		show_envelope(s);
	marker(s, "MESSAGE CONTENTS");
	show_message(s);
	marker(s, "HEADER EXTRACTED");
	if (s->what & SHOW_ENVELOPE)
		walk_journal(s, show_record);
	marker(s, "MESSAGE FILE END");
	if (skipped > 0)
		complain(s, "%d damaged records in the journal were left out", skipped);
	else if (skipped < 0)
		complain(s, "cannot read the journal: %s", error_text(skipped));
}

static const char *words_for(int error)
{
	switch (error) {
	case -ENODATA:
		return "no valid head: the writer died before the message was accepted, or is still at work";
	case -EBADMSG:
		return "the head is damaged";
	case -ENOTSUP:
		return "made by Postfix, or by a newer version";
	default:
		return error_text(error);
	}
}

/* Nothing can be found by offset: all that follows the head, as it is. */
static void show_rest(struct showing *s)
{
	marker(s, "MESSAGE CONTENTS");
	if (s->file_size > QUEUE_HEAD_SIZE && (s->what & (SHOW_HEADERS | SHOW_BODY)) != 0)
		show_bytes(s, "content", QUEUE_HEAD_SIZE, s->file_size - QUEUE_HEAD_SIZE, NULL);
	marker(s, "MESSAGE FILE END");
}

int show_file(int fd, const char *name, unsigned what)
{
	struct showing s = { .fd = fd, .name = name, .what = what };
	char data[QUEUE_HEAD_SIZE];
	struct stat st;
	ssize_t n;
	int r;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		log_warning("%s: not a regular file", name);
		return -EBADF;
	}
	s.file_size = (uint64_t) st.st_size;
	s.done = map_new();
	n = pread_all(fd, data, sizeof(data), 0);
	r = n < 0 ? (int) n : queue_head_parse(str_make(data, (size_t) n), s.file_size, &s.head);
	if (r < 0)
		complain(&s, "%s", words_for(r));
	if (r == 0 || (r == -EBADMSG && queue_head_guess(str_make(data, (size_t) n), UINT64_MAX,
							 &s.head) == 0))
		show_parts(&s);
	else
		show_rest(&s);
	map_free(s.done, NULL);
	return s.damaged ? -EBADMSG : 0;
}
