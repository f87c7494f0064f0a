/* SPDX-License-Identifier: ISC */
/* Services that believe what they are told, and therefore listen to the mail system itself only. */
#include <unistd.h>

#include "lib/daemon/daemon.h"
#include "lib/ipc/channel.h"

enum { LAST_WORDS_MS = 10000 };

bool is_one_of_us(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

void serve_our_own(struct session_socket *socket, const struct server_row *rows, void *state,
		   int most_concurrent)
{
	struct channel *ch;

	if (!is_one_of_us(socket->peer_uid)) {
		log_warning("refused a connection of uid %u", (unsigned) socket->peer_uid);
		close(socket->fd);
		return;
	}
	ch = channel_new(socket->fd);
	serve_channel(ch, rows, state, most_concurrent);
	channel_drain(ch, 0, in(LAST_WORDS_MS));
	channel_free(ch);
}
