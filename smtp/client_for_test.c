/* SPDX-License-Identifier: ISC */
/* See client_for_test.h. */
#include "smtp/client_for_test.h"

/* ---- DNS ---- */

const struct zone_row *zone;

static void answer(struct arena *a, struct str name, enum dns_type type, struct dns_answer *ret)
{
	const struct zone_row *row = zone;
	struct str data, one, word;
	int64_t preference;

	*ret = (struct dns_answer){ .status = DNS_NO_DOMAIN, .why = STR("Host not found"), .canonical = name };
	for (; row != NULL && row->name != NULL; row++) {
		if (!str_is_nocase(name, str_of(row->name)))
			continue;
		if (ret->status == DNS_NO_DOMAIN)
			*ret = (struct dns_answer){ .status = DNS_NO_DATA,
						    .why = STR("Host found but no data record of requested type") };
		if (row->type != type)
			continue;
		ret->status = row->status;
		ret->why = row->status == DNS_OK ? STR_NONE : row->status == DNS_NO_DOMAIN
			   ? STR("Host not found") : STR("Host not found, try again");
		ret->records = arena_get(a, (strlen(row->data) / 4 + 20) * sizeof(*ret->records));
		data = str_of(row->data);
		while (str_token(&data, ",", &one)) {
			struct dns_record *r = &ret->records[ret->count++];

			if (type == DNS_MX) {
				one = str_trim(one);
				str_cut(&one, ' ', &word);
				assert_int_equal(str_to_int(word, 0, 65535, &preference), 0);
				r->mx = (struct dns_mx){ (uint16_t) preference,
							 str_is(one, STR(".")) ? STR_NONE : one };
			} else {
				assert_int_equal(ip_parse(str_trim(one), &r->ip), 0);
			}
		}
		return;
	}
}

void dns_query(struct arena *a, struct str name, enum dns_type type,
	       struct dns_answer *ret) { answer(a, name, type, ret); co_pass(); }
void dns_addresses(struct arena *a, struct str host, struct dns_answer *ret) { answer(a, host, DNS_A,
		ret); co_pass(); }

/* ---- a delivery ---- */

char directory[] = "/tmp/smtp-test-XXXXXX";
static struct conf *the_conf;
static struct common_conf the_common;
struct fake_server servers[MOST_SERVERS];
uint16_t port;
struct delivery *last;			/* of the present case, for closer looks */
static const struct case_ *the_case;
int unix_listener = -1;			/* the first server's, instead of TCP */
/* how often the case's message is sent, one after the other */
static int deliveries;

static const char SMALL[] = "Subject: x\n\nhello\n.dot\n";

static const char *with_port(struct arena *a, const char *text)
{
	AUTO(buf) b = BUF(1000);

	for (; *text != 0; text++) {
		if (text[0] == '%' && text[1] == 'd') {
			buf_addf(&b, "%u", port);
			text++;
		} else {
			buf_add_byte(&b, *text);
		}
	}
	return str_c(a, buf_str(&b));
}

static void fill_recipients(struct delivery *d, const char *to)
{
	struct str rest = str_of(to), one;

	d->env.recipients = arena_get(d->arena, 2000 * sizeof(struct recipient));
	while (str_token(&rest, " ", &one)) {
		d->env.recipients[d->env.recipient_count] =
			(struct recipient){ .index = (uint32_t) d->env.recipient_count, .address = one };
		d->env.recipient_count++;
	}
}

struct delivery *make_delivery(const struct case_ *c)
{
	struct arena *a = arena_new("delivery", NULL, 256 << 20);
	struct delivery *d = ARENA_NEW(a, struct delivery);
	const char *content = c->content == NULL ? SMALL : c->content;
	const char *blank = strstr(content, "\n\n");
	char path[100];

	snprintf(path, sizeof(path), "%s/message", directory);
	d->arena = a;
	d->queue_id = STR("4XTESTzABC");
	d->transport = STR("smtp");
	d->nexthop = str_of(with_port(a, c->nexthop == NULL ? "[127.0.0.1]:%d" : c->nexthop));
	d->flags = c->deliver_flags;
	d->env.sender = str_of(c->sender == NULL ? "a@example.org" : c->sender);
	d->env.flags = c->envelope_flags;
	d->env.arrival_us = d->active_us = d->dispatch_us = wall_us();
	d->line = BUF(8192);
	d->content.file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(write(d->content.file, content, strlen(content)), (ssize_t) strlen(content));
	d->content.parts.size = strlen(content);
	assert_non_null(blank);
	d->content.parts.headers_len = (uint64_t) (blank - content) + 1;
	d->content.parts.body_at = d->content.parts.headers_len + 1;
	d->content.parts.body_len = d->content.parts.size - d->content.parts.body_at;
	fill_recipients(d, c->to == NULL ? "b@example.net" : c->to);
	d->outcomes = arena_get(a, d->env.recipient_count * sizeof(*d->outcomes));
	if (c->with != NULL)
		c->with(d);
	return d;
}

void free_delivery(struct delivery *d)
{
	close(d->content.file);
	buf_free(&d->line);
	arena_free(d->arena);
}

static char letter(enum outcome_status s)
{
	static const char letters[] = { [OUTCOME_PENDING] = '?', [OUTCOME_DELIVERED] = 'D',
					[OUTCOME_DEFERRED] = 'd', [OUTCOME_BOUNCED] = 'B',
					[OUTCOME_EXPANDED] = 'E', [OUTCOME_RELAYED] = 'R',
					[OUTCOME_HANDED_ON] = 'H' };

	return letters[s];
}

static void check(const struct case_ *c, struct delivery *d)
{
	const struct outcome *o = d->outcomes;
	char letters[2001];

	for (size_t i = 0; i < d->env.recipient_count; i++)
		letters[i] = letter(o[i].status);
	letters[d->env.recipient_count] = 0;
	for (int i = 0; i < MOST_SERVERS; i++)
		if (servers[i].complaint[0] != 0)
			fail_msg("server %d: %s (client: %s: %.*s)", i + 1, servers[i].complaint, letters,
				 PSTR(o[0].text));
	if (strcmp(letters, c->outcomes) != 0)
		fail_msg("outcomes %s, expected %s: %.*s", letters, c->outcomes, PSTR(o[0].text));
	if (c->text != NULL)
		assert_str(o[0].text, with_port(d->arena, c->text));
	if (c->dsn != NULL)
		assert_str(o[0].dsn, c->dsn);
	if (c->relay != NULL)
		assert_str(o[0].relay, with_port(d->arena, c->relay));
	assert_int_equal(d->site_reason.len > 0, c->site);
}

static void end_servers(void)
{
	for (int i = 0; i < MOST_SERVERS; i++)
		fake_end(&servers[i]);
}

static bool listen_at(const char *const *scripts)
{
	port = 0;
	for (int i = 0; i < MOST_SERVERS; i++) {
		char ip[20];

		snprintf(ip, sizeof(ip), "127.0.0.%d", i + 1);
		if (scripts[i] != NULL ? !fake_listen(&servers[i], ip, port, scripts[i])
				       : !fake_absence(&servers[i], ip, port))
			return false;
		port = servers[i].at.port;
	}
	return true;
}

/* All at one port, at which nobody else is: other tests run at the same time. */
static void begin_servers(const char *const *scripts)
{
	for (int i = 0; i < MOST_SERVERS; i++)
		servers[i] = (struct fake_server){ .listener = -1 };
	port = 0;
	if (unix_listener >= 0)
		servers[0] = (struct fake_server){ .script = scripts[0], .listener = unix_listener,
						   .content = BUF(1 << 20) };
	else
		while (!listen_at(scripts))
			end_servers();
}

static void run_case(void *unused)
{
	struct scope *scope = scope_open("servers");

	(void) unused;
	begin_servers(the_case->servers);
	for (int i = 0; i < MOST_SERVERS; i++)
		if (the_case->servers[i] != NULL)
			assert_int_equal(scope_start(scope, "server", fake_run, &servers[i]), 0);
	the_client.default_port = port;
	for (int i = 0; i < deliveries; i++) {
		last = make_delivery(the_case);
		smtp_deliver(last);
		if (i + 1 < deliveries)
			free_delivery(last);
	}
	if (deliveries == 1)
		cache_end_all();
	assert_int_equal(scope_wait(scope, in(15000)), 0);
	scope_close(scope);
	loop_stop();
}

void run_many(const struct case_ *c, int times)
{
	the_case = c;
	deliveries = times;
	alarm(60);
	assert_int_equal(loop_run(run_case, NULL), 0);
	alarm(0);
	check(c, last);
}

void end_case(void)
{
	free_delivery(last);
	end_servers();
}

void run(const struct case_ *c)
{
	run_many(c, 1);
	end_case();
}

/* ---- set-up ---- */

static struct agent_conf the_agents_conf;

int try_to_configure(const char *main_cf, struct buf *why)
{
	char path[100];
	FILE *file;
	int r;

	snprintf(path, sizeof(path), "%s/main.cf", directory);
	file = fopen(path, "w");
	fprintf(file, "%s\nmyhostname = client.example\nsmtp_randomize_addresses = no\n", main_cf);
	fclose(file);
	if (the_conf != NULL)
		conf_free(the_conf);
	assert_int_equal(conf_load(directory, &the_conf, why), 0);
	r = conf_fill(the_conf, &smtp_group, &the_client.conf, why);
	if (r >= 0 && the_client.lmtp)
		r = conf_fill(the_conf, &lmtp_group, &the_client.conf, why);
	if (r >= 0)
		r = conf_fill(the_conf, &common_group, &the_common, why);
	the_client.common = &the_common;
	if (r >= 0)
		r = conf_fill(the_conf, &agent_group, &the_agents_conf, why);
	if (r >= 0)
		r = conf_fill(the_conf, &tls_group, &the_client.tls, why);
	if (r >= 0)
		r = generic_open(the_conf, &the_common, why);
	if (r >= 0)
		r = auth_open(&the_common, why);
	the_client.conf.smtp_connection_cache_time_limit = 200;
	the_client.hostname = STR("client.example");
	the_client.own = NULL;
	zone = NULL;
	return r;
}

void configure(const char *main_cf)
{
	AUTO(buf) why = BUF_WORDS;

	if (try_to_configure(main_cf, &why) < 0)
		fail_msg("%s", buf_text(&why));
}

int client_set_up(void **unused)
{
	static struct agent agent = { .daemon = { .name = "smtp" }, .deliver = smtp_deliver, .probes = true };

	(void) unused;
	assert_non_null(mkdtemp(directory));
	configure("");
	agent_use(&agent, &the_agents_conf);
	log_open("test", LOG_TO_SYSLOG, "/dev/null");	/* no such socket: stderr */
	return 0;
}

int client_tear_down(void **unused)
{
	char path[100];

	(void) unused;
	conf_free(the_conf);
	snprintf(path, sizeof(path), "%s/message", directory);
	unlink(path);
	snprintf(path, sizeof(path), "%s/main.cf", directory);
	unlink(path);
	return rmdir(directory);
}
