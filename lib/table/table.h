/* SPDX-License-Identifier: ISC */
/*
 * Lookup tables: "type:name". One small file per type behind one vtable (lib/table/type.h). A table
 * that fails is a temporary error (-errno, with words from table_why), never "not there". Files are
 * reopened when they changed (checked at most once a second).
 *
 * In process: hash btree (Berkeley DB, read only), lmdb, cdb, texthash static inline environ
 * internal randmap cidr regexp pcre fail, and tables of tables (unionmap pipemap debug). Through
 * the proxymap service: "proxy:type:name" and types that may block (unix; those that ask a server:
 * pgsql mysql sqlite ldap redis memcache tcp socketmap): table_open() arranges it.
 */
#ifndef ROAD_TABLE_TABLE_H
#define ROAD_TABLE_TABLE_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/co/co.h"

enum table_flags {
	/* keys are matched without regard to case (the default for mail tables); see fold.h */
	TABLE_FOLD_KEY = 1,
	TABLE_NO_PROXY = 2,		/* proxymap itself: open in process what others proxy */
	/* $1 in results refused: for tables that say where mail goes */
	TABLE_NO_REGEXP_SUBSTITUTION = 4,
	/*
	 * values are the contents of files, as base64: put there by postmap -F; tables of text name
	 * files, read with them
	 */
	TABLE_FILE_VALUES = 16,
	TABLE_NOT_ANYBODYS = 64,	/* no server that anybody may play: tcp, socketmap, memcache */
	/* results are trusted with privileges */
	TABLE_GIVES_RIGHTS = TABLE_NOT_ANYBODYS | TABLE_NO_REGEXP_SUBSTITUTION,
	/* to be changed too: proxied tables are asked of proxywrite, which alone does that */
	TABLE_CHANGES = 32,
	/* a file that cannot be opened now fails table_open() (commands); see there */
	TABLE_MUST_EXIST = 8,
};

struct table;
/*
 * spec: "hash:/etc/x", "inline:{ a=b }", "proxy:unix:passwd.byname". -EINVAL with words for what no
 * lookup could ever mend: an unknown type, a name that is none. A file that cannot be opened is
 * such an error only with TABLE_MUST_EXIST: without it the words go to the warning hook, every
 * lookup fails, and it is tried again each second (as long as its directory is there).
 */
int table_open(struct str spec, unsigned flags, struct table **ret, struct buf *why);
void table_free(struct table *t);				/* NULL is fine */
const char *table_spec(const struct table *t);
/*
 * 1 found, 0 not there, < 0 cannot tell. The value lives in the arena. a NULL: only the question
 * whether it is there, *ret_value is not set (ret_value may be NULL too).
 */
int table_get(struct table *t, struct arena *a, struct str key, struct str *ret_value) MAY_YIELD;
/*
 * Changes a proxied table that was opened with TABLE_CHANGES. 0; or 1 deleted, 0 was not there;
 * what is reported done is on stable storage. -errno with table_why().
 */
int table_put(struct table *t, struct str key, struct str value) MAY_YIELD;
int table_delete(struct table *t, struct str key) MAY_YIELD;
/* words for the last < 0; read them before the next lookup of anybody */
const char *table_why(const struct table *t);
/*
 * Would table_open() send this spec to proxymap? *ret_spec is then what proxymap opens ("proxy:"
 * taken away).
 */
bool table_is_proxied(struct str spec, struct str *ret_spec);
/* Is this a table of tables (unionmap, pipemap, debug)? *ret_inner is then the list of their specs. */
bool table_is_composed(struct str spec, struct str *ret_inner);
/* Are parts of an address looked up here too, or only the whole of it (regexp, pcre, cidr)? */
bool table_has_fixed_keys(const struct table *t);

/*
 * A list of tables as in alias_maps: the first that knows the key answers; the first that cannot
 * tell stops the search.
 */
struct tables;
int tables_open(struct str specs, unsigned flags, struct tables **ret, struct buf *why);
void tables_free(struct tables *ts);				/* NULL is fine */
bool tables_are_empty(const struct tables *ts);
int tables_get(struct tables *ts, struct arena *a, struct str key, struct str *ret_value) MAY_YIELD;
/* Like tables_get for a part of something (a parent domain, a bare user): pattern tables are not asked. */
int tables_get_part(struct tables *ts, struct arena *a, struct str key, struct str *ret_value) MAY_YIELD;
/*
 * example.com, then the domains above it with a dot before them, .com. *ret_key: where it was
 * found, or where trouble was.
 */
int tables_get_domain(struct tables *ts, struct arena *a, struct str name, struct str *ret_key,
		      struct str *ret_value) MAY_YIELD;
const char *tables_why(const struct tables *ts);
/* spec of the table that found, or could not tell, last */
const char *tables_answered_by(const struct tables *ts);
/*
 * The owner of that table's file, as it was when what was found was read from it: whoever owns the
 * directory can have the name lead to somebody else's file by now. No file of this process's,
 * proxy: among them: 0.
 */
uid_t tables_owner(const struct tables *ts);

/*
 * The usual order for an address: user+ext@domain, user@domain, user+ext, user (last two when
 * local_domain), @domain. Pattern tables are asked for the first form only. Addresses come in
 * internal form; a local part that needs quotes is tried with them first. *ret_extension (may be
 * NULL) is the "+ext" that a matching "user" did not contain, so that the caller can propagate it;
 * a match of @domain has none to propagate.
 */
struct address_lookup {
	struct str delimiter;		/* recipient_delimiter: each of its characters separates */
	bool local_domain;		/* try the bare local part too */
	bool no_domain_catch_all;	/* leave out @domain */
	bool splits_list_names;		/* owner-x and x-request too (owner_request_special = no) */
};
int tables_get_address(struct tables *ts, struct arena *a, struct str address,
		       const struct address_lookup *how,
		       struct str *ret_value, struct str *ret_extension) MAY_YIELD;

/* ---- set once per process ---- */

/* From now on every table_open() is one with TABLE_MUST_EXIST. */
void table_insist(void);
/*
 * The directory with the sockets of the services proxymap and proxywrite, which proxied types are
 * asked of. NULL: nobody serves, and this process opens them itself.
 */
void table_set_services(const char *directory);
/*
 * For names that are no file: pgsql:mine has the parameters that main.cf sets as mine_hosts,
 * mine_query and so on. c outlives all tables.
 */
struct conf;
void table_set_main(struct conf *c);
/*
 * shlib_directory, where loadable modules are, and meta_directory, whose dynamicmaps.cf says so
 * when it is elsewhere; see module.c.
 */
void table_set_module_directories(const char *modules, const char *meta);
/*
 * Where words about source lines that are left out and files that cannot be opened go; daemons:
 * log_warning. NULL: nowhere.
 */
void table_set_warning(void (*say)(const char *text));
/*
 * The file of a table or of a match list changed, and this process, which opened it before it gave
 * up its rights, may not open it again. It goes on with the old content; the hook (daemons: retire)
 * sees to it that a fresh process takes over. Called once for each.
 */
void table_set_outgrown(void (*say)(const char *what));
/*
 * How unix:passwd.byname and unix:group.byname are answered inside proxymap: the line as in
 * /etc/passwd or /etc/group into *ret_line. 1 found, 0 no such name, -errno cannot tell.
 */
typedef int table_account(struct arena *a, struct str name, struct str *ret_line) MAY_YIELD;
void table_set_accounts(table_account *user, table_account *group);
/*
 * Every directory with a file of an open table or match list, which must stay readable in the jail
 * so that the file can be reopened.
 */
void table_each_directory(void (*say)(void *arg, const char *directory), void *arg);

#endif
