/* SPDX-License-Identifier: ISC */
/*
 * main.cf, as postconf(5) describes its syntax, and the parameter registry.
 *
 * A parameter is declared once, in a row of lib/conf/params/GROUP.def:
 *
 *   PARAM(TIME, smtpd_timeout, "${stress?{10s}:{300s}}", 1, 86400, "smtpd", "How long to wait for ...")
 *         type  name           default as in main.cf     min max   programs  documentation
 *
 * GROUP.h includes it to make `struct GROUP_conf { when_t-like fields... }` and GROUP_params.c to
 * make the table `const struct param_group GROUP_group`. A program lists the groups it uses;
 * postconf links them all.
 *
 *   type   field            main.cf
 *   BOOL   bool             yes / no
 *   INT    int64_t          decimal
 *   SIZE   int64_t          bytes, decimal
 *   TIME   int64_t          MILLISECONDS; text has a suffix s m h d w (default unit in the row's default text)
 *   STR    const char *     expanded text
 *   RAW    const char *     not expanded when read (smtpd_banner-like texts with runtime $names)
 *
 * Bounds of TIME rows are in seconds. A TIME without a suffix counts in the unit of its default.
 *
 * The names and default texts of all groups are in every program (params/every.def, defaults.c), so
 * $name of another group's parameter works everywhere; the documentation only where all_groups is
 * named.
 */
#ifndef ROAD_CONF_CONF_H
#define ROAD_CONF_CONF_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"

enum param_type { PARAM_BOOL, PARAM_INT, PARAM_SIZE, PARAM_TIME, PARAM_STR, PARAM_RAW };

struct param {
	const char *name;
	enum param_type type;
	/* NULL: computed, see conf_computed_default() (myhostname, mydomain, ...) */
	const char *default_text;
	int64_t min, max;		/* of STR: length bounds (0, 0: none) */
	size_t offset;			/* of its field in the group's struct */
	const char *programs;		/* "smtpd", "cleanup qmgr", "*" */
	const char *doc;
};

struct param_group {
	const char *name;
	const struct param *params;
	size_t count;
	size_t struct_size;
};

/*
 * How GROUP.h makes its struct:    struct smtpd_conf {
 *                                  #define PARAM PARAM_FIELD
 *                                  #include "lib/conf/params/smtpd.def"
 *                                  #undef PARAM
 *                                  };
 *                                  extern const struct param_group smtpd_group;
 * and GROUP_params.c its table:    #define PARAM_STRUCT smtpd_conf
 *                                  static const struct param rows[] = {
 *                                  #define PARAM PARAM_ROW
 *                                  #include "lib/conf/params/smtpd.def"
 *                                  #undef PARAM
 *                                  };
 *                                  const struct param_group smtpd_group = PARAM_GROUP("smtpd", smtpd_conf);
 */
#define PARAM_C_BOOL bool
#define PARAM_C_INT int64_t
#define PARAM_C_SIZE int64_t
#define PARAM_C_TIME int64_t
#define PARAM_C_STR const char *
#define PARAM_C_RAW const char *
/*
 * The field of parameter x is named x. For a name that is no C name the .def says PARAM_AS(STR,
 * two_bounce_notice_recipient, "2bounce_notice_recipient", ...), and its group defines PARAM_AS
 * beside PARAM (PARAM_AS_FIELD, PARAM_AS_ROW).
 */
#define PARAM_FIELD(type, name, text, min, max, programs, doc) PARAM_C_##type name;
#define PARAM_AS_FIELD(type, field, name, text, min, max, programs, doc) PARAM_C_##type field;
#define PARAM_ROW(type_, name_, text_, min_, max_, programs_, doc_) \
	{ .name = #name_, .type = PARAM_##type_, .default_text = text_, .min = min_, .max = max_, \
	  .offset = offsetof(struct PARAM_STRUCT, name_), .programs = programs_, .doc = doc_ },
#define PARAM_AS_ROW(type_, field_, name_, text_, min_, max_, programs_, doc_) \
	{ .name = name_, .type = PARAM_##type_, .default_text = text_, .min = min_, .max = max_, \
	  .offset = offsetof(struct PARAM_STRUCT, field_), .programs = programs_, .doc = doc_ },
#define PARAM_GROUP(name_, struct_) \
	{ .name = name_, .params = rows, .count = sizeof(rows) / sizeof(rows[0]), .struct_size = sizeof(struct struct_) }

struct conf;

/*
 * Reads DIR/main.cf. dir NULL: $MAIL_CONFIG (not in setgid programs), else the compiled-in
 * directory. -ENOENT etc. and words with file and line in *why. The conf lives in memory of its own
 * until conf_free.
 */
int conf_load(const char *dir, struct conf **ret_conf, struct buf *why);
/* The same without the lines that cannot be read: for who has to reach a system that runs already. */
int conf_load_what_can_be_read(const char *dir, struct conf **ret_conf, struct buf *why);
void conf_free(struct conf *c);
const char *conf_dir(const struct conf *c);

/*
 * "-o name=value" of the command line or master.cf: above main.cf. Also `{ name = value }`. -EINVAL
 * with words.
 */
int conf_override(struct conf *c, struct str assignment, struct buf *why);
/* the same from a program; value as in main.cf ($ counts) */
void conf_set(struct conf *c, struct str name, struct str value);

/*
 * Fills a group's struct: looks up, expands, parses, checks bounds. On -EINVAL *why names file,
 * line, parameter, and what is expected. Strings live as long as the conf.
 */
int conf_fill(struct conf *c, const struct param_group *group, void *ret_struct, struct buf *why);

/*
 * One value by name, whether registered or not (restriction classes, $name of the user, transport
 * families, see families.h): expanded text in arena (of RAW: as it is); false: neither set nor with
 * a default, or not to be expanded, of which conf_review() tells.
 */
bool conf_get(struct conf *c, struct arena *a, struct str name, struct str *ret_value);
/*
 * Like conf_get with a parse, for one of a family or a parameter without a row: default_text counts
 * when neither main.cf nor a row nor a family gives one. -EINVAL with words.
 */
int conf_get_int(struct conf *c, struct str name, struct str default_text, int64_t min, int64_t max,
		 int64_t *ret, struct buf *why);
int conf_get_time(struct conf *c, struct str name, struct str default_text, int64_t *ret_ms, struct buf *why);
int conf_get_bool(struct conf *c, struct str name, bool default_value, bool *ret, struct buf *why);

/*
 * $name, ${name}, $(name), ${name?text}, ${name:text}, ${name?{a}:{b}}, ${{a} == {b}?..}; see
 * expand.c. -EINVAL, -ELOOP, -EMSGSIZE with words.
 */
int conf_expand(struct conf *c, struct arena *a, struct str text, struct str *ret, struct buf *why);
/* Like conf_expand(), and tells of each name that is not defined. */
int conf_expand_noting(struct conf *c, struct arena *a, struct str text, struct str *ret, struct buf *why,
		       void (*undefined)(void *arg, struct str name), void *arg);

/*
 * The next name that follows a dollar sign in *text, whichever branch of a condition it stands in.
 * False: no more.
 */
bool conf_next_name(struct str *text, struct str *ret_name);

/*
 * The text of a name before expansion: set, registered, of a family, or computed. False: undefined.
 * For tools.
 */
bool conf_raw(struct conf *c, struct str name, struct str *ret_value);
/* A conf as if DIR/main.cf had this text. For tools and tests. */
int conf_from_text(const char *dir, struct str text, struct conf **ret_conf, struct buf *why);
/* The same from a descriptor that somebody opened for us, wherever it stands. Words as for DIR/main.cf. */
int conf_load_open(const char *dir, int fd, struct conf **ret_conf, struct buf *why);
/*
 * A whole configuration file in the arena. -errno; -EFBIG, -EINVAL (a NUL byte, not a regular
 * file); all with words.
 */
int conf_read_file(struct arena *a, const char *path, struct str *ret_text, struct buf *why);

/* "name = value" in two, trimmed; -EINVAL with words, without file and line. */
int conf_split_assignment(struct str line, struct str *ret_name, struct str *ret_value, struct buf *why);

/* Where a parameter was set: "main.cf", line; false when it was not. For messages and postconf. */
bool conf_where(const struct conf *c, struct str name, const char **ret_file, int *ret_line);
/* The same; of one that was not set, of the first that its default names and that was. */
bool conf_where_from(struct conf *c, struct str name, const char **ret_file, int *ret_line);
/* The same of the parameter that somebody's words begin with: "mynetworks: bad network length". */
bool conf_where_words(struct conf *c, struct str words, const char **ret_file, int *ret_line);
/* Walks what main.cf sets, in the order of first appearance. *at starts at 0. */
bool conf_next_set(const struct conf *c, size_t *at, struct str *ret_name, struct str *ret_raw_value);

/* -EINVAL, and "FILE, line N: name = value: words" for a value that is of the right type and still wrong. */
int conf_refuse(struct conf *c, struct str name, struct buf *why, const char *words);

/* "5m", "1h", "300" with a default unit; milliseconds. -EINVAL, -ERANGE. */
int conf_parse_time(struct str text, char default_unit, int64_t *ret_ms);

/*
 * The registry: every group of the suite (ends with NULL). Only for postconf and `postroad check`:
 * whoever names one of these three links every table with its documentation.
 */
extern const struct param_group *const all_groups[];
const struct param *conf_param(struct str name);	/* by name over all groups, or NULL */
/*
 * Parses and checks every value of every group, and those that master.cf overrides: says each wrong
 * one. How many there were. Links every table too.
 */
int conf_check_values(struct conf *c, void (*say)(void *arg, const char *text), void *arg);
/* conf_check_values() for one name. How many mistakes. */
int conf_check_value(struct conf *c, struct str name, void (*say)(void *arg, const char *text), void *arg);
/* what to say of it: "a Postfix parameter that ..."; NULL: it is none */
const char *conf_absence(struct str name);
/*
 * What the administrator should know about main.cf and the overrides in master.cf: names that
 * nothing reads, Postfix parameters that are not here yet, $names that are not defined, lines
 * without meaning, values that cannot be expanded. Calls say() for each.
 */
void conf_review(struct conf *c, void (*say)(void *arg, const char *text), void *arg);

#endif
