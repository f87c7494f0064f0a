/* SPDX-License-Identifier: ISC */
/*
 * The one table of programs. A row of shape IN_PROCESS or NOT_HERE_YET becomes an ordinary one as
 * soon as its file is in daemon_directory: then it is served like an unknown program's.
 */
#include "lib/conf/programs.h"

static const struct program PROGRAMS[] = {
	{ "smtpd", .shape = MULTIPLEXES, .has_keepsake = true },
	{ "cleanup", .shape = MULTIPLEXES },
	{ "smtp", .shape = MULTIPLEXES, .has_keepsake = true },
	{ "lmtp", .file = "smtp", .shape = MULTIPLEXES, .has_keepsake = true },
	{ "bounce", .shape = MULTIPLEXES },
	{ "error", .shape = MULTIPLEXES },
	{ "discard", .shape = MULTIPLEXES },
	{ "local", .shape = MULTIPLEXES },
	{ "virtual", .shape = MULTIPLEXES },
	{ "pipe", .shape = MULTIPLEXES },
	{ "showq", .shape = MULTIPLEXES },
	{ "proxymap", .shape = MULTIPLEXES },

#ifdef HAVE_CYRUS_SASL
	{ "cyrus-sasl", .shape = ONE_AT_A_TIME },
#else
	{ "cyrus-sasl", .shape = NOT_HERE_YET },	/* built without libsasl2 */
#endif

	{ "qmgr", .shape = SINGLETON, .hands_over = true, .always = true },
	{ "oqmgr", .file = "qmgr", .shape = SINGLETON, .hands_over = true, .always = true },
	{ "nqmgr", .file = "qmgr", .shape = SINGLETON, .hands_over = true, .always = true },
	{ "pickup", .shape = SINGLETON, .always = true },
	{ "resolver", .shape = SINGLETON },
	{ "tlsmgr", .shape = SINGLETON, .has_keepsake = true },
	{ "tokens", .shape = SINGLETON },
	{ "anvil", .shape = SINGLETON },
#ifdef HAVE_CURL
	{ "mtasts", .shape = SINGLETON },
	{ "tlsrpt", .shape = SINGLETON },
#else
	{ "mtasts", .shape = NOT_HERE_YET },		/* built without libcurl */
	{ "tlsrpt", .shape = NOT_HERE_YET },
#endif
	{ "postlogd", .shape = SINGLETON, .ends_last = true },

	/*
	 * lib/route rewrites and resolves; agents keep their own connections; sessions speak TLS
	 * themselves; the rest waits for its program.
	 */
	{ "trivial-rewrite", .shape = IN_PROCESS },
	{ "scache", .shape = IN_PROCESS },
	{ "tlsproxy", .shape = IN_PROCESS },
	{ "dnsblog", .shape = IN_PROCESS },
	{ "verify", .shape = IN_PROCESS },
	{ "flush", .shape = IN_PROCESS },

	{ "postscreen", .shape = NOT_HERE_YET },
	{ "qmqpd", .shape = NOT_HERE_YET },
	{ "spawn", .shape = NOT_HERE_YET },
	{ "nbdb_reindexd", .shape = NOT_HERE_YET },
};

bool program_is_ours(const struct program *p)
{
	return p->name[0] != '\0';
}

const struct program *program_find(struct str name)
{
	static const struct program unknown = { .name = "", .shape = ONE_AT_A_TIME };

	for (size_t i = 0; i < COUNT_OF(PROGRAMS); i++)
		if (str_is(name, str_of(PROGRAMS[i].name)))
			return &PROGRAMS[i];
	return &unknown;
}
