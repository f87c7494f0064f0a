/* SPDX-License-Identifier: ISC */
/* proxy:type:name, and every type that may block: asked of the proxymap service, which opens the table for everybody. */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/ipc/channel.h"
#include "lib/table/setup.h"
#include "lib/table/type.h"

enum { PROXY_PATIENCE_MS = 100 * 1000 };

static struct client *proxymap;		/* of this process, shared by all its proxied tables; never freed */

static int proxy_open(struct table *t, struct str name, void **ret_content, struct buf *why)
{
	struct str type_name, rest = name;

	if (name.len > 4000 || !str_cut(&rest, ':', &type_name)) {
		buf_addf(why, "expecting \"type:name\" behind proxy: instead of \"%.*s\"", PSTR(str_head(name, 60)));
		return -EINVAL;
	}
	if (proxymap == NULL) {
		AUTO(buf) path = BUF(4096);

		buf_addf(&path, "%s/proxymap", table_service_directory());
		proxymap = client_new(buf_text(&path));
	}
	*ret_content = t;
	return 0;
}

/* The service may just have ended for want of work, or been restarted: a lookup can be asked once more. */
static int ask_twice(const struct table_request *request, struct arena *a, struct table_reply *ret_reply)
{
	when_t until = in(PROXY_PATIENCE_MS);
	int r = CALL(proxymap, table_request, request, a, table_reply, ret_reply, until);

	if (r == -EPIPE || r == -ECONNRESET)
		r = CALL(proxymap, table_request, request, a, table_reply, ret_reply, until);
	return r;
}

static int proxy_get(struct table *t, void *content, struct arena *a, struct str key, struct str *ret_value, struct buf *why)
{
	struct table_request request = { .spec = t->name, .flags = t->flags, .key = key };
	struct arena *own;
	struct table_reply reply;
	int r;

	(void) content;
	if (key.len > 4096) {
		buf_add_text(why, "the key is too long to be asked of proxymap");
		return -EMSGSIZE;
	}
	own = arena_new("proxy", NULL, 4 << 20);
	r = ask_twice(&request, own, &reply);
	if (r < 0) {
		buf_addf(why, "proxymap service: %s", error_text(r));
	} else if (reply.status > 1) {
		buf_add(why, reply.why);
		r = -EIO;
	} else {
		r = reply.status == 0 ? 0 : table_value(a, reply.value, ret_value, why);
	}
	arena_free(own);
	return r;
}

const struct table_type proxy_type = {
	.name = "proxy", .traits = 0, .open = proxy_open, .get = proxy_get,
};
