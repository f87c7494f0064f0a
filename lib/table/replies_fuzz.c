/* SPDX-License-Identifier: ISC */
/*
 * Any bytes as the replies of a server of tcp, socketmap and memcache tables. The first byte
 * chooses the type; behind it is what the server sends. A value that comes of it fits into what a
 * table may answer; the same bytes give the same answer again.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/table/table.h"

enum { LONGEST_INPUT = 1 << 17 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[64];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char reply[LONGEST_INPUT];	/* under lock */
static size_t reply_len;

static void remove_socket(void)
{
	unlink(path);
}

/* Says the same to everybody, one after the other, and waits until they hang up. */
static void *serve(void *arg)
{
	const int listener = *(const int *) arg;
	static char own[LONGEST_INPUT], ignored[4096];

	for (;;) {
		const int fd = accept(listener, NULL, NULL);
		size_t len, done = 0;
		ssize_t n = 1;

		BUG_UNLESS(fd >= 0);
		pthread_mutex_lock(&lock);
		len = reply_len;
		memcpy(own, reply, len);
		pthread_mutex_unlock(&lock);
		for (; done < len && n > 0; done += (size_t) n)
			n = send(fd, own + done, len - done, MSG_NOSIGNAL);
		shutdown(fd, SHUT_WR);
		while (read(fd, ignored, sizeof(ignored)) > 0)
			;
		close(fd);
	}
	return NULL;
}

static void start_server(void)
{
	static int listener;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	pthread_t thread;

	snprintf(path, sizeof(path), "/tmp/replies_fuzz.%d", (int) getpid());
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	unlink(path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	BUG_UNLESS(listener >= 0 && bind(listener, (struct sockaddr *) &address, sizeof(address)) == 0
		   && listen(listener, 100) == 0);
	BUG_UNLESS(pthread_create(&thread, NULL, serve, &listener) == 0);
	atexit(remove_socket);
}

static int ask(struct str spec, struct arena *a, struct str *ret_value)
{
	AUTO(buf) why = BUF_WORDS;
	struct table *t;
	int r;

	BUG_UNLESS(table_open(spec, TABLE_NO_PROXY | TABLE_MUST_EXIST, &t, &why) == 0);
	r = table_get(t, a, STR("key"), ret_value);
	BUG_UNLESS(r >= 0 || table_why(t)[0] != 0);
	table_free(t);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const specs[] = {
		"tcp:unix:%s", "socketmap:unix:%s:name",
		"memcache:{ { memcache = unix:%s }, { max_try = 1 }, { retry_pause = 0 } }",
	};
	struct str value = STR_NONE, again = STR_NONE;
	struct arena *a;
	char spec[200];
	int r;

	if (size == 0 || size > LONGEST_INPUT)
		return 0;
	if (path[0] == 0)
		start_server();
	pthread_mutex_lock(&lock);
	reply_len = size - 1;
	memcpy(reply, data + 1, size - 1);
	pthread_mutex_unlock(&lock);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(spec, sizeof(spec), specs[data[0] % COUNT_OF(specs)], path);
#pragma GCC diagnostic pop
	a = arena_new("fuzz", NULL, 8 << 20);
	r = ask(str_of(spec), a, &value);
	BUG_UNLESS(value.len < size);
	BUG_UNLESS(ask(str_of(spec), a, &again) == r && (r <= 0 || str_is(value, again)));
	arena_free(a);
	return 0;
}
