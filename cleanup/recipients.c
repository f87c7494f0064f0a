/* SPDX-License-Identifier: ISC */
/*
 * From the recipients that a client named to those the queue delivers to: canonical form, virtual
 * aliases, copies, no duplicates. Each keeps the address that was named, and its DSN options.
 */
#include "cleanup/message.h"

#include <errno.h>

#include "lib/dns/idn.h"
#include "lib/log/log.h"
#include "lib/mail/mail_address.h"

/* RFC 3461 5.2.7.3: who is told that an alias was expanded is not told about each of its members. */
static unsigned notify_of_members(unsigned notify)
{
	if ((notify & NOTIFY_SUCCESS) == 0)
		return notify;
	notify &= ~(unsigned) NOTIFY_SUCCESS;
	return notify == 0 ? NOTIFY_NEVER : notify;
}

/* The address, with its international domain in one form. */
static void add_comparable(struct buf *key, struct str address)
{
	char room[IDN_ROOM];
	struct str local, domain;

	if (!str_is_ascii(address) && address_split(address, &local, &domain)
	    && idn_to_ascii(domain, room, &domain))
		buf_addf(key, "%.*s@%.*s", PSTR(local), PSTR(domain));
	else
		buf_add(key, address);
}

static bool is_duplicate(struct message *m, const struct recipient *r)
{
	AUTO(buf) key = BUF(16 << 10);

	if (the_cleanup.conf.duplicate_filter_limit == 0)
		return false;
	if (m->duplicates == NULL)
		m->duplicates = map_new();
	if (the_cleanup.enable_original_recipient)
		buf_addf(&key, "%.*s\n%u\n", PSTR(r->orcpt), r->notify);
	if (the_cleanup.enable_original_recipient && r->original.len > 0)
		add_comparable(&key, r->original);
	buf_add_byte(&key, '\n');
	add_comparable(&key, r->address);
	for (size_t i = 0; i < key.len; i++)
		key.at[i] = to_lower(key.at[i]);
	if (map_get(m->duplicates, buf_str(&key)) != NULL)
		return true;
	if (map_count(m->duplicates) < (size_t) the_cleanup.conf.duplicate_filter_limit)
		map_put(m->duplicates, buf_str(&key), m);
	return false;
}

static void add_recipient(struct message *m, struct recipient r)
{
	if (str_is(r.original, r.address))
		r.original = STR_NONE;
	if (is_duplicate(m, &r) || !HAS_ROOM(m, &m->recipients))
		return;
	r.index = (uint32_t) m->recipients.len;
	*vec_add(m->arena, &m->recipients) = r;
}

static struct str canonical_form(struct message *m, struct str address)
{
	if (address.len == 0)
		address = str_of(the_cleanup.route_conf.empty_address_recipient);
	return envelope_address(m, USE_ENVELOPE_RECIPIENT, address);
}

static void refuse_expansion(struct message *m, int error)
{
	/* the administrator's mistake: the message waits at the client until it is mended */
	if (error == -ELOOP || error == -E2BIG) {
		log_mail(ROAD_WARNING, str_of(m->id), "%s -- message not accepted, try again later",
			 route_why(the_cleanup.route));
		refuse(m, 451, "4.6.0", "Alias expansion error");
		return;
	}
	refuse_table(m, "virtual_alias_maps", route_why(the_cleanup.route));
}

static void expand_recipient(struct message *m, const struct recipient *named)
{
	struct recipient r = *named;
	struct str_list members;
	bool is_itself;
	int error;

	if (!has_memory(m, 0))
		return;
	if (r.original.len == 0 && !m->adds_copies)
		r.original = r.address;
	r.address = canonical_form(m, r.address);
	if (m->refused.code != 0)
		return;
	if (r.original.len == 0)
		r.original = r.address;		/* nobody named who gets a copy */
	if (the_cleanup.recipient_bcc != NULL && !m->adds_copies && HAS_ROOM(m, &m->unexpanded))
		*vec_add(m->arena, &m->unexpanded) = r.address;
	if ((m->flags & CLEANUP_NO_MAPPINGS) != 0) {
		add_recipient(m, r);
		return;
	}
	error = expand_virtual_alias(the_cleanup.route, m->arena, r.address, &members);
	if (error < 0) {
		refuse_expansion(m, error);
		return;
	}
	is_itself = members.count == 1 && str_is(members.at[0], r.address);
	if (members.count > 1) {
		if (r.notify & NOTIFY_SUCCESS)
			note_expanded(m, &r);
		r.notify = notify_of_members(r.notify);
	}
	if (is_itself || members.count == 0) {
		add_recipient(m, r);
		return;
	}
	for (size_t i = 0; i < members.count; i++) {
		r.address = members.at[i];
		add_recipient(m, r);
	}
}

static void expand_address(struct message *m, struct str address, unsigned notify)
{
	struct recipient r = { .address = address, .notify = notify };

	expand_recipient(m, &r);
}

/* Copies for the administrator: nobody is told what becomes of them. */
static void add_copy(struct message *m, struct tables *maps, const char *parameter, struct str key)
{
	struct str copy;
	int found;

	if (maps == NULL || m->refused.code != 0)
		return;
	found = route_lookup_address(the_cleanup.route, maps, m->arena, key, &copy, NULL);
	if (found < 0)
		refuse_table(m, parameter, tables_why(maps));
	else if (found > 0)
		expand_address(m, copy, NOTIFY_NEVER);
}

static void add_configured_copies(struct message *m)
{
	const struct str always = str_of(the_cleanup.conf.always_bcc);

	if (m->flags & (CLEANUP_NO_BCC | CLEANUP_NO_MAPPINGS))
		return;
	if (always.len > 0)
		expand_address(m, always, NOTIFY_NEVER);
	if (m->e.sender.len > 0)
		add_copy(m, the_cleanup.sender_bcc, "sender_bcc_maps", m->e.sender);
	for (size_t i = 0; i < m->unexpanded.len; i++)
		add_copy(m, the_cleanup.recipient_bcc, "recipient_bcc_maps", m->unexpanded.at[i]);
}

static void add_copies(struct message *m)
{
	m->adds_copies = true;
	add_configured_copies(m);
	for (size_t i = 0; i < m->added.len && m->refused.code == 0; i++)
		expand_address(m, m->added.at[i], NOTIFY_NEVER);
}

/* In the place of everybody, who gets a copy too, and past any filter (header_checks(5), access(5)). */
static bool is_redirected(const struct message *m)
{
	return m->redirect.len > 0 || (m->flags & CLEANUP_REDIRECTED) != 0;
}

static void expand_all(struct message *m)
{
	for (size_t i = 0; i < m->e.recipient_count && m->refused.code == 0; i++)
		expand_recipient(m, &m->e.recipients[i]);
	for (size_t i = 0; i < m->extracted.len && !m->goes_to_resent && m->refused.code == 0; i++)
		expand_address(m, m->extracted.at[i], m->e.notify);
	for (size_t i = 0; i < m->extracted_resent.len && m->refused.code == 0; i++)
		expand_address(m, m->extracted_resent.at[i], m->e.notify);
}

/* Most messages keep their recipients as they are: one array of the right size. */
static bool reserve_recipients(struct message *m)
{
	if (!has_memory(m, m->e.recipient_count * sizeof(*m->recipients.at)))
		return false;
	m->recipients.cap = m->e.recipient_count + 8;
	m->recipients.at = arena_get(m->arena, m->recipients.cap * sizeof(*m->recipients.at));
	return true;
}

/* In the place of everybody. As what the first one became, it says in the log and in DSNs for whom it was meant. */
static void expand_redirected(struct message *m)
{
	struct recipient r = { .notify = m->e.notify };

	if (m->e.recipient_count > 0)
		r = m->e.recipients[0];
	else if (m->extracted_resent.len > 0)
		r.address = m->extracted_resent.at[0];
	else if (m->extracted.len > 0)
		r.address = m->extracted.at[0];
	if (r.original.len == 0)
		r.original = r.address;
	r.address = m->redirect;
	expand_recipient(m, &r);
}

void make_recipients(struct message *m)
{
	if (!reserve_recipients(m))
		return;
	if (is_redirected(m))
		m->e.filter_transport = STR_NONE;
	if (m->redirect.len > 0)
		expand_redirected(m);
	else
		expand_all(m);
	if (m->refused.code == 0 && m->recipients.len == 0)
		refuse(m, 550, "5.1.0", "Error: no recipients specified");
	if (m->refused.code != 0)
		return;
	if (!is_redirected(m))
		add_copies(m);
	m->e.recipients = m->recipients.at;
	m->e.recipient_count = m->recipients.len;
	m->e.notify = 0;		/* each has it */
}

int change_envelope(struct message *m, unsigned flags, struct str packed)
{
	struct envelope now;

	if (!has_memory(m, 4 * packed.len))
		return 0;		/* refused: nothing comes of it anyway */
	if (envelope_unpack(arena_copy(m->arena, packed), m->arena, &now) < 0)
		return -EINVAL;
	m->e.recipients = now.recipients;
	m->e.recipient_count = now.recipient_count;
	m->e.filter_transport = now.filter_transport;
	m->hold = m->hold || (flags & CLEANUP_HOLD) != 0;
	m->flags |= flags & CLEANUP_REDIRECTED;
	return 0;
}
