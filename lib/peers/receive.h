/* SPDX-License-Identifier: ISC */
/* What content_filter and receive_override_options mean to a service that takes in mail: smtpd, pickup. */
#ifndef ROAD_PEERS_RECEIVE_H
#define ROAD_PEERS_RECEIVE_H

#include "lib/base/buf.h"
#include "lib/conf/params/receive.h"

struct receive {
	unsigned cleanup_flags;			/* for mail_out_begin() */
	bool takes_unknown_recipients;		/* smtpd only */
	struct str filter;			/* for the envelope's filter_transport; empty: none */
};
/* -EINVAL with words. no_milters is a word without meaning for now: there are none. */
int receive_parse(const struct receive_conf *conf, struct receive *ret, struct buf *why);

#endif
