/* SPDX-License-Identifier: ISC */
/*
 * The discard delivery agent: every recipient is "delivered" and nothing happens. The next hop says why, as
 * in transport(5): "discard:spam trap".
 */
#include "lib/agent/agent.h"
#include "lib/mail/dsn.h"

static void discard(struct delivery *d)
{
	struct str code = STR("2.0.0"), text = d->nexthop;

	dsn_split(d->nexthop, &code, &text);
	EACH_RECIPIENT(r, d)
		delivered(d, r, &(struct result){ .dsn = str_c(d->arena, code) }, "%.*s", PSTR(text));
}

int main(int argc, char **argv)
{
	static struct agent agent = {
		.daemon = { .name = "discard",
			    .jail = { .user = AS_MAIL_OWNER,
				      .syscalls = SYS_CORE | SYS_ACCEPT,
				      .capabilities = "" } },
		.deliver = discard,
	};

	return agent_main(argc, argv, &agent);
}
