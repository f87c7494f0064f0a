/* SPDX-License-Identifier: ISC */
#include "smtp/client_for_test.h"
#include "smtp/policy_table.h"

static struct arena *arena;

static int set_up(void **unused)
{
	arena = arena_new("test", NULL, 1 << 20);
	return client_set_up(unused);
}

static int tear_down(void **unused)
{
	policy_table_close();
	arena_free(arena);
	return client_tear_down(unused);
}

/* ---- entries ---- */

static void test_an_entry_is_a_level_and_attributes(void **unused)
{
	AUTO(buf) why = BUF_WORDS;
	AUTO(buf) warn = BUF_WORDS;
	struct policy_entry e;

	(void) unused;
	assert_int_equal(policy_entry_parse(arena,
					    STR("secure match=a.example:.b.example, match=nexthop protocols=>=TLSv1.2 ciphers=high exclude=3DES:MD5 "
						       "servername=hostname tafile=/a.pem tafile=/b.pem connection_reuse=no"),
						       &e, &warn, &why), 0);
	assert_int_equal(e.level, TLS_SECURE);
	assert_str(e.match, "a.example:.b.example:nexthop");
	assert_str(e.protocols, ">=TLSv1.2");
	assert_str(e.ciphers, "high");
	assert_str(e.exclude, "3DES:MD5");
	assert_str(e.servername, "hostname");
	assert_str(e.anchor_files, "/a.pem /b.pem");
	assert_int_equal(e.reuse, 0);
	assert_int_equal(policy_entry_parse(arena, STR("fingerprint match=AA:BB|CC:DD match=EE:FF"), &e,
					    &warn, &why), 0);
	assert_str(e.match, "AA:BB|CC:DD|EE:FF");
	assert_int_equal(e.reuse, -1);
	assert_null(e.servername.at);
	assert_int_equal(warn.len, 0);
	assert_int_equal(e.sts.mode, STS_NO_POLICY);
	assert_int_equal(policy_entry_parse(arena,
					    STR("secure match=mx.example policy_type=sts policy_domain=d.example policy_ttl=60 { policy_string = version: STSv1 } "
						       "{policy_string=mode: enforce} mx_host_pattern=MX.example mx_host_pattern=*.mail.example"),
						       &e, &warn, &why), 0);
	assert_int_equal(e.sts.mode, STS_ENFORCE);
	assert_str(e.sts.domain, "d.example");
	assert_str(e.sts.text, "version: STSv1\nmode: enforce\n");
	assert_str(e.sts.mx, "mx.example\n*.mail.example\n");
	assert_int_equal(policy_entry_parse(arena,
					    STR("may policy_type=STS policy_failure=STS-policy-invalid"), &e,
					    &warn, &why), 0);
	assert_int_equal(e.sts.mode, STS_TESTING);
	assert_str(e.sts.failure, "sts-policy-invalid");
	assert_int_equal(policy_entry_parse(arena,
					    STR("may policy_type=no-policy-found policy_domain=d.example"),
					    &e, &warn, &why), 0);
	assert_int_equal(e.sts.mode, STS_NO_POLICY);
	assert_int_equal(policy_entry_parse(arena, STR("none match=x"), &e, &warn, &why), 0);
	assert_string_equal(buf_text(&warn), "ignoring attribute \"match=x\" with TLS disabled");
}

static void test_what_makes_no_sense_in_an_entry_is_said(void **unused)
{
	static const char *const rows[][2] = {
		{ " , ", "invalid empty policy" },
		{ "sure", "invalid security level \"sure\"" },
		{ "halfdane", "invalid security level \"halfdane\"" },
		{ "may match=x", "attribute \"match\" invalid at security level \"may\"" },
		{ "encrypt tafile=/x", "attribute \"tafile\" invalid at security level \"encrypt\"" },
		{ "encrypt protocols=TLSv1.2 protocols=TLSv1.3",
		  "attribute \"protocols\" is specified multiple times" },
		{ "encrypt connection_reuse=maybe", "attribute \"connection_reuse\" has bad value: \"maybe\"" },
		{ "encrypt ciphers=", "attribute \"ciphers\" has empty value" },
		{ "encrypt high", "malformed attribute/value pair \"high\"" },
		{ "encrypt cipher=high", "invalid attribute name: \"cipher\"" },
		{ "secure policy_type=dane", "attribute \"policy_type\" has bad value: \"dane\"" },
		{ "secure policy_type=sts policy_ttl=soon",
		  "attribute \"policy_ttl\" has bad value: \"soon\"" },
		{ "secure policy_type=sts policy_failure=rain",
		  "attribute \"policy_failure\" has bad value: \"rain\"" },
		{ "secure mx_host_pattern=mx.example",
		  "attributes of an MTA-STS policy without policy_type=sts" },
		{ "secure policy_type=sts { policy_string = mode",
		  "closing brace missing in \"{ policy_string = mode\"" },
	};
	AUTO(buf) warn = BUF_WORDS;
	struct policy_entry e;

	(void) unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		AUTO(buf) why = BUF_WORDS;

		assert_int_equal(policy_entry_parse(arena, str_of(rows[i][0]), &e, &warn, &why), -EINVAL);
		assert_string_equal(buf_text(&why), rows[i][1]);
	}
}

static int get(const char *next_hop)
{
	struct policy_entry e;
	int r = policy_table_get(arena, str_of(next_hop), &e);

	return r == 1 ? (int) e.level : r;
}

static void test_an_entry_is_found_by_next_hop_and_by_the_domains_above(void **unused)
{
	(void) unused;
	configure("smtp_tls_policy_maps = inline:{ { example.com = encrypt }, { .example.com = verify }, { [mx.example.com]:587 = may }, { bad.example = x }, "
		  "{ b\xc3\xbc" "cher.example = secure }, { .xn--mnchen-3ya.example = may } }");
	assert_true(policy_table_open());
	assert_int_equal(get("Example.com"), TLS_ENCRYPT);
	assert_int_equal(get("a.b.example.com"), TLS_VERIFY);
	assert_int_equal(get("[mx.example.com]:587"), TLS_MAY);
	assert_int_equal(get("[mx.example.com]"), 0);
	assert_int_equal(get("a.example.com:25"), 0);
	assert_int_equal(get("xn--bcher-kva.example"), TLS_SECURE);
	assert_int_equal(get("B\xc3\x9c" "CHER.example"), TLS_SECURE);
	assert_int_equal(get("mx.m\xc3\xbc" "nchen.example"), TLS_MAY);
	assert_int_equal(get("example.org"), 0);
	assert_int_equal(get("bad.example"), -EINVAL);
	configure("smtp_tls_policy_maps = fail:x");
	assert_true(policy_table_open());
	assert_int_equal(get("example.org"), -EIO);
	configure("");
	assert_false(policy_table_open());
}

/* ---- policies ---- */

static struct delivery delivery;
static struct job job;
static struct destination to;

static void make(const char *next_hop, const char *host, struct tls_policy *ret)
{
	struct candidate at = { .host = str_of(host) };
	struct tls_policy of;

	job = (struct job){ .arena = arena, .d = &delivery };
	to = (struct destination){ .text = str_of(next_hop), .host = str_of(next_hop) };
	policy_of_destination(&job, &to, &of);
	policy_of_host(&job, &of, &to, &at, ret);
}

static void test_what_a_policy_asks_for_is_in_its_id(void **unused)
{
	struct tls_policy a, b;

	(void) unused;
	configure("smtp_tls_security_level = encrypt\nsmtp_tls_policy_maps = inline:{ { v.example = verify }, { w.example = verify }, { t.example = encrypt ciphers=high } }");
	policy_open();
	make("one.example", "mx.example", &a);
	make("two.example", "my.example", &b);
	assert_true(str_is(a.id, b.id));		/* whoever answers is fine for either */
	make("t.example", "mx.example", &b);
	assert_false(str_is(a.id, b.id));
	assert_int_equal(b.from, FROM_POLICY_TABLE);
	make("v.example", "mx.example", &a);
	make("w.example", "mx.example", &b);
	assert_false(str_is(a.id, b.id));
	make("v.example", "my.example", &b);
	assert_false(str_is(a.id, b.id));
}

static void test_mta_sts_strengthens_and_never_weakens(void **unused)
{
	struct sts_policy sts = { .mode = STS_ENFORCE, .domain = STR("d.example"),
				  .mx = STR("mx.example\n*.mail.example\n") };
	static const struct { enum tls_level level; const char *host; bool refused; enum tls_level becomes; } rows[] = {
		{ TLS_MAY, "MX.example", false, TLS_SECURE },
		{ TLS_NONE, "a.mail.example", false, TLS_SECURE }, { TLS_MAY, "mail.example", true, TLS_MAY },
		{ TLS_MAY, "a.b.mail.example", true, TLS_MAY }, { TLS_ENCRYPT, "other.example", true,
								  TLS_ENCRYPT },
		{ TLS_DANE, "mx.example", false, TLS_SECURE },		/* there are no records */
		/* where forged MX records may have led, DANE does not make up for the name */
		{ TLS_HALF_DANE, "other.example", true, TLS_HALF_DANE },
		{ TLS_HALF_DANE, "mx.example", false, TLS_HALF_DANE },
		{ TLS_VERIFY, "mx.example", false, TLS_VERIFY },
	};
	struct tls_policy of, p;

	(void) unused;
	configure("smtp_tls_security_level = may");
	policy_open();
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct candidate at = { .host = str_of(rows[i].host) };

		make("d.example", "x", &of);
		of.level = of.asked = rows[i].level;
		of.sts = &sts;
		policy_of_host(&job, &of, &to, &at, &p);
		assert_int_equal(p.refused.len > 0, rows[i].refused);
		assert_int_equal(p.level, rows[i].becomes);
		if (p.level == TLS_SECURE) {
			assert_str(p.match, "hostname");
			assert_int_equal(p.protocols.min, 0x0303);
			assert_int_equal(p.from, FROM_MTA_STS);
		}
	}
}

static void test_requiretls_needs_more_than_forged_mx_records_with_dane(void **unused)
{
	struct sts_policy sts = { .mode = STS_ENFORCE, .domain = STR("d.example"), .mx = STR("mx.example\n") };
	const struct sts_policy *const policies[] = { NULL, &sts };
	struct candidate at = { .host = STR("mx.example"), .by_mx = true };

	(void) unused;
	configure("smtp_tls_security_level = may");
	policy_open();
	for (size_t i = 0; i < COUNT_OF(policies); i++) {
		struct tls_policy of, p;

		make("d.example", "x", &of);
		of.level = of.asked = TLS_HALF_DANE;
		of.wish = TLS_DEMANDED;
		of.sts = policies[i];
		policy_of_host(&job, &of, &to, &at, &p);
		assert_int_equal(p.refused.len > 0, policies[i] == NULL);
		assert_int_equal(p.level, TLS_HALF_DANE);
	}
}

static void test_requiretls_comes_to_what_its_policy_says(void **unused)
{
	static const char policy[] =
		"mydomain = our.example\nsmtp_tls_security_level = %s\nsmtp_requiretls_policy = inline:{{.off.example=disable}, {bad.example=perhaps}, {say.example=opportunistic}, "
				     "{192.0.2.1=disable}}, opportunistic+starttls";
	static const struct {
		const char *level, *next_hop;
		enum sender_wish wish;
		enum tls_level becomes;
		const char *refused;
	} rows[] = {
		{ "may", "a.off.example", AS_CONFIGURED, TLS_MAY, NULL }, { "may", "off.example", TLS_WANTED,
				TLS_ENCRYPT, NULL }, { "may", "say.example", TLS_WELCOME, TLS_MAY, NULL },
		{ "none", "say.example", TLS_WELCOME, TLS_NONE, NULL },
		{ "none", "x.example", TLS_WANTED, TLS_NONE, "5.7.30" },
		{ "verify", "x.example", TLS_WANTED, TLS_VERIFY, NULL },
		{ "may", "bad.example", TLS_WANTED, TLS_MAY, "4.3.0" },
		{ "may", "192.0.2.1", AS_CONFIGURED, TLS_MAY, NULL },
	};
	struct tls_policy p;

	(void) unused;
	delivery.env.flags = ENVELOPE_REQUIRETLS;
	configure("mydomain = b\xc3\xbc" "cher.example");
	policy_open();
	make("mx.b\xc3\xbc" "cher.example", "mx.example", &p);
	assert_int_equal(p.wish, TLS_WELCOME);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		AUTO(buf) conf = BUF(4096);

		buf_addf(&conf, policy, rows[i].level);
		configure(buf_text(&conf));
		policy_open();
		make(rows[i].next_hop, "mx.example", &p);
		assert_int_equal(p.wish, rows[i].wish);
		assert_int_equal(p.level, rows[i].becomes);
		assert_int_equal(p.refused.len > 0, rows[i].refused != NULL);
		if (rows[i].refused != NULL)
			assert_string_equal(p.refused_dsn, rows[i].refused);
	}
	delivery.env.flags = 0;
}

static void test_a_plug_in_s_mta_sts_policy_counts_as_the_standard_wants_it(void **unused)
{
	static const char table[] =
		"smtp_tls_policy_maps = inline:{ { e.example = secure match=mx.example:.mail.example servername=x policy_type=sts mx_host_pattern=mx.example "
				    "mx_host_pattern=*.mail.example }, { t.example = may policy_type=sts mx_host_pattern=mx.example }, "
				    "{ f.example = secure match=mx.example policy_type=sts policy_failure=sts-webpki-invalid }, { m.example = secure match=mx.example policy_type=sts } }\n";
	static const struct {
		const char *domain, *host;
		bool enforce, refused;
		const char *match;
	} rows[] = {
		{ "e.example", "a.mail.example", true, false, "hostname" },
		{ "e.example", "other.example", true, true, NULL },
		{ "e.example", "other.example", false, false, "mx.example:.mail.example" },
		{ "t.example", "other.example", true, false, "" },
		{ "f.example", "mx.example", true, true, NULL }, { "m.example", "other.example", true, false,
								   "mx.example" },
	};
	struct tls_policy p;

	(void) unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		AUTO(buf) conf = BUF(4096);

		buf_addf(&conf, "%ssmtp_tls_enforce_sts_mx_patterns = %s", table,
			 rows[i].enforce ? "yes" : "no");
		configure(buf_text(&conf));
		policy_open();
		make(rows[i].domain, rows[i].host, &p);
		assert_int_equal(p.refused.len > 0, rows[i].refused);
		if (!rows[i].refused)
			assert_str(p.match, rows[i].match);
	}
}

static void test_the_sender_s_wish_raises_or_lowers_what_is_asked(void **unused)
{
	static const struct {
		unsigned flags;
		const char *next_hop;
		bool by_mx, is_signed;
		const char *refused;
		enum tls_level becomes;
		enum sender_wish wish;
	} rows[] = {
		{ ENVELOPE_REQUIRETLS, "m.example", true, false, "5.7.30", TLS_MAY, TLS_DEMANDED },
		{ ENVELOPE_REQUIRETLS, "m.example", true, true, NULL, TLS_SECURE, TLS_DEMANDED },
		{ ENVELOPE_REQUIRETLS, "h.example", false, false, NULL, TLS_SECURE, TLS_DEMANDED },
		{ ENVELOPE_REQUIRETLS, "v.example", true, false, NULL, TLS_VERIFY, TLS_DEMANDED },
		{ ENVELOPE_REQUIRETLS, "127.0.0.1", false, false, NULL, TLS_MAY, TLS_WELCOME },
		{ ENVELOPE_REQUIRETLS, "IPv6:::1", false, false, NULL, TLS_MAY, TLS_WELCOME },
		{ ENVELOPE_REQUIRETLS, "localhost", false, false, NULL, TLS_MAY, TLS_WELCOME },
		{ ENVELOPE_REQUIRETLS, "relay.our.example", false, false, NULL, TLS_MAY, TLS_WELCOME },
		{ ENVELOPE_REQUIRETLS, "our.example", false, false, NULL, TLS_MAY, TLS_WELCOME },
		{ ENVELOPE_REQUIRETLS, "your.example", false, false, NULL, TLS_SECURE, TLS_DEMANDED },
		{ ENVELOPE_TLS_OPTIONAL, "v.example", true, false, NULL, TLS_MAY, TLS_OPTIONAL },
		{ ENVELOPE_TLS_OPTIONAL, "n.example", true, false, NULL, TLS_NONE, TLS_OPTIONAL },
		{ 0, "v.example", true, false, NULL, TLS_VERIFY, AS_CONFIGURED },
	};
	struct tls_policy of, p;

	(void) unused;
	for (int on = 1; on >= 0; on--) {
		configure(on ? "mydomain = our.example\nsmtp_tls_security_level = may\nsmtp_tls_policy_maps = inline:{ { v.example = verify }, { n.example = none } }"
			  : "requiretls_enable = no\ntls_required_enable = no\nsmtp_tls_policy_maps = inline:{ { v.example = verify }, { n.example = none } }\nsmtp_tls_security_level = may");
		policy_open();
		for (size_t i = 0; i < COUNT_OF(rows); i++) {
			struct candidate at = { .host = STR("mx.example"), .by_mx = rows[i].by_mx,
						.mx_is_signed = rows[i].is_signed };

			delivery.env.flags = rows[i].flags;
			make(rows[i].next_hop, "x", &of);
			policy_of_destination(&job, &to, &of);
			policy_of_host(&job, &of, &to, &at, &p);
			if (on) {
				assert_int_equal(p.level, rows[i].becomes);
				assert_int_equal(p.wish, rows[i].wish);
				assert_int_equal(p.refused.len > 0, rows[i].refused != NULL);
				if (rows[i].refused != NULL)
					assert_string_equal(p.refused_dsn, rows[i].refused);
			} else {
				assert_int_equal(p.wish, AS_CONFIGURED);
				assert_int_equal(p.refused.len, 0);
			}
		}
	}
	delivery.env.flags = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_entry_is_a_level_and_attributes),
		cmocka_unit_test(test_what_makes_no_sense_in_an_entry_is_said),
		cmocka_unit_test(test_an_entry_is_found_by_next_hop_and_by_the_domains_above),
		cmocka_unit_test(test_what_a_policy_asks_for_is_in_its_id),
		cmocka_unit_test(test_requiretls_needs_more_than_forged_mx_records_with_dane),
		cmocka_unit_test(test_mta_sts_strengthens_and_never_weakens),
		cmocka_unit_test(test_requiretls_comes_to_what_its_policy_says),
		cmocka_unit_test(test_a_plug_in_s_mta_sts_policy_counts_as_the_standard_wants_it),
		cmocka_unit_test(test_the_sender_s_wish_raises_or_lowers_what_is_asked),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
