/* SPDX-License-Identifier: ISC */
/* Lines on standard output, in the shape that scripts around Postfix's postconf expect. */
#include "commands/postconf/postconf.h"

void print_words(const struct postconf *p, struct str text)
{
	struct str word;
	size_t column = 0;

	while (str_token(&text, " \t\r\n", &word)) {
		if (column > 0 && p->fold && column + 1 + word.len > FOLD_AT) {
			fputs("\n    ", stdout);
			column = 4;
		} else if (column > 0) {
			putchar(' ');
			column++;
		}
		fwrite(word.at, 1, word.len, stdout);
		column += word.len;
	}
	putchar('\n');
}

void print_assignment(const struct postconf *p, struct str name, struct str value)
{
	AUTO(buf) line = BUF(POSTCONF_MOST_LINE);

	if (p->no_values)
		buf_add(&line, name);
	else if (p->no_names)
		buf_add(&line, value);
	else
		buf_addf(&line, "%.*s = %.*s", PSTR(name), PSTR(value));
	print_words(p, buf_str(&line));
}

void warn(const char *format, ...)
{
	va_list arguments;

	fflush(stdout);
	fputs("postconf: warning: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}
