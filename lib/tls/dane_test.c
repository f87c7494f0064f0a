/* SPDX-License-Identifier: ISC */
/*
 * Which TLSA records can be used, and what is an anchor in a file. Whether they fit is tested with
 * servers, in tests/system/test_dane.py.
 */
#include "tests/unit.h"

#include <errno.h>
#include <openssl/pem.h>

#include "lib/base/die.h"
#include "lib/tls/tls.h"

static struct arena *arena;
static struct str certificate_pem, key_pem, private_pem, certificate_der, key_der;

static struct str of_bio(BIO *bio)
{
	char *text = NULL;
	long len = BIO_get_mem_data(bio, &text);
	struct str copy = arena_copy(arena, str_make(text, (size_t) len));

	BIO_free(bio);
	return copy;
}

static int set_up(void **unused)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *bio[5];
	X509 *x = X509_new();

	(void) unused;
	arena = arena_new("test", NULL, 1 << 20);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 1000);
	X509_set_pubkey(x, key);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	for (size_t i = 0; i < COUNT_OF(bio); i++)
		bio[i] = BIO_new(BIO_s_mem());
	assert_int_equal(PEM_write_bio_X509(bio[0], x), 1);
	assert_int_equal(PEM_write_bio_PUBKEY(bio[1], key), 1);
	assert_int_equal(PEM_write_bio_PrivateKey(bio[2], key, NULL, NULL, 0, NULL, NULL), 1);
	assert_int_equal(i2d_X509_bio(bio[3], x), 1);
	assert_int_equal(i2d_PUBKEY_bio(bio[4], key), 1);
	certificate_pem = of_bio(bio[0]);
	key_pem = of_bio(bio[1]);
	private_pem = of_bio(bio[2]);
	certificate_der = of_bio(bio[3]);
	key_der = of_bio(bio[4]);
	X509_free(x);
	EVP_PKEY_free(key);
	return 0;
}

static int tear_down(void **unused)
{
	(void) unused;
	arena_free(arena);
	return 0;
}

static int open_client(const char *digests, struct tls_context **ret, struct buf *why)
{
	const struct tls_config conf = { .name = "test", .chain_files = "", .cert_file = "", .key_file = "",
					 .eccert_file = "", .eckey_file = "", .ca_file = "",
					 .ca_path = "", .depth = 9, .ciphers = "HIGH", .curves = "",
					 .groups = "", .digest = "sha256", .dane_digests = digests };

	return tls_context_open(&conf, ret, why);
}

static bool is_usable(const char *digests, unsigned usage, unsigned selector, unsigned matching,
		      struct str data)
{
	struct tls_tlsa r = { (uint8_t) usage, (uint8_t) selector, (uint8_t) matching, data };
	AUTO(buf) why = BUF_WORDS;
	struct tls_context *c;
	size_t n;

	if (open_client(digests, &c, &why) != 0)
		fail_msg("%s", buf_text(&why));
	n = tls_tlsa_usable(c, &r, 1);
	tls_context_free(c);
	return n == 1;
}

static void test_records_that_can_be_used_are_told_from_those_that_cannot(void **unused)
{
	const struct str d32 = str_make("0123456789abcdef0123456789abcdef", 32),
		d64 = str_make("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", 64);
	const char *both = "sha512 sha256";

	(void) unused;
	assert_true(is_usable(both, 3, 1, 1, d32));
	assert_true(is_usable(both, 2, 0, 2, d64));
	assert_true(is_usable(both, 3, 0, 0, certificate_der));
	assert_true(is_usable(both, 2, 1, 0, key_der));
	assert_false(is_usable(both, 0, 1, 1, d32));		/* RFC 7672 3.1.3: for others than mail */
	assert_false(is_usable(both, 1, 1, 1, d32));
	assert_false(is_usable(both, 4, 1, 1, d32));
	assert_false(is_usable(both, 3, 2, 1, d32));
	assert_false(is_usable(both, 3, 1, 3, d32));
	assert_false(is_usable(both, 3, 1, 1, d64));
	assert_false(is_usable(both, 3, 1, 2, d32));
	assert_false(is_usable(both, 3, 0, 0, d32));		/* no certificate */
	assert_false(is_usable("sha256", 3, 1, 2, d64));
	assert_true(is_usable("sha512, sha3-256=9", 3, 1, 9, d32));
	assert_false(is_usable("sha512", 3, 1, 1, d32));
}

static void test_usable_records_are_moved_to_the_front(void **unused)
{
	struct tls_tlsa r[] = { { 1, 1, 1, STR("x") }, { 3, 0, 0, certificate_der },
				{ 3, 1, 1, STR("short") }, { 2, 1, 0, key_der } };
	AUTO(buf) why = BUF_WORDS;
	struct tls_context *c;

	(void) unused;
	assert_int_equal(open_client("sha256", &c, &why), 0);
	assert_int_equal(tls_tlsa_usable(c, r, COUNT_OF(r)), 2);
	assert_int_equal(r[0].usage, 3);
	assert_int_equal(r[1].usage, 2);
	tls_context_free(c);
	assert_int_equal(tls_tlsa_usable(NULL, r, 2), 0);
}

static void test_digests_that_there_are_not_are_refused(void **unused)
{
	static const char *const bad[] = { "sha999", "sha1", "sha256=0", "sha256=x", "sha3-256=256" };
	struct tls_context *c;

	(void) unused;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		AUTO(buf) why = BUF_WORDS;

		assert_int_equal(open_client(bad[i], &c, &why), -EINVAL);
		assert_true(str_find_str(buf_str(&why), str_of(bad[i])) >= 0);
	}
}

static int parse(struct str pem, struct tls_anchors *ret)
{
	AUTO(buf) why = BUF_WORDS;
	int r;

	*ret = (struct tls_anchors){ 0 };
	r = tls_anchors_parse(arena, pem, ret, &why);
	assert_int_equal(r < 0, why.len > 0);
	return r;
}

static void test_anchors_in_a_file_are_certificates_and_public_keys(void **unused)
{
	struct tls_anchors found;

	(void) unused;
	assert_int_equal(parse(arena_fmt(arena, "words before\n%.*s\nbetween\n%.*s", PSTR(certificate_pem),
					 PSTR(key_pem)), &found), 0);
	assert_int_equal(found.len, 2);
	assert_int_equal(found.at[0].usage, 2);
	assert_int_equal(found.at[0].selector, 0);
	assert_true(str_is(found.at[0].data, certificate_der));
	assert_int_equal(found.at[1].selector, 1);
	assert_true(str_is(found.at[1].data, key_der));
	assert_int_equal(parse(STR_NONE, &found), -EINVAL);
	assert_int_equal(parse(STR("nothing of the kind\n"), &found), -EINVAL);
	assert_int_equal(parse(private_pem, &found), -EINVAL);
	assert_int_equal(parse(STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
			       &found), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records_that_can_be_used_are_told_from_those_that_cannot),
		cmocka_unit_test(test_usable_records_are_moved_to_the_front),
		cmocka_unit_test(test_digests_that_there_are_not_are_refused),
		cmocka_unit_test(test_anchors_in_a_file_are_certificates_and_public_keys),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
