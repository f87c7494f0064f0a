/* SPDX-License-Identifier: ISC */
/* Capability sets, with the plain system calls: no library stands between us and three of them. */
#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/jail/private.h"

static const struct { const char *name; int bit; } NAMES[] = {
	{ "chown", CAP_CHOWN }, { "dac_override", CAP_DAC_OVERRIDE },
	{ "dac_read_search", CAP_DAC_READ_SEARCH },
	{ "fowner", CAP_FOWNER }, { "fsetid", CAP_FSETID }, { "kill", CAP_KILL }, { "setgid", CAP_SETGID },
	{ "setuid", CAP_SETUID },
	{ "net_bind_service", CAP_NET_BIND_SERVICE }, { "sys_chroot", CAP_SYS_CHROOT },
};

int capabilities_parse(const char *names, uint64_t *ret_mask)
{
	struct str rest = str_of(names), word;
	uint64_t mask = 0;

	while (str_token(&rest, " ,", &word)) {
		size_t i = 0;

		while (i < COUNT_OF(NAMES) && !str_is(word, str_of(NAMES[i].name)))
			i++;
		if (i == COUNT_OF(NAMES))
			return -EINVAL;
		mask |= UINT64_C(1) << NAMES[i].bit;
	}
	*ret_mask = mask;
	return 0;
}

/*
 * What programs started from here could regain. Needs root, and setpcap, unless somebody has taken it
 * all already. Bits beyond the kernel's last one fail with EINVAL, which ends the loop.
 */
int capabilities_bound(uint64_t keep)
{
	for (int bit = 0; bit < 64; bit++) {
		if ((keep & UINT64_C(1) << bit) != 0 || prctl(PR_CAPBSET_READ, bit, 0, 0, 0) == 0)
			continue;
		if (prctl(PR_CAPBSET_DROP, bit, 0, 0, 0) < 0)
			return errno == EINVAL ? 0 : -errno;
	}
	return 0;
}

int capabilities_keep(uint64_t mask)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct now[2], data[2] = { 0 };

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	if (syscall(SYS_capget, &head, now) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		data[i].permitted = now[i].permitted & (uint32_t) (mask >> 32 * i);
		data[i].effective = data[i].permitted;
	}
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}
