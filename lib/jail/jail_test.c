/* SPDX-License-Identifier: ISC */
/* Each test locks up a child and has it try to get out; the child's exit status says how far it came. */
#include "tests/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config.h"
#include "lib/base/die.h"
#include "lib/jail/jail.h"

#ifdef WITH_SANITIZERS
#define SKIP_UNDER_SANITIZERS() skip()
#else
#define SKIP_UNDER_SANITIZERS() ((void) 0)
#endif

static char queue[] = "/tmp/jail-test-XXXXXX";

static int set_up(void **unused)
{
	char path[200];

	(void) unused;
	assert_non_null(mkdtemp(queue));
	assert_int_equal(chmod(queue, 0755), 0);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", queue, i == 0 ? "mine" : "others");
		assert_int_equal(mkdir(path, 0777), 0);
		assert_int_equal(chmod(path, 0777), 0);
	}
	return 0;
}

static int tear_down(void **unused)
{
	char command[200];

	(void) unused;
	snprintf(command, sizeof(command), "%s/mine/new", queue);
	unlink(command);
	snprintf(command, sizeof(command), "%s/mine", queue);
	rmdir(command);
	snprintf(command, sizeof(command), "%s/others", queue);
	rmdir(command);
	return rmdir(queue);
}

static char said[4096];

static void say(const char *text)
{
	snprintf(said + strlen(said), sizeof(said) - strlen(said), "%s\n", text);
}

static struct jail_world world(void)
{
	return (struct jail_world){ .queue_directory = queue, .config_directory = "/nowhere/etc",
				    .data_directory = "/nowhere/data",
				    .daemon_directory = "/nowhere/daemons", .uid = 1, .gid = 1,
				    .privileged = geteuid() == 0 };
}

static bool lacks_setpcap;

static void give_up_setpcap(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) < 0)
		_exit(251);
	data[0].permitted &= ~(1U << CAP_SETPCAP);
	data[0].effective &= ~(1U << CAP_SETPCAP);
	if (syscall(SYS_capset, &head, data) < 0)
		_exit(251);
}

/*
 * Runs attempt() in a child that has entered; its result is the child's exit status (errno values
 * are small).
 */
static int in_jail(const struct jail *j, int (*attempt)(void))
{
	struct jail_world w = world();
	AUTO(buf) why = BUF_WORDS;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (lacks_setpcap)
			give_up_setpcap();
		if (chdir(queue) < 0 || jail_enter(j, &w, say, &why) < 0)
			_exit(250);
		_exit(attempt());
	}
	assert_true(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static bool has_landlock(void)
{
	return syscall(444, NULL, (size_t) 0, 1) > 0;
}

/* ---- attempts ---- */

static int result_of(int fd)
{
	return fd < 0 ? errno : 0;
}

static int read_shadow(void) { return result_of(open("/etc/passwd", O_RDONLY)); }
static int create_in_mine(void) { return result_of(open("mine/new", O_CREAT | O_RDWR, 0600)); }
static int create_in_others(void) { return result_of(open("others/new", O_CREAT | O_RDWR, 0600)); }
static int list_others(void) { return result_of(open("others", O_RDONLY | O_DIRECTORY)); }
static int run_program(void) { return execl("/bin/true", "true", NULL) < 0 ? errno : 0; }
static int unix_stream(void) { return result_of(socket(AF_UNIX, SOCK_STREAM, 0)); }
static int unix_datagram(void) { return result_of(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)); }
static int inet_stream(void) { return result_of(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)); }
static int inet6_stream(void) { return result_of(socket(AF_INET6, SOCK_STREAM, 0)); }
static int inet_datagram(void) { return result_of(socket(AF_INET, SOCK_DGRAM, 0)); }
static int packet_socket(void) { return result_of(socket(AF_PACKET, SOCK_RAW, 0)); }
static int netlink_socket(void) { return result_of(socket(AF_NETLINK, SOCK_RAW, 0)); }
static int raw_socket(void) { return result_of(socket(AF_INET, SOCK_RAW, 1)); }
static int executable_memory(void) { return mmap(NULL, 4096, PROT_READ | PROT_EXEC,
						 MAP_PRIVATE | MAP_ANONYMOUS, -1,
							 0) == MAP_FAILED ? errno : 0; }
static int plain_memory(void) { return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
					    -1, 0) == MAP_FAILED ? errno : 0; }
static int new_process(void) { return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) < 0 ? errno : 0; }
static int trace_parent(void) { return syscall(SYS_ptrace, 16, getppid(), 0, 0) < 0 ? errno : 0; }
static int signal_parent(void) { return kill(getppid(), 0) < 0 ? errno : 0; }
static int more_descriptors(void) { return syscall(SYS_prlimit64, 0, 7, (unsigned long[]){ 100, 100 },
						   NULL) < 0 ? errno : 0; }
/* All of a pointer is looked at: memory can be had where the lower half of the address is 0. */
static int more_descriptors_from_afar(void)
{
	unsigned long *at = mmap((void *) 0x700000000000, 4096, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if ((uintptr_t) at != 0x700000000000)
		return 100;
	at[0] = at[1] = 100;
	return syscall(SYS_prlimit64, 0, 7, at, NULL) < 0 ? errno : 0;
}

/*
 * tgkill() is for oneself: where there is no Landlock, nothing else keeps the mail owner's other
 * processes apart.
 */
static int signal_parent_s_thread(void)
{
	int call;
	unsigned count;

	if (syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), 0) != 0)
		return 100;
	(void) !syscall(SYS_tgkill, getppid(), getppid(), 0);
	return jail_next_refusal(&call, &count) && call == SYS_tgkill ? EPERM : 0;
}

/* Its flags are in memory, where no filter looks. */
static int create_with_flags_in_memory(void)
{
	struct { uint64_t flags, mode, resolve; } how = { .flags = O_CREAT | O_RDWR, .mode = 0600 };

	return result_of((int) syscall(437, AT_FDCWD, "mine/new", &how, sizeof(how)));
}

static int become_root(void) { return setuid(0) < 0 ? errno : getuid() == 0 ? 0 : 1; }
static int own_namespace(void) { return syscall(SYS_unshare, 0x10000000) < 0 ? errno : 0; }
static int io_ring(void) { return syscall(425, 1, NULL) < 0 ? errno : 0; }

static int bind_port(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(40404),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	return bind(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *) &at, sizeof(at)) < 0 ? errno : 0;
}

static int bind_any_port(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	return bind(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *) &at, sizeof(at)) < 0 ? errno : 0;
}

static int is_mail_owner(void)
{
	return getuid() == 1 && geteuid() == 1 && getgid() == 1 && getgroups(0, NULL) == 0 ? 0 : 1;
}

static int count_refusal(void)
{
	int call;
	unsigned count;

	if (jail_next_refusal(&call, &count))
		return 100;
	(void) !syscall(SYS_swapoff, "/nowhere");
	(void) !syscall(SYS_swapoff, "/nowhere");
	if (!jail_next_refusal(&call, &count) || call != SYS_swapoff || count != 2)
		return 101;
	return jail_next_refusal(&call, &count) ? 102 : 0;
}

static int describe(void)
{
	AUTO(buf) text = BUF(1000);

	jail_describe(&text);
	if (str_find_str(buf_str(&text), STR("seccomp=on")) < 0
	    || str_find_str(buf_str(&text), STR("no_new_privs=1")) < 0)
		return 1;
	return has_landlock() && str_find_str(buf_str(&text), STR("landlock=0")) >= 0;
}

/* ---- jails ---- */

static const struct jail tight = { .user = AS_MAIL_OWNER, .syscalls = SYS_CORE };
static const struct jail reader = { .user = AS_MAIL_OWNER, .syscalls = SYS_CORE | SYS_FILES_READ,
				    .paths = { { "others", 'r' } } };
static const struct jail writer = { .user = AS_MAIL_OWNER, .syscalls = SYS_CORE | SYS_FILES_WRITE,
				    .paths = { { "mine", 'w' } } };
static const struct jail talker = { .user = AS_MAIL_OWNER, .syscalls = SYS_CORE | SYS_CONNECT_UNIX };
static const struct jail dialler = { .user = AS_MAIL_OWNER, .syscalls = SYS_CORE | SYS_CONNECT_INET };
static const struct jail asker = { .user = AS_MAIL_OWNER, .syscalls = SYS_CORE | SYS_DNS };
static const struct jail open_jail = { .user = AS_ROOT, .syscalls = SYS_ALL, .capabilities = "setuid setgid" };

static void test_core_runs_and_does_nothing_else(void **unused)
{
	static int (*const attempts[])(void) = { read_shadow, run_program, unix_stream, inet_stream,
						 inet6_stream, inet_datagram, packet_socket,
		netlink_socket, executable_memory, new_process, trace_parent, signal_parent,
		signal_parent_s_thread, more_descriptors,
		more_descriptors_from_afar, own_namespace, io_ring };

	(void) unused;
	SKIP_UNDER_SANITIZERS();
	assert_int_equal(in_jail(&tight, plain_memory), 0);
	assert_int_equal(in_jail(&tight, unix_datagram), 0);		/* the log */
	for (size_t i = 0; i < COUNT_OF(attempts); i++)
		if (in_jail(&tight, attempts[i]) != EPERM)
			fail_msg("attempt %zu of core was not refused", i);
}

static void test_files_are_those_of_the_table(void **unused)
{
	(void) unused;
	SKIP_UNDER_SANITIZERS();
	assert_int_equal(in_jail(&writer, create_in_mine), 0);
	/* the filter: opened for reading only */
	assert_int_equal(in_jail(&reader, create_in_mine), EPERM);
	assert_int_equal(in_jail(&reader, create_with_flags_in_memory), ENOSYS);
	assert_int_equal(in_jail(&reader, list_others), 0);
	if (!has_landlock())
		skip();
	assert_int_equal(in_jail(&writer, create_in_others), EACCES);
	assert_int_equal(in_jail(&writer, list_others), EACCES);
	assert_int_equal(in_jail(&writer, read_shadow), EACCES);
	assert_int_equal(in_jail(&reader, read_shadow), EACCES);
}

static void test_sockets_are_those_of_the_sets(void **unused)
{
	(void) unused;
	SKIP_UNDER_SANITIZERS();
	assert_int_equal(in_jail(&talker, unix_stream), 0);
	assert_int_equal(in_jail(&talker, inet_stream), EPERM);
	assert_int_equal(in_jail(&dialler, inet_stream), 0);
	assert_int_equal(in_jail(&dialler, inet_datagram), EPERM);
	assert_int_equal(in_jail(&dialler, raw_socket), EPERM);
	assert_int_equal(in_jail(&dialler, unix_stream), EPERM);
	assert_int_equal(in_jail(&asker, inet_datagram), 0);
	assert_int_equal(in_jail(&asker, inet_stream), 0);
	assert_int_equal(in_jail(&asker, packet_socket), EPERM);
}

static void test_nobody_listens_at_a_port(void **unused)
{
	(void) unused;
	SKIP_UNDER_SANITIZERS();
	assert_int_equal(in_jail(&dialler, bind_any_port), 0);
	if (syscall(444, NULL, (size_t) 0, 1) < 4)
		skip();
	assert_int_equal(in_jail(&dialler, bind_port), EACCES);
}

static void test_root_becomes_the_mail_owner_for_good(void **unused)
{
	(void) unused;
	if (geteuid() != 0)
		skip();
	assert_int_equal(in_jail(&tight, is_mail_owner), 0);
	assert_int_equal(in_jail(&tight, become_root), EPERM);
}

static int is_mail_owner_without_capabilities(void)
{
	AUTO(buf) text = BUF(1000);

	jail_describe(&text);
	return str_find_str(buf_str(&text), STR("uid=1 gid=1 capabilities=0 ")) < 0;
}

static void test_who_may_not_bound_capabilities_loses_them_all_the_same(void **unused)
{
	(void) unused;
	if (geteuid() != 0)
		skip();
	lacks_setpcap = true;
	assert_int_equal(in_jail(&tight, is_mail_owner_without_capabilities), 0);
	lacks_setpcap = false;
}

static int count_capabilities(void)
{
	AUTO(buf) text = BUF(1000);

	jail_describe(&text);
	return str_find_str(buf_str(&text), STR("uid=0 gid=0 capabilities=c0 ")) < 0;
}

static void test_a_root_daemon_keeps_the_named_capabilities_only(void **unused)
{
	(void) unused;
	if (geteuid() != 0)
		skip();
	assert_int_equal(in_jail(&open_jail, count_capabilities), 0);
	assert_int_equal(in_jail(&open_jail, read_shadow), 0);
}

static void test_refusals_are_counted_for_the_log(void **unused)
{
	(void) unused;
	SKIP_UNDER_SANITIZERS();
	assert_int_equal(in_jail(&tight, count_refusal), 0);
}

static void test_a_test_may_ask_for_death_instead(void **unused)
{
	(void) unused;
	SKIP_UNDER_SANITIZERS();
	setenv("POSTROAD_JAIL", "kill", 1);
	assert_int_equal(in_jail(&tight, run_program), -SIGSYS);
	unsetenv("POSTROAD_JAIL");
}

static void test_the_description_tells_what_holds(void **unused)
{
	(void) unused;
	SKIP_UNDER_SANITIZERS();
	assert_int_equal(in_jail(&tight, describe), 0);
}

static int become_1(void) { return -become_user(1, 1); }
static int become_0(void) { return -become_user(0, 0); }

static int become_2_after_1(void)
{
	if (become_user(1, 1) < 0)
		return 100;
	return setresuid(2, 2, 2) < 0 ? errno : 0;
}

static void test_becoming_a_user_has_no_way_back(void **unused)
{
	(void) unused;
	assert_int_equal(in_jail(&open_jail, become_0), EINVAL);
	if (geteuid() != 0) {
		assert_int_equal(become_user(geteuid() + 1, 1), -EPERM);
		return;
	}
	assert_int_equal(in_jail(&open_jail, become_1), 0);
	assert_int_equal(in_jail(&open_jail, become_2_after_1), EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_core_runs_and_does_nothing_else),
		cmocka_unit_test(test_files_are_those_of_the_table),
		cmocka_unit_test(test_sockets_are_those_of_the_sets),
		cmocka_unit_test(test_nobody_listens_at_a_port),
		cmocka_unit_test(test_root_becomes_the_mail_owner_for_good),
		cmocka_unit_test(test_who_may_not_bound_capabilities_loses_them_all_the_same),
		cmocka_unit_test(test_a_root_daemon_keeps_the_named_capabilities_only),
		cmocka_unit_test(test_refusals_are_counted_for_the_log),
		cmocka_unit_test(test_a_test_may_ask_for_death_instead),
		cmocka_unit_test(test_the_description_tells_what_holds),
		cmocka_unit_test(test_becoming_a_user_has_no_way_back),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
