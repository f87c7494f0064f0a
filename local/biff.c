/* SPDX-License-Identifier: ISC */
/*
 * Who is logged in and asked for it hears of new mail from comsat(8): a datagram "user@offset" to
 * UDP port 512 of this host. Nobody waits for an answer, and usually nobody listens.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "lib/base/die.h"
#include "local/local.h"

enum { BIFF_PORT = 512 };

void announce_new_mail(const struct errand *e, const struct mailbox_result *result)
{
	static int fd = -1;		/* as long as the hand */
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(BIFF_PORT),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	AUTO(buf) text = BUF(400);

	if (!the_local.conf.biff || result->status != MAILBOX_SENT || result->at < 0)
		return;
	if (fd < 0)
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || buf_addf(&text, "%.*s@%lld", PSTR(e->rights.account.name), (long long) result->at) < 0)
		return;
	sendto(fd, text.at, text.len, 0, (const struct sockaddr *) &to, sizeof(to));
}
