/* SPDX-License-Identifier: ISC */
/* What holds in this process, asked of the kernel where it can tell. */
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/jail/private.h"

void jail_describe(struct buf *b)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	syscall(SYS_capget, &head, data);
	buf_addf(b, "uid=%u gid=%u capabilities=%x no_new_privs=%d landlock=%d seccomp=%s",
		 (unsigned) getuid(), (unsigned) getgid(),
		 data[0].effective, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1, landlock_active(),
		 jail_filters() ? "on" : "off");
}
