/* SPDX-License-Identifier: ISC */
/* Sockets and their addresses. Every descriptor is close-on-exec and non-blocking. */
#ifndef ROAD_IO_NET_H
#define ROAD_IO_NET_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/co/co.h"

/* an IPv4 or IPv6 address with port; IPv4-mapped IPv6 is stored as IPv4 */
struct address_ip {
	int family;			/* AF_INET, AF_INET6; 0: none */
	unsigned char bytes[16];	/* network order; IPv4 uses the first 4 */
	uint16_t port;
	uint32_t scope;
};

/* "192.0.2.1", "2001:db8::1", without brackets or port. -EINVAL otherwise. */
int ip_parse(struct str text, struct address_ip *ret_ip);
/* SMTP address literal content: "192.0.2.1" or "IPv6:2001:db8::1" (RFC 5321 4.1.3), without brackets. */
int ip_parse_literal(struct str text, struct address_ip *ret_ip);
struct str ip_text(struct arena *a, const struct address_ip *ip);		/* without port */
void ip_print(const struct address_ip *ip, char text[64]);
bool ip_is_same(const struct address_ip *a, const struct address_ip *b);	/* without port */
bool ip_is_loopback(const struct address_ip *ip);	/* 127.0.0.0/8, ::1 */
void ip_from_sockaddr(const struct sockaddr *sa, struct address_ip *ret_ip);
socklen_t ip_to_sockaddr(const struct address_ip *ip, struct sockaddr_storage *ret_sa);

/*
 * "host:port", "[v6]:port", "host", "[host]"; port text empty when absent. Views into spec. -EINVAL
 * on stray brackets.
 */
int host_port_split(struct str spec, struct str *ret_host, struct str *ret_port);
/* A port number or a service name of /etc/services ("smtp"). -EINVAL. May block: at start only. */
int port_parse(struct str text, uint16_t *ret_port);

int connect_unix(const char *path, when_t until) MAY_YIELD;		/* fd or -errno */
/* `from` NULL: the kernel chooses. fd or -errno. Sets TCP_NODELAY. */
int connect_tcp(const struct address_ip *to, const struct address_ip *from, when_t until) MAY_YIELD;
/* whatever the umask is, for an instant the whole process's; 0 or -errno */
int bind_unix(int fd, const struct sockaddr_un *at, mode_t mode);
/* the same; replaces a stale socket; fd or -errno */
int listen_unix(const char *path, mode_t mode, int backlog);
/* as listen_tcp(), and nobody can connect yet: is the place free? */
int bind_tcp(const struct address_ip *at);
/* SO_REUSEADDR, IPV6_V6ONLY; fd or -errno */
int listen_tcp(const struct address_ip *at, int backlog);
/* fd or -errno */
int accept_one(int listener, when_t until, struct address_ip *ret_peer /* or NULL */) MAY_YIELD;
int peer_credentials(int fd, uid_t *ret_uid, gid_t *ret_gid);		/* SO_PEERCRED */
int set_nonblocking(int fd);

/* One message with descriptors; for master and tests. Frames have their own way (lib/ipc). */
int send_fd(int socket, int fd, const void *data, size_t len);
int recv_fd(int socket, int *ret_fd, void *data, size_t len, when_t until) MAY_YIELD;	/* bytes or -errno */

#endif
