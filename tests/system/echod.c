/* SPDX-License-Identifier: ISC */
/*
 * A daemon for tests of master and lib/daemon. Its name says what it is: smtpd serves many, blocker
 * one at a time, qmgr and pickup are singletons. A client writes lines and reads one line for each:
 *
 *   pid            number of the process             limit     session_limit
 *   jail           jail_describe()                   user X    account_by_name: found, none or error
 *   peer           uid of the peer and public/private        wakes     how often wake() was called
 *   conf NAME      a parameter                       crash     SIGSEGV
 *   spin MS        uses so much processor time without a wait, and says the number of the process
 *   exit N         ends the process at once          anything else comes back
 */
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/daemon/daemon.h"

static int wakes;
static bool fails_at_start;

static void answer_account(struct stream *io, struct str name)
{
	struct arena *a = arena_new("account", NULL, 1 << 20);
	struct account account;
	int found = account_by_name(a, name, &account);

	if (found > 0)
		writef(io, "found %u %.*s\n", (unsigned) account.uid, PSTR(account.home));
	else
		writef(io, "%s\n", found == 0 ? "none" : error_text(found));
	arena_free(a);
}

static void answer_parameter(struct stream *io, struct str name)
{
	struct arena *a = arena_new("parameter", NULL, 1 << 20);
	struct str value;

	writef(io, "%.*s\n", PSTR(conf_get(the_world->conf, a, name, &value) ? value : STR("(none)")));
	arena_free(a);
}

static void spin(struct stream *io, int64_t ms)
{
	int64_t until = process_us() + ms * 1000;

	while (process_us() < until)
		;
	writef(io, "%d\n", (int) getpid());
}

static void answer(struct stream *io, const struct session_socket *s, struct str line)
{
	AUTO(buf) text = BUF(1000);
	struct str verb, rest = line;
	int64_t n;

	str_cut(&rest, ' ', &verb);
	if (str_is(verb, STR("pid")))
		writef(io, "%d\n", (int) getpid());
	else if (str_is(verb, STR("limit")))
		writef(io, "%d\n", the_world->session_limit);
	else if (str_is(verb, STR("wakes")))
		writef(io, "%d\n", wakes);
	else if (str_is(verb, STR("peer")))
		writef(io, "%d %s\n", (int) s->peer_uid, s->is_public ? "public" : "private");
	else if (str_is(verb, STR("user")))
		answer_account(io, rest);
	else if (str_is(verb, STR("conf")))
		answer_parameter(io, rest);
	else if (str_is(verb, STR("crash")))
		raise(SIGSEGV);
	else if (str_is(verb, STR("spin")) && str_to_int(rest, 1, 10000, &n) == 0)
		spin(io, n);
	else if (str_is(verb, STR("exit")) && str_to_int(rest, 0, 255, &n) == 0)
		_exit((int) n);
	else if (str_is(verb, STR("jail"))) {
		jail_describe(&text);
		writef(io, "%s\n", buf_text(&text));
	} else
		writef(io, "%.*s\n", PSTR(line));
}

static void serve(struct session_socket *s)
{
	struct stream *io = stream_new(s->fd);
	struct str line;

	if (s->is_inet)
		writef(io, "hello from %s\n", the_world->service);
	flush(io);
	while (read_line(io, 1000, &line, NULL)) {
		answer(io, s, line);
		flush(io);
	}
	stream_free(io);
}

static void wake(void)
{
	wakes++;
	log_info("woken");
}

static struct bell the_end;

static void wind_down(void)
{
	bell_ring(&the_end);
	log_info("winding down");
}

static void start(void)
{
	if (fails_at_start)
		die(EX_SOFTWARE, "made to fail");
	accounts_prepare();
}

/* Lives as long as the process. */
static void keep_watch(void)
{
	while (!daemon_is_winding_down())
		bell_wait(&the_end, NEVER);
}

int main(int argc, char **argv)
{
	struct str path = str_of(argv[0]), name = str_skip(path, (size_t) (str_find_last(path, '/') + 1));
	struct daemon d = {
		.jail = { .user = AS_MAIL_OWNER,
			  .syscalls = SYS_CORE | SYS_ACCEPT | SYS_CONNECT_UNIX | SYS_FILES_READ,
			  .paths = { { "/etc/passwd", 'r' }, { "/etc/group", 'r' },
				     { "/etc/nsswitch.conf", 'r' }, { "/usr/lib", 'x' }, { "/lib", 'x' } } },
		.start = start,
		.serve = serve,
		.wind_down = wind_down,
	};

	bell_init(&the_end);
	d.name = str_of(name.at).at;
	if (str_is(name, STR("blocker"))) {
		d.shape = DAEMON_ONE_AT_A_TIME;
		d.jail = (struct jail){ .user = AS_ROOT, .syscalls = SYS_ALL, .capabilities = "setuid setgid" };
	}
	if (str_is(name, STR("qmgr")) || str_is(name, STR("pickup"))) {
		d.singleton = true;
		d.wake = wake;
		d.run = keep_watch;
	}
	fails_at_start = str_is(name, STR("error"));
	return daemon_main(argc, argv, &d);
}
