/* SPDX-License-Identifier: ISC */
/* What became of a delivery to a mailbox, in words and as a status code. */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/mail/dsn.h"
#include "lib/mailbox/mailbox.h"

__attribute__((format(printf, 4, 0)))
static void say(struct mailbox_result *ret, enum mailbox_status status, const char *dsn, const char *format,
		va_list arguments)
{
	AUTO(buf) whole = BUF(1 << 20);

	ret->status = status;
	snprintf(ret->dsn, sizeof(ret->dsn), "%s", dsn);
	buf_clear(&ret->text);
	/* what a command says may be all that fits: better its beginning than nothing */
	buf_addv(&whole, format, arguments);
	buf_add(&ret->text, str_head(buf_str(&whole), ret->text.limit));
}

void mailbox_say(struct mailbox_result *ret, enum mailbox_status status, const char *dsn, const char *format,
		 ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(ret, status, dsn, format, arguments);
	va_end(arguments);
}

void mailbox_say_error(struct mailbox_result *ret, int error, const char *format, ...)
{
	bool is_full = error == -EDQUOT || error == -ENOSPC;
	bool is_final = error == -EFBIG;
	va_list arguments;

	va_start(arguments, format);
	say(ret, is_final ? MAILBOX_BOUNCED : MAILBOX_DEFERRED,
	    is_final ? "5.2.2" : is_full ? "4.2.2" : "4.2.0", format, arguments);
	va_end(arguments);
	buf_addf(&ret->text, ": %s", error_text(error));
}

void mailbox_result_pack(const struct mailbox_result *result, struct buf *b)
{
	buf_addf(b, "%d\t%s\t", (int) result->status, result->dsn);
	buf_add_printable(b, buf_str(&result->text));
	buf_add_byte(b, '\n');
}

int mailbox_result_unpack(struct str line, struct mailbox_result *ret)
{
	struct str status, dsn;
	int64_t number;

	if (!str_cut(&line, '\t', &status) || !str_cut(&line, '\t', &dsn) || !dsn_is_valid(dsn))
		return -EBADMSG;
	if (str_to_int(status, MAILBOX_SENT, MAILBOX_DEFERRED, &number) < 0)
		return -EBADMSG;
	ret->status = (enum mailbox_status) number;
	snprintf(ret->dsn, sizeof(ret->dsn), "%.*s", PSTR(dsn));
	buf_clear(&ret->text);
	buf_add(&ret->text, str_head(str_trim(line), 4000));
	return 0;
}
