/* SPDX-License-Identifier: ISC */
/* Records that ask for reports, what is counted and kept, and the report that comes of it (RFC 8460 3, 4). */
#include "tests/unit.h"

#include <errno.h>
#include <zlib.h>

#include "services/tlsrpt/record.h"
#include "services/tlsrpt/report.h"

static struct arena *arena;

/* ---- records ---- */

static void records_say_where_reports_go(void **state)
{
	struct places p;

	(void) state;
	assert_int_equal(record_parse(STR("v=TLSRPTv1;rua=mailto:reports@example.com"), arena, &p), 1);
	assert_int_equal(p.len, 1);
	assert_true(p.at[0].is_mail);
	assert_str(p.at[0].address, "reports@example.com");
	assert_int_equal(record_parse(STR("v=TLSRPTv1; rua=https://R.example.com/v1/tlsrpt, mailto:a%2Bb@example.com?subject=x ; future=1;"),
				      arena, &p), 1);
	assert_int_equal(p.len, 2);
	assert_false(p.at[0].is_mail);
	assert_str(p.at[0].host, "r.example.com");
	assert_int_equal(p.at[0].port, 443);
	assert_str(p.at[0].path, "/v1/tlsrpt");
	assert_str(p.at[1].address, "a+b@example.com");
	assert_int_equal(record_parse(STR("v=TLSRPTv1; rua=https://r.example.com:8443"), arena, &p), 1);
	assert_int_equal(p.at[0].port, 8443);
	assert_str(p.at[0].path, "/");
	assert_int_equal(record_parse(STR("v=TLSRPTv1; rua=ftp://x/,mailto:a@b.example,mailto:c@d.example,mailto:e@f.example,mailto:g@h.example,mailto:i@j.example"),
				      arena, &p), 1);
	assert_int_equal(p.len, MOST_PLACES);
}

static void other_records_and_places_that_cannot_be_used_do_not_count(void **state)
{
	static const struct { const char *text; int result; } cases[] = {
		{ "v=spf1 -all", 0 }, { "", 0 }, { "v=TLSRPTv2; rua=mailto:a@b.example", 0 },
		{ "rua=mailto:a@b.example; v=TLSRPTv1", 0 }, { "v=TLSRPTv1", 0 },
		{ "v=TLSRPTv1;", -EINVAL }, { "v=TLSRPTv1; rua=", -EINVAL }, { "v=TLSRPTv1; rua", -EINVAL },
		{ "v=TLSRPTv1; rua=http://x.example/", -EINVAL },
		{ "v=TLSRPTv1; rua=mailto:a", -EINVAL }, { "v=TLSRPTv1; rua=mailto:@b.example", -EINVAL },
		{ "v=TLSRPTv1; rua=mailto:a@b c", -EINVAL },
		{ "v=TLSRPTv1; rua=mailto:a%0A@b.example", -EINVAL },
		{ "v=TLSRPTv1; rua=mailto:a%4", -EINVAL },
		{ "v=TLSRPTv1; rua=mailto:%zz@b.example", -EINVAL },
		{ "v=TLSRPTv1; rua=https://", -EINVAL }, { "v=TLSRPTv1; rua=https:///x", -EINVAL },
		{ "v=TLSRPTv1; rua=https://u@h.example/", -EINVAL },
		{ "v=TLSRPTv1; rua=https://h.example:0/", -EINVAL },
		{ "v=TLSRPTv1; rua=https://h.example/a b", -EINVAL },
		{ "v=TLSRPTv1; rua=https://h.example/\r\nX: y", -EINVAL },
	};
	struct places p;

	(void) state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		if (record_parse(str_of(cases[i].text), arena, &p) != cases[i].result)
			fail_msg("%s", cases[i].text);
}

/* ---- counts ---- */

#define POLICY "version: STSv1\nmode: enforce\nmx: *.mail.example.com\nmax_age: 86400\n"

static bool add(int64_t period, const char *domain, const char *type, const char *policy, const char *result,
		const char *mx)
{
	const struct session_result r = { .domain = str_of(domain), .type = str_of(type),
					  .text = str_of(policy), .result = str_of(result), .mx = str_of(mx),
					  .ip = STR("192.0.2.9"), .local_ip = STR("192.0.2.1"),
					  .words = STR("a \"reason\"\x01") };

	return tally_add(period, &r);
}

static void some(void)
{
	for (int i = 0; i < 3; i++)
		assert_true(add(20000, "example.com", "sts", POLICY, "success", "mx1.mail.example.com"));
	assert_true(add(20000, "example.com", "sts", POLICY, "certificate-expired", "mx1.mail.example.com"));
	assert_true(add(20000, "example.com", "sts", POLICY, "certificate-expired", "mx1.mail.example.com"));
	assert_true(add(20000, "example.com", "sts", POLICY, "starttls-not-supported", "mx2.mail.example.com"));
	assert_true(add(20000, "example.com", "no-policy-found", "", "success", "mx1.mail.example.com"));
	assert_true(add(20001, "example.com", "sts", POLICY, "success", ""));
	assert_true(add(20000, "other.example", "tlsa", "3 1 1 AB", "validation-failure", "mx.other.example"));
}

static void what_is_written_is_read_again(void **state)
{
	AUTO(buf) first = BUF(1 << 20), second = BUF(1 << 20);

	(void) state;
	some();
	tally_print(&first);
	tally_close();
	tally_open(1 << 20);
	assert_int_equal(tally_parse(buf_str(&first)), 0);
	tally_print(&second);
	assert_str(buf_str(&second), buf_text(&first));
	assert_true(str_find_str(buf_str(&first),
				 STR("policy\tsts\t3\t3\tversion: STSv1\tmode: enforce\tmx: *.mail.example.com\tmax_age: 86400\t\n"
						      "detail\t2\tcertificate-expired\tmx1.mail.example.com\t192.0.2.9\t192.0.2.1\ta \"reason\"?\n")) > 0);
}

static void malformed_lines_are_left_out_and_other_files_refused(void **state)
{
	(void) state;
	assert_int_equal(tally_parse(STR("nonsense")), -EINVAL);
	assert_int_equal(tally_parse(STR("postroad-tlsrpt 1\ndomain\t5\ta\0.example\n")), -EINVAL);
	assert_int_equal(tally_parse(STR("postroad-tlsrpt 1\npolicy\tsts\t1\t1\t\ndomain\t5\ta.example\npolicy\tsts\tx\t1\t\ndetail\t1\tr\tm\ti\tl\tw\n"
					 "policy\tsts\t1\t1\tp\t\ndetail\t-1\tr\tm\ti\tl\tw\ndetail\t1\tr\tm\ti\tl\tw\nwhat\n")), 5);
}

static void there_is_a_bound_to_what_is_counted(void **state)
{
	char name[40];
	int n = 0;

	(void) state;
	do
		snprintf(name, sizeof(name), "d%d.example", n);
	while (add(1, name, "sts", POLICY, "success", "") && ++n < 100000);
	assert_in_range(n, 100, 1200);
}

static void many_kinds_of_failure_become_one_and_none_is_forgotten(void **state)
{
	struct counted_domain *d;
	struct counted_policy *p;
	uint64_t sum = 0;
	char name[40];

	(void) state;
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "mx%d.example", i);
		assert_true(add(2, "one.example", "sts", POLICY, "validation-failure", name));
	}
	d = LIST_FIRST(tally_all(), struct counted_domain, link);
	p = LIST_FIRST(&d->policies, struct counted_policy, link);
	LIST_EACH(x, &p->details, struct detail, link)
		sum += x->count;
	assert_int_equal(sum, 1000);
	assert_int_equal(p->failures, 1000);
	assert_in_range(p->detail_count, 100, 300);
}

/* ---- the report ---- */

static const struct submitter me = { "Example, \"Inc\"", "tls@example.net", "postmaster@example.net",
				     "mail.example.net", 86400 };

static struct str unpacked(struct str gzip)
{
	z_stream z = { .next_in = (Bytef *) (uintptr_t) gzip.at, .avail_in = (uInt) gzip.len };
	char *at = arena_get(arena, 100000);

	assert_int_equal(inflateInit2(&z, 16 + MAX_WBITS), Z_OK);
	z.next_out = (Bytef *) at;
	z.avail_out = 100000;
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	inflateEnd(&z);
	return str_make(at, z.total_out);
}

static void a_report_has_the_fields_of_the_standard(void **state)
{
	AUTO(buf) mail = BUF(1 << 20);
	struct report r;

	(void) state;
	some();
	assert_int_equal(report_make(LIST_FIRST(tally_all(), struct counted_domain, link), &me, arena, &r),
			 0);
	assert_str(r.json, "{\"organization-name\":\"Example, \\\"Inc\\\"\",\"date-range\":{\"start-datetime\":\"2024-10-04T00:00:00Z\",\"end-datetime\":\"2024-10-04T23:59:59Z\"},"
		   "\"contact-info\":\"tls@example.net\",\"report-id\":\"1728000000.example.com@mail.example.net\",\"policies\":["
		   "{\"policy\":{\"policy-type\":\"sts\",\"policy-string\":[\"version: STSv1\",\"mode: enforce\",\"mx: *.mail.example.com\",\"max_age: 86400\"],"
		   "\"policy-domain\":\"example.com\",\"mx-host\":[\"*.mail.example.com\"]},\"summary\":{\"total-successful-session-count\":3,\"total-failure-session-count\":3},"
		   "\"failure-details\":[{\"result-type\":\"certificate-expired\",\"sending-mta-ip\":\"192.0.2.1\",\"receiving-mx-hostname\":\"mx1.mail.example.com\","
		   "\"receiving-ip\":\"192.0.2.9\",\"failed-session-count\":2,\"failure-reason-code\":\"a \\\"reason\\\"?\"},"
		   "{\"result-type\":\"starttls-not-supported\",\"sending-mta-ip\":\"192.0.2.1\",\"receiving-mx-hostname\":\"mx2.mail.example.com\","
		   "\"receiving-ip\":\"192.0.2.9\",\"failed-session-count\":1,\"failure-reason-code\":\"a \\\"reason\\\"?\"}]},"
		   "{\"policy\":{\"policy-type\":\"no-policy-found\",\"policy-domain\":\"example.com\"},\"summary\":{\"total-successful-session-count\":1,"
		   "\"total-failure-session-count\":0},\"failure-details\":[]}]}");
	assert_true(str_is(unpacked(r.gzip), r.json));
	assert_str(r.file_name, "mail.example.net!example.com!1728000000!1728086399.json.gz");
	report_mail(&r, &me, STR("example.com"), STR("r@example.com"), "BOUNDARY", &mail);
	assert_true(str_starts(buf_str(&mail), STR("From: postmaster@example.net\nTo: <r@example.com>\n"
						   "Subject: Report Domain: example.com\n Submitter: mail.example.net\n Report-ID: <1728000000.example.com@mail.example.net>\n"
						   "TLS-Report-Domain: example.com\nTLS-Report-Submitter: mail.example.net\nTLS-Required: No\n")));
	assert_true(str_ends(buf_str(&mail), STR("\n--BOUNDARY--\n")));
}

static int setup(void **state)
{
	(void) state;
	arena = arena_new("test", NULL, 4 << 20);
	tally_open(1 << 20);
	return 0;
}

static int teardown(void **state)
{
	(void) state;
	tally_close();
	arena_free(arena);
	return 0;
}

#define REPORT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		REPORT_TEST(records_say_where_reports_go),
		REPORT_TEST(other_records_and_places_that_cannot_be_used_do_not_count),
		REPORT_TEST(what_is_written_is_read_again),
		REPORT_TEST(malformed_lines_are_left_out_and_other_files_refused),
		REPORT_TEST(there_is_a_bound_to_what_is_counted),
		REPORT_TEST(many_kinds_of_failure_become_one_and_none_is_forgotten),
		REPORT_TEST(a_report_has_the_fields_of_the_standard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
