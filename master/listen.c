/* SPDX-License-Identifier: ISC */
/*
 * From a row of master.cf to its sockets: which addresses, and opening them. Paths are relative:
 * master's working directory is queue_directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/conf/own_addresses.h"
#include "master/master.h"

/* the kernel takes the smaller of this and net.core.somaxconn */
enum { BACKLOG = 4096, RETRY_MS = 250 };

/* ---- which addresses ---- */

static bool add_address(struct listener plan[], int *count, const struct address_ip *ip, uint16_t port)
{
	struct listener *l;
	char text[64];

	for (int i = 0; i < *count; i++)
		if (ip_is_same(&plan[i].ip, ip) && plan[i].ip.scope == ip->scope)
			return true;
	if (*count == MOST_LISTENERS)
		return false;
	l = &plan[(*count)++];
	*l = (struct listener){ .fd = -1, .ip = *ip };
	l->ip.port = port;
	ip_print(ip, text);
	snprintf(l->where, sizeof(l->where), ip->family == AF_INET6 ? "[%s]:%u" : "%s:%u", text, port);
	return true;
}

static int plan_wildcard(struct listener plan[], uint16_t port, bool ipv4, bool ipv6)
{
	int n = 0;

	if (ipv4)
		add_address(plan, &n, &(struct address_ip){ .family = AF_INET }, port);
	if (ipv6)
		add_address(plan, &n, &(struct address_ip){ .family = AF_INET6 }, port);
	return n;
}

/* A row without a host listens where inet_interfaces says. */
static int plan_interfaces(struct listener plan[], uint16_t port, struct buf *why)
{
	struct arena *a = arena_new("interfaces", NULL, 1 << 20);
	struct own_addresses own;
	bool ipv4, ipv6;
	int n = 0, result = conf_inet_protocols(settings->conf, &ipv4, &ipv6, why);

	if (result == 0 && str_is(str_trim(str_of(settings->common.inet_interfaces)), STR("all"))) {
		n = plan_wildcard(plan, port, ipv4, ipv6);
	} else if (result == 0) {
		result = conf_own_addresses(settings->conf, a, &own, why);
		for (size_t i = 0; result == 0 && i < own.len; i++)
			if (!add_address(plan, &n, &own.at[i].ip, port))
				result = -E2BIG;
	}
	arena_free(a);
	return result < 0 ? result : n;
}

/* A host name may stand for several addresses. Blocks, as any name service may: at start and reload only. */
static int plan_host(struct listener plan[], struct str host, uint16_t port, struct buf *why)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *found = NULL;
	bool ipv4, ipv6;
	char name[256];
	int n = 0, result = conf_inet_protocols(settings->conf, &ipv4, &ipv6, why);

	if (result < 0)
		return result;
	snprintf(name, sizeof(name), "%.*s", PSTR(host));
	result = getaddrinfo(name, NULL, &hints, &found);
	if (result != 0) {
		buf_addf(why, "%s: %s", name, gai_strerror(result));
		return -EINVAL;
	}
	for (const struct addrinfo *i = found; i != NULL; i = i->ai_next) {
		struct address_ip ip;

		if (i->ai_family != AF_INET && i->ai_family != AF_INET6)
			continue;
		ip_from_sockaddr(i->ai_addr, &ip);
		if (ip.family == AF_INET ? ipv4 : ipv6)
			add_address(plan, &n, &ip, port);
	}
	freeaddrinfo(found);
	if (n == 0)
		buf_addf(why, "%s has no address that inet_protocols = %s allows", name,
			 settings->common.inet_protocols);
	return n == 0 ? -EINVAL : n;
}

static int plan_inet(const struct service *s, struct listener plan[], struct buf *why)
{
	struct str host, port_text;
	struct address_ip ip;
	uint16_t port;
	int n = 0;

	if (host_port_split(s->entry->name, &host, &port_text) < 0) {
		buf_addf(why, "\"%s\" is not host:port", s->name);
		return -EINVAL;
	}
	if (port_text.len == 0) {	/* "smtp", "2525" */
		port_text = host;
		host = STR_NONE;
	}
	if (port_parse(port_text, &port) < 0) {
		buf_addf(why, "\"%.*s\" is neither a port number nor a service name", PSTR(port_text));
		return -EINVAL;
	}
	if (host.len == 0)
		return plan_interfaces(plan, port, why);
	if (ip_parse(host, &ip) < 0)
		return plan_host(plan, host, port, why);
	add_address(plan, &n, &ip, port);
	return n;
}

int listeners_plan(struct service *s, struct listener plan[MOST_LISTENERS], struct buf *why)
{
	AUTO(buf) words = BUF_WORDS;
	int n = 1;

	if (s->no_process)
		return 0;
	if (s->type == SERVICE_INET) {
		n = plan_inet(s, plan, &words);
	} else {
		plan[0] = (struct listener){ .fd = -1, .is_path = true };
		snprintf(plan[0].where, sizeof(plan[0].where), "%s/%s",
			 s->entry->is_private ? "private" : "public", s->name);
	}
	if (n < 0)
		service_say(s->entry, why, "%s", words.len > 0 ? buf_text(&words) : error_text(n));
	return n;
}

/* ---- opening ---- */

/*
 * The directory is the mail owner's, and we are root: modes come with the names, and nothing that
 * stands there is changed.
 */
static int open_fifo(const char *path)
{
	mode_t usual;
	int made, fd;

	unlink(path);
	usual = umask(0);
	made = mkfifo(path, 0622) < 0 ? -errno : 0;
	umask(usual);
	if (made < 0)
		return made;
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

static int open_datagram(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	AUTO_FD fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	const int size = 4 << 20;
	int result;

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof(at.sun_path))
		return -ENAMETOOLONG;
	memcpy(at.sun_path, path, strlen(path));
	unlink(path);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	result = bind_unix(fd, &at, 0666);
	return result < 0 ? result : fd_take(&fd);
}

/*
 * The lock says that nobody else serves this path, so a socket that is there is a former run's,
 * even if its last workers still finish.
 */
static int open_path(enum service_type type, const char *path)
{
	if (type == SERVICE_FIFO)
		return open_fifo(path);
	if (type == SERVICE_DGRAM)
		return open_datagram(path);
	unlink(path);
	return listen_unix(path, 0666, BACKLOG);
}

int listener_open(const struct service *s, struct listener *l)
{
	int fd = l->is_path ? open_path(s->type, l->where) : listen_tcp(&l->ip, BACKLOG);

	if (fd < 0)
		return fd;
	l->fd = fd;
	return 0;
}

/* As far as it can be known without taking the place of somebody who is served there now. */
int listener_try(const struct listener *l)
{
	AUTO(buf) directory = BUF(sizeof(l->where));
	int fd;

	if (!l->is_path) {
		fd = bind_tcp(&l->ip);
		if (fd >= 0)
			close(fd);
		return MIN(fd, 0);
	}
	if (strlen(l->where) >= sizeof(((struct sockaddr_un *) NULL)->sun_path))
		return -ENAMETOOLONG;
	buf_add(&directory, str_head(str_of(l->where), (size_t) str_find_last(str_of(l->where), '/')));
	return access(buf_text(&directory), W_OK | X_OK) < 0 ? -errno : 0;
}

/* IPv6 may be compiled in, wanted by default, and absent from this machine. */
bool listener_is_dispensable(const struct listener *l, int of_how_many, int error)
{
	return !l->is_path && l->ip.family == AF_INET6 && (error == -EAFNOSUPPORT || error == -EADDRNOTAVAIL)
	       && of_how_many > 1;
}

bool listener_is_same(const struct listener *a, const struct listener *b)
{
	if (a->is_path != b->is_path)
		return false;
	if (a->is_path)
		return strcmp(a->where, b->where) == 0;
	return ip_is_same(&a->ip, &b->ip) && a->ip.port == b->ip.port && a->ip.scope == b->ip.scope;
}

static bool is_any(const struct address_ip *ip)
{
	static const struct address_ip any;

	return memcmp(ip->bytes, any.bytes, sizeof(any.bytes)) == 0;
}

bool listener_is_in_the_way(const struct listener *a, const struct listener *b)
{
	return listener_is_same(a, b)
	       || (!a->is_path && !b->is_path && a->ip.family == b->ip.family && a->ip.port == b->ip.port
		   && (is_any(&a->ip) || is_any(&b->ip)));
}

void listener_close(struct listener *l, bool remove_path)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	if (l->is_path && remove_path)
		unlink(l->where);
}

int open_listeners(const struct service *s)
{
	int n = 0;

	for (int i = 0; i < s->listener_count; i++)
		n += s->listeners[i].fd >= 0;
	return n;
}

/*
 * After a reload an address may still be held by workers of the old generation for a moment, or by
 * a stranger for longer.
 */
void services_retry_listeners(void)
{
	static int64_t next;

	if (mono_ms() < next)
		return;
	next = mono_ms() + RETRY_MS;
	LIST_EACH(s, &services, struct service, link)
		for (int i = 0; i < s->listener_count; i++) {
			struct listener *l = &s->listeners[i];
			int result = l->fd >= 0 ? 1 : listener_open(s, l);

			if (result == 0) {
				log_info("service %s: now listening at %s", service_label(s), l->where);
				service_retire_workers(s);	/* the next ones serve this place as well */
			} else if (result < 0) {
				log_warning_rarely(60, "service %s: cannot listen at %s: %s",
						   service_label(s), l->where, error_text(result));
			}
		}
}
