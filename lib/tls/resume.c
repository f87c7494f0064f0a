/* SPDX-License-Identifier: ISC */
/*
 * A client's sessions that may be resumed, in this process's memory: by the name of where and under
 * what policy they were made, the newest of each. TLS 1.3 tickets are taken out when used (RFC 8446
 * C.4). Few enough for a list, the most recent first.
 */
#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/list.h"
#include "lib/tls/private.h"

enum { MOST_KEPT = 300 };

struct kept {
	struct list link;
	SSL_SESSION *session;
	int64_t until_ms;
	struct str name;		/* bytes behind the struct */
};

static struct list all = LIST_INIT(all);
static size_t count;

size_t tls_sessions_kept(void)
{
	return count;
}

static void drop(struct kept *k)
{
	list_remove(&k->link);
	SSL_SESSION_free(k->session);
	free(k);
	count--;
}

static struct kept *find(struct str name)
{
	LIST_EACH(k, &all, struct kept, link)
		if (str_is(k->name, name))
			return k;
	return NULL;
}

/* Called by the library when a session may be kept; 1: we hold a reference now. */
static int keep(SSL *ssl, SSL_SESSION *session)
{
	const struct tls *t = SSL_get_app_data(ssl);
	struct kept *k;
	size_t len;

	if (t == NULL || t->resume_as == NULL || !SSL_SESSION_is_resumable(session))
		return 0;
	len = strlen(t->resume_as);
	k = find(str_of(t->resume_as));
	if (k != NULL)
		drop(k);
	while (count >= MOST_KEPT)
		drop(LIST_ENTRY(all.prev, struct kept, link));
	k = get_memory(sizeof(*k) + len);
	k->session = session;
	k->until_ms = mono_ms() + t->session_s * 1000;
	k->name = str_make(memcpy((char *) (k + 1), t->resume_as, len), len);
	list_prepend(&all, &k->link);
	count++;
	return 1;
}

void tls_sessions_keep(SSL_CTX *ssl)
{
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ssl, keep);
}

void tls_forget(struct tls *t)
{
	struct kept *k = t->resume_as == NULL ? NULL : find(str_of(t->resume_as));

	if (k != NULL)
		drop(k);
	free(t->resume_as);
	t->resume_as = NULL;		/* tickets may still come */
}

SSL_SESSION *tls_session_take(struct str name)
{
	struct kept *k = find(name);
	SSL_SESSION *session = NULL;

	if (k == NULL)
		return NULL;
	if (k->until_ms > mono_ms() && SSL_SESSION_up_ref(k->session) == 1)
		session = k->session;
	if (session == NULL || SSL_SESSION_get_protocol_version(session) == TLS1_3_VERSION)
		drop(k);
	return session;
}
