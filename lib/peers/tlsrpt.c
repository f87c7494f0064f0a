/* SPDX-License-Identifier: ISC */
#include "lib/peers/tlsrpt.h"

#include "lib/ipc/channel.h"

enum { TELL_MS = 1000 };

static struct client *service;

void tlsrpt_use(const char *path)
{
	client_free(service);
	service = client_new(path);
}

void tlsrpt_tell(const struct tlsrpt_event *e)
{
	if (service != NULL)
		TELL(service, tlsrpt_event, e, in(TELL_MS));
}
