/* SPDX-License-Identifier: ISC */
#include "services/resolver/hosts.h"

#include "lib/base/die.h"
#include "lib/base/map.h"
#include "lib/dns/rdata.h"
#include "lib/mail/mail_address.h"

enum { MOST_ADDRESSES = 64 };

struct host {
	size_t count;
	struct address_ip at[];
};

struct hosts {
	struct map *addresses;		/* name -> struct host */
	struct map *names;		/* in-addr.arpa name -> text of the host's first name */
};

static void reverse_name(const struct address_ip *ip, struct buf *name)
{
	if (ip->family == AF_INET) {
		buf_addf(name, "%d.%d.%d.%d.in-addr.arpa", ip->bytes[3], ip->bytes[2], ip->bytes[1],
			 ip->bytes[0]);
		return;
	}
	for (int i = 15; i >= 0; i--)
		buf_addf(name, "%x.%x.", ip->bytes[i] & 15, ip->bytes[i] >> 4);
	buf_add_text(name, "ip6.arpa");
}

static void add_address(struct hosts *h, struct str name, const struct address_ip *ip)
{
	struct host *host = map_get(h->addresses, name);
	size_t count = host == NULL ? 0 : host->count;

	if (count >= MOST_ADDRESSES)
		return;
	host = resize_memory(host, sizeof(*host) + (count + 1) * sizeof(*ip));
	host->at[count] = *ip;
	host->count = count + 1;
	map_put(h->addresses, name, host);
}

static void add_name(struct hosts *h, const struct address_ip *ip, struct str name)
{
	AUTO(buf) reverse = BUF(100);
	char *text;

	reverse_name(ip, &reverse);
	if (map_get(h->names, buf_str(&reverse)) != NULL)
		return;
	text = get_memory(name.len + 1);
	memcpy(text, name.at, name.len);
	map_put(h->names, buf_str(&reverse), text);
}

static void parse_line(struct hosts *h, struct str line)
{
	struct str rest, word, name;
	struct address_ip ip;
	char room[256];
	bool first = true;

	str_cut(&line, '#', &rest);
	if (!str_token(&rest, " \t\r", &word) || ip_parse(word, &ip) < 0)
		return;
	while (str_token(&rest, " \t\r", &word)) {
		if (!dns_name_is_valid(word, room, &name) || !hostname_is_valid(name, false))
			continue;
		add_address(h, name, &ip);
		if (first)
			add_name(h, &ip, name);
		first = false;
	}
}

struct hosts *hosts_parse(struct str text)
{
	struct hosts *h = get_memory(sizeof(*h));
	struct str line;

	h->addresses = map_new();
	h->names = map_new();
	while (text.len > 0) {
		str_cut(&text, '\n', &line);
		parse_line(h, line);
	}
	if (map_get(h->addresses, STR("localhost")) == NULL) {
		parse_line(h, STR("127.0.0.1 localhost"));
		parse_line(h, STR("::1 localhost"));
	}
	return h;
}

void hosts_free(struct hosts *h)
{
	if (h == NULL)
		return;
	map_free(h->addresses, free);
	map_free(h->names, free);
	free(h);
}

static void add_rdata(struct buf *records, const void *data, size_t len)
{
	buf_add_byte(records, (char) (len >> 8));
	buf_add_byte(records, (char) len);
	buf_add(records, str_make(data, len));
}

/* The name is valid, so labels fit. */
static void add_name_rdata(struct buf *records, struct str name)
{
	AUTO(buf) wire = BUF(300);
	struct str label;

	while (name.len > 0) {
		str_cut(&name, '.', &label);
		buf_add_byte(&wire, (char) label.len);
		buf_add(&wire, label);
	}
	buf_add_byte(&wire, 0);
	add_rdata(records, wire.at, wire.len);
}

bool hosts_find(const struct hosts *h, struct str name, enum dns_type type, struct buf *records)
{
	const struct host *host;
	const char *text;

	if (type == DNS_PTR) {
		text = map_get(h->names, name);
		if (text != NULL)
			add_name_rdata(records, str_of(text));
		return text != NULL;
	}
	if (type != DNS_A && type != DNS_AAAA)
		return false;
	host = map_get(h->addresses, name);
	for (size_t i = 0; host != NULL && i < host->count; i++) {
		if (host->at[i].family == (type == DNS_A ? AF_INET : AF_INET6))
			add_rdata(records, host->at[i].bytes, type == DNS_A ? 4 : 16);
	}
	return host != NULL;
}
