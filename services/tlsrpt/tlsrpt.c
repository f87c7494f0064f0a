/* SPDX-License-Identifier: ISC */
/*
 * The TLSRPT service (RFC 8460): counts what smtp tells of TLS with other domains' servers, for the
 * domains that publish where they want to hear of it, and after each day sends them a report, by
 * mail through the queue or by HTTPS. Counts are in data_directory/tlsrpt_counts too, some seconds
 * later, until their report is on its way.
 */
#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/base/failpoint.h"
#include "lib/conf/params/https.h"
#include "lib/conf/params/tlsrpt.h"
#include "lib/daemon/daemon.h"
#include "lib/daemon/kept_file.h"
#include "lib/dns/dns.h"
#include "lib/dns/idn.h"
#include "lib/dns/rdata.h"
#include "lib/https/https.h"
#include "lib/ipc/channel.h"
#include "lib/mail/mail_address.h"
#include "lib/peers/cleanup.h"
#include "lib/queue/queue.h"
#include "services/tlsrpt/record.h"
#include "services/tlsrpt/report.h"

enum { CALLS_AT_ONCE = 1000, REPORTS_AT_ONCE = 10, LOOK_MS = 1000, HTTPS_MS = 60000, ANSWER_BYTES = 64 << 10,
       REPORT_ROOM = 160 << 20, MOST_MAIL = 48 << 20, GIVE_UP_S = 86400 };

static struct https_conf https_conf;
static struct tlsrpt_conf conf;
static struct kept_file counts = { .name = "tlsrpt_counts", .print = tally_print, .parse = tally_parse };
static struct bell leaving;

static int64_t period_s(void)
{
	return conf.tlsrpt_report_interval / 1000;
}

/* ---- where reports go ---- */

/* 1; 0: the domain wants none; -EAGAIN: cannot tell now. */
static int places_find(struct arena *a, struct str domain, struct places *ret)
{
	struct dns_answer answer;
	int valid = 0;

	dns_query(a, arena_fmt(a, "_smtp._tls.%.*s", PSTR(domain)), DNS_TXT, &answer);
	if (answer.status == DNS_CANNOT_TELL || answer.status == DNS_BOGUS)
		return -EAGAIN;
	for (size_t i = 0; i < answer.count; i++)
		valid += record_parse(answer.records[i].text, a, ret) > 0;
	return answer.status == DNS_OK && valid == 1;
}

/* ---- counting ---- */

static void serve_event(struct server_call *call)
{
	struct tlsrpt_event e;
	AUTO(buf) why = BUF_WORDS;
	struct session_result r;
	struct places places;
	char room[256];
	struct str name;

	if (get_tlsrpt_event(call->frame, &e, &why) < 0) {
		log_warning("malformed event: %s", buf_text(&why));
		return;
	}
	if (!(str_is_ascii(e.domain) ? dns_name_is_valid(e.domain, room, &name) : idn_to_ascii(e.domain,
			room, &name)) || places_find(call->arena, name, &places) == 0)
		return;
	r = (struct session_result){ .domain = name, .type = e.type, .text = e.policy, .result = e.result,
				     .mx = e.mx, .ip = e.ip, .local_ip = e.local_ip, .words = e.words };
	FAILPOINT("tlsrpt.told");
	if (tally_add(wall_s() / period_s(), &r))
		counts.is_dirty = true;
	else
		log_warning_rarely(600, "tlsrpt_store_size is used up: sessions are not counted");
}

static void serve(struct session_socket *socket)
{
	static const struct server_row rows[] = { { "tlsrpt_event", true, serve_event },
						  { NULL, false, NULL } };

	serve_our_own(socket, rows, NULL, CALLS_AT_ONCE);
}

/* ---- sending ---- */

static bool send_mail(struct arena *a, const struct report *r, const struct submitter *s, struct str domain,
		      struct str to, struct buf *why)
{
	struct recipient recipient = { .address = to };
	struct envelope e = { .arrival_us = wall_us(),
			      .flags = ENVELOPE_NOTICE | ENVELOPE_LOCAL | ENVELOPE_TLS_OPTIONAL,
			      .recipient_count = 1, .recipients = &recipient };
	const when_t until = in(the_world->common->ipc_timeout);
	AUTO(buf) text = BUF(MOST_MAIL);
	struct mail_verdict verdict;
	struct mail_out *m;
	char id[32];

	queue_id_new(id);
	e.queue_id = str_of(id);
	report_mail(r, s, domain, to, str_c(a, arena_fmt(a, "%s/%.38s", id, s->host)), &text);
	m = mail_out_begin(a, "tlsrpt", CLEANUP_ADD_RECEIVED | CLEANUP_NO_BCC, &e);
	mail_out_write(m, buf_str(&text), until);
	mail_out_end(m, &verdict, until);
	if (verdict.code != 250)
		buf_addf(why, "%d %.*s %.*s", verdict.code, PSTR(verdict.dsn), PSTR(verdict.text));
	return verdict.code == 250;
}

static bool post(struct arena *a, const struct report *r, const struct place *p, struct buf *why)
{
	const struct https_request request = { .host = p->host, .port = p->port, .path = p->path,
					       .type = STR("application/tlsrpt+gzip"), .body = r->gzip,
					       .most = ANSWER_BYTES, .time_limit_ms = HTTPS_MS };
	struct https_reply reply;

	https_ask(a, &request, &reply);
	if (reply.outcome == HTTPS_ANSWERED && reply.status / 100 == 2)
		return true;
	if (reply.outcome == HTTPS_ANSWERED)
		buf_addf(why, "HTTP status %ld", reply.status);
	else
		buf_add(why, reply.why);
	return false;
}

/* To each place; one that takes it is enough. */
static bool send_to(struct arena *a, const struct report *r, const struct submitter *s, struct str domain,
		    const struct places *places)
{
	bool any = false;

	for (size_t i = 0; i < places->len; i++) {
		const struct place *p = &places->at[i];
		struct str shown = p->is_mail ? p->address : p->host;
		AUTO(buf) why = BUF_WORDS;
		bool sent = p->is_mail ? send_mail(a, r, s, domain, p->address, &why) : post(a, r, p, &why);

		if (sent)
			log_info("report %.*s: sent to %.*s", PSTR(r->id), PSTR(shown));
		else
			log_warning("report %.*s: not sent to %.*s: %s", PSTR(r->id), PSTR(shown),
				    buf_text(&why));
		any = any || sent;
	}
	return any;
}

/* True: it is done with. */
static bool try_report(struct counted_domain *d)
{
	struct arena *a = arena_new("report", NULL, REPORT_ROOM);
	const struct submitter s = { conf.tlsrpt_organization_name, conf.tlsrpt_contact_info,
				     conf.tlsrpt_sender, the_world->common->myhostname, period_s() };
	struct places places;
	struct report r;
	int found = places_find(a, d->name, &places);
	bool done = found == 0;

	if (found > 0 && report_make(d, &s, a, &r) == 0)
		done = send_to(a, &r, &s, d->name, &places);
	arena_free(a);
	return done;
}

static int64_t due_s(const struct counted_domain *d)
{
	return (d->period + 1) * period_s()
	       + (int64_t) (str_hash(d->name) % (uint64_t) MAX(conf.tlsrpt_report_delay / 1000, 1));
}

static void report(void *arg)
{
	struct counted_domain *d = arg;

	if (!try_report(d)) {
		d->next_try_ms = in(conf.tlsrpt_retry_interval);
		if (daemon_is_winding_down() || wall_s() < due_s(d) + GIVE_UP_S)
			return;
		log_warning("report for %.*s: dropped after a day", PSTR(d->name));
	}
	FAILPOINT("tlsrpt.sent");
	tally_drop(d);
	counts.is_dirty = true;
}

static void report_due(struct scope *s)
{
	int64_t now_s = wall_s();

	LIST_EACH(d, tally_all(), struct counted_domain, link) {
		if (scope_count(s) >= REPORTS_AT_ONCE)
			break;
		if (now_s < due_s(d) || mono_ms() < d->next_try_ms)
			continue;
		d->next_try_ms = NEVER;		/* under way */
		if (scope_start(s, "report", report, d) < 0)
			d->next_try_ms = 0;
	}
}

/* ---- life ---- */

static void start(void)
{
	const struct https_trust trust = { https_conf.https_tls_CAfile, https_conf.https_tls_CApath };
	AUTO(buf) why = BUF_WORDS;

	bell_init(&leaving);
	mail_out_use(the_world->common->cleanup_service_name);
	tally_open((size_t) conf.tlsrpt_store_size);
	kept_file_load(&counts, (size_t) conf.tlsrpt_store_size * 2 + (1 << 20));
	if (https_open(&trust, &why) < 0)
		die(EX_CONFIG, "%s", buf_text(&why));
}

static void run(void)
{
	struct scope *reports = scope_open("reports"), *web = scope_open("https");

	if (scope_start(web, "https", https_run, NULL) < 0)
		die(EX_OSERR, "no coroutine to be had");
	while (!daemon_is_winding_down() && bell_wait(&leaving, in(LOOK_MS)) != -ECANCELED) {
		report_due(reports);
		kept_file_tend(&counts);
	}
	scope_close(reports);
	scope_close(web);
	kept_file_leave(&counts);
}

static void wind_down(void)
{
	bell_ring(&leaving);
}

int main(int argc, char **argv)
{
	static const struct param_group *const groups[] = { &https_group, &tlsrpt_group, NULL };
	static void *const structs[] = { &https_conf, &conf };
	static const struct daemon tlsrpt = {
		.name = "tlsrpt",
		.singleton = true,
		.groups = groups,
		.structs = structs,
		.jail = {
			.user = AS_MAIL_OWNER,
			.syscalls = SYS_CORE | SYS_ACCEPT | SYS_CONNECT_INET | SYS_CONNECT_UNIX
				    | SYS_FILES_READ | SYS_FILES_WRITE,
			.capabilities = "",
			.paths = { { "private/resolver", 'c' }, { "public/cleanup", 'c' }, { "$data", 'w' } },
		},
		.more_paths = https_more_paths,
		.start = start,
		.run = run,
		.serve = serve,
		.wind_down = wind_down,
	};

	return daemon_main(argc, argv, &tlsrpt);
}
