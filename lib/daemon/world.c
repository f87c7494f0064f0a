/* SPDX-License-Identifier: ISC */
/*
 * What daemons and commands do alike before they do anything: descriptors, environment,
 * configuration, log.
 */
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/conf/own_addresses.h"
#include "lib/daemon/private.h"
#include "lib/mail/mail_address.h"

extern char **environ;

void stand_on_three_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	/* Those that stay as 0-2 go on to programs that we start. */
	for (int i = 0; i <= STDERR_FILENO; i++)
		fcntl(i, F_SETFD, 0);
}

void set_signals(void)
{
	sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	sigaction(SIGXFSZ, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
}

static void raise_limit(int resource)
{
	struct rlimit r;

	if (getrlimit(resource, &r) < 0)
		return;
	r.rlim_cur = r.rlim_max;
	setrlimit(resource, &r);
}

void raise_limits(void)
{
	raise_limit(RLIMIT_NOFILE);
	if (setrlimit(RLIMIT_FSIZE, &(struct rlimit){ RLIM_INFINITY, RLIM_INFINITY }) < 0)
		raise_limit(RLIMIT_FSIZE);
}

struct setting {
	struct str name;
	char *value;
};

bool next_variable(struct str *list, struct arena *a, struct str *ret_name, const char **ret_value)
{
	struct str value;

	if (str_token_braced(list, ", \t\r\n", &value) <= 0)
		return false;
	str_unbrace(value, &value);
	*ret_value = str_cut(&value, '=', ret_name) ? str_c(a, str_trim(value)) : getenv(str_c(a, *ret_name));
	*ret_name = str_trim(*ret_name);
	return true;
}

/* Values are copied because clearenv() frees nothing but forgets. */
static size_t choose_environment(struct arena *a, struct str list, struct setting *ret, size_t most)
{
	struct setting s = { 0 };
	const char *value;
	size_t n = 0;

	while (n < most && next_variable(&list, a, &s.name, &value)) {
		if (value == NULL || s.name.len == 0)
			continue;
		s.value = (char *) arena_copy(a, str_of(value)).at;
		ret[n++] = s;
	}
	return n;
}

void clean_environment(const char *import_environment)
{
	enum { MOST = 200 };
	struct arena *a = arena_new("environment", NULL, 8 << 20);
	struct setting *keep = arena_get(a, MOST * sizeof(*keep));
	size_t n = choose_environment(a, str_of(import_environment), keep, MOST);

	if (clearenv() != 0)
		die(EX_OSERR, "cannot clear the environment");
	for (size_t i = 0; i < n; i++)
		if (setenv(str_c(a, keep[i].name), keep[i].value, 1) < 0)
			die(EX_OSERR, "cannot set the environment");
	if (getenv("PATH") == NULL)
		setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	arena_free(a);
}

void insist_on_words(const char *parameter, const char *list, const char *allowed)
{
	struct str rest = str_of(list), word;

	while (str_token(&rest, ", \t\r\n", &word))
		if (!str_lists(str_of(allowed), word))
			die(EX_CONFIG, "%s: \"%.*s\" is none of %s", parameter, PSTR(word), allowed);
}

/* Names that go into greetings and headers, and words that are one of a few. */
int fill_common(struct conf *c, struct common_conf *ret, struct buf *why)
{
	static const char *const styles[] = { "host", "subnet", "class" };
	bool ipv4, ipv6, known = false;
	int r = conf_fill(c, &common_group, ret, why);

	if (r == 0)
		r = conf_inet_protocols(c, &ipv4, &ipv6, why);
	if (r < 0)
		return r;
	for (size_t i = 0; i < COUNT_OF(styles); i++)
		known |= strcmp(ret->mynetworks_style, styles[i]) == 0;
	if (!known)
		return conf_refuse(c, STR("mynetworks_style"), why, "host, subnet or class expected");
	if (!hostname_is_valid(str_of(ret->myhostname), true))
		return conf_refuse(c, STR("myhostname"), why, "not a host name");
	if (!hostname_is_valid(str_of(ret->mydomain), true))
		return conf_refuse(c, STR("mydomain"), why, "not a domain name");
	return 0;
}

void fill_groups(struct conf *c, const struct param_group *const *groups, void *const *structs)
{
	for (size_t i = 0; groups != NULL && groups[i] != NULL; i++) {
		AUTO(buf) why = BUF_WORDS;

		if (conf_fill(c, groups[i], structs[i], &why) < 0)
			die(EX_CONFIG, "%s", buf_text(&why));
	}
}

void open_command_log(const struct common_conf *common, const char *program)
{
	AUTO(buf) path = BUF(4096);

	buf_addf(&path, "%s/public/postlog", common->queue_directory);
	if (access(common->maillog_file[0] == 0 ? "/dev/log" : buf_text(&path), W_OK) == 0)
		open_log(common, program, LOG_TO_SYSLOG);
	log_also_stderr(true);
}

void open_log(const struct common_conf *common, const char *program, enum log_sink sink)
{
	AUTO(buf) tag = BUF(300), path = BUF(4096);

	buf_addf(&tag, "%s/%s", common->syslog_name, program);
	if (sink == LOG_TO_SYSLOG && common->maillog_file[0] != 0)
		sink = LOG_TO_POSTLOG;
	buf_addf(&path, "%s/public/postlog", common->queue_directory);
	if (log_facility(common->syslog_facility) < 0)
		die(EX_CONFIG, "syslog_facility: there is no facility \"%s\"", common->syslog_facility);
	log_open(buf_text(&tag), sink, sink == LOG_TO_POSTLOG ? buf_text(&path) : NULL);
}
