/* SPDX-License-Identifier: ISC */
/* See service_type.h. */
#include "lib/conf/service_type.h"

#include <errno.h>

static const struct str words[] = {
	[SERVICE_INET] = STR_INIT("inet"), [SERVICE_UNIX] = STR_INIT("unix"),
	[SERVICE_FIFO] = STR_INIT("fifo"), [SERVICE_PASS] = STR_INIT("pass"),
	[SERVICE_DGRAM] = STR_INIT("unix-dgram"),
};

const char *service_type_text(enum service_type type)
{
	return words[type].at;
}

int service_type_parse(struct str text, enum service_type *ret)
{
	for (size_t i = 0; i < COUNT_OF(words); i++)
		if (str_is(text, words[i])) {
			*ret = (enum service_type) i;
			return 0;
		}
	return -EINVAL;
}
