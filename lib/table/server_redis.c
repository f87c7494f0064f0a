/* SPDX-License-Identifier: ISC */
/* What is special about redis tables: a key, and perhaps a field of the hash that is there. */
#include <errno.h>

#include "lib/table/server.h"

static int redis_form(const struct settings *s, struct question_form *ret_form, struct buf *why)
{
	struct template *words = arena_get(s->arena, 3 * sizeof(*words));
	const char *field = settings_get(s, "field_format", "");
	size_t count = *field == 0 ? 2 : 3;
	int r = template_compile(s->arena, *field == 0 ? STR("GET") : STR("HGET"), &words[0], why);

	if (r == 0)
		r = template_compile(s->arena, str_of(settings_get(s, "key_format", "%s")), &words[1], why);
	if (r == 0 && count == 3)
		r = template_compile(s->arena, str_of(field), &words[2], why);
	*ret_form = (struct question_form){ .count = count, .arguments = words };
	return r;
}

static const char *const redis_parameters[] = {
	"key_format", "field_format", "user", "password", "database", "cluster", "tls", "tls_CAfile",
	"tls_CApath", "tls_cert_file", "tls_key_file",
	"tls_verify_cert", "tls_server_name", NULL,
};

const struct server_kind redis_kind = {
	.type = "redis", .parameters = redis_parameters, .host_parameter = "hosts",
	.default_host = "inet:localhost:6379", .default_timeout = 5,
	.form = redis_form,
};
