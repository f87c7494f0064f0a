/* SPDX-License-Identifier: ISC */
/*
 * The system call filter. A call that is not in the daemon's sets fails with EPERM: the kernel
 * sends SIGSYS, and our handler notes the number, puts EPERM in the result's place and goes on, so
 * that a C library with other habits costs a log line and not the service. With POSTROAD_JAIL=kill
 * in the environment (tests) the process ends instead, like an attacker's should.
 *
 * Kernels since 5.11 remember which calls are allowed whatever their arguments, so the length of
 * the list does not matter there.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <ucontext.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/jail/private.h"
#include "lib/jail/sets.h"

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#endif

/* ---- what was refused ---- */

enum { CALL_NUMBERS = 512 };
static atomic_uint refused[CALL_NUMBERS];
static atomic_bool any_refused;
static bool is_active;

bool jail_next_refusal(int *ret_call, unsigned *ret_count)
{
	if (!atomic_load(&any_refused))
		return false;
	for (int i = 0; i < CALL_NUMBERS; i++) {
		unsigned n = atomic_exchange(&refused[i], 0);

		if (n > 0) {
			*ret_call = i;
			*ret_count = n;
			return true;
		}
	}
	atomic_store(&any_refused, false);
	return false;
}

bool jail_filters(void)
{
	return is_active;
}

#ifdef NATIVE_ARCH

static void refuse(int signal_number, siginfo_t *info, void *context)
{
	ucontext_t *u = context;

	(void) signal_number;
	if (info->si_syscall >= 0 && info->si_syscall < CALL_NUMBERS)
		atomic_fetch_add(&refused[info->si_syscall], 1);
	atomic_store(&any_refused, true);
#if defined(__x86_64__)
	u->uc_mcontext.gregs[REG_RAX] = -EPERM;
#else
	u->uc_mcontext.regs[0] = (unsigned long long) -EPERM;
#endif
}

/* ---- the program ---- */

enum { MOST_STEPS = 1024 };
struct filter {
	struct sock_filter steps[MOST_STEPS];
	size_t n;
};

static void step(struct filter *f, struct sock_filter s)
{
	BUG_UNLESS(f->n < MOST_STEPS);
	f->steps[f->n++] = s;
}

#define LOAD(field) ((struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t) offsetof(struct seccomp_data, field)))
/*
 * Low half of an argument: the rest of an int is not looked at by the kernel either. Both machines
 * that this is for have it first.
 */
#define LOAD_ARG(i) LOAD(args[i])
#define LOAD_ARG_HIGH(i) ((struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t) offsetof(struct seccomp_data, args[i]) + 4))
#define RETURN(what) ((struct sock_filter) BPF_STMT(BPF_RET | BPF_K, (what)))
#define MASK(bits) ((struct sock_filter) BPF_STMT(BPF_ALU | BPF_AND | BPF_K, (uint32_t) (bits)))
#define SKIP_UNLESS(value, n) ((struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t) (value), 0, (n)))
#define SKIP_IF(value, n) ((struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t) (value), (n), 0))
#define ALLOW RETURN(SECCOMP_RET_ALLOW)

/* The accumulator holds the call number before and after each of these. */
static void allow(struct filter *f, int call)
{
	step(f, SKIP_UNLESS(call, 1));
	step(f, ALLOW);
}

/* Allowed when (argument & mask) == value, else the default. */
static void allow_if(struct filter *f, int call, int argument, uint32_t mask, uint32_t value,
		     uint32_t otherwise)
{
	step(f, SKIP_UNLESS(call, 5));
	step(f, LOAD_ARG(argument));
	step(f, MASK(mask));
	step(f, SKIP_UNLESS(value, 1));
	step(f, ALLOW);
	step(f, RETURN(otherwise));
}

/* Allowed when the argument, a pointer, is NULL: all of it. */
static void allow_if_null(struct filter *f, int call, int argument, uint32_t otherwise)
{
	step(f, SKIP_UNLESS(call, 6));
	step(f, LOAD_ARG(argument));
	step(f, SKIP_UNLESS(0, 3));
	step(f, LOAD_ARG_HIGH(argument));
	step(f, SKIP_UNLESS(0, 1));
	step(f, ALLOW);
	step(f, RETURN(otherwise));
}

static void answer(struct filter *f, int call, int error)
{
	step(f, SKIP_UNLESS(call, 1));
	step(f, RETURN(SECCOMP_RET_ERRNO | (uint32_t) error));
}

/* socket(family, type): accumulator is the family when this is reached; falls through when it is another. */
static void allow_family(struct filter *f, int family, bool stream, bool datagram)
{
	if (!stream && !datagram)
		return;
	step(f, SKIP_UNLESS(family, stream && datagram ? 5 : 4));
	step(f, LOAD_ARG(1));
	step(f, MASK(0xf));
	if (stream && datagram) {
		step(f, SKIP_IF(SOCK_STREAM, 1));
		step(f, SKIP_UNLESS(SOCK_DGRAM, 1));
	} else {
		step(f, SKIP_UNLESS(stream ? SOCK_STREAM : SOCK_DGRAM, 1));
	}
	step(f, ALLOW);
	step(f, LOAD_ARG(0));
}

static void allow_sockets(struct filter *f, unsigned sets, uint32_t otherwise)
{
	const bool inet = sets & (SYS_CONNECT_INET | SYS_DNS), dns = sets & SYS_DNS;
	size_t jump;

	jump = f->n;
	step(f, SKIP_UNLESS(SYS_socket, 0));
	step(f, LOAD_ARG(0));
	/* Log datagrams go to whoever reads them after a restart, too. */
	allow_family(f, AF_UNIX, sets & SYS_CONNECT_UNIX, true);
	allow_family(f, AF_INET, inet, dns);
	allow_family(f, AF_INET6, inet, dns);
	step(f, RETURN(otherwise));
	f->steps[jump].jf = (uint8_t) (f->n - jump - 1);
}

static void allow_by_argument(struct filter *f, unsigned sets, uint32_t otherwise)
{
	/* CLONE_VM FS FILES SIGHAND THREAD: a thread, never a process */
	static const uint32_t THREAD = 0x00010f00;
	static const unsigned IOCTLS[] = { FIONREAD, FIONBIO, TCGETS, 0x5411 /* TIOCOUTQ */ };

	allow_if(f, SYS_mmap, 2, PROT_EXEC, 0, otherwise);
	allow_if(f, SYS_mprotect, 2, PROT_EXEC, 0, otherwise);
	allow_if(f, SYS_clone, 0, THREAD, THREAD, otherwise);
	/* its flags are in memory: the C library then takes clone */
	answer(f, SYS_clone3, ENOSYS);
	allow_if_null(f, SYS_prlimit64, 2, otherwise);	/* asking only */
	/* oneself: a process that is shut in has no children */
	allow_if(f, SYS_tgkill, 0, ~0U, (uint32_t) getpid(), otherwise);
	step(f, SKIP_UNLESS(SYS_prctl, 6));
	step(f, LOAD_ARG(0));
	step(f, SKIP_IF(PR_SET_NAME, 2));
	step(f, SKIP_IF(PR_GET_NO_NEW_PRIVS, 1));
	step(f, SKIP_UNLESS(0x53564d41 /* PR_SET_VMA */, 1));
	step(f, ALLOW);
	step(f, RETURN(otherwise));
	step(f, SKIP_UNLESS(SYS_ioctl, COUNT_OF(IOCTLS) * 2 + 2));
	step(f, LOAD_ARG(1));
	for (size_t i = 0; i < COUNT_OF(IOCTLS); i++) {
		step(f, SKIP_UNLESS(IOCTLS[i], 1));
		step(f, ALLOW);
	}
	step(f, RETURN(SECCOMP_RET_ERRNO | ENOTTY));
	allow_sockets(f, sets, otherwise);
	/* likewise in memory: who asks for it then takes openat */
	answer(f, SYS_openat2, ENOSYS);
	if (sets & SYS_FILES_WRITE)
		allow(f, SYS_openat);
	else if (sets & SYS_FILES_READ)
		allow_if(f, SYS_openat, 2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY, otherwise);
#ifdef SYS_open
	if (sets & SYS_FILES_WRITE)
		allow(f, SYS_open);
	else if (sets & SYS_FILES_READ)
		allow_if(f, SYS_open, 1, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY, otherwise);
#endif
}

static void build(struct filter *f, unsigned sets, uint32_t otherwise)
{
	step(f, LOAD(arch));
	step(f, SKIP_IF(NATIVE_ARCH, 1));
	step(f, RETURN(SECCOMP_RET_KILL_PROCESS));
	step(f, LOAD(nr));
#ifdef __x86_64__
	/* x32 calls carry this bit and would slip through a list of numbers. */
	step(f, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1));
	step(f, RETURN(SECCOMP_RET_KILL_PROCESS));
#endif
	for (size_t i = 0; i < CALL_SET_COUNT; i++)
		for (size_t k = 0; (CALL_SETS[i].set & sets) && k < CALL_SETS[i].count; k++)
			allow(f, CALL_SETS[i].calls[k]);
	allow_by_argument(f, sets, otherwise);
	step(f, RETURN(otherwise));
}

int seccomp_enter(unsigned sets)
{
	struct sigaction action = { .sa_sigaction = refuse,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	const char *mode = getenv("POSTROAD_JAIL");
	const bool kills = mode != NULL && str_is(str_of(mode), STR("kill"));
	AUTO_PTR struct filter *f = get_memory(sizeof(*f));
	struct sock_fprog program;

	build(f, sets, kills ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_TRAP);
	program = (struct sock_fprog){ (unsigned short) f->n, f->steps };
	if (sigaction(SIGSYS, &action, NULL) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0)
		return -errno;
	is_active = true;
	return 0;
}

#else

int seccomp_enter(unsigned sets)
{
	(void) sets;
	return -ENOSYS;
}

#endif
