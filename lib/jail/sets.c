/* SPDX-License-Identifier: ISC */
/*
 * The named sets of system calls, each defined once. Calls whose arguments matter (socket, clone,
 * mmap, mprotect, openat, ioctl, prctl, tgkill) are not here but in seccomp.c. A C library chooses
 * freely between old and new forms of a call, so both are listed where both exist.
 */
#include "lib/jail/sets.h"

#include <sys/syscall.h>

#include "lib/jail/jail.h"

static const int CORE[] = {
	/* open descriptors; the first ones are the most frequent: the filter is read from the top */
	SYS_read, SYS_write, SYS_recvmsg, SYS_sendmsg, SYS_recvfrom, SYS_sendto, SYS_readv, SYS_writev,
	SYS_pread64, SYS_pwrite64, SYS_close, SYS_lseek,
	SYS_epoll_ctl, SYS_epoll_pwait, SYS_epoll_pwait2, SYS_epoll_create1, SYS_eventfd2, SYS_pipe2,
	SYS_ppoll, SYS_pselect6, SYS_preadv, SYS_pwritev,
	SYS_recvmmsg, SYS_sendmmsg, SYS_shutdown, SYS_getsockopt, SYS_setsockopt, SYS_getsockname,
	SYS_getpeername, SYS_socketpair,
	SYS_connect,		/* of what socket() lets be made: log datagrams at least */
	SYS_fcntl, SYS_fstat, SYS_fstatfs, SYS_newfstatat, SYS_statx, SYS_dup, SYS_dup3, SYS_flock,
		SYS_close_range, SYS_timerfd_create, SYS_timerfd_settime,
	/* memory, threads, time */
	SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk, SYS_futex, SYS_set_robust_list, SYS_rseq,
	SYS_sched_yield, SYS_sched_getaffinity, SYS_membarrier,
	SYS_mincore, SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep, SYS_nanosleep,
	SYS_gettimeofday, SYS_getrandom, SYS_getcpu,
	/* oneself */
	SYS_getpid, SYS_gettid, SYS_getppid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_getresuid,
	SYS_getresgid, SYS_getgroups, SYS_capget, SYS_getrusage, SYS_uname,
	SYS_sysinfo, SYS_umask, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigtimedwait,
	SYS_sigaltstack, SYS_restart_syscall,
	SYS_setitimer, SYS_exit, SYS_exit_group,
#ifdef SYS_poll			/* the older architectures' own forms */
	SYS_poll, SYS_epoll_wait, SYS_select, SYS_dup2, SYS_pipe, SYS_time, SYS_getrlimit, SYS_stat,
		SYS_lstat, SYS_alarm,
#endif
};

static const int ACCEPT[] = { SYS_accept4, SYS_accept };

static const int FILES_READ[] = {
	SYS_getdents64, SYS_readlinkat, SYS_faccessat, SYS_faccessat2, SYS_statfs, SYS_chdir,
		SYS_fchdir, SYS_getcwd,
	SYS_fadvise64, SYS_readahead, SYS_inotify_init1, SYS_inotify_add_watch, SYS_inotify_rm_watch,
#ifdef SYS_readlink
	SYS_readlink, SYS_access, SYS_getdents,
#endif
};

static const int FILES_WRITE[] = {
	SYS_fsync, SYS_fdatasync, SYS_sync_file_range, SYS_ftruncate, SYS_truncate, SYS_fallocate,
		SYS_copy_file_range, SYS_sendfile,
	SYS_mkdirat, SYS_unlinkat, SYS_renameat, SYS_renameat2, SYS_linkat, SYS_fchmod, SYS_fchmodat,
	SYS_fchown, SYS_fchownat, SYS_utimensat, SYS_msync,
#ifdef SYS_rename
	SYS_rename, SYS_unlink, SYS_mkdir, SYS_rmdir, SYS_link, SYS_chmod, SYS_futimesat, SYS_utimes,
#endif
};

static const int INET[] = { SYS_bind };

#define SET(name, calls_) { name, calls_, sizeof(calls_) / sizeof((calls_)[0]) }
const struct call_set CALL_SETS[] = {
	SET(SYS_CORE, CORE),
	SET(SYS_ACCEPT, ACCEPT),
	SET(SYS_FILES_READ | SYS_FILES_WRITE, FILES_READ),
	SET(SYS_FILES_WRITE, FILES_WRITE),
	SET(SYS_CONNECT_INET | SYS_DNS, INET),
};
const size_t CALL_SET_COUNT = sizeof(CALL_SETS) / sizeof(CALL_SETS[0]);
