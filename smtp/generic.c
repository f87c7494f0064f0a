/* SPDX-License-Identifier: ISC */
/*
 * smtp_generic_maps: addresses that mean nothing outside become others in what is sent; the queue
 * keeps the old ones.
 *
 * Done before a delivery begins, so that a table that fails holds up the mail and never a session
 * half-way. Who has no such tables pays nothing: job->outside stays NULL.
 */
#include <errno.h>

#include "lib/base/die.h"
#include "lib/daemon/daemon.h"
#include "lib/mail/header.h"
#include "lib/mail/mail_address.h"
#include "lib/route/route.h"
#include "smtp/smtp.h"

enum { MOST_ADDRESSES = 10240, HEADER_MEMORY = 64 << 20, MEMORY_FOR_ONE = 1 << 20 };

static struct route *route;
static struct tables *tables;
static bool propagate;

int generic_open(struct conf *c, const struct common_conf *common, struct buf *why)
{
	struct str specs = str_of(the_client.conf.smtp_generic_maps);
	int r;

	generic_close();
	if (str_trim(specs).len == 0)
		return 0;
	r = tables_open(specs, TABLE_FOLD_KEY, &tables, why);
	if (r >= 0)
		r = route_open_rewriting(c, common, &route, why);
	if (r < 0) {
		generic_close();
		return r;
	}
	propagate = route_propagates(route, STR("generic"));
	return 1;
}

void generic_close(void)
{
	tables_free(tables);
	route_free(route);
	tables = NULL;
	route = NULL;
}

static int exchange(struct arena *a, struct str *address)
{
	if (address->len == 0)
		return 0;
	return route_map_one(route, a, tables, own_name("smtp_generic_maps"), propagate, *address, address);
}

/* ---- headers ---- */

static int exchange_in_header(void *arg, const struct header_mailbox *box, struct str *ret)
{
	struct arena *a = arg;

	*ret = box->address;
	if (arena_left(a) < MEMORY_FOR_ONE)
		return -ENOMEM;
	return exchange(a, ret);
}

static int exchange_in_headers(struct str block, struct buf *out)
{
	struct arena *a = arena_new("generic", NULL, HEADER_MEMORY);
	struct header h;
	int r = 0;

	while (r >= 0 && header_next(&block, &h) > 0) {
		struct str whole = h.whole;

		if (header_role(h.name) != NO_ADDRESSES)
			r = header_rewrite(&h, a, MOST_ADDRESSES, exchange_in_header, a, &whole);
		if (r >= 0)
			r = buf_add(out, whole);
		if (r >= 0)
			r = buf_add_byte(out, '\n');
		arena_reset(a);
	}
	if (r >= 0)
		r = buf_add(out, block);	/* nothing, or what is no header */
	arena_free(a);
	return r;
}

static int read_headers(struct delivery *d, struct buf *to)
{
	size_t left = d->content.parts.headers_len;

	while (left > 0) {
		char *at = buf_room(to, left);
		ssize_t n = at == NULL ? -EMSGSIZE : content_pread(&d->content, to->len, at, left);

		if (n <= 0)
			return n < 0 ? (int) n : -EIO;
		to->len += (size_t) n;
		left -= (size_t) n;
	}
	return 0;
}

/* ---- a delivery ---- */

static int prepare(struct job *job, struct outside *o)
{
	struct delivery *d = job->d;
	AUTO(buf) headers = BUF(d->content.parts.headers_len + 1);
	int r;

	o->sender = d->env.sender;
	o->recipients = arena_get(job->arena, (d->env.recipient_count + 1) * sizeof(*o->recipients));
	r = exchange(job->arena, &o->sender);
	EACH_RECIPIENT(recipient, d) {
		struct str *address = &o->recipients[recipient - d->env.recipients];

		*address = recipient->address;
		if (r >= 0 && is_pending(d, recipient))
			r = exchange(job->arena, address);
	}
	if (r >= 0)
		r = read_headers(d, &headers);
	o->headers = BUF(2 * headers.len + (1 << 20));
	return r < 0 ? r : exchange_in_headers(buf_str(&headers), &o->headers);
}

bool generic_apply(struct job *job)
{
	struct trouble trouble;
	int r;

	if (tables == NULL)
		return true;
	job->outside = ARENA_NEW(job->arena, struct outside);
	r = prepare(job, job->outside);
	if (r >= 0)
		return true;
	log_mail(ROAD_WARNING, job->d->queue_id, "%s: %s", own_name("smtp_generic_maps"), r == -EIO
		 || *route_why(route) == 0 ? error_text(r) : route_why(route));
	trouble = trouble_make(job, SOFT, false, "4.3.0", NULL, "%s lookup problem",
			       own_name("smtp_generic_maps"));
	trouble_all(job, &trouble);
	return false;
}

void generic_end(struct job *job)
{
	if (job->outside != NULL)
		buf_free(&job->outside->headers);
}

struct str outside_sender(const struct job *job)
{
	return job->outside == NULL ? job->d->env.sender : job->outside->sender;
}

struct str outside_address(const struct job *job, const struct recipient *r)
{
	return job->outside == NULL ? r->address : job->outside->recipients[r - job->d->env.recipients];
}
