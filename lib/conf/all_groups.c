/* SPDX-License-Identifier: ISC */
/*
 * Every group of the suite. A file of its own: only who names all_groups or conf_param (postconf,
 * `postroad check`) links all tables with their documentation.
 */
#include "lib/conf/params/agent.h"
#include "lib/conf/params/anvil.h"
#include "lib/conf/params/bounce.h"
#include "lib/conf/params/cleanup.h"
#include "lib/conf/params/common.h"
#include "lib/conf/params/daemon.h"
#include "lib/conf/params/qmgr.h"
#include "lib/conf/params/dns.h"
#include "lib/conf/params/https.h"
#include "lib/conf/params/mtasts.h"
#include "lib/conf/params/queue.h"
#include "lib/conf/params/receive.h"
#include "lib/conf/params/master.h"
#include "lib/conf/params/postlogd.h"
#include "lib/conf/params/local.h"
#include "lib/conf/params/mailbox.h"
#include "lib/conf/params/route.h"
#include "lib/conf/params/table.h"
#include "lib/conf/params/smtp.h"
#include "lib/conf/params/smtpd.h"
#include "lib/conf/params/submit.h"
#include "lib/conf/params/tls.h"
#include "lib/conf/params/tlsrpt.h"
#include "lib/conf/params/tlsmgr.h"
#include "lib/conf/params/tokens.h"
#include "lib/conf/params/virtual.h"

const struct param_group *const all_groups[] = {
	&agent_group,
	&anvil_group,
	&bounce_group,
	&cleanup_group,
	&common_group,
	&daemon_group,
	&qmgr_group,
	&dns_group,
	&https_group,
	&mtasts_group,
	&queue_group,
	&receive_group,
	&master_group,
	&postlogd_group,
	&lmtp_group,
	&local_group,
	&mailbox_group,
	&route_group,
	&table_group,
	&smtp_group,
	&smtpd_group,
	&submit_group,
	&tls_group,
	&tlsrpt_group,
	&tlsmgr_group,
	&tokens_group,
	&virtual_group,
	NULL,
};

const struct param *conf_param(struct str name)
{
	for (const struct param_group *const *g = all_groups; *g != NULL; g++)
		for (size_t i = 0; i < (*g)->count; i++)
			if (str_is(name, str_of((*g)->params[i].name)))
				return &(*g)->params[i];
	return NULL;
}
