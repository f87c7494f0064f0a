/* SPDX-License-Identifier: ISC */
/* Restrictions about the client: its address and its name. */
#include "lib/log/log.h"
#include "smtpd/restrict_rows.h"
#include "smtpd/session.h"
#include "smtpd/smtpd.h"

struct verdict ask_inet_interfaces(struct question *q, const struct rule *r)
{
	(void) r;
	return is_own_address(the_smtpd->route, &q->s->peer.ip) ? permit() : dunno();
}

struct verdict ask_mynetworks(struct question *q, const struct rule *r)
{
	const struct peer *p = &q->s->peer;
	int found = match_client(the_smtpd->mynetworks, q->arena, buf_str(&p->name), &p->ip);

	(void) r;
	if (found < 0) {	/* who may be trusted is not told that it is a stranger */
		log_warning("%s", match_why(the_smtpd->mynetworks));
		return verdict_cannot_tell(q->arena, q->subject);
	}
	return found > 0 ? permit() : dunno();
}

/* Any match is a yes, whatever the result. */
struct verdict ask_address_map(struct question *q, const struct rule *r)
{
	struct str value;
	int found = table_get(r->table, q->arena, str_of(q->s->peer.address), &value);

	if (found < 0) {
		log_warning("%s lookup error for \"%s\": %s", table_spec(r->table), q->s->peer.address,
			    table_why(r->table));
		return verdict_cannot_tell(q->arena, q->subject);
	}
	return found > 0 ? permit() : dunno();
}

static struct verdict refuse_nameless(struct question *q, enum peer_status status, const char *dsn,
				      const char *what)
{
	int code = status == PEER_CANNOT_TELL ? 450 : (int) the_smtpd->conf.unknown_client_reject_code;

	return reject(q->arena, code, str_of(dsn), "Client host rejected: cannot find your %s, [%s]", what,
		      q->s->peer.address);
}

struct verdict ask_unknown_client(struct question *q, const struct rule *r)
{
	const struct peer *p = &q->s->peer;

	(void) r;
	return p->status == PEER_OK ? dunno() : refuse_nameless(q, p->status, "5.7.25", "hostname");
}

struct verdict ask_unknown_reverse_name(struct question *q, const struct rule *r)
{
	const struct peer *p = &q->s->peer;

	(void) r;
	return p->reverse_status == PEER_OK ? dunno() : refuse_nameless(q, p->reverse_status, "5.7.1",
									"reverse hostname");
}
