/* SPDX-License-Identifier: ISC */
/*
 * The services, and how a reading of master.cf changes them. A service is known by name and type;
 * its row may change under it.
 */
#include "master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"

struct list services = LIST_INIT(services);

const char *service_label(const struct service *s)
{
	static char label[300];

	snprintf(label, sizeof(label), "%s/%s", s->name, service_type_text(s->type));
	return label;
}

struct service *service_of(const struct service_entry *e)
{
	LIST_EACH(s, &services, struct service, link)
		if (!s->removed && s->type == e->type && str_is(str_of(s->name), e->name))
			return s;
	return NULL;
}

void service_say(const struct service_entry *e, struct buf *why, const char *format, ...)
{
	va_list arguments;

	if (e->line > 0)
		buf_addf(why, "%s/master.cf, line %d: ", settings->config_dir, e->line);
	buf_addf(why, "service %.*s: ", PSTR(e->name));
	va_start(arguments, format);
	buf_addv(why, format, arguments);
	va_end(arguments);
}

/* ---- keepsakes ---- */

static void drop_keepsake(struct service *s)
{
	if (s->keepsake >= 0)
		close(s->keepsake);
	s->keepsake = -1;
}

/* Of fixed size: it is no place to hoard memory. */
static void make_keepsake(struct service *s)
{
	s->keepsake = memfd_create("keepsake", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (s->keepsake >= 0 && ftruncate(s->keepsake, KEEPSAKE_SIZE) == 0
	    && fcntl(s->keepsake, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0)
		return;
	log_warning("service %s: its processes can leave nothing to each other: %s", service_label(s),
		    error_text(errno));
	drop_keepsake(s);
}

/* ---- life ---- */

/* Who waits to be accepted hears at once that nobody will, unless a worker still does. */
void service_stop_listening(struct service *s)
{
	for (int i = 0; i < s->listener_count; i++)
		listener_close(&s->listeners[i], true);
}

void service_free(struct service *s)
{
	service_stop_listening(s);
	drop_keepsake(s);
	list_remove(&s->link);
	free(s);
}

/* ---- what a row means ---- */

bool service_is_disabled(const struct service_entry *e)
{
	if (master_cf_is_disabled(str_of(settings->master.master_service_disable), e)
	    || master_cf_is_spare(&settings->table, e))
		return true;
	/* Nobody logs there when the log goes to syslog. */
	return e->line == 0 && str_is(e->command, STR("postlogd")) && settings->common.maillog_file[0] == 0;
}

void service_find_file(struct service *s)
{
	const char *directory = settings->common.daemon_directory;

	snprintf(s->file, sizeof(s->file), "%s/%.*s", directory, PSTR(s->entry->command));
	if (access(s->file, X_OK) < 0 && s->program->file != NULL)
		snprintf(s->file, sizeof(s->file), "%s/%s", directory, s->program->file);
	s->is_installed = access(s->file, X_OK) == 0;
	s->no_process = !s->is_installed && s->program->shape == IN_PROCESS;
}

static int processors(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : (int) MIN(n, 1024L);
}

int divide_up(int n, int by)
{
	return (n + by - 1) / by;
}

/* maxproc says how many clients; who multiplexes shares them out among a few processes. */
static void set_limits(struct service *s)
{
	const int clients = s->entry->maxproc, isolation = (int) settings->master.worker_session_limit;
	int processes = settings->common.worker_processes > 0 ? (int) settings->common.worker_processes
			: processors();

	s->session_limit = s->most_clients = 0;
	s->most_workers = clients;
	/* Who changes tables is one process, for all clients. */
	if (s->program->shape == SINGLETON || strcmp(s->name, "proxywrite") == 0) {
		s->most_workers = 1;
	} else if (s->program->shape == MULTIPLEXES && isolation > 0) {
		s->session_limit = isolation;
		s->most_clients = clients;
		s->most_workers = divide_up(clients, isolation);
	} else if (s->program->shape == MULTIPLEXES) {
		s->most_workers = clients > 0 ? MIN(clients, processes) : processes;
		s->most_clients = clients;
	}
}

static void set_wakeup(struct service *s)
{
	if (s->entry->wakeup_ms == 0 || !s->is_installed)
		s->wakeup_at = 0;
	else
		s->wakeup_at = mono_ms();
}

static void take_row(struct service *s, struct service_entry *e)
{
	s->entry = e;
	s->program = program_find(e->command);
	s->throttled_until = 0;
	s->failures_in_row = 0;
	s->said_absent_at = 0;
	service_find_file(s);
	if (!s->program->has_keepsake)
		drop_keepsake(s);
	else if (s->keepsake < 0)
		make_keepsake(s);
	set_limits(s);
	set_wakeup(s);
}

static struct service *service_new(const struct service_entry *e)
{
	struct service *s = get_memory(sizeof(*s));

	snprintf(s->name, sizeof(s->name), "%.*s", PSTR(e->name));
	s->type = e->type;
	s->keepsake = -1;
	list_init(&s->workers);
	list_append(&services, &s->link);
	return s;
}

/* ---- listeners ---- */

/*
 * Takes over what is open already, closes what is not wanted any more; the rest is opened by
 * open_missing().
 */
static void merge_listeners(struct service *s, struct listener *plan, int count)
{
	for (int i = 0; i < count; i++)
		for (int k = 0; k < s->listener_count; k++)
			if (s->listeners[k].fd >= 0 && listener_is_same(&plan[i], &s->listeners[k])) {
				plan[i].fd = s->listeners[k].fd;
				s->listeners[k].fd = -1;
				s->listeners[k].is_path = false;	/* the path is in use */
			}
	for (int k = 0; k < s->listener_count; k++)
		listener_close(&s->listeners[k], true);
	memcpy(s->listeners, plan, (size_t) count * sizeof(*plan));
	s->listener_count = count;
}

static void drop_listener(struct service *s, int at)
{
	memmove(&s->listeners[at], &s->listeners[at + 1],
		(size_t) (s->listener_count - at - 1) * sizeof(s->listeners[0]));
	s->listener_count--;
}

static int open_missing(struct service *s, bool first, struct buf *why)
{
	for (int i = 0; i < s->listener_count; i++) {
		struct listener *l = &s->listeners[i];
		int result = l->fd >= 0 ? 0 : listener_open(s, l);

		if (result == 0)
			continue;
		if (listener_is_dispensable(l, s->listener_count, result)) {
			drop_listener(s, i--);
		} else if (first) {
			service_say(s->entry, why, "cannot listen at %s: %s", l->where, error_text(result));
			return result;
		}
		/* After a reload: services_retry_listeners() goes on trying and says so. */
	}
	return 0;
}

/* ---- applying ---- */

static int apply_entry(struct service_entry *e, bool first, struct buf *why)
{
	static struct listener plan[MOST_LISTENERS];
	struct service *s;
	int n;

	if (service_is_disabled(e))
		return 0;
	if (e->replaced_line > 0)
		log_warning("duplicate master.cf entry for service \"%.*s\" (lines %d and %d) -- using the last entry",
			    PSTR(e->name), e->replaced_line, e->line);
	s = service_of(e);
	if (s == NULL)
		s = service_new(e);
	take_row(s, e);
	n = listeners_plan(s, plan, why);
	if (n < 0) {
		if (!first) {		/* the service keeps the places that it has */
			log_error("%s", buf_text(why));
			buf_clear(why);
			return 0;
		}
		return n;
	}
	merge_listeners(s, plan, n);
	return 0;
}

static bool is_configured(const struct service *s)
{
	for (size_t i = 0; i < settings->table.count; i++) {
		const struct service_entry *e = &settings->table.services[i];

		if (e->type == s->type && str_is(e->name, str_of(s->name)))
			return !service_is_disabled(e);
	}
	return false;
}

static void remove_services(void)
{
	LIST_EACH(s, &services, struct service, link) {
		if (s->removed || is_configured(s))
			continue;
		s->removed = true;
		s->entry = NULL;
		service_stop_listening(s);
		s->listener_count = 0;
		if (list_is_empty(&s->workers))
			service_free(s);
	}
}

int services_apply(bool first, struct buf *why)
{
	remove_services();
	for (size_t i = 0; i < settings->table.count; i++) {
		int result = apply_entry(&settings->table.services[i], first, why);

		if (result < 0)
			return result;
	}
	LIST_EACH(s, &services, struct service, link) {
		int result = s->removed ? 0 : open_missing(s, first, why);

		if (result < 0)
			return result;
	}
	return 0;
}
