/* SPDX-License-Identifier: ISC */
/*
 * See failpoint.h. Reached from the loop's thread and from pool threads: the records are touched
 * with atomic operations only.
 */
#include "lib/base/failpoint.h"

#ifdef WITH_FAILPOINTS
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"

enum { KILLED_STATUS = 128 + SIGKILL };

struct order {
	char name[48];
	/* 'K' SIGKILL, 'S' SIGSTOP, 'F' fail with error; obeyed once, then 0 */
	_Atomic int32_t action;
	int32_t error;
	_Atomic int32_t wait;		/* the order is for whoever brings this from 1 to 0 */
	_Atomic uint32_t reached;
};

static struct order *orders;
static size_t order_count;

static __attribute__((constructor)) void map_orders(void)
{
	const char *path = getenv("POSTROAD_FAILPOINTS");
	AUTO_FD fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
	struct stat st;
	void *at;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size == 0)
		return;
	at = mmap(NULL, (size_t) st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return;
	orders = at;
	order_count = (size_t) st.st_size / sizeof(*orders);
}

static int obey(int action, int error)
{
	switch (action) {
	case 'K':
		raise(SIGKILL);
		_exit(KILLED_STATUS);
	case 'S':
		raise(SIGSTOP);
		return 0;
	case 'F':
		return -error;
	default:
		return 0;
	}
}

int failpoint_reach(const char *name)
{
	for (size_t i = 0; i < order_count; i++) {
		struct order *o = &orders[i];

		if (strcmp(o->name, name) != 0)
			continue;
		atomic_fetch_add(&o->reached, 1);
		if (atomic_load(&o->action) == 0 || atomic_fetch_sub(&o->wait, 1) != 1)
			return 0;
		return obey(atomic_exchange(&o->action, 0), o->error);
	}
	return 0;
}
#endif
