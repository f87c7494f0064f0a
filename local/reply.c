/* SPDX-License-Identifier: ISC */
#include "local/reply.h"

#include <errno.h>

void reply_result(struct buf *reply, const struct mailbox_result *result)
{
	buf_add_text(reply, "R\t");
	mailbox_result_pack(result, reply);
}

void reply_warning(struct buf *reply, const char *format, ...)
{
	AUTO(buf) text = BUF_WORDS;
	va_list arguments;

	va_start(arguments, format);
	buf_addv(&text, format, arguments);
	va_end(arguments);
	buf_add_text(reply, "W\t");
	buf_add_printable(reply, buf_str(&text));
	buf_add_byte(reply, '\n');
}

void reply_forward(struct buf *reply, struct str address)
{
	buf_add_text(reply, "F\t");
	buf_add(reply, address);
	buf_add_byte(reply, '\n');
}

void reply_transport(struct buf *reply)
{
	buf_add_text(reply, "T\t\n");
}

void reply_mailbox(struct buf *reply, struct str name)
{
	buf_add_text(reply, "M\t");
	buf_add(reply, name);
	buf_add_byte(reply, '\n');
}

void reply_unmatched(struct buf *reply)
{
	buf_add_text(reply, "E\t\n");
}

static int read_result(struct task *t, struct str line)
{
	struct mailbox_result result = { .text = BUF_WORDS };
	int r = mailbox_result_unpack(line, &result);

	if (r >= 0)
		add_result(t, result.status, result.dsn, "%s", buf_text(&result.text));
	buf_free(&result.text);
	return r;
}

static bool is_bad(struct str address)
{
	return address.len == 0 || address.len > 1000 || str_has_control(address);
}

static int read_himself(struct task *t, struct str name)
{
	if (is_bad(name))
		return -EBADMSG;
	t->himself = arena_copy(t->arena, name);
	return 0;
}

static int read_address(struct task *t, struct str address)
{
	if (is_bad(address))
		return -EBADMSG;
	if (++t->destination_count > MOST_DESTINATIONS)
		return -EBADMSG;
	*vec_add(t->arena, &t->forward) = arena_copy(t->arena, address);
	return 0;
}

int reply_read(struct task *t, struct str reply)
{
	enum errand_wish wish = NO_WISH;
	int r = 0;

	while (reply.len > 0 && r >= 0) {
		struct str line, kind;

		if (!str_cut(&reply, '\n', &line) || !str_cut(&line, '\t', &kind) || kind.len != 1)
			return -EBADMSG;
		switch (kind.at[0]) {
		case 'R':
			r = read_result(t, line);
			break;
		case 'F':
			r = read_address(t, line);
			break;
		case 'W':
			log_mail(ROAD_WARNING, t->d->queue_id, "%.*s", PSTR(str_head(line, 1000)));
			break;
		case 'T':
			wish = WANTS_TRANSPORT;
			break;
		case 'M':
			r = read_himself(t, line);
			wish = WANTS_MAILBOX;
			break;
		case 'E':
			t->is_unmatched = true;
			break;
		default:
			r = -EBADMSG;
		}
	}
	return r < 0 ? r : (int) wish;
}
