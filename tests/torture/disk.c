/* SPDX-License-Identifier: ISC */
/*
 * Disks in user space whose power can be cut: a FUSE file system of a few files in memory, to put
 * loop devices on. A write is in the disk's volatile cache until the next flush (fsync of the file,
 * which is what the kernel makes of a cache flush); at the cut, what is in the cache is lost in
 * whole, in part, or not at all, sector by sector. All requests are served by one thread, so a cut
 * is one instant for all disks. The device can also fail or stand still.
 *
 *   disk MOUNTPOINT NAME:BYTES...        serves until its standard input ends
 *
 *   cut SEED KEEP DIRECTORY              DIRECTORY/NAME of each disk as it would be found; KEEP per cent of what is in the cache survive
 *   fail r|w|s AFTER                     from the AFTER-th request of that kind on: EIO
 *   heal
 *
 * Each command is answered by one line.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { MOST_DISKS = 8, SECTOR = 512, CHUNK = 64 << 10, MOST_WRITE = 1 << 20, ROOM = MOST_WRITE + (64 << 10),
       ALWAYS = 3600 };

struct cached {				/* a write that no flush has followed */
	struct cached *next;
	uint64_t at;
	uint32_t len;
	char bytes[];
};

struct disk {
	const char *name;
	uint64_t size;
	char *now, *stable;		/* what a reader sees; what survives for certain */
	unsigned char *touched;		/* per chunk of stable: not all zeros */
	struct cached *first, **end;
};

static struct disk disks[MOST_DISKS];
static size_t disk_count;
static int fuse_fd;
static uint64_t written, flushed, in_cache;
static struct { char kind; long after; double since; } failure;

static __attribute__((noreturn)) void fail(const char *what)
{
	fprintf(stderr, "disk: %s: %m\n", what);
	exit(1);
}

static void *memory(size_t n)
{
	void *at = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		fail("memory");
	return at;
}

static void add_disk(const char *word)
{
	struct disk *d = &disks[disk_count++];
	const char *colon = strchr(word, ':');

	if (colon == NULL || disk_count > MOST_DISKS)
		fail(word);
	d->name = strndup(word, (size_t) (colon - word));
	d->size = strtoull(colon + 1, NULL, 10);
	d->now = memory(d->size);
	d->stable = memory(d->size);
	d->touched = memory(d->size / CHUNK + 1);
	d->end = &d->first;
}

/* ---- the cache ---- */

static void settle(struct disk *d, uint64_t at, const char *bytes, size_t len)
{
	memcpy(d->stable + at, bytes, len);
	for (uint64_t chunk = at / CHUNK; chunk <= (at + len - 1) / CHUNK; chunk++)
		d->touched[chunk] = 1;
}

static void put_in_cache(struct disk *d, uint64_t at, const char *bytes, uint32_t len)
{
	struct cached *c = malloc(sizeof(*c) + len);

	if (c == NULL)
		fail("memory");
	*c = (struct cached){ .at = at, .len = len };
	memcpy(c->bytes, bytes, len);
	memcpy(d->now + at, bytes, len);
	*d->end = c;
	d->end = &c->next;
	in_cache += len;
	written++;
}

static void flush_cache(struct disk *d)
{
	struct cached *c, *next;

	for (c = d->first; c != NULL; c = next) {
		next = c->next;
		settle(d, c->at, c->bytes, c->len);
		in_cache -= c->len;
		free(c);
	}
	d->first = NULL;
	d->end = &d->first;
	flushed++;
}

/* ---- commands ---- */

static void write_at(int fd, const char *bytes, size_t len, uint64_t at)
{
	if (pwrite(fd, bytes, len, (off_t) at) != (ssize_t) len)
		fail("writing an image");
}

/* Either all of a write survives, or nothing, or some of its sectors. */
static void keep_some(int fd, const struct cached *c, int keep)
{
	int way = rand() % 4;

	if (way == 0) {
		for (uint32_t at = 0; at < c->len; at += SECTOR)
			if (rand() % 100 < keep)
				write_at(fd, c->bytes + at, c->len - at < SECTOR ? c->len - at : SECTOR,
					 c->at + at);
	} else if (rand() % 100 < keep) {
		write_at(fd, c->bytes, c->len, c->at);
	}
}

static void write_image(const struct disk *d, const char *directory, int keep)
{
	static char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, d->name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t) d->size) < 0)
		fail(path);
	for (uint64_t at = 0; at < d->size; at += CHUNK)
		if (d->touched[at / CHUNK])
			write_at(fd, d->stable + at, d->size - at < CHUNK ? d->size - at : CHUNK, at);
	for (const struct cached *c = d->first; c != NULL && keep > 0; c = c->next)
		keep_some(fd, c, keep);
	close(fd);
}

static void obey(char *line)
{
	static char directory[3000];
	char kind;
	unsigned seed;
	long after;
	int keep;

	if (sscanf(line, "cut %u %d %2999s", &seed, &keep, directory) == 3) {
		srand(seed);
		for (size_t i = 0; i < disk_count; i++)
			write_image(&disks[i], directory, keep);
	} else if (sscanf(line, "fail %c %ld", &kind, &after) == 2) {
		failure.kind = kind;
		failure.after = after;
		failure.since = 0;
	} else if (strncmp(line, "heal", 4) == 0) {
		failure.kind = 0;
	} else {
		puts("what?");
		fflush(stdout);
		return;
	}
	printf("ok: %" PRIu64 " writes, %" PRIu64 " flushes, %" PRIu64 " bytes in the cache, failing since %.6f\n",
	       written, flushed, in_cache,
	       failure.since);
	fflush(stdout);
}

static void take_commands(void)
{
	static char line[4096];
	static size_t len;
	ssize_t n = read(STDIN_FILENO, line + len, sizeof(line) - 1 - len);
	char *end;

	if (n <= 0)
		exit(0);
	len += (size_t) n;
	while (line[len] = 0, (end = strchr(line, '\n')) != NULL) {
		*end = 0;
		obey(line);
		len -= (size_t) (end + 1 - line);
		memmove(line, end + 1, len);
	}
}

static bool fails(char kind)
{
	struct timespec now;

	if (failure.kind != kind || --failure.after > 0)
		return false;
	clock_gettime(CLOCK_REALTIME, &now);
	if (failure.since == 0)
		failure.since = (double) now.tv_sec + (double) now.tv_nsec / 1e9;
	return true;
}

/* ---- the file system: inode 1 is the root, 2 and up are the disks ---- */

static void answer(const struct fuse_in_header *in, int error, const void *body, size_t len)
{
	struct fuse_out_header out = { .len = (uint32_t) (sizeof(out) + (error < 0 ? 0 : len)),
				       .error = error, .unique = in->unique };
	struct iovec pieces[2] = { { &out, sizeof(out) }, { (void *) (uintptr_t) body, len } };

	if (writev(fuse_fd, pieces, error < 0 || len == 0 ? 1 : 2) < 0 && errno != ENOENT)
		fail("answering");
}

static struct fuse_attr attributes(uint64_t inode)
{
	bool root = inode == FUSE_ROOT_ID;

	return (struct fuse_attr){ .ino = inode, .size = root ? 0 : disks[inode - 2].size,
				   .mode = root ? S_IFDIR | 0700 : S_IFREG | 0600,
				   .nlink = 1, .blksize = 4096,
				   .blocks = root ? 0 : disks[inode - 2].size / 512 };
}

static void look_up(const struct fuse_in_header *in, const char *name)
{
	for (size_t i = 0; i < disk_count; i++)
		if (strcmp(disks[i].name, name) == 0) {
			struct fuse_entry_out out = { .nodeid = i + 2, .entry_valid = ALWAYS,
						      .attr_valid = ALWAYS,
						      .attr = attributes(i + 2) };

			answer(in, 0, &out, sizeof(out));
			return;
		}
	answer(in, -ENOENT, NULL, 0);
}

static void greet(const struct fuse_in_header *in, const struct fuse_init_in *init)
{
	struct fuse_init_out out = { .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION,
				     .max_readahead = init->max_readahead,
				     .flags = init->flags & (FUSE_BIG_WRITES | FUSE_MAX_PAGES
							     | FUSE_ASYNC_READ), .max_background = 64,
				     .congestion_threshold = 48, .max_write = MOST_WRITE,
				     .max_pages = MOST_WRITE / 4096, .time_gran = 1 };

	answer(in, 0, &out, sizeof(out));
}

static void read_disk(const struct fuse_in_header *in, const struct fuse_read_in *r)
{
	const struct disk *d = &disks[in->nodeid - 2];
	uint64_t len = r->offset >= d->size ? 0 : d->size - r->offset < r->size
		       ? d->size - r->offset : r->size;

	answer(in, fails('r') ? -EIO : 0, d->now + r->offset, len);
}

static void write_disk(const struct fuse_in_header *in, const struct fuse_write_in *w)
{
	struct disk *d = &disks[in->nodeid - 2];
	struct fuse_write_out out = { .size = w->size };

	if (fails('w') || w->offset + w->size > d->size) {
		answer(in, -EIO, NULL, 0);
		return;
	}
	put_in_cache(d, w->offset, (const char *) (w + 1), w->size);
	answer(in, 0, &out, sizeof(out));
}

static void sync_disk(const struct fuse_in_header *in)
{
	if (fails('s')) {
		answer(in, -EIO, NULL, 0);
		return;
	}
	if (in->nodeid != FUSE_ROOT_ID)
		flush_cache(&disks[in->nodeid - 2]);
	answer(in, 0, NULL, 0);
}

static void serve(const struct fuse_in_header *in)
{
	const void *body = in + 1;

	switch (in->opcode) {
	case FUSE_INIT:
		greet(in, body);
		break;
	case FUSE_LOOKUP:
		look_up(in, body);
		break;
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		answer(in, 0, &(struct fuse_attr_out){ .attr_valid = ALWAYS, .attr = attributes(in->nodeid) },
		       sizeof(struct fuse_attr_out));
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		answer(in, 0, &(struct fuse_open_out){ .fh = 0 }, sizeof(struct fuse_open_out));
		break;
	case FUSE_READ:
		read_disk(in, body);
		break;
	case FUSE_WRITE:
		write_disk(in, body);
		break;
	case FUSE_FSYNC:
		sync_disk(in);
		break;
	case FUSE_STATFS:
		answer(in, 0, &(struct fuse_statfs_out){ .st = { .bsize = 4096, .namelen = 255 } },
		       sizeof(struct fuse_statfs_out));
		break;
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
	case FUSE_FLUSH:
	case FUSE_ACCESS:
		answer(in, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		answer(in, -ENOSYS, NULL, 0);
	}
}

int main(int argc, char **argv)
{
	static char request[ROOM] __attribute__((aligned(8)));
	char options[100];

	if (argc < 3)
		fail("usage: disk MOUNTPOINT NAME:BYTES...");
	for (int i = 2; i < argc; i++)
		add_disk(argv[i]);
	fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fuse_fd < 0)
		fail("/dev/fuse");
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse_fd);
	if (mount("disks", argv[1], "fuse", MS_NOSUID | MS_NODEV, options) < 0)
		fail("mount");
	puts("ready");
	fflush(stdout);
	for (;;) {
		struct pollfd p[2] = { { fuse_fd, POLLIN, 0 }, { STDIN_FILENO, POLLIN, 0 } };
		ssize_t n;

		if (poll(p, 2, -1) < 0)
			fail("poll");
		if (p[1].revents != 0)
			take_commands();
		if (p[0].revents == 0)
			continue;
		n = read(fuse_fd, request, sizeof(request));
		if (n < 0 && errno == ENODEV)
			return 0;		/* unmounted */
		if (n < 0 && errno != EINTR && errno != EAGAIN && errno != ENOENT)
			fail("/dev/fuse");
		if (n > 0)
			serve((const struct fuse_in_header *) request);
	}
}
