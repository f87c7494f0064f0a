/* SPDX-License-Identifier: ISC */
/*
 * Before a reload the new configuration is tried, in a child process that may wait: what master
 * would have to do for it, and then the daemons try it themselves. Only when all of them could
 * start with it do the workers of now make way; else they go on serving, and whoever asked for the
 * reload hears why.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/conf/families.h"
#include "lib/daemon/instance.h"
#include "lib/daemon/rehearsal.h"
#include "master/master.h"

enum { MOST_REHEARSAL_MS = 60000, MOST_REASON = 8192, MOST_PLACES = 4096 };

#define ALL_WELL STR("all well\n")	/* warnings may follow */

static pid_t child;		/* reaped with the workers */
static int reason_fd = -1;
static struct buf reason;

bool rehearsal_is_on(void)
{
	return child > 0;
}

int rehearsal_descriptor(void)
{
	return reason_fd;
}

/* ---- in the child: what is said ---- */

struct words {
	struct buf reasons, warnings;
};

/* Several services stumble over one thing. */
static void add(struct buf *b, struct str line)
{
	if (str_find_str(buf_str(b), line) < 0)
		buf_addf(b, "%s%.*s", b->len > 0 ? "\n" : "", PSTR(line));
}

static void refuse(struct words *w, const struct buf *why)
{
	add(&w->reasons, buf_str(why));
}

static void refuse_text(void *arg, const char *text)
{
	struct words *w = arg;

	add(&w->reasons, str_of(text));
}

static void hear(void *arg, bool fatal, struct str line)
{
	struct words *w = arg;

	add(fatal ? &w->reasons : &w->warnings, line);
}

/* ---- in the child: what master would do ---- */

struct places {
	struct listener at[MOST_PLACES];
	const struct service_entry *of[MOST_PLACES];
	int count;
};

/* One that was absent before is no news, and keeps nobody from a reload. */
static void try_program(const struct service *s, struct words *w)
{
	const struct service *now = service_of(s->entry);
	AUTO(buf) why = BUF_WORDS;

	if (s->is_installed || s->no_process)
		return;
	service_say(s->entry, &why, "there is no program %s", s->file);
	if (now == NULL || now->is_installed)
		refuse(w, &why);
	else
		add(&w->warnings, buf_str(&why));
}

/* Does a service of now listen there, or in the way, so that the place will be free when it has gone? */
static bool is_held_by_us(const struct listener *l)
{
	LIST_EACH(s, &services, struct service, link)
		for (int i = 0; i < s->listener_count; i++)
			if (s->listeners[i].fd >= 0 && listener_is_in_the_way(&s->listeners[i], l))
				return true;
	return false;
}

static void try_place(const struct service_entry *e, const struct listener *l, int of_how_many,
		      struct places *all, struct words *w)
{
	AUTO(buf) why = BUF_WORDS;
	int result = is_held_by_us(l) ? 0 : listener_try(l);

	if (listener_is_dispensable(l, of_how_many, result))
		return;
	for (int i = 0; i < all->count && why.len == 0; i++)
		if (listener_is_in_the_way(&all->at[i], l))
			service_say(e, &why, "cannot listen at %s: service %.*s (line %d) does", l->where,
				    PSTR(all->of[i]->name), all->of[i]->line);
	if (result < 0 && why.len == 0)
		service_say(e, &why, "cannot listen at %s: %s", l->where, error_text(result));
	if (why.len > 0)
		refuse(w, &why);
	else if (all->count < MOST_PLACES) {
		all->of[all->count] = e;
		all->at[all->count++] = *l;
	}
}

static void try_row(struct service_entry *e, struct places *all, struct words *w)
{
	static struct listener plan[MOST_LISTENERS];
	static struct service s;
	AUTO(buf) why = BUF_WORDS;
	int n;

	memset(&s, 0, sizeof(s));	/* it is too large for a stack, which a compound literal may take */
	s.entry = e;
	s.type = e->type;
	s.program = program_find(e->command);
	snprintf(s.name, sizeof(s.name), "%.*s", PSTR(e->name));
	service_find_file(&s);
	try_program(&s, w);
	n = listeners_plan(&s, plan, &why);
	if (n < 0)
		refuse(w, &why);
	for (int i = 0; i < n; i++)
		try_place(e, &plan[i], n, all, w);
}

static void try_services(struct words *w)
{
	struct places *all = get_memory(sizeof(*all));

	for (size_t i = 0; i < settings->table.count; i++)
		if (!service_is_disabled(&settings->table.services[i]))
			try_row(&settings->table.services[i], all, w);
	free(all);
}

static void try_settings(struct words *w)
{
	AUTO(buf) words = BUF_WORDS, why = BUF_WORDS;
	struct instance_ids ids;
	const char *file;
	int line;

	if (instance_ids(&settings->common, &ids, &words) < 0) {
		if (conf_where_words(settings->conf, buf_str(&words), &file, &line))
			buf_addf(&why, "%s, line %d: ", file, line);
		buf_add(&why, buf_str(&words));
		refuse(w, &why);
	}
	master_cf_check_names(settings->conf, &settings->table, refuse_text, w);
	conf_check_families(settings->conf, refuse_text, w);
}

/* What stands in the way, or warnings, go up the pipe. */
__attribute__((noreturn)) static void rehearse(struct settings *s, int to)
{
	struct words w = { BUF(MOST_REASON), BUF(MOST_REASON) };
	AUTO(buf) why = BUF_WORDS;

	settings = s;
	try_settings(&w);
	try_services(&w);
	if (rehearse_services(s->conf, &s->common, &s->table, MOST_REHEARSAL_MS, NULL, hear, &w, &why) < 0) {
		buf_addf(&w.reasons, "%scannot try the new configuration: ", w.reasons.len > 0 ? "\n" : "");
		buf_add(&w.reasons, buf_str(&why));
	}
	if (w.reasons.len == 0) {
		buf_add(&w.reasons, ALL_WELL);
		buf_add(&w.reasons, buf_str(&w.warnings));
	}
	_exit(write(to, w.reasons.at, w.reasons.len) < 0 ? EX_IOERR : 0);
}

/* ---- in master ---- */

int rehearsal_begin(struct settings *s, struct buf *why)
{
	int ends[2], e;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
		e = -errno;
		buf_addf(why, "pipe: %s", error_text(e));
		return e;
	}
	log_flush();
	child = fork();
	if (child == 0) {
		fcntl(ends[1], F_SETFL, 0);
		rehearse(s, ends[1]);
	}
	close(ends[1]);
	if (child < 0) {
		e = -errno;
		child = 0;
		close(ends[0]);
		buf_addf(why, "fork: %s", error_text(e));
		return e;
	}
	buf_free(&reason);
	reason = BUF(2 * MOST_REASON);
	reason_fd = ends[0];
	return 0;
}

int rehearsal_result(struct buf *words)
{
	char piece[1024];
	struct str said;
	ssize_t n;

	while ((n = read(reason_fd, piece, sizeof(piece))) > 0)
		buf_add(&reason, str_make(piece, (size_t) n));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 1;
	close(reason_fd);
	reason_fd = -1;
	child = 0;
	if (reason.len == 0)
		buf_addf(&reason, "the rehearsal of the new configuration did not come to an end");
	said = buf_str(&reason);
	if (!str_starts(said, ALL_WELL)) {
		buf_add(words, said);
		return -EINVAL;
	}
	buf_add(words, str_skip(said, ALL_WELL.len));
	return 0;
}

void rehearsal_abandon(void)
{
	if (child <= 0)
		return;
	kill(child, SIGKILL);
	close(reason_fd);
	child = 0;
	reason_fd = -1;
}
