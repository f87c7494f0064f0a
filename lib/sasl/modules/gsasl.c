/* SPDX-License-Identifier: ISC */
/*
 * The mechanisms of libgsasl. No callback: what a mechanism may ask for is set before it starts,
 * and whatever else it asks for it does not get.
 */
#include <gsasl.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/sasl/modules/driver.h"

static Gsasl *library;			/* as long as the process */

static void say(struct driver_words why, const char *what, int error)
{
	snprintf(why.at, why.size, "%s: %s", what, gsasl_strerror(error));
}

static int driver_start(struct driver_words why)
{
	int r = library != NULL ? GSASL_OK : gsasl_init(&library);

	if (r != GSASL_OK)
		say(why, "libgsasl", r);
	return r == GSASL_OK ? 0 : -1;
}

static bool knows(const char *mechanism)
{
	return gsasl_client_support_p(library, mechanism) != 0;
}

static void driver_end(void *attempt)
{
	char *password = (char *) gsasl_property_fast(attempt, GSASL_PASSWORD);

	if (password != NULL)
		explicit_bzero(password, strlen(password));
	gsasl_finish(attempt);
}

static void *driver_begin(const char *mechanism, const struct sasl_login_data *who, struct driver_words why)
{
	const struct { Gsasl_property property; const char *value; } given[] = {
		{ GSASL_AUTHID, who->user }, { GSASL_PASSWORD, who->password },
		{ GSASL_AUTHZID, who->authorize },
		{ GSASL_SERVICE, who->service }, { GSASL_HOSTNAME, who->host },
	};
	Gsasl_session *attempt;
	int r = gsasl_client_start(library, mechanism, &attempt);

	if (r != GSASL_OK) {
		say(why, mechanism, r);
		return NULL;
	}
	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]) && r == GSASL_OK; i++)
		if (given[i].value != NULL)
			r = gsasl_property_set(attempt, given[i].property, given[i].value);
	if (r == GSASL_OK)
		return attempt;
	say(why, mechanism, r);
	driver_end(attempt);
	return NULL;
}

static enum driver_step driver_step(void *attempt, const char *challenge, size_t len,
				    struct driver_answer *answer, struct driver_words why)
{
	char *output = NULL, *input = malloc(len + 1);
	size_t output_len = 0;
	bool fits;
	int r = GSASL_MALLOC_ERROR;

	/* some mechanisms of the library look for a NUL behind the bytes that they were given */
	if (input != NULL) {
		memcpy(input, challenge, len);
		input[len] = 0;
		r = gsasl_step(attempt, input, len, &output, &output_len);
	}
	free(input);
	fits = output_len <= answer->size;
	answer->len = 0;
	if (r != GSASL_OK && r != GSASL_NEEDS_MORE) {
		say(why, gsasl_mechanism_name(attempt), r);
		return DRIVER_REFUSES;
	}
	if (output_len > 0) {
		if (fits)
			memcpy(answer->at, output, output_len);
		explicit_bzero(output, output_len);
	}
	gsasl_free(output);
	if (!fits) {
		snprintf(why.at, why.size, "the answer is too long");
		return DRIVER_REFUSES;
	}
	answer->len = output_len;
	return r == GSASL_OK ? DRIVER_DONE : DRIVER_MORE;
}

static int driver_derive(const char *password, const char *salt, size_t salt_len,
			 unsigned rounds, char ret[32])
{
	char keys[3][GSASL_HASH_SHA256_SIZE];		/* SCRAM's, which nobody wants here */

	return gsasl_scram_secrets_from_password(GSASL_HASH_SHA256, password, rounds, salt, salt_len, ret,
						 keys[0], keys[1], keys[2]) == GSASL_OK ? 0 : -1;
}

__attribute__((visibility("default"))) const struct sasl_driver sasl_driver = {
	.version = SASL_DRIVER_VERSION, .start = driver_start, .knows = knows, .begin = driver_begin,
	.step = driver_step, .end = driver_end,
	.derive = driver_derive,
};
