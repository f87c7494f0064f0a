/* SPDX-License-Identifier: ISC */
/*
 * What the loadable module for mechanisms of passwords offers: gsasl.so in shlib_directory, with
 * one exported object, sasl_driver. It uses the C library and libgsasl, nothing of ours:
 * lib/sasl/login.c decides what may be tried and what is believed.
 */
#ifndef ROAD_SASL_DRIVER_H
#define ROAD_SASL_DRIVER_H

#include <stdbool.h>
#include <stddef.h>

enum { SASL_DRIVER_VERSION = 2 };

enum driver_step {
	DRIVER_MORE = 0,		/* an answer, and the server has to say more */
	DRIVER_DONE = 1,		/* an answer, perhaps empty, and the mechanism is through */
	DRIVER_REFUSES = -1,		/* words; this attempt is over */
};

struct driver_words { char *at; size_t size; };	/* room for a message */
struct driver_answer { char *at; size_t size, len; };

struct sasl_login_data { const char *user, *password, *authorize /* or NULL */, *service, *host; };

struct sasl_driver {
	int version;
	/* Once, before the jail closes: 0, or -1 with words. */
	int (*start)(struct driver_words why);
	bool (*knows)(const char *mechanism);
	/* NULL with words. The data is copied. */
	void *(*begin)(const char *mechanism, const struct sasl_login_data *who, struct driver_words why);
	/* May be called in any thread, one at a time. */
	enum driver_step (*step)(void *attempt, const char *challenge, size_t len,
				 struct driver_answer *answer, struct driver_words why);
	void (*end)(void *attempt);		/* overwrites the password */
	/* PBKDF2 with HMAC-SHA-256, of a password that is ASCII. In any thread. 0 or -1. */
	int (*derive)(const char *password, const char *salt, size_t salt_len, unsigned rounds, char ret[32]);
};

extern const struct sasl_driver sasl_driver;

#endif
