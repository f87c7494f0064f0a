/* SPDX-License-Identifier: ISC */
/*
 * Any bytes as a bounce_template_file: what comes of it can be printed, read again, and is the
 * same; and its $names are expanded.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/mail/bounce_template.h"

enum { LONGEST_INPUT = 16384 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(void *arg, const char *text)
{
	(void) arg;
	(void) text;
}

static int load(struct arena *a, struct str text, struct bounce_template ret[BOUNCE_KINDS])
{
	AUTO_FD fd = memfd_create("templates", MFD_CLOEXEC);
	AUTO(buf) why = BUF_WORDS;
	char path[64];

	BUG_UNLESS(fd >= 0 && write(fd, text.at, text.len) == (ssize_t) text.len);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return bounce_templates_load(a, path, ret, ignore, NULL, &why);
}

static void check_template(const struct bounce_template *t)
{
	BUG_UNLESS(t->charset.len > 0 && t->from.len > 0 && t->subject.len > 0 && t->text.len > 0);
	BUG_UNLESS(!str_has_control(t->charset) && !str_has_control(t->from) && !str_has_control(t->subject));
	BUG_UNLESS(t->postmaster_subject.len == 0 || !str_has_control(t->postmaster_subject));
}

/* The mark that ends a text when it is printed may stand in the text. */
static bool holds_mark(struct str text)
{
	struct str line;

	while (text.len > 0) {
		str_cut(&text, '\n', &line);
		if (str_is(line, STR("EOF")))
			return true;
	}
	return false;
}

static void come_back(struct arena *a, const struct bounce_template t[BOUNCE_KINDS])
{
	struct bounce_template again[BOUNCE_KINDS];
	AUTO(buf) printed = BUF(1 << 20);

	for (int k = 0; k < BOUNCE_KINDS; k++) {
		if (holds_mark(t[k].text))
			return;
		bounce_template_print(&t[k], (enum bounce_kind) k, &printed);
	}
	BUG_UNLESS(load(a, buf_str(&printed), again) == 0);
	for (int k = 0; k < BOUNCE_KINDS; k++)
		BUG_UNLESS(str_is(t[k].charset, again[k].charset) && str_is(t[k].from, again[k].from)
			   && str_is(t[k].subject, again[k].subject) && str_is(t[k].text, again[k].text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bounce_template t[BOUNCE_KINDS];
	AUTO(buf) why = BUF_WORDS;
	struct arena *a;
	struct conf *c;

	if (size > LONGEST_INPUT)
		return 0;
	a = arena_new("fuzz", NULL, 64 << 20);
	load(a, str_make((const char *) data, size), t);
	for (int k = 0; k < BOUNCE_KINDS; k++)
		check_template(&t[k]);
	come_back(a, t);
	BUG_UNLESS(conf_from_text("/nonexistent", STR("myhostname = mail.example.org\n"), &c, &why) == 0);
	bounce_templates_expand(a, c, "file", t, ignore, NULL);
	for (int k = 0; k < BOUNCE_KINDS; k++)
		check_template(&t[k]);
	conf_free(c);
	arena_free(a);
	return 0;
}
