/* SPDX-License-Identifier: ISC */
/* Lines on standard output, in the shape that scripts around Postfix's postconf expect, or JSON. */
#include "commands/postconf/postconf.h"

static bool first = true;		/* of the members of an object or list */

void answer_begin(const struct postconf *p, char bracket)
{
	if (p->json)
		putchar(bracket);
	first = true;
}

void answer_end(const struct postconf *p, char bracket)
{
	if (p->json)
		printf("%s%c\n", first ? "" : "\n", bracket);
}

void print_separator(const struct postconf *p)
{
	if (p->json)
		fputs(first ? "\n  " : ",\n  ", stdout);
	first = false;
}

/* RFC 8259. What is no UTF-8 is shown as Latin-1 would be, so that the output is always JSON. */
void print_json_text(struct str text)
{
	const bool utf8 = str_is_utf8(text);

	putchar('"');
	for (size_t i = 0; i < text.len; i++) {
		const unsigned char c = (unsigned char) text.at[i];

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < ' ' || c == 127 || (c > 127 && !utf8))
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

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

void print_item(const struct postconf *p, struct str text)
{
	print_separator(p);
	if (p->json)
		print_json_text(text);
	else
		printf("%.*s\n", PSTR(text));
}

void print_assignment(const struct postconf *p, struct str name, struct str value)
{
	AUTO(buf) line = BUF(POSTCONF_MOST_LINE);

	if (p->json) {
		print_separator(p);
		print_json_text(name);
		fputs(": ", stdout);
		print_json_text(value);
		return;
	}
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
