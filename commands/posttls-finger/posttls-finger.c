/* SPDX-License-Identifier: ISC */
/*
 * posttls-finger: what a destination offers in TLS, and whether a policy holds. The SMTP client
 * itself goes there (smtp/finger.h); the options become parameters of it. DNS is asked through a
 * resolver service of our own, so that anybody can look, a mail system running or not, and nothing
 * is old.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/daemon/daemon.h"

extern char **environ;

enum { RESOLVER_MS = 20000, PAUSE_NS = 5000000 };

static struct {
	struct command_world world;
	struct arena *arena;
	struct { const char **at; size_t len, cap; } parameters, questions;
	const char *level, *temporary;
	bool lmtp, json, quiet;
	char directory[90];		/* of the resolver's socket */
	const char *socket;
	pid_t resolver;
} finger;

__attribute__((noreturn)) static void usage(void)
{
	die(EX_USAGE, "usage: posttls-finger [-cCefjSvwxX] [-a family] [-A anchors] [-d digest] [-F CAfile] [-g grade] [-h host_lookup] [-H chainfiles] [-k certfile]"
	    " [-K keyfile] [-l level] [-L logopts] [-m count] [-M insecure_mx_policy] [-o name=value] [-p protocols] [-P CApath] [-r delay] [-s servername]"
	    " [-t timeout] [-T timeout] destination [match ...]");
}

/* ---- options ---- */

static void set_as_given(const char *assignment)
{
	*vec_add(finger.arena, &finger.parameters) = "-o";
	*vec_add(finger.arena, &finger.parameters) = assignment;
}

/* A parameter of the client that is looked with; x of smtp_x and lmtp_x. */
static void set(const char *name, const char *value)
{
	set_as_given(arena_fmt(finger.arena, "%s_%s=%s", finger.lmtp ? "lmtp" : "smtp", name, value).at);
}

static void ask(const char *key, const char *value)
{
	*vec_add(finger.arena, &finger.questions) = arena_fmt(finger.arena, "%s=%s", key, value).at;
}

static void set_both(const char *one, const char *other, const char *value)
{
	set(one, value);
	set(other, value);
}

/* None of what deliveries present, and nothing that needs root: whoever looks says what is to be shown. */
static void set_defaults(void)
{
	static const char *const none[] = { "tls_chain_files", "tls_cert_file", "tls_key_file",
					    "tls_eccert_file", "tls_eckey_file", "generic_maps",
					    "fallback_relay" };

	for (size_t i = 0; i < COUNT_OF(none); i++)
		set(none[i], "");
	set("sasl_auth_enable", "no");
	set("tls_loglevel", "0");
	set("skip_quit_response", "yes");
	set("connect_timeout", "30s");
	set_both(finger.lmtp ? "lhlo_timeout" : "helo_timeout", "starttls_timeout", "30s");
	set_both("tls_ciphers", "tls_mandatory_ciphers", "medium");
	set_both("tls_protocols", "tls_mandatory_protocols", ">=TLSv1");
}

static const char *seconds(const char *text)
{
	return arena_fmt(finger.arena, "%ss", text).at;
}

static void take_option(int c)
{
	switch (c) {
	case 'a': set_as_given(arena_fmt(finger.arena, "inet_protocols=%s",
					 strcmp(optarg, "any") == 0 ? "all" : optarg).at); break;
	case 'A': set("tls_trust_anchor_file", optarg); break;
	case 'c': finger.quiet = true; break;
	case 'C': ask("chain", "yes"); break;
	case 'd': set("tls_fingerprint_digest", optarg); break;
	case 'e': ask("every", "yes"); break;
	case 'f': set("tls_force_insecure_host_tlsa_lookup", "yes"); break;
	case 'F': set("tls_CAfile", optarg); break;
	case 'g': set_both("tls_ciphers", "tls_mandatory_ciphers", optarg); break;
	case 'h': set("host_lookup", optarg); break;
	case 'H': set("tls_chain_files", optarg); break;
	case 'j': finger.json = true; break;
	case 'k': set("tls_cert_file", optarg); set("tls_key_file", optarg); break;
	case 'K': set("tls_key_file", optarg); break;
	case 'l': finger.level = optarg; break;
	case 'm': ask("most", optarg); break;
	case 'M': set_as_given(arena_fmt(finger.arena, "smtp_tls_dane_insecure_mx_policy=%s",
					 optarg).at); break;
	case 'o': set_as_given(optarg); break;
	case 'p': set_both("tls_protocols", "tls_mandatory_protocols", optarg); break;
	case 'P': set("tls_CApath", optarg); break;
	case 'r': ask("reconnect", optarg); break;
	case 's': set("tls_servername", optarg); break;
	case 't': set("connect_timeout", seconds(optarg)); break;
	case 'T': set_both(finger.lmtp ? "lhlo_timeout" : "helo_timeout", "starttls_timeout",
			   seconds(optarg)); break;
	case 'v': *vec_add(finger.arena, &finger.parameters) = "-v"; break;
	case 'w': set("tls_wrappermode", "yes"); break;
	case 'L': case 'S': case 'x': case 'X': break;	/* -S: seen before; the others mean nothing here */
	default: usage();
	}
}

/* -S first, since it says whose parameters the others set. */
static void take_options(int argc, char **argv)
{
	static const char letters[] = "a:A:cCd:efF:g:h:H:jk:K:l:L:m:M:o:p:P:r:s:St:T:vwxX";
	int c;

	opterr = 0;
	while ((c = getopt(argc, argv, letters)) != -1)
		finger.lmtp = finger.lmtp || c == 'S';
	set_defaults();
	optind = 1;
	opterr = 1;
	while ((c = getopt(argc, argv, letters)) != -1)
		take_option(c);
	if (optind >= argc)
		usage();
}

/* "configured": as main.cf, the policy table and MTA-STS say. Otherwise nothing but the level counts. */
static void set_level(void)
{
	struct str anchors;
	bool validates = conf_get(finger.world.conf, finger.arena, STR("dns_resolver_trust_anchor_file"),
				  &anchors) && anchors.len > 0;

	if (finger.level == NULL)
		finger.level = validates ? "dane" : "secure";
	if (strcmp(finger.level, "configured") == 0)
		return;
	set("tls_security_level", finger.level);
	set_both("tls_policy_maps", "tls_per_site", "");
	set_as_given("smtp_mtasts_enable=no");
}

static void set_matches(int count, char **matches)
{
	AUTO(buf) list = BUF(65536);

	for (int i = 0; i < count; i++)
		buf_addf(&list, "%s%s", i > 0 ? " " : "", matches[i]);
	if (count == 0)
		return;
	set("tls_fingerprint_cert_match", arena_copy(finger.arena, buf_str(&list)).at);
	set_both("tls_verify_cert_match", "tls_secure_cert_match",
		 arena_copy(finger.arena, buf_str(&list)).at);
}

/* ---- the resolver ---- */

static const char *program(const char *name)
{
	return arena_fmt(finger.arena, "%s/%s", finger.world.common.daemon_directory, name).at;
}

static bool resolver_answers(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	memcpy(at.sun_path, finger.socket, strlen(finger.socket) + 1);
	r = connect(fd, (struct sockaddr *) &at, sizeof(at));
	close(fd);
	return r == 0;
}

static void end_resolver(void)
{
	const char *log = arena_fmt(finger.arena, "%s/log", finger.directory).at;

	if (finger.resolver > 0) {
		kill(finger.resolver, SIGTERM);
		waitpid(finger.resolver, NULL, 0);
	}
	finger.resolver = 0;
	unlink(log);
	unlink(finger.socket);
	rmdir(finger.directory);
}

/* What it has to say matters only if it does not work. */
static void show_log(const char *log)
{
	char bytes[2000];
	int fd = open(log, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, bytes, sizeof(bytes));

	if (n > 0 && write(STDERR_FILENO, bytes, (size_t) n) < 0)
		n = 0;
	if (fd >= 0)
		close(fd);
}

/* Our children hear signals; we clean up behind them first. */
static int start(const char *path, char *const *argv, const posix_spawn_file_actions_t *actions, pid_t *ret)
{
	posix_spawnattr_t attributes;
	sigset_t signals;
	int r;

	sigemptyset(&signals);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&attributes, &signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	r = posix_spawn(ret, path, actions, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
	return r;
}

static void start_resolver(void)
{
	const char *path = program("resolver"), *temporary = finger.temporary, *log;
	posix_spawn_file_actions_t actions;
	const int64_t until = mono_ms() + RESOLVER_MS;
	int r;

	if (snprintf(finger.directory, sizeof(finger.directory), "%s/posttls-finger-XXXXXX",
		     temporary) >= (int) sizeof(finger.directory))
		die(EX_USAGE, "TMPDIR is too long for a socket: %s", temporary);
	if (mkdtemp(finger.directory) == NULL)
		die(EX_CANTCREAT, "cannot make a directory in %s: %s", temporary, error_text(errno));
	finger.socket = arena_fmt(finger.arena, "%s/resolver", finger.directory).at;
	log = arena_fmt(finger.arena, "%s/log", finger.directory).at;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
	r = start(path, (char *[]){ (char *) "resolver", (char *) "-d", (char *) "-c",
				    (char *) (uintptr_t) conf_dir(finger.world.conf), (char *) "-n",
					    (char *) "resolver",
				    (char *) (uintptr_t) finger.socket, NULL }, &actions, &finger.resolver);
	posix_spawn_file_actions_destroy(&actions);
	while (r == 0 && !resolver_answers()) {
		if (waitpid(finger.resolver, NULL, WNOHANG) != 0 || mono_ms() > until) {
			show_log(log);
			end_resolver();
			die(EX_UNAVAILABLE, "%s does not start", path);
		}
		nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NS }, NULL);
	}
	if (r != 0) {
		end_resolver();
		die(EX_UNAVAILABLE, "%s: %s", path, error_text(r));
	}
}

/* ---- the client ---- */

static int look(void)
{
	struct { const char **at; size_t len, cap; } argv = { 0 };
	const char *path = program("smtp"), *name = finger.lmtp ? "lmtp" : "smtp";
	int status = 0, r;
	pid_t pid;

	*vec_add(finger.arena, &argv) = name;
	*vec_add(finger.arena, &argv) = "-R";
	*vec_add(finger.arena, &argv) = "-c";
	*vec_add(finger.arena, &argv) = conf_dir(finger.world.conf);
	*vec_add(finger.arena, &argv) = "-n";
	*vec_add(finger.arena, &argv) = name;
	for (size_t i = 0; i < finger.parameters.len; i++)
		*vec_add(finger.arena, &argv) = finger.parameters.at[i];
	*vec_add(finger.arena, &argv) = "finger";
	for (size_t i = 0; i < finger.questions.len; i++)
		*vec_add(finger.arena, &argv) = finger.questions.at[i];
	*vec_add(finger.arena, &argv) = NULL;
	r = start(path, (char **) (uintptr_t) argv.at, NULL, &pid);
	if (r != 0)
		return EX_UNAVAILABLE;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE;
}

int main(int argc, char **argv)
{
	const char *temporary = getenv("TMPDIR");
	int status;

	/* import_environment does not have it. */
	finger.arena = arena_new("posttls-finger", NULL, 4 << 20);
	finger.temporary = temporary != NULL && temporary[0] == '/' ? str_c(finger.arena,
			str_of(temporary)) : "/tmp";
	command_start("posttls-finger", NULL, NULL, NULL, &finger.world);
	take_options(argc, argv);
	set_level();
	set_matches(argc - optind - 1, argv + optind + 1);
	ask("to", argv[optind]);
	ask("json", finger.json ? "yes" : "no");
	ask("chat", finger.quiet ? "no" : "yes");
	start_resolver();
	ask("resolver", finger.socket);
	status = look();
	end_resolver();
	return status;
}
