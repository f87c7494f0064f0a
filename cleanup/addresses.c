/* SPDX-License-Identifier: ISC */
/*
 * Addresses on their way into the queue: standard form, canonical_maps, masquerading. In the
 * envelope always as for this system's own mail; in headers of mail that was handed in here, or
 * with remote_header_rewrite_domain for incomplete addresses of strangers. Headers of strangers are
 * left alone without it.
 */
#include "cleanup/message.h"

#include <errno.h>

#include "lib/log/log.h"
#include "lib/mail/mail_address.h"

static void refuse_mapping(struct message *m, int error)
{
	if (error == -ELOOP) {
		log_mail(ROAD_WARNING, str_of(m->id), "%s -- message not accepted, try again later",
			 route_why(the_cleanup.route));
		refuse(m, 451, "4.3.0", "Error: queue file write error");
		return;
	}
	refuse_table(m, "canonical", route_why(the_cleanup.route));
}

struct str envelope_address(struct message *m, unsigned use, struct str address)
{
	int r;

	if (address.len == 0)
		return address;
	address = rewrite_address(the_cleanup.route, m->arena, address, true);
	if ((m->flags & CLEANUP_NO_MAPPINGS) != 0)
		return address;
	r = route_canonical(the_cleanup.route, m->arena, use, address, &address);
	if (r < 0)
		refuse_mapping(m, r);
	return address;
}

/* ---- headers ---- */

struct header_step {
	struct message *m;
	unsigned use;
	bool is_local;
};

static int rewrite_one(void *arg, const struct header_mailbox *box, struct str *ret)
{
	struct header_step *step = arg;
	struct message *m = step->m;
	int r = 0;

	if (!has_memory(m, 0))
		return -ENOMEM;
	*ret = rewrite_address(the_cleanup.route, m->arena, box->address, step->is_local);
	if ((m->flags & CLEANUP_NO_MAPPINGS) == 0)
		r = route_canonical(the_cleanup.route, m->arena, step->use, *ret, ret);
	if (r < 0) {
		refuse_mapping(m, r);
		return r;
	}
	return box->has_route || !str_is(*ret, box->address);
}

bool rewrites_headers(const struct message *m)
{
	return (m->e.flags & ENVELOPE_LOCAL) != 0
	       || the_cleanup.route_conf.remote_header_rewrite_domain[0] != '\0';
}

struct str header_with_our_addresses(struct message *m, const struct header *h, enum header_role role)
{
	struct header_step step = { .m = m,
				    .use = role == NAMES_SENDER ? USE_HEADER_SENDER : USE_HEADER_RECIPIENT,
				    .is_local = (m->e.flags & ENVELOPE_LOCAL) != 0 };
	struct str whole = h->whole;

	if (header_rewrite(h, m->arena, the_cleanup.conf.header_address_token_limit, rewrite_one,
			   &step, &whole) <= 0)
		return h->whole;
	return whole;
}
