/* SPDX-License-Identifier: ISC */
#include "smtpd/verdict.h"

#include <stdarg.h>

#include "lib/base/buf.h"

/* a reply line may have 512 bytes with its code; longer ones are cut when written */
enum { LONGEST_TEXT = 1500 };

struct verdict reject(struct arena *a, int code, struct str dsn, const char *format, ...)
{
	AUTO(buf) text = BUF(LONGEST_TEXT);
	struct str fitted = arena_copy(a, dsn);
	va_list arguments;

	va_start(arguments, format);
	if (buf_addv(&text, format, arguments) < 0)
		buf_add_text(&text, "Access denied");	/* what it quotes is absurdly long */
	va_end(arguments);
	if (fitted.len > 0)
		((char *) fitted.at)[0] = (char) ('0' + code / 100);
	return (struct verdict){ .act = REJECT, .code = code, .dsn = fitted,
				 .text = arena_copy(a, buf_str(&text)) };
}

struct verdict verdict_cannot_tell(struct arena *a, struct str subject)
{
	return reject(a, 451, STR("4.3.0"), "<%.*s>: Temporary lookup failure", PSTR(subject));
}
