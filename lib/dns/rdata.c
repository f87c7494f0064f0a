/* SPDX-License-Identifier: ISC */
#include "lib/dns/rdata.h"

#include <errno.h>

enum { MOST_NAME = 255, MOST_LABEL = 63 };

/* What is still to be read of one record. Reading beyond its end fails for good. */
struct bytes {
	struct str rest;
	bool bad;
};

static unsigned take_u8(struct bytes *b)
{
	unsigned value;

	if (b->rest.len < 1) {
		b->bad = true;
		return 0;
	}
	value = (unsigned char) b->rest.at[0];
	b->rest = str_skip(b->rest, 1);
	return value;
}

static unsigned take_u16(struct bytes *b)
{
	unsigned high = take_u8(b);

	return high << 8 | take_u8(b);
}

static struct str take(struct bytes *b, size_t n)
{
	struct str taken = str_head(b->rest, n);

	if (taken.len < n)
		b->bad = true;
	b->rest = str_skip(b->rest, n);
	return taken;
}

static bool is_label_byte(char c, bool for_host)
{
	return is_alnum(c) || c == '-' || c == '_' || (!for_host && c == '/');
}

/*
 * A name in wire format, up to the root label. A host's name has only the characters that may go on
 * into log lines, SMTP and tables; other names may also have the '/' of RFC 2317.
 */
static struct str take_name(struct arena *a, struct bytes *b, bool for_host)
{
	char text[MOST_NAME + 1];
	size_t len = 0, wire = 1;

	for (;;) {
		unsigned label = take_u8(b);

		wire += label + 1;
		if (label > MOST_LABEL || wire > MOST_NAME + 1)
			b->bad = true;
		if (b->bad || label == 0)
			break;
		struct str bytes = take(b, label);

		if (len > 0)
			text[len++] = '.';
		for (size_t i = 0; i < bytes.len; i++) {
			if (!is_label_byte(bytes.at[i], for_host))
				b->bad = true;
			text[len++] = to_lower(bytes.at[i]);
		}
	}
	return b->bad ? STR_NONE : arena_copy(a, str_make(text, len));
}

static struct str take_strings(struct arena *a, struct bytes *b)
{
	char *joined = arena_get(a, b->rest.len + 1);
	size_t len = 0;

	if (b->rest.len == 0)
		b->bad = true;		/* a TXT record has one string at least */
	while (b->rest.len > 0 && !b->bad) {
		struct str string = take(b, take_u8(b));

		memcpy(joined + len, string.at, string.len);
		len += string.len;
	}
	return str_make(joined, len);
}

static void take_address(struct bytes *b, int family, struct address_ip *ret)
{
	size_t size = family == AF_INET ? 4 : 16;
	struct str bytes = take(b, size);

	*ret = (struct address_ip){ .family = family };
	if (!b->bad)
		memcpy(ret->bytes, bytes.at, size);
}

static void take_tlsa(struct arena *a, struct bytes *b, struct dns_tlsa *ret)
{
	ret->usage = (uint8_t) take_u8(b);
	ret->selector = (uint8_t) take_u8(b);
	ret->matching = (uint8_t) take_u8(b);
	ret->data = arena_copy(a, take(b, b->rest.len));
	/*
	 * A digest of the wrong size is no digest, but the record is there: whoever compares
	 * certificates finds it unusable.
	 */
	if (ret->data.len == 0)
		b->bad = true;
}

bool dns_parse_rdata(struct arena *a, enum dns_type type, struct str rdata, struct dns_record *ret)
{
	struct bytes b = { .rest = rdata };
	struct dns_record r = { 0 };

	switch (type) {
	case DNS_A:
		take_address(&b, AF_INET, &r.ip);
		break;
	case DNS_AAAA:
		take_address(&b, AF_INET6, &r.ip);
		break;
	case DNS_PTR:
		r.name = take_name(a, &b, true);
		break;
	case DNS_CNAME:
	case DNS_NS:
		r.name = take_name(a, &b, false);
		break;
	case DNS_MX:
		r.mx.preference = (uint16_t) take_u16(&b);
		r.mx.host = take_name(a, &b, true);
		break;
	case DNS_TXT:
		r.text = take_strings(a, &b);
		break;
	case DNS_SRV:
		r.srv.priority = (uint16_t) take_u16(&b);
		r.srv.weight = (uint16_t) take_u16(&b);
		r.srv.port = (uint16_t) take_u16(&b);
		r.srv.target = take_name(a, &b, true);
		break;
	case DNS_TLSA:
		take_tlsa(a, &b, &r.tlsa);
		break;
	default:
		return false;
	}
	if (b.bad || b.rest.len > 0)
		return false;
	if ((type == DNS_PTR || type == DNS_CNAME || type == DNS_NS) && r.name.len == 0)
		return false;		/* the root is nobody's name */
	*ret = r;
	return true;
}

int dns_parse_records(struct arena *a, enum dns_type type, struct str records, size_t *ret_count,
		      struct dns_record **ret_records, size_t *ret_malformed)
{
	struct bytes b = { .rest = records };
	size_t count = 0, good = 0;

	while (b.rest.len > 0) {
		take(&b, take_u16(&b));
		count++;
	}
	if (b.bad)
		return -EBADMSG;
	b.rest = records;
	*ret_records = arena_get(a, MIN(count, DNS_MOST_RECORDS) * sizeof(struct dns_record));
	while (b.rest.len > 0 && good < DNS_MOST_RECORDS)
		if (dns_parse_rdata(a, type, take(&b, take_u16(&b)), &(*ret_records)[good]))
			good++;
	*ret_count = good;
	*ret_malformed = count - good;
	return 0;
}

bool dns_name_is_valid(struct str name, char *room, struct str *ret_name)
{
	size_t label = 0;

	if (str_ends(name, STR(".")))
		name.len--;
	if (name.len == 0 || name.len > MOST_NAME - 2)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.at[i];

		if (c == '.' ? label == 0 : !is_label_byte(c, false) && c != '*')
			return false;
		label = c == '.' ? 0 : label + 1;
		if (label > MOST_LABEL)
			return false;
		room[i] = to_lower(c);
	}
	*ret_name = str_make(room, name.len);
	return label > 0;
}
