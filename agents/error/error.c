/* SPDX-License-Identifier: ISC */
/*
 * The error delivery agent: every recipient fails for the reason that the next hop gives ("5.1.1 no such user
 * here"). As the service "error" for good, as the service "retry" for now: that is where the queue manager
 * sends what it cannot try at present.
 */
#include "lib/agent/agent.h"
#include "lib/mail/dsn.h"

static void fail(struct delivery *d)
{
	bool for_now = str_is(d->transport, STR("retry"));
	struct str code = for_now ? STR("4.0.0") : STR("5.0.0"), text = d->nexthop;
	struct result how;

	dsn_split(d->nexthop, &code, &text);
	how = (struct result){ .dsn = str_c(d->arena, code) };
	EACH_RECIPIENT(r, d) {
		if (for_now)
			deferred(d, r, &how, "%.*s", PSTR(text));
		else
			bounced(d, r, &how, "%.*s", PSTR(text));
	}
}

int main(int argc, char **argv)
{
	static struct agent agent = {
		.daemon = { .name = "error",
			    .jail = { .user = AS_MAIL_OWNER,
				      .syscalls = SYS_CORE | SYS_ACCEPT,
				      .capabilities = "" } },
		.deliver = fail,
		.probes = true,
	};

	return agent_main(argc, argv, &agent);
}
