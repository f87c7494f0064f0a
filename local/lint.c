/* SPDX-License-Identifier: ISC */
/*
 * For `postroad lint` (local -R ... lint): what the aliases name and is not there: files to
 * include, commands, directories of files, users. Of tables whose entries can be listed; said as
 * warnings, with the line of their source.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/mail/mail_address.h"
#include "lib/table/listing.h"
#include "lib/table/source.h"
#include "local/explain.h"

enum { MOST_USERS_ASKED = 2000 };	/* each may be a question to a directory server */

struct lint {
	struct task *task;
	struct arena *step;		/* for one entry */
	const char *place;		/* "FILE, line N: name" */
	struct str alias;		/* whose list it is */
	int depth;			/* of :include: files */
	size_t asked;
};

static void lint_list(struct lint *l, struct str text);

__attribute__((format(printf, 2, 3))) static void say(const struct lint *l, const char *format, ...)
{
	AUTO(buf) words = BUF(8192);
	va_list arguments;

	va_start(arguments, format);
	buf_addv(&words, format, arguments);
	va_end(arguments);
	log_warning("%s: %s", l->place, buf_text(&words));
}

/* What this user must not look at is not judged. */
static bool is_missing(const char *path, struct stat *ret)
{
	return stat(path, ret) < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP);
}

/* ---- files ---- */

static void lint_included(struct lint *l, const char *path)
{
	const char *outer = l->place;
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	AUTO(buf) text = BUF(INCLUDE_LIMIT);

	if (fd < 0 || source_read_file(fd, INCLUDE_LIMIT - 1, &text) < 0)
		return;
	l->place = arena_fmt(l->step, "%s: :include:%s", outer, path).at;
	l->depth++;
	lint_list(l, buf_str(&text));
	l->depth--;
	l->place = outer;
}

static void lint_include(struct lint *l, struct str name)
{
	const char *path = str_c(l->step, name);
	struct stat st;

	if (path[0] != '/')
		say(l, ":include:%s: mail is deferred: no path from the root (mend: name the whole path)",
		    path);
	else if (is_missing(path, &st))
		say(l, ":include:%s: %s: mail is deferred (mend: make the file, or mend the name)", path,
		    error_text(errno));
	else if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
		say(l, ":include:%s: mail is deferred: not a file", path);
	else if (stat(path, &st) == 0 && (st.st_mode & S_IWOTH) != 0 && S_ISREG(st.st_mode))
		say(l, ":include:%s: mail is deferred: everybody may write to the file (mend: chmod o-w %s)",
		    path, path);
	else if (l->depth < MOST_INCLUDE_DEPTH)
		lint_included(l, path);
}

/* The program, where it is named by its path: what else is in the line is the shell's. */
static void lint_command(struct lint *l, struct str command)
{
	struct str word;
	struct stat st;
	const char *path;

	if (!str_token(&command, " \t\r\n", &word) || word.at[0] != '/'
	    || str_find_any(word, "!\"#$&'()*;<>?[\\]^`{|}~=") >= 0)
		return;
	path = str_c(l->step, word);
	if (is_missing(path, &st))
		say(l, "|%s: %s (mend: install it, or mend the name)", path, error_text(errno));
	else if (stat(path, &st) == 0 && (!S_ISREG(st.st_mode) || (st.st_mode & 0111) == 0))
		say(l, "|%s: is no program that can be run (mend: chmod a+x %s)", path, path);
}

/* A file is made when mail comes, and so is a maildir; what it shall stand in is not. */
static void lint_file(struct lint *l, struct str name)
{
	const char *path;
	struct stat st;
	ssize_t slash;

	while (name.len > 1 && name.at[name.len - 1] == '/')
		name.len--;
	slash = str_find_last(name, '/');
	path = str_c(l->step, str_head(name, (size_t) MAX(slash, 1)));
	if (is_missing(path, &st))
		say(l, "%.*s: %s: %s (mend: make the directory, or mend the name)", PSTR(name), path,
		    error_text(errno));
}

/* ---- names ---- */

/* Somebody else may know a name that has neither alias nor account. */
static bool names_are_final(void)
{
	const struct local_conf *c = &the_local.conf;
	const char *const others[] = { c->luser_relay, c->mailbox_transport, c->fallback_transport,
				       c->mailbox_transport_maps, c->fallback_transport_maps };

	for (size_t i = 0; i < COUNT_OF(others); i++)
		if (*others[i] != 0)
			return false;
	return !have_maps();
}

/* final: no alias counts. In "joe: joe, others" he is the user too. */
static void lint_name(struct lint *l, struct str name, bool final)
{
	struct account account;
	struct alias alias;
	struct str user, extension;
	int r;

	name = arena_lower(l->step, name);
	final |= str_is(name, l->alias);
	if (!names_are_final() || (!final && find_alias(l->task, name, &alias) != 0)
	    || l->asked++ >= MOST_USERS_ASKED)
		return;
	r = account_by_name(l->step, name, &account);
	if (r == 0 && local_part_split_at(name, the_local.delimiter, the_local.route.owner_request_special,
					  &user, &extension))
		r = account_by_name(l->step, user, &account);
	if (r == 0 && !str_is(name, STR("postmaster")) && !str_is(name, STR("mailer-daemon")))
		say(l, "there is neither an alias nor a user \"%.*s\" (mend: the name, or give it an alias)",
		    PSTR(name));
}

static void lint_destination(struct lint *l, const struct destination *to)
{
	struct str name, recipient;

	switch (to->kind) {
	case TO_COMMAND: lint_command(l, to->what); break;
	case TO_FILE: lint_file(l, to->what); break;
	case TO_HOME_FILE: break;
	case TO_INCLUDE: lint_include(l, to->what); break;
	case TO_USER: lint_name(l, to->what, true); break;
	case TO_ADDRESS:
		if (is_local_name(l->task, to->what, &recipient, &name) > 0)
			lint_name(l, name, false);
	}
}

static void lint_list(struct lint *l, struct str text)
{
	struct destinations list;
	struct str bad;

	if (read_list(l->task, text, MOST_DESTINATIONS, &list, &bad) < 0) {
		say(l, "cannot be understood: %.*s: mail is deferred", PSTR(str_head(bad, 100)));
		return;
	}
	for (size_t i = 0; i < list.count; i++)
		lint_destination(l, &list.at[i]);
}

static void lint_entry(void *arg, const struct table_entry *e)
{
	struct lint *l = arg;

	l->place = e->path == NULL ? arena_fmt(l->step, "alias_maps: %.*s", PSTR(e->key)).at
		   : arena_fmt(l->step, "%s, line %d: %.*s", e->path, e->line, PSTR(e->key)).at;
	l->alias = arena_lower(l->step, e->key);
	lint_list(l, e->value);
	arena_reset(l->step);
}

/* main.cf's own destinations. */
static void lint_settings(struct lint *l)
{
	const struct local_conf *c = &the_local.conf;
	struct stat st;

	l->place = "mailbox_command";
	lint_command(l, str_of(c->mailbox_command));
	l->place = "home_mailbox";
	if (c->home_mailbox[0] == '~')
		say(l, "it is below the home anyway: %s is a directory of that name there (mend: without ~/)",
		    c->home_mailbox);
	l->place = "mail_spool_directory";
	if (c->home_mailbox[0] == '\0' && c->mailbox_command[0] == '\0' && c->mailbox_transport[0] == '\0'
	    && is_missing(c->mail_spool_directory, &st))
		say(l, "%s: %s: mail for users is deferred (mend: make the directory, or set home_mailbox)",
		    c->mail_spool_directory, error_text(errno));
}

void lint_aliases(struct task *t)
{
	struct lint l = { .task = t, .step = t->arena };
	struct str rest = str_of(the_local.route.alias_maps), spec;

	lint_settings(&l);
	while (str_token_braced(&rest, ", \t\r\n", &spec) > 0)
		table_each_alias(spec, lint_entry, &l);
}
