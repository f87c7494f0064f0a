/* SPDX-License-Identifier: ISC */
/*
 * proxy:type:name, and every type that may block: asked of the proxymap service, which opens the
 * table for everybody.
 */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/ipc/channel.h"
#include "lib/table/setup.h"
#include "lib/table/type.h"

/* keys as lib/ipc/messages.def has them */
enum { PROXY_PATIENCE_MS = 100 * 1000, MOST_KEY = 1 << 20, MOST_KEY_TO_CHANGE = 4096 };

/* Of this process, shared by all its proxied tables; never freed. */
static struct client *proxymap, *proxywrite;

static struct client *service_of(const struct table *t)
{
	const bool writes = t->flags & TABLE_CHANGES;
	struct client **service = writes ? &proxywrite : &proxymap;
	AUTO(buf) path = BUF(4096);

	if (*service == NULL) {
		buf_addf(&path, "%s/%s", table_service_directory(), writes ? "proxywrite" : "proxymap");
		*service = client_new(buf_text(&path));
		client_wipes(*service);		/* results may be passwords */
	}
	return *service;
}

static int proxy_open(struct table *t, struct str name, void **ret_content, struct buf *why)
{
	struct str type_name, rest = name;

	if (name.len > 4000 || !str_cut(&rest, ':', &type_name)) {
		buf_addf(why, "expecting \"type:name\" behind proxy: instead of \"%.*s\"",
			 PSTR(str_head(name, 60)));
		return -EINVAL;
	}
	*ret_content = t;
	return 0;
}

static int understand(const struct table *t, int r, const struct table_reply *reply, struct buf *why)
{
	if (r < 0) {
		buf_addf(why, "%s service: %s", t->flags & TABLE_CHANGES ? "proxywrite" : "proxymap",
			 error_text(r));
		return r;
	}
	if (reply->status <= 1)
		return (int) reply->status;
	buf_add(why, reply->why);
	return -EIO;
}

static int check_key(struct str key, size_t most, struct buf *why)
{
	if (key.len <= most)
		return 0;
	buf_add_text(why, "the key is too long to be asked of proxymap");
	return -EMSGSIZE;
}

static int proxy_get(struct table *t, void *content, struct arena *a, struct str key, struct str *ret_value,
		     struct buf *why)
{
	struct table_request request = { .spec = t->name, .flags = t->flags, .key = key };
	struct table_reply reply;
	struct arena *own;
	int r = check_key(key, MOST_KEY, why);

	(void) content;
	if (r < 0)
		return r;
	own = arena_new("proxy", NULL, 4 << 20);
	r = understand(t, ASK(service_of(t), table_request, &request, own, table_reply, &reply,
			      in(PROXY_PATIENCE_MS)), &reply, why);
	if (r > 0)
		r = table_value(a, reply.value, ret_value, why);
	arena_wipe(own);
	return r;
}

static int proxy_change(struct table *t, struct str key, const struct str *value, struct buf *why)
{
	struct table_change request = { .spec = t->name, .flags = t->flags, .key = key,
					.value = value == NULL ? STR_NONE : *value,
					.removal = value == NULL };
	struct table_reply reply;
	struct arena *own;
	int r = check_key(key, MOST_KEY_TO_CHANGE, why);

	if (r < 0)
		return r;
	own = arena_new("proxy", NULL, 4 << 20);
	r = understand(t, ASK(service_of(t), table_change, &request, own, table_reply, &reply,
			      in(PROXY_PATIENCE_MS)), &reply, why);
	arena_free(own);
	return r;
}

const struct table_type proxy_type = {
	.name = "proxy", .traits = 0, .open = proxy_open, .get = proxy_get, .change = proxy_change,
};
