/* SPDX-License-Identifier: ISC */
/* Any bytes as a reply of a Redis server, and where it sends us then. */
#include <stdint.h>

#include "lib/table/modules/redis.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool count_bytes(void *arg, const char *value, size_t len)
{
	size_t *bytes = arg;

	(void) value;
	*bytes += len;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct connection c;
	const struct node from = { .host = "127.0.0.1", .port = "6379", .fd = -1 };
	char words[300] = "";
	const struct step s = { 0, { words, sizeof(words) } };
	redisReader *reader = redisReaderCreate();
	size_t bytes = 0;
	const struct driver_question q = { .found = count_bytes, .arg = &bytes };
	void *reply = NULL;

	if (reader == NULL || redisReaderFeed(reader, (const char *) data, size) != REDIS_OK)
		abort();
	c.node_count = 1;
	c.nodes[0] = from;
	while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply != NULL) {
		const redisReply *r = reply;
		int node = r->type == REDIS_REPLY_ERROR ? node_named(&s, &c, &from, r->str) : 0;

		if (tell(&s, &from, reply, &q) == DRIVER_ANSWERED && r->type != REDIS_REPLY_NIL
		    && r->type != REDIS_REPLY_STRING)
			abort();
		if (node >= c.node_count || c.node_count > MOST_NODES
		    || (r->str != NULL && slot_of(r->str) >= SLOTS))
			abort();
		freeReplyObject(reply);
	}
	if (bytes > size)
		abort();
	redisReaderFree(reader);
	return 0;
}
