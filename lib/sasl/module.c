/* SPDX-License-Identifier: ISC */
#include "lib/sasl/module.h"

#include <errno.h>

#include "lib/base/module.h"
#include "lib/sasl/login.h"

static const struct sasl_driver *module;

const struct sasl_driver *sasl_module(void)
{
	return module;
}

int sasl_login_open(const char *directory, struct buf *why)
{
	AUTO(buf) path = BUF(4096);
	const struct sasl_driver *found;
	char words[500] = "";
	const void *object;
	int r;

	if (module != NULL)
		return 0;
	buf_addf(&path, "%s/gsasl.so", directory);
	r = module_load(buf_text(&path), "sasl_driver", &object, why);
	if (r < 0)
		return r;
	found = object;
	if (found->version != SASL_DRIVER_VERSION) {
		buf_addf(why, "%s: made for another version", buf_text(&path));
		return -ENOEXEC;
	}
	if (found->start((struct driver_words){ words, sizeof(words) }) < 0) {
		buf_add_text(why, words);
		return -ENOEXEC;
	}
	module = found;
	return 0;
}
