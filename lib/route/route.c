/* SPDX-License-Identifier: ISC */
/* Opening what the configuration names. */
#include <errno.h>
#include <fcntl.h>

#include "lib/base/die.h"
#include "lib/disk/disk.h"
#include "lib/route/private.h"

int cannot_tell(struct route *r, int error, const char *format, ...)
{
	va_list arguments;

	buf_clear(&r->why);
	va_start(arguments, format);
	buf_addv(&r->why, format, arguments);
	va_end(arguments);
	return error;
}

const char *route_why(const struct route *r)
{
	return buf_text(&r->why);
}

/* ---- opening ---- */

/* "myorigin = /etc/mailname": the file's first line. */
static int read_origin(struct route *r, struct buf *why)
{
	AUTO(buf) text = BUF(4096);
	struct str rest, line;
	int error;

	r->myorigin = str_of(r->common->myorigin);
	if (r->myorigin.at[0] != '/')
		return 0;
	error = file_read_whole(AT_FDCWD, r->common->myorigin, &text);
	if (error < 0) {
		buf_addf(why, "myorigin: %s: %s", r->common->myorigin, error_text(error));
		return error;
	}
	rest = buf_str(&text);
	str_cut(&rest, '\n', &line);
	line = str_trim(line);
	if (line.len == 0) {
		buf_addf(why, "myorigin: %s: no domain in the first line", r->common->myorigin);
		return -EINVAL;
	}
	r->myorigin = arena_copy(r->arena, line);
	return 0;
}

static int open_list(const char *name, const char *text, unsigned flags, struct match_list **ret,
		     struct buf *why)
{
	return match_list_open(name, str_of(text), flags, ret, why);
}

static int open_lists(struct route *r, struct buf *why)
{
	unsigned relay_flags = match_parent_flag(str_of(r->common->parent_domain_matches_subdomains),
						 STR("relay_domains"));
	int error = open_list("virtual_alias_domains", r->conf.virtual_alias_domains, 0,
			      &r->virtual_alias, why);

	if (error >= 0)
		error = open_list("virtual_mailbox_domains", r->conf.virtual_mailbox_domains, 0,
				  &r->virtual_mailbox, why);
	if (error >= 0)
		error = open_list("relay_domains", r->conf.relay_domains, relay_flags, &r->relay, why);
	return error;
}

static int open_table(const char *name, const char *specs, unsigned flags, struct tables **ret,
		      struct buf *why)
{
	AUTO(buf) words = BUF_WORDS;
	const int error = tables_open(str_of(specs), TABLE_FOLD_KEY | flags, ret, &words);

	if (error < 0)
		buf_addf(why, "%s: %s", name, buf_text(&words));
	return error;
}

enum extent { REWRITING, RESOLVING, ALL };

static int open_tables(struct route *r, enum extent extent, struct buf *why)
{
	const struct {
		const char *name;
		const char *specs;
		struct tables **tables;
		enum extent from;
		unsigned flags;
	} rows[] = {
		{ "virtual_alias_maps", r->conf.virtual_alias_maps, &r->virtual_alias_maps, ALL, 0 },
		{ "virtual_mailbox_maps", r->conf.virtual_mailbox_maps, &r->virtual_mailbox_maps, ALL, 0 },
		{ "local_recipient_maps", r->conf.local_recipient_maps, &r->local_recipients, ALL, 0 },
		{ "relay_recipient_maps", r->conf.relay_recipient_maps, &r->relay_recipients, ALL, 0 },
		{ "transport_maps", r->conf.transport_maps, &r->transport, RESOLVING,
		  TABLE_NO_REGEXP_SUBSTITUTION },
		{ "relocated_maps", r->conf.relocated_maps, &r->relocated, RESOLVING, 0 },
		{ "sender_dependent_relayhost_maps", r->conf.sender_dependent_relayhost_maps,
		  &r->sender_relayhost, RESOLVING, TABLE_NO_REGEXP_SUBSTITUTION },
		{ "sender_dependent_default_transport_maps",
		  r->conf.sender_dependent_default_transport_maps,
		  &r->sender_transport, RESOLVING, TABLE_NO_REGEXP_SUBSTITUTION },
		{ "canonical_maps", r->conf.canonical_maps, &r->canonical, ALL, 0 },
		{ "sender_canonical_maps", r->conf.sender_canonical_maps, &r->sender_canonical, ALL, 0 },
		{ "recipient_canonical_maps", r->conf.recipient_canonical_maps, &r->recipient_canonical,
		  ALL, 0 },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const int error = rows[i].from > extent ? 0
				  : open_table(rows[i].name, rows[i].specs, rows[i].flags,
					       rows[i].tables, why);

		if (error < 0)
			return error;
	}
	return 0;
}

static int check_propagation(const char *list, struct buf *why)
{
	static const char *const kinds[] = { "canonical", "virtual", "alias", "forward", "include", "generic" };
	struct str rest = str_of(list), word;

	while (str_token(&rest, ", \t\r\n", &word)) {
		bool known = false;

		for (size_t i = 0; i < COUNT_OF(kinds); i++)
			known |= str_is(word, str_of(kinds[i]));
		if (!known) {
			buf_addf(why, "propagate_unmatched_extensions: unknown class \"%.*s\"", PSTR(word));
			return -EINVAL;
		}
	}
	return 0;
}

static int open_all(struct route *r, struct conf *c, enum extent extent, struct buf *why)
{
	int error = conf_fill(c, &route_group, &r->conf, why);

	if (error >= 0)
		error = check_propagation(r->conf.propagate_unmatched_extensions, why);
	if (error >= 0)
		error = read_origin(r, why);
	if (error >= 0)
		error = conf_own_addresses(c, r->arena, &r->own, why);
	if (error >= 0)
		error = conf_proxy_addresses(c, r->arena, &r->proxies, why);
	if (error >= 0)
		error = open_list("mydestination", r->common->mydestination, 0, &r->local, why);
	if (error < 0 || extent == REWRITING)
		return error;
	error = open_lists(r, why);
	if (error >= 0 && extent == ALL)
		error = open_canonical(r, why);
	if (error >= 0)
		error = open_tables(r, extent, why);
	return error;
}

bool route_propagates(const struct route *r, struct str kind)
{
	return str_lists(str_of(r->conf.propagate_unmatched_extensions), kind);
}

static int open_route(struct conf *c, const struct common_conf *common, enum extent extent,
		      struct route **ret, struct buf *why)
{
	struct route *r = get_memory(sizeof(*r));
	int error;

	r->arena = arena_new("route", NULL, 16 << 20);
	r->common = common;
	r->delimiter = str_of(common->recipient_delimiter);
	r->why = BUF_WORDS;
	error = open_all(r, c, extent, why);
	if (error < 0) {
		route_free(r);
		return error;
	}
	r->transport_parents = str_lists(str_of(common->parent_domain_matches_subdomains), STR("transport_maps"));
	r->propagate_virtual = route_propagates(r, STR("virtual"));
	r->propagate_canonical = route_propagates(r, STR("canonical"));
	*ret = r;
	return 0;
}

int route_open(struct conf *c, const struct common_conf *common, struct route **ret, struct buf *why)
{
	return open_route(c, common, ALL, ret, why);
}

int route_open_rewriting(struct conf *c, const struct common_conf *common, struct route **ret,
			 struct buf *why)
{
	return open_route(c, common, REWRITING, ret, why);
}

int route_open_resolving(struct conf *c, const struct common_conf *common, struct route **ret,
			 struct buf *why)
{
	return open_route(c, common, RESOLVING, ret, why);
}

void route_free(struct route *r)
{
	if (r == NULL)
		return;
	match_list_free(r->local);
	match_list_free(r->virtual_alias);
	match_list_free(r->virtual_mailbox);
	match_list_free(r->relay);
	tables_free(r->virtual_alias_maps);
	tables_free(r->virtual_mailbox_maps);
	tables_free(r->local_recipients);
	tables_free(r->relay_recipients);
	tables_free(r->transport);
	tables_free(r->relocated);
	tables_free(r->sender_relayhost);
	tables_free(r->sender_transport);
	tables_free(r->canonical);
	tables_free(r->sender_canonical);
	tables_free(r->recipient_canonical);
	match_list_free(r->masquerade_exceptions);
	arena_free(r->arena);
	buf_free(&r->why);
	free(r);
}

/* ---- own addresses ---- */

static bool has_address(const struct own_addresses *list, const struct address_ip *ip)
{
	for (size_t i = 0; i < list->len; i++)
		if (ip_is_same(&list->at[i].ip, ip))
			return true;
	return false;
}

bool is_own_address(struct route *r, const struct address_ip *ip)
{
	return has_address(&r->own, ip) || has_address(&r->proxies, ip);
}

bool is_own_literal(struct route *r, struct str domain)
{
	struct address_ip ip;

	if (domain.len < 3 || domain.at[0] != '[' || domain.at[domain.len - 1] != ']')
		return false;
	return ip_parse_literal(str_make(domain.at + 1, domain.len - 2), &ip) >= 0 && is_own_address(r, &ip);
}
