/* SPDX-License-Identifier: ISC */
#include "lib/peers/receive.h"

#include <errno.h>

#include "lib/peers/cleanup.h"

int receive_parse(const struct receive_conf *conf, struct receive *ret, struct buf *why)
{
	struct receive r = { .filter = str_of(conf->content_filter) };
	struct str rest = str_of(conf->receive_override_options), word;

	while (str_token(&rest, ", \t\r\n", &word)) {
		if (str_is_nocase(word, STR("no_unknown_recipient_checks")))
			r.takes_unknown_recipients = true;
		else if (str_is_nocase(word, STR("no_address_mappings")))
			r.cleanup_flags |= CLEANUP_NO_MAPPINGS;
		else if (str_is_nocase(word, STR("no_header_body_checks")))
			r.cleanup_flags |= CLEANUP_NO_CHECKS;
		else if (!str_is_nocase(word, STR("no_milters"))) {
			buf_addf(why, "receive_override_options: unknown option \"%.*s\"", PSTR(word));
			return -EINVAL;
		}
	}
	*ret = r;
	return 0;
}
