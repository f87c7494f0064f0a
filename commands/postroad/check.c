/* SPDX-License-Identifier: ISC */
/* postroad check: everything that is wrong, each with its name. */
#include "commands/postroad/postroad.h"

#include <errno.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/conf/master_cf.h"
#include "lib/conf/programs.h"

struct look {
	struct work *work;
	report_fn *say;
	void *arg;
	int problems;			/* those in the way of a start */
};

/* Behind the place of the parameter that the words begin with. */
static void report(void *arg, bool fatal, const char *words)
{
	struct look *l = arg;
	AUTO(buf) text = BUF(8192);
	const char *file;
	int line;

	if (conf_where_words(l->work->world.conf, str_of(words), &file, &line))
		buf_addf(&text, "%s, line %d: ", file, line);
	buf_add_text(&text, words);
	l->say(l->arg, fatal, buf_text(&text));
	l->problems += fatal;
}

__attribute__((format(printf, 3, 4))) static void complain(struct look *l, bool fatal,
							   const char *format, ...)
{
	AUTO(buf) words = BUF(8192);
	va_list arguments;

	va_start(arguments, format);
	buf_addv(&words, format, arguments);
	va_end(arguments);
	report(l, fatal, buf_text(&words));
}

static bool has_program(struct look *l, const char *name)
{
	AUTO(buf) path = BUF(4096);

	buf_addf(&path, "%s/%s", l->work->world.common.daemon_directory, name);
	return access(buf_text(&path), X_OK) == 0;
}

/* Postfix's programs that are not here: what such a service is asked to do waits until it is. */
static void name_absent_programs(struct look *l, struct arena *a, const struct master_cf *table)
{
	struct str disabled = STR_NONE;

	conf_get(l->work->world.conf, a, STR("master_service_disable"), &disabled);
	for (size_t i = 0; i < table->count; i++) {
		const struct service_entry *s = &table->services[i];
		const struct program *p = program_find(s->command);
		AUTO(buf) path = BUF(4096);

		buf_addf(&path, "%s/%.*s", l->work->world.common.daemon_directory,
			 PSTR(p->file != NULL ? str_of(p->file) : s->command));
		if (p->shape != IN_PROCESS && !master_cf_is_disabled(disabled, s) && access(buf_text(&path), X_OK) < 0)
			complain(l, false, "%s/master.cf, line %d: service %.*s: there is no program %s: whoever asks for this service has to wait",
				 conf_dir(l->work->world.conf), s->line, PSTR(s->name), buf_text(&path));
	}
}

/* Whether clients of this service have their passwords checked by Cyrus libsasl2. */
static bool asks_cyrus(struct conf *c, struct arena *a, const struct service_entry *s)
{
	AUTO(buf) ignored = BUF_WORDS;
	struct str assignment, name, raw, value, type = STR_NONE;
	bool enabled = false;

	conf_get_bool(c, STR("smtpd_sasl_auth_enable"), false, &enabled, &ignored);
	conf_get(c, a, STR("smtpd_sasl_type"), &type);
	for (size_t at = 0; service_override(s, &at, &assignment);) {
		if (conf_split_assignment(assignment, &name, &raw, &ignored) < 0 ||
		    conf_expand(c, a, raw, &value, &ignored) < 0)
			continue;
		if (str_is(name, STR("smtpd_sasl_auth_enable")))
			enabled = str_is_nocase(value, STR("yes"));
		else if (str_is(name, STR("smtpd_sasl_type")))
			type = value;
	}
	return enabled && str_is_nocase(type, STR("cyrus"));
}

/* Postfix's smtpd has the library in itself; here it is in a service, which no master.cf of Postfix has. */
static void look_at_passwords(struct look *l, struct arena *a, const struct master_cf *table)
{
	struct conf *c = l->work->world.conf;

	if (master_cf_has(table, STR("cyrus-sasl")))
		return;
	for (size_t i = 0; i < table->count; i++) {
		const struct service_entry *s = &table->services[i];

		if (!str_is(s->command, STR("smtpd")) || !asks_cyrus(c, a, s))
			continue;
		complain(l, false, "%s/master.cf, line %d: service %.*s: with smtpd_sasl_type = cyrus nobody can log in while there is no service cyrus-sasl (mend: add the row \"cyrus-sasl unix - - n - - cyrus-sasl\")",
			 conf_dir(c), s->line, PSTR(s->name));
		return;
	}
}

static void name_spare_queue_managers(struct look *l, const struct master_cf *table)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct service_entry *s = &table->services[i];

		if (master_cf_is_spare(table, s))
			complain(l, false, "%s/master.cf, line %d: service %.*s is not started: the queue has one manager, the service qmgr, and all mail goes through that",
				 conf_dir(l->work->world.conf), s->line, PSTR(s->name));
	}
}

static void report_odd(void *arg, const char *words)
{
	report(arg, false, words);
}

static void look_at_services(struct look *l, bool thorough)
{
	struct arena *a = arena_new("master.cf", NULL, 64 << 20);
	struct conf *c = l->work->world.conf;
	AUTO(buf) why = BUF_WORDS;
	struct master_cf table;

	if (master_cf_load(c, a, &table, &why) < 0) {
		report(l, true, buf_text(&why));
	} else {
		master_cf_check_names(c, &table, report_odd, l);
		look_at_passwords(l, a, &table);
		name_spare_queue_managers(l, &table);
		if (thorough && has_program(l, "master"))
			name_absent_programs(l, a, &table);
	}
	arena_free(a);
}

/* "myorigin = /etc/mailname": all who read mail addresses need that file. */
static void look_at_origin(struct look *l)
{
	const char *myorigin = l->work->world.common.myorigin;

	if (myorigin[0] == '/' && access(myorigin, R_OK) < 0)
		complain(l, true, "myorigin = %s: %s", myorigin, error_text(errno));
}

/* The log is written with root's rights: only where the administrator said that logs go. */
static void look_at_log(struct look *l)
{
	const char *prefixes = l->work->log.maillog_file_prefixes, *file = l->work->world.common.maillog_file;
	struct str rest = str_of(prefixes), prefix;

	if (file[0] == '\0')
		return;
	while (str_token(&rest, ", \t\r\n", &prefix))
		if (str_starts(str_of(file), prefix))
			return;
	complain(l, true, "maillog_file = %s does not begin with any of maillog_file_prefixes = %s",
		 file, prefixes);
}

/*
 * A main.cf made for Postfix may say where Postfix's programs are. They are not to be started in
 * place of ours: its trivial-rewrite tells them apart, which we do in process. Where both have been
 * installed in one directory only a person knows which came last.
 */
static void look_at_master(struct look *l)
{
	static const char mend[] = "mend: take daemon_directory out of main.cf: the programs are in " DAEMONDIR;
	const char *directory = l->work->world.common.daemon_directory;

	if (!has_program(l, "master"))
		complain(l, true, "daemon_directory %s: master: %s (%s)", directory, error_text(errno), mend);
	else if (has_program(l, "trivial-rewrite"))
		complain(l, true, "daemon_directory %s: these are Postfix's programs (%s)", directory,
			 has_program(l, "resolver") ? "or there are some among ours; mend: remove trivial-rewrite from there, and install Postroad again"
						    : mend);
}

int find_obstacles(struct work *w, bool thorough, report_fn *say, void *arg)
{
	const struct common_conf *common = &w->world.common;
	struct look l = { .work = w, .say = say, .arg = arg };
	AUTO(buf) why = BUF_WORDS;
	struct instance_ids ids;

	look_at_services(&l, thorough);
	look_at_origin(&l);
	look_at_log(&l);
	look_at_master(&l);
	if (instance_ids(common, &ids, &why) < 0) {
		report(&l, true, buf_text(&why));
		return l.problems;
	}
	if (access(common->queue_directory, F_OK) == 0)
		layout_create(common, &ids, report, &l);
	layout_check(common, conf_dir(w->world.conf), &ids, thorough, report, &l);
	return l.problems;
}

void say_problem(void *arg, bool fatal, const char *text)
{
	(void) arg;
	if (fatal)
		log_error("%s", text);
	else
		log_warning("%s", text);
}

static void say_review(void *arg, const char *text)
{
	(void) arg;
	log_warning("%s", text);
}

static void say_wrong(void *arg, const char *text)
{
	(void) arg;
	log_error("%s", text);
}

void tell_of_names(struct work *w)
{
	conf_review(w->world.conf, say_review, NULL);
}

int tell_of_values(struct work *w)
{
	return conf_check_values(w->world.conf, say_wrong, NULL);
}

int do_check(struct work *w)
{
	const int wrong_values = tell_of_values(w);
	const int obstacles = find_obstacles(w, true, say_problem, NULL);

	tell_of_names(w);
	return obstacles == 0 && wrong_values == 0 ? 0 : 1;
}
