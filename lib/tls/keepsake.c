/* SPDX-License-Identifier: ISC */
/*
 * Keys and certificates that were good, for the process after this one. Where only root may read
 * the files, a process with clients can only end when they change; the one after it would have
 * nothing if the new ones are no good. So each leaves what it began with in memory that master
 * holds.
 *
 *   struct head, then for each file its length (4 bytes) and its text. Several processes may write at once: what does not fit its digest is nothing.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/tls/private.h"

struct head {
	char form[16];
	unsigned char scope[TLS_TICKET_SCOPE];		/* whose settings these files are of */
	unsigned char digest[32];
	uint32_t size;
};
static const char FORM[16] = "tls keys 1";

static size_t room_in(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_size > (off_t) sizeof(struct head) ? (size_t) st.st_size : 0;
}

static void digest_of(const char *at, size_t size, unsigned char *ret)
{
	if (EVP_Digest(at, size, ret, NULL, EVP_sha256(), NULL) != 1)
		die(EX_OSERR, "out of memory");
}

void tls_keepsake_leave(int fd, const struct tls_context *c)
{
	struct head h = { 0 };
	size_t size = sizeof(h);
	char *all, *to;

	for (size_t i = 0; i < c->file_count; i++)
		size += sizeof(uint32_t) + c->files[i].text.len;
	if (size > room_in(fd))
		return;
	all = get_memory(size);
	to = all + sizeof(h);
	for (size_t i = 0; i < c->file_count; i++) {
		const uint32_t len = (uint32_t) c->files[i].text.len;

		memcpy(to, &len, sizeof(len));
		memcpy(to + sizeof(len), c->files[i].text.at, len);
		to += sizeof(len) + len;
	}
	memcpy(h.form, FORM, sizeof(FORM));
	memcpy(h.scope, c->scope, sizeof(h.scope));
	h.size = (uint32_t) (size - sizeof(h));
	digest_of(all + sizeof(h), h.size, h.digest);
	memcpy(all, &h, sizeof(h));
	if (pwrite(fd, all, size, 0) != (ssize_t) size) {
		/* then the next process finds nothing */
	}
	OPENSSL_cleanse(all, size);
	free(all);
}

/* The texts of all files, or none. */
static bool take_apart(const char *at, size_t size, struct tls_context *c)
{
	for (size_t i = 0; i < c->file_count; i++) {
		uint32_t len = 0;
		char *text;

		if (size >= sizeof(len))
			memcpy(&len, at, sizeof(len));
		if (size < sizeof(len) + len)
			return false;
		text = get_memory(len + 1);
		memcpy(text, at + sizeof(len), len);
		tls_file_forget(&c->files[i]);
		c->files[i].text = str_make(text, len);
		at += sizeof(len) + len;
		size -= sizeof(len) + len;
	}
	return true;
}

bool tls_keepsake_find(int fd, struct tls_context *c)
{
	unsigned char digest[32];
	const size_t room = room_in(fd);
	struct head h;
	bool good = false;
	char *all;

	if (room == 0)
		return false;
	all = get_memory(room);
	if (pread(fd, all, room, 0) == (ssize_t) room) {
		memcpy(&h, all, sizeof(h));
		if (memcmp(h.form, FORM, sizeof(FORM)) == 0
		    && memcmp(h.scope, c->scope, sizeof(h.scope)) == 0 && h.size <= room - sizeof(h)) {
			digest_of(all + sizeof(h), h.size, digest);
			good = memcmp(digest, h.digest, sizeof(digest)) == 0
			       && take_apart(all + sizeof(h), h.size, c);
		}
	}
	OPENSSL_cleanse(all, room);
	free(all);
	return good;
}
