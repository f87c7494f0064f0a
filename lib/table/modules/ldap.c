/* SPDX-License-Identifier: ISC */
/*
 * ldap: tables, with libldap. The first argument of a question is the base, the second the filter;
 * what was looked up is quoted in both. Values of special_result_attribute are names or URLs of
 * further entries, which are followed.
 */
#include <lber.h>
#include <ldap.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/provider.h>
#include <sasl/sasl.h>
#include <strings.h>
#include <sys/time.h>
#include <time.h>

#include "lib/table/modules/driver.h"

/* DEEPEST: each name that is followed takes some hundred bytes of a thread's stack */
enum { MOST_ATTRIBUTES = 60, MOST_NAME = 100, DEEPEST = 1000 };

#define PART ";range="			/* take_parts() */

/* What an attribute's values are. */
enum kind {
	VALUE,				/* a result */
	LEAF,				/* a result, unless there are special ones to follow */
	TERMINAL,			/* a result, and nothing of the entry is followed */
	SPECIAL,			/* where to look further */
};

struct attribute {
	char name[MOST_NAME];
	enum kind kind;
};

struct connection {
	LDAP *ld;
	int scope;
	bool base_is_fixed;		/* search_base is the same for all keys */
	long size_limit, recursion_limit;
	struct attribute attributes[MOST_ATTRIBUTES];
	char *names[MOST_ATTRIBUTES + 1];	/* what is asked of the server */
	int count;
};

/* One question under way. */
struct search {
	struct connection *c;
	const struct driver_question *q;
	struct driver_words why;
	long long until;
	bool enough;
	long entries;
};

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static struct timeval as_timeval(long long ms)
{
	if (ms < 1)
		ms = 1;
	return (struct timeval){ .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
}

static bool is_yes(const char *value, bool otherwise)
{
	return value == NULL || *value == 0 ? otherwise : *value == 'y' || *value == 'Y' || *value == '1';
}

static long number(const char *value, long otherwise)
{
	return value == NULL || *value == 0 ? otherwise : strtol(value, NULL, 10);
}

/* ---- parameters ---- */

/* "host host:port ldap://uri ..." as a list of URIs. False: it does not fit. */
static bool make_uris(const struct driver_settings *s, char *uris, size_t size)
{
	const char *at = s->get(s, "server_host"), *port = s->get(s, "server_port");
	size_t used = 0;

	if (at == NULL || *at == 0)
		at = "localhost";
	while (*(at += strspn(at, ", \t\r\n")) != 0) {
		int len = (int) strcspn(at, ", \t\r\n");
		bool is_uri = memmem(at, (size_t) len, "://", 3) != NULL;
		bool has_port = memchr(at, ':', (size_t) len) != NULL;
		int n = is_uri ? snprintf(uris + used, size - used, "%.*s ", len, at) :
			has_port ? snprintf(uris + used, size - used, "ldap://%.*s ", len, at) :
			snprintf(uris + used, size - used, "ldap://%.*s:%s ", len, at,
				 port == NULL ? "389" : port);

		if (n < 0 || (size_t) n >= size - used)
			return false;
		used += (size_t) n;
		at += len;
	}
	return used > 0;
}

static bool has_attribute(const struct connection *c, const char *at, size_t len)
{
	for (int i = 0; i < c->count; i++)
		if (strncasecmp(c->names[i], at, len) == 0 && c->names[i][len] == 0)
			return true;
	return false;
}

/* One that is there already stays what it is. */
static bool add_attributes(struct connection *c, const char *at, enum kind kind)
{
	while (at != NULL && *(at += strspn(at, ", \t\r\n")) != 0) {
		size_t len = strcspn(at, ", \t\r\n");

		if (c->count == MOST_ATTRIBUTES || len >= MOST_NAME)
			return false;
		if (!has_attribute(c, at, len)) {
			memcpy(c->attributes[c->count].name, at, len);
			c->attributes[c->count].name[len] = 0;
			c->attributes[c->count].kind = kind;
			c->names[c->count] = c->attributes[c->count].name;
			c->count++;
		}
		at += len;
	}
	return true;
}

static bool read_scope(const char *value, int *ret_scope)
{
	*ret_scope = LDAP_SCOPE_SUBTREE;
	if (value == NULL || strcasecmp(value, "sub") == 0)
		return true;
	*ret_scope = LDAP_SCOPE_ONELEVEL;
	if (strcasecmp(value, "one") == 0)
		return true;
	*ret_scope = LDAP_SCOPE_BASE;
	return strcasecmp(value, "base") == 0;
}

/* Without %-expansions other than %%. */
static bool is_fixed(const char *text)
{
	for (; text != NULL && (text = strchr(text, '%')) != NULL; text += 2)
		if (text[1] != '%')
			return false;
	return true;
}

static bool read_parameters(struct connection *c, const struct driver_settings *s)
{
	const char *result = s->get(s, "result_attribute");

	c->base_is_fixed = is_fixed(s->get(s, "search_base"));
	c->size_limit = number(s->get(s, "size_limit"), number(s->get(s, "expansion_limit"), 0));
	c->recursion_limit = number(s->get(s, "recursion_limit"), DEEPEST);
	if (c->recursion_limit > DEEPEST)
		c->recursion_limit = DEEPEST;
	return read_scope(s->get(s, "scope"), &c->scope)
	       && add_attributes(c, s->get(s, "terminal_result_attribute"), TERMINAL)
	       && add_attributes(c, s->get(s, "leaf_result_attribute"), LEAF)
	       && add_attributes(c, result == NULL ? "maildrop" : result, VALUE)
	       && add_attributes(c, s->get(s, "special_result_attribute"), SPECIAL);
}

/*
 * What SASL loads when it is used is loaded now: later the jail lets no new code in. DIGEST-MD5 has
 * its cipher from OpenSSL's legacy provider, in a library context of its own; code that is in
 * memory already need not be read again.
 */
static void load_code_of_sasl(LDAP *ld, const char *bind)
{
	static OSSL_LIB_CTX *context;		/* for the life of the process */
	char **mechanisms = NULL;

	if (bind == NULL || strcasecmp(bind, "sasl") != 0)
		return;
	ldap_get_option(ld, LDAP_OPT_X_SASL_MECHLIST, &mechanisms);
	if (context == NULL)
		context = OSSL_LIB_CTX_new();
	if (context != NULL)
		OSSL_PROVIDER_load(context, "legacy");
}

static int ldap_check(const struct driver_settings *s, struct driver_words why)
{
	struct connection *c = calloc(1, sizeof(*c));
	char uris[2000];
	LDAP *ld = NULL;
	int r = 0;

	if (c == NULL || !read_parameters(c, s)) {
		snprintf(why.at, why.size, "scope or one of the result attributes is not valid");
		r = -1;
	} else if (!make_uris(s, uris, sizeof(uris)) || ldap_initialize(&ld, uris) != LDAP_SUCCESS) {
		snprintf(why.at, why.size, "server_host is not valid");
		r = -1;
	} else {
		load_code_of_sasl(ld, s->get(s, "bind"));
	}
	if (ld != NULL)
		ldap_unbind_ext_s(ld, NULL, NULL);
	free(c);
	return r;
}

/* ---- connecting ---- */

static void ldap_close(void *connection)
{
	struct connection *c = connection;

	if (c->ld != NULL)
		ldap_unbind_ext_s(c->ld, NULL, NULL);
	free(c);
}

static int require_level(const char *value)
{
	static const struct { const char *name; int level; } levels[] = {
		{ "never", LDAP_OPT_X_TLS_NEVER }, { "no", LDAP_OPT_X_TLS_NEVER },
		{ "allow", LDAP_OPT_X_TLS_ALLOW }, { "try", LDAP_OPT_X_TLS_TRY },
		{ "demand", LDAP_OPT_X_TLS_DEMAND }, { "hard", LDAP_OPT_X_TLS_HARD },
		{ "yes", LDAP_OPT_X_TLS_DEMAND },
	};

	for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++)
		if (strcasecmp(value, levels[i].name) == 0)
			return levels[i].level;
	return LDAP_OPT_X_TLS_DEMAND;
}

static int set_tls(LDAP *ld, const struct driver_settings *s)
{
	static const struct { const char *name; int option; } texts[] = {
		{ "tls_ca_cert_file", LDAP_OPT_X_TLS_CACERTFILE },
		{ "tls_ca_cert_dir", LDAP_OPT_X_TLS_CACERTDIR }, { "tls_cert", LDAP_OPT_X_TLS_CERTFILE },
		{ "tls_key", LDAP_OPT_X_TLS_KEYFILE }, { "tls_cipher_suite", LDAP_OPT_X_TLS_CIPHER_SUITE },
	};
	const char *require = s->get(s, "tls_require_cert");
	int level = require == NULL ? LDAP_OPT_X_TLS_NEVER : require_level(require), client = 0,
		r = LDAP_SUCCESS;
	bool any = require != NULL;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts) && r == LDAP_SUCCESS; i++) {
		const char *value = s->get(s, texts[i].name);

		if (value != NULL && *value != 0) {
			r = ldap_set_option(ld, texts[i].option, value);
			any = true;
		}
	}
	if (r == LDAP_SUCCESS)
		r = ldap_set_option(ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &level);
	if (r == LDAP_SUCCESS && any)
		r = ldap_set_option(ld, LDAP_OPT_X_TLS_NEWCTX, &client);
	return r;
}

/* The library goes through the servers by itself: each has its share of the time to be reached in. */
static struct timeval share_of_one(const char *uris, int timeout_ms)
{
	int count = 0;

	for (; *uris != 0; uris++)
		count += *uris == ' ';		/* behind each */
	return as_timeval(timeout_ms / (count > 0 ? count : 1));
}

static int set_options(LDAP *ld, const struct connection *c, const struct driver_settings *s,
		       const char *uris, int timeout_ms)
{
	static const struct { const char *name; int value; } dereferences[] = {
		{ "0", LDAP_DEREF_NEVER }, { "1", LDAP_DEREF_SEARCHING }, { "2", LDAP_DEREF_FINDING },
		{ "3", LDAP_DEREF_ALWAYS },
	};
	const char *dereference = s->get(s, "dereference");
	int version = (int) number(s->get(s, "version"), 3), size = (int) c->size_limit,
		how = LDAP_DEREF_NEVER, r;
	struct timeval limit = as_timeval(timeout_ms), share = share_of_one(uris, timeout_ms);

	/* Following referrals with a connection bound to somebody is to give a stranger the password. */
	bool chase = is_yes(s->get(s, "chase_referrals"), false);

	for (size_t i = 0; i < 4 && dereference != NULL; i++)
		if (strcmp(dereference, dereferences[i].name) == 0)
			how = dereferences[i].value;
	r = ldap_set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version);
	if (r == LDAP_SUCCESS)
		r = ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &share);
	if (r == LDAP_SUCCESS)
		r = ldap_set_option(ld, LDAP_OPT_TIMEOUT, &limit);
	if (r == LDAP_SUCCESS && size > 0)
		r = ldap_set_option(ld, LDAP_OPT_SIZELIMIT, &size);
	if (r == LDAP_SUCCESS)
		r = ldap_set_option(ld, LDAP_OPT_DEREF, &how);
	if (r == LDAP_SUCCESS)
		r = ldap_set_option(ld, LDAP_OPT_REFERRALS, chase ? LDAP_OPT_ON : LDAP_OPT_OFF);
	return r == LDAP_SUCCESS ? set_tls(ld, s) : r;
}

/* What a mechanism wants to know: who, with what password, where, and as whom. */
static int answer_sasl(LDAP *ld, unsigned flags, void *settings, void *questions)
{
	static const struct { unsigned long id; const char *parameter; } answers[] = {
		{ SASL_CB_AUTHNAME, "bind_dn" }, { SASL_CB_PASS, "bind_pw" },
		{ SASL_CB_GETREALM, "sasl_realm" }, { SASL_CB_USER, "sasl_authz_id" },
	};
	const struct driver_settings *s = settings;

	(void) ld;
	(void) flags;
	for (sasl_interact_t *q = questions; q->id != SASL_CB_LIST_END; q++) {
		const char *value = NULL;

		for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++)
			if (answers[i].id == q->id)
				value = s->get(s, answers[i].parameter);
		if (value == NULL)
			value = q->defresult == NULL ? "" : q->defresult;
		q->result = value;
		q->len = (unsigned) strlen(value);
	}
	return LDAP_SUCCESS;
}

static int authenticate_by_sasl(LDAP *ld, const struct driver_settings *s)
{
	const char *least = s->get(s, "sasl_minssf");
	char properties[40];
	int r = LDAP_SUCCESS;

	if (least != NULL) {
		snprintf(properties, sizeof(properties), "minssf=%ld", number(least, 0));
		r = ldap_set_option(ld, LDAP_OPT_X_SASL_SECPROPS, properties);
	}
	return r != LDAP_SUCCESS ? r :
		ldap_sasl_interactive_bind_s(ld, NULL, s->get(s, "sasl_mechs"), NULL, NULL, LDAP_SASL_QUIET,
					     answer_sasl, (void *) s);
}

static int authenticate(LDAP *ld, const struct driver_settings *s)
{
	const char *how = s->get(s, "bind"), *dn = s->get(s, "bind_dn"), *password = s->get(s, "bind_pw");
	struct berval secret = { 0 };

	if (how != NULL && strcasecmp(how, "sasl") == 0)
		return authenticate_by_sasl(ld, s);
	if (!is_yes(how, true) && (how == NULL || strcasecmp(how, "simple") != 0))
		dn = password = NULL;			/* anonymous; this also makes the connection */
	secret.bv_val = (char *) (password == NULL ? "" : password);
	secret.bv_len = strlen(secret.bv_val);
	return ldap_sasl_bind_s(ld, dn, LDAP_SASL_SIMPLE, &secret, NULL, NULL, NULL);
}

/* With what the server or the TLS library says about it. */
static void say_failure(const struct connection *c, int r, const char *step, const char *hosts,
			struct driver_words why)
{
	char *more = NULL;

	if (c != NULL && c->ld != NULL)
		ldap_get_option(c->ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &more);
	snprintf(why.at, why.size, "%s %s: %s%s%s%s", step, hosts == NULL ? "localhost" : hosts,
		 ldap_err2string(r), more == NULL || *more == 0 ? "" : " (", more == NULL ? "" : more,
		 more == NULL || *more == 0 ? "" : ")");
	ldap_memfree(more);
}

static void *ldap_connect_to(const struct driver_settings *s, const char *host, int timeout_ms,
			     int question_ms, struct driver_words why)
{
	struct connection *c = calloc(1, sizeof(*c));
	const char *step = "open";
	char uris[2000];
	int r = LDAP_NO_MEMORY;

	(void) host;			/* the library goes through the list itself */
	(void) question_ms;
	if (c != NULL && read_parameters(c, s) && make_uris(s, uris, sizeof(uris)))
		r = ldap_initialize(&c->ld, uris);
	if (r == LDAP_SUCCESS)
		r = set_options(c->ld, c, s, uris, timeout_ms);
	if (r == LDAP_SUCCESS && is_yes(s->get(s, "start_tls"), false)) {
		step = "start TLS with";
		r = ldap_start_tls_s(c->ld, NULL, NULL);
	}
	if (r == LDAP_SUCCESS) {
		step = "bind to";
		r = authenticate(c->ld, s);
	}
	if (r == LDAP_SUCCESS)
		return c;
	say_failure(c, r, step, s->get(s, "server_host"), why);
	if (c != NULL)
		ldap_close(c);
	return NULL;
}

/* ---- asking ---- */

static int search(struct search *s, const char *base, int scope, const char *filter,
		  char **names, long depth);

static int tell_values(struct search *s, struct berval **values)
{
	for (; values != NULL && *values != NULL && !s->enough; values++)
		s->enough = !s->q->found(s->q->arg, (*values)->bv_val, (*values)->bv_len);
	return LDAP_SUCCESS;
}

/* What a URL is about: of the attributes that it selects (NULL: all) those that are results here. */
static int follow_url(struct search *s, LDAPURLDesc *url, long depth)
{
	char **names = calloc((size_t) s->c->count + 1, sizeof(*names));
	int count = 0, r = names == NULL ? LDAP_NO_MEMORY : LDAP_SUCCESS;

	for (int i = 0; names != NULL && i < s->c->count; i++) {
		char **selected = url->lud_attrs;

		while (selected != NULL && *selected != NULL && strcasecmp(*selected, s->c->names[i]) != 0)
			selected++;
		if (selected == NULL || *selected != NULL)
			names[count++] = s->c->names[i];
	}
	if (count > 0)
		r = search(s, url->lud_dn == NULL ? "" : url->lud_dn,
			   url->lud_scope == LDAP_SCOPE_DEFAULT ? LDAP_SCOPE_BASE : url->lud_scope,
			   url->lud_filter == NULL ? "(objectclass=*)" : url->lud_filter, names, depth + 1);
	free(names);
	return r;
}

/* A name, or a URL with base, attributes, scope and filter of its own. */
static int follow(struct search *s, const char *where, long depth)
{
	LDAPURLDesc *url;
	int r;

	if (depth >= s->c->recursion_limit) {
		snprintf(s->why.at, s->why.size, "recursion_limit (%ld) exceeded at %.200s",
			 s->c->recursion_limit, where);
		return LDAP_OTHER;
	}
	if (!ldap_is_ldap_url(where))
		return search(s, where, LDAP_SCOPE_BASE, "(objectclass=*)", s->c->names, depth + 1);
	if (ldap_url_parse(where, &url) != LDAP_URL_SUCCESS) {
		snprintf(s->why.at, s->why.size, "malformed URL %.200s", where);
		return LDAP_OTHER;
	}
	r = follow_url(s, url, depth);
	ldap_free_urldesc(url);
	return r;
}

static int ask_server(const struct search *s, const char *base, int scope, const char *filter, char **names,
		      LDAPMessage **ret_found)
{
	struct timeval limit = as_timeval(s->until - now_ms());

	return now_ms() >= s->until ? LDAP_TIMEOUT :
		ldap_search_ext_s(s->c->ld, base, scope, filter, names, 0, NULL, NULL, &limit,
				  (int) s->c->size_limit, ret_found);
}

static bool is_part_of(const char *description, const char *name)
{
	const size_t len = strlen(name);

	return strncasecmp(description, name, len) == 0
	       && strncasecmp(description + len, PART, strlen(PART)) == 0;
}

/* What the part of this attribute in the entry is called, for ldap_memfree(); NULL: there is none. */
static char *find_part(const struct search *s, LDAPMessage *entry, const char *name)
{
	BerElement *position = NULL;
	char *at = ldap_first_attribute(s->c->ld, entry, &position);

	while (at != NULL && !is_part_of(at, name)) {
		ldap_memfree(at);
		at = ldap_next_attribute(s->c->ld, entry, position);
	}
	ber_free(position, 0);
	return at;
}

static bool has_values(const struct search *s, LDAPMessage *entry, enum kind kind)
{
	for (int i = 0; i < s->c->count; i++) {
		const bool counts = s->c->attributes[i].kind == kind;
		struct berval **values = counts ? ldap_get_values_len(s->c->ld, entry, s->c->names[i]) : NULL;
		char *part = counts ? find_part(s, entry, s->c->names[i]) : NULL;
		bool any = part != NULL || (values != NULL && values[0] != NULL);

		if (values != NULL)
			ldap_value_free_len(values);
		ldap_memfree(part);
		if (any)
			return true;
	}
	return false;
}

static int take_values(struct search *s, LDAPMessage *entry, const char *name, enum kind kind, long depth)
{
	struct berval **values = ldap_get_values_len(s->c->ld, entry, name);
	int r = LDAP_SUCCESS;

	if (values == NULL)
		return r;
	if (kind != SPECIAL)
		r = tell_values(s, values);
	for (int i = 0; kind == SPECIAL && values[i] != NULL && r == LDAP_SUCCESS && !s->enough; i++)
		r = follow(s, values[i]->bv_val, depth);
	ldap_value_free_len(values);
	return r;
}

/* What is behind PART. *ret_next: where the next part begins; 0: this is the last one. */
static bool read_range(const char *range, long *ret_first, long *ret_next)
{
	char *end;
	long last;

	*ret_first = strtol(range, &end, 10);
	*ret_next = 0;
	if (strcmp(end, "-*") == 0)
		return true;
	last = *end == '-' ? strtol(end + 1, NULL, 10) : -1;
	*ret_next = last + 1;
	return last >= *ret_first && last < LONG_MAX;
}

/* From the value with number *first on; then *first is where the next part begins, 0: there is none. */
static int take_part(struct search *s, LDAPMessage *entry, const char *name, enum kind kind, long depth,
		     long *first)
{
	char *part = entry == NULL ? NULL : find_part(s, entry, name);
	const long wanted = *first;
	int r = LDAP_SUCCESS;
	long from, next = 0;

	if (part == NULL ? wanted > 0
	    : !read_range(part + strlen(name) + strlen(PART), &from, &next) || from != wanted) {
		snprintf(s->why.at, s->why.size, "the values of %.100s from number %ld on are not there",
			 name, wanted);
		r = LDAP_OTHER;
	} else if (part != NULL) {
		r = take_values(s, entry, part, kind, depth);
	}
	*first = next;
	ldap_memfree(part);
	return r;
}

/*
 * Active Directory gives an attribute of more than 1500 values in parts: an empty "member", and
 * "member;range=0-1499". Then one asks for "member;range=1500-*", and gets it, or "1500-2999", and so on.
 */
static int take_parts(struct search *s, LDAPMessage *entry, const char *name, enum kind kind, long depth)
{
	char *dn = ldap_get_dn(s->c->ld, entry), next[MOST_NAME + 40], *names[] = { next, NULL };
	LDAPMessage *found = NULL;
	long first = 0;
	int r = take_part(s, entry, name, kind, depth, &first);

	while (r == LDAP_SUCCESS && first > 0 && !s->enough) {
		snprintf(next, sizeof(next), "%s" PART "%ld-*", name, first);
		ldap_msgfree(found);
		found = NULL;
		r = ask_server(s, dn, LDAP_SCOPE_BASE, "(objectclass=*)", names, &found);
		if (r == LDAP_SUCCESS)
			r = take_part(s, ldap_first_entry(s->c->ld, found), name, kind, depth, &first);
	}
	ldap_msgfree(found);
	ldap_memfree(dn);
	return r;
}

static int take_entry(struct search *s, LDAPMessage *entry, long depth)
{
	const bool terminal = has_values(s, entry, TERMINAL),
		   special = !terminal && has_values(s, entry, SPECIAL);
	int r = LDAP_SUCCESS;

	for (int i = 0; i < s->c->count && r == LDAP_SUCCESS && !s->enough; i++) {
		const struct attribute *a = &s->c->attributes[i];

		if ((a->kind == LEAF && special) || (a->kind == SPECIAL && terminal)
		    || (terminal && a->kind != TERMINAL))
			continue;
		r = take_values(s, entry, a->name, a->kind, depth);
		if (r == LDAP_SUCCESS && !s->enough)
			r = take_parts(s, entry, a->name, a->kind, depth);
	}
	return r;
}

static int search(struct search *s, const char *base, int scope, const char *filter, char **names, long depth)
{
	LDAPMessage *found = NULL;
	int r = ask_server(s, base, scope, filter, names, &found);

	/*
	 * What is under a base made of the key, or behind a name, need not be there. That a fixed base
	 * is not says nothing about the key.
	 */
	if (r == LDAP_NO_SUCH_OBJECT && (depth > 0 || !s->c->base_is_fixed))
		r = LDAP_SUCCESS;
	if (r == LDAP_SUCCESS)
		for (LDAPMessage *e = ldap_first_entry(s->c->ld, found); e != NULL && r == LDAP_SUCCESS
		     && !s->enough; e = ldap_next_entry(s->c->ld, e))
			r = take_entry(s, e, depth);
	if (found != NULL)
		ldap_msgfree(found);
	return r;
}

static enum driver_result ldap_ask(void *connection, const struct driver_question *q, struct driver_words why)
{
	struct search s = { .c = connection, .q = q, .why = why, .until = now_ms() + q->timeout_ms };
	int r;

	*why.at = 0;
	r = search(&s, q->arguments[0], s.c->scope, q->arguments[1], s.c->names, 0);
	switch (r) {
	case LDAP_SUCCESS:
		return DRIVER_ANSWERED;
	case LDAP_SERVER_DOWN:
	case LDAP_CONNECT_ERROR:
	case LDAP_TIMEOUT:
	case LDAP_BUSY:
	case LDAP_UNAVAILABLE:
	case LDAP_LOCAL_ERROR:
	case LDAP_DECODING_ERROR:
		snprintf(why.at, why.size, "search: %s", ldap_err2string(r));
		return DRIVER_GONE;
	default:
		if (*why.at == 0)
			snprintf(why.at, why.size, "search in \"%.200s\": %s", q->arguments[0],
				 ldap_err2string(r));
		return DRIVER_FAILED;
	}
}

static const struct server_driver servers[] = {
	{ .type = "ldap", .check = ldap_check, .connect = ldap_connect_to, .ask = ldap_ask, .close = ldap_close },
	{ .type = NULL },
};

__attribute__((visibility("default"))) const struct table_module table_module = {
	.version = TABLE_MODULE_VERSION, .servers = servers };
