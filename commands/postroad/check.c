/* SPDX-License-Identifier: ISC */
/* postroad check: everything that is wrong, each with its name. */
#include "commands/postroad/postroad.h"

#include <errno.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/conf/master_cf.h"
#include "lib/conf/programs.h"

static void say_problem(void *arg, bool fatal, const char *text)
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

/* Postfix's programs that are not here: what such a service is asked to do waits until it is. */
static void name_absent_programs(struct work *w, const struct master_cf *table)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct service_entry *s = &table->services[i];
		const struct program *p = program_find(s->command);
		AUTO(buf) path = BUF(4096);

		buf_addf(&path, "%s/%.*s", w->world.common.daemon_directory, PSTR(p->file != NULL ? str_of(p->file) : s->command));
		if (p->shape != IN_PROCESS && access(buf_text(&path), X_OK) < 0)
			log_warning("%s/master.cf, line %d: service %.*s: there is no program %s: whoever asks for this service has to wait",
				    conf_dir(w->world.conf), s->line, PSTR(s->name), buf_text(&path));
	}
}

/* "myorigin = /etc/mailname": all who read mail addresses need that file. */
static bool has_origin(struct work *w)
{
	const char *myorigin = w->world.common.myorigin;

	if (myorigin[0] != '/' || access(myorigin, R_OK) == 0)
		return true;
	log_error("myorigin = %s: %s", myorigin, error_text(errno));
	return false;
}

bool has_good_services(struct work *w, bool thorough)
{
	struct arena *a = arena_new("master.cf", NULL, 64 << 20);
	AUTO(buf) why = BUF_WORDS;
	struct master_cf table;
	const bool good = master_cf_load(w->world.conf, a, &table, &why) == 0;

	if (!good)
		log_error("%s", buf_text(&why));
	else if (thorough)
		name_absent_programs(w, &table);
	arena_free(a);
	return good;
}

/* The log is written with root's rights: only where the administrator said that logs go. */
static bool has_good_log(struct work *w)
{
	struct str rest = str_of(w->log.maillog_file_prefixes), prefix, file = str_of(w->world.common.maillog_file);

	if (file.len == 0)
		return true;
	while (str_token(&rest, ", \t\r\n", &prefix))
		if (str_starts(file, prefix))
			return true;
	log_error("maillog_file = %.*s does not begin with any of maillog_file_prefixes = %s", PSTR(file), w->log.maillog_file_prefixes);
	return false;
}

static bool has_master(struct work *w)
{
	AUTO(buf) path = BUF(4096);

	buf_addf(&path, "%s/master", w->world.common.daemon_directory);
	if (access(buf_text(&path), X_OK) == 0)
		return true;
	log_error("daemon_directory %s: master: %s", w->world.common.daemon_directory, error_text(errno));
	return false;
}

bool is_fit(struct work *w, bool thorough)
{
	const struct common_conf *common = &w->world.common;
	AUTO(buf) why = BUF_WORDS;
	struct instance_ids ids;
	int problems = 0;

	problems += !has_good_services(w, thorough);
	problems += !has_origin(w);
	problems += !has_good_log(w);
	problems += !has_master(w);
	if (instance_ids(common, &ids, &why) < 0) {
		log_error("%s", buf_text(&why));
		return false;
	}
	if (access(common->queue_directory, F_OK) == 0)
		problems += layout_create(common, &ids, say_problem, NULL);
	problems += layout_check(common, conf_dir(w->world.conf), &ids, thorough, say_problem, NULL);
	return problems == 0;
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

int do_check(struct work *w)
{
	const int wrong_values = conf_check_values(w->world.conf, say_wrong, NULL);
	const bool fit = is_fit(w, true);

	tell_of_names(w);
	return fit && wrong_values == 0 ? 0 : 1;
}
