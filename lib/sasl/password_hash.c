/* SPDX-License-Identifier: ISC */
#include "lib/sasl/password_hash.h"

#include <errno.h>
#include <sys/random.h>

#include "lib/base/base64.h"
#include "lib/sasl/module.h"

/*
 * Twenty milliseconds of a pool thread, for each guess too. Hashes with another number are not
 * recognised, and so made anew.
 */
#define HASHED_BY "pbkdf2-sha256$20000$"
enum { ROUNDS = 20000, SALT_LEN = 16, HASH_LEN = 32, LONGEST_PASSWORD = 64 << 10 };

struct work {
	struct str salt;
	/*
	 * the password as base64: whatever is in it, the library must not change what is not ASCII
	 * (SASLprep)
	 */
	struct buf text;
	char hash[HASH_LEN];
};

static int derive(void *arg)
{
	struct work *w = arg;

	return sasl_module()->derive(buf_text(&w->text), w->salt.at, w->salt.len, ROUNDS,
				     w->hash) < 0 ? -EIO : 0;
}

static int hash_with(const char *password, struct str salt, struct buf *ret)
{
	const struct str secret = str_of(password);
	struct work w = { .salt = salt, .text = BUF((secret.len + 2) / 3 * 4) };
	int r;

	if (sasl_module() == NULL)
		return -ENOSYS;
	if (secret.len > LONGEST_PASSWORD)
		return -EMSGSIZE;
	buf_room(&w.text, w.text.limit);		/* it must not move: a copy would stay behind */
	base64_encode(secret, &w.text);
	r = co_offload(derive, &w);
	buf_wipe(&w.text);
	if (r < 0)
		return r;
	buf_add_text(ret, HASHED_BY);
	base64_encode(salt, ret);
	buf_add_byte(ret, '$');
	return base64_encode(str_make(w.hash, HASH_LEN), ret);
}

int password_hash(const char *password, struct buf *ret)
{
	char salt[SALT_LEN];

	if (getrandom(salt, sizeof(salt), 0) != (ssize_t) sizeof(salt))
		return -EIO;
	return hash_with(password, str_make(salt, sizeof(salt)), ret);
}

int password_fits(const char *password, struct str hash)
{
	AUTO(buf) salt = BUF(100), again = BUF(200);
	struct str rest = hash, salt_text;
	int r;

	if (!str_starts(rest, STR(HASHED_BY)))
		return 0;
	rest = str_skip(rest, strlen(HASHED_BY));
	if (!str_cut(&rest, '$', &salt_text) || base64_decode(salt_text, &salt) < 0 || salt.len != SALT_LEN)
		return 0;
	r = hash_with(password, buf_str(&salt), &again);
	return r < 0 ? r : str_is(hash, buf_str(&again));
}
