/* SPDX-License-Identifier: ISC */
/*
 * Addresses as strangers make them, through rewriting, resolution, existence and aliases of a
 * configuration with something of everything.
 */
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/mail/mail_address.h"
#include "lib/route/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char settings[] =
	"myhostname = mail.example.com\nmydomain = example.com\ninet_interfaces = 127.0.0.1\nrecipient_delimiter = +-\n"
	"relay_domains = relay.example .sub.example\nvirtual_alias_domains = alias.example\nvirtual_mailbox_domains = box.example\n"
	"virtual_alias_maps = inline:{ {a@alias.example = b@alias.example, c} {@alias.example = @box.example} {b@alias.example = \"x y\"@c} }\n"
	"virtual_mailbox_maps = inline:{ {a@box.example = x} }\nalias_maps = inline:{ {a = b} }\nlocal_recipient_maps = $alias_maps\n"
	"transport_maps = inline:{ {t.example = error:5.7.1 no} {.t.example = :[hub]} {a@t.example = smtp} }\n"
	"relocated_maps = inline:{ {@moved.example = away} }\nappend_dot_mydomain = yes\nresolve_numeric_domain = yes\n";

static struct route *open_route(const char *more)
{
	static struct common_conf common[2];
	static int count;
	char dir[] = "/tmp/route_fuzz.XXXXXX", path[64];
	AUTO(buf) why = BUF_WORDS;
	struct common_conf *c = &common[count++];
	struct route *r;
	struct conf *conf;
	FILE *file;

	BUG_UNLESS(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/main.cf", dir);
	file = fopen(path, "w");
	BUG_UNLESS(file != NULL);
	fprintf(file, "%s%s", settings, more);
	fclose(file);
	if (conf_load(dir, &conf, &why) < 0 || conf_fill(conf, &common_group, c, &why) < 0
	    || route_open(conf, c, &r, &why) < 0)
		BUG("%s", buf_text(&why));
	unlink(path);
	rmdir(dir);
	return r;
}

static void check(struct route *r, struct arena *a, struct str address)
{
	struct str local = rewrite_address(r, a, address, true);
	struct resolution res;
	struct str_list list;
	struct str text;

	/*
	 * Standard form is reached at once but for dots at the end and routing that the first rewriting
	 * brought to light.
	 */
	rewrite_address(r, a, address, false);
	BUG_UNLESS(resolve_address(r, a, STR_NONE, address, &res) == 0);
	BUG_UNLESS(res.transport.len > 0 && res.nexthop.len > 0);
	BUG_UNLESS(res.is_error || str_find(res.recipient, '@') >= 0);
	recipient_exists(r, a, address, &res, &text);
	BUG_UNLESS(resolve_address(r, a, STR_NONE, local, &res) == 0);
	if (expand_virtual_alias(r, a, address, &list) >= 0)
		BUG_UNLESS(list.count > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct route *routes[2];
	struct str in = str_make((const char *) data, MIN(size, 1000));

	if (routes[0] == NULL) {
		routes[0] = open_route("");
		routes[1] = open_route("resolve_dequoted_address = no\nresolve_null_domain = yes\nswap_bangpath = no\n");
	}
	if (str_has_control(in))
		return 0;			/* never gets past the parsers */
	for (size_t i = 0; i < COUNT_OF(routes); i++) {
		struct arena *a = arena_new("fuzz", NULL, 64 << 20);

		check(routes[i], a, in);
		arena_free(a);
	}
	return 0;
}
