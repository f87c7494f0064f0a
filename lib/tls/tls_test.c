/* SPDX-License-Identifier: ISC */
/* Settings as main.cf writes them, and both ends of TLS in one process over a socket pair. */
#include "tests/unit.h"
#include "tests/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/table/table.h"
#include "lib/tls/tls.h"

/* ---- settings ---- */

static const char *protocols(const char *text, struct tls_protocols *p)
{
	static struct buf why;

	buf_free(&why);
	why = BUF_WORDS;
	return tls_protocols_parse(str_of(text), p, &why) < 0 ? buf_text(&why) : NULL;
}

static void test_protocols_by_bounds_and_by_names(void **state)
{
	struct tls_protocols p;

	(void) state;
	assert_null(protocols(">=TLSv1.2", &p));
	assert_int_equal(p.min, 0x0303);
	assert_int_equal(p.max, 0);
	assert_int_equal(p.excluded, 0);
	assert_null(protocols(">=TLSv1.1, <=0303", &p));
	assert_int_equal(p.min, 0x0302);
	assert_int_equal(p.max, 0x0303);
	assert_null(protocols("!SSLv2, !SSLv3:!TLSv1", &p));
	assert_int_equal(p.excluded, 1 | 2);
	assert_null(protocols("tlsv1.2 TLSv1.3", &p));
	assert_int_equal(p.excluded, 1 | 2 | 4);
	assert_null(protocols("", &p));
	assert_int_equal(p.min | p.max | (int) p.excluded, 0);
}

static void test_protocols_that_make_no_sense_are_refused(void **state)
{
	struct tls_protocols p;

	(void) state;
	assert_string_equal(protocols("TLSv1.4", &p), "\"TLSv1.4\" is no TLS protocol version");
	assert_string_equal(protocols("0505", &p), "\"0505\" is no TLS protocol version");
	assert_string_equal(protocols(">=TLSv1.3 <=TLSv1.2", &p), "no TLS protocol version is left");
	assert_string_equal(protocols("!SSLv3 !TLSv1 !TLSv1.1 !TLSv1.2 !TLSv1.3", &p),
			    "no TLS protocol version is left");
}

static void test_cipher_grades_and_exclusions(void **state)
{
	const struct tls_grades g = { .high = "HIGH", .medium = "MEDIUM", .null = "eNULL" };
	AUTO(buf) list = BUF(1000);
	AUTO(buf) why = BUF_WORDS;

	(void) state;
	assert_int_equal(tls_ciphers_make(&g, STR("high"), STR("aNULL, DES+MD5 RC4"), &list, &why), 0);
	assert_string_equal(buf_text(&list), "HIGH:!aNULL:!DES+MD5:!RC4");
	buf_clear(&list);
	assert_int_equal(tls_ciphers_make(&g, STR("export"), STR(""), &list, &why), 0);
	assert_string_equal(buf_text(&list), "MEDIUM");
	assert_int_equal(tls_ciphers_make(&g, STR("low"), STR("!RC4"), &list, &why), -EINVAL);
	assert_int_equal(tls_ciphers_make(&g, STR("best"), STR(""), &list, &why), -EINVAL);
}

/* ---- certificates ---- */

static char directory[SCRATCH_PATH];

static void add_name(X509 *x, const char *name)
{
	AUTO(buf) names = BUF(300);
	X509_EXTENSION *e;

	buf_addf(&names, "DNS:%s", name);
	e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, buf_text(&names));
	assert_non_null(e);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
}

/* alternative: NULL for a certificate that has a CN only */
static const char *make_named_chain(const char *label, const char *name, const char *alternative, long days)
{
	static char path[4][200];
	static int turn;
	char *at = path[turn++ % 4];
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	FILE *f;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), turn);
	X509_gmtime_adj(X509_getm_notBefore(x), -10 * 86400L);
	X509_gmtime_adj(X509_getm_notAfter(x), days * 86400L);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
				   (const unsigned char *) name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	if (alternative != NULL)
		add_name(x, alternative);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	snprintf(at, sizeof(path[0]), "%s/%s", directory, label);
	f = fopen(at, "w");
	assert_non_null(f);
	PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	PEM_write_X509(f, x);
	fclose(f);
	X509_free(x);
	EVP_PKEY_free(key);
	return at;
}

static const char *make_chain(const char *label, const char *name, long days)
{
	return make_named_chain(label, name, name, days);
}

static const char *dh_file;		/* of the next server; NULL: none of its own */

/* Of a client: trusts what is in the directory, too, or what the system trusts. */
static struct tls_context *trusting_context(bool server, const char *chain, const char *ca,
					    const char *ca_path, bool default_ca)
{
	const struct tls_config conf = {
		.server = server, .name = "test", .chain_files = chain, .cert_file = "", .key_file = "",
		.eccert_file = "", .eckey_file = "",
		.ca_file = ca, .ca_path = ca_path, .default_ca = default_ca, .ask_cert = server
		&& ca[0] != 0, .depth = 9, .ciphers = "HIGH", .curves = "nonsense X25519 P-256", .groups = "",
		.digest = "sha256", .session_s = 100, .dh_file = dh_file,
	};
	static const unsigned char secret[TLS_TICKET_SECRET] = "of all contexts here";
	unsigned char key[TLS_TICKET_KEY];
	AUTO(buf) why = BUF_WORDS;
	struct tls_context *c;

	if (tls_context_open(&conf, &c, &why) != 0)
		fail_msg("%s", buf_text(&why));
	assert_int_equal(tls_ticket_key_derive(secret, tls_context_scope(c), key), 0);
	if (server)
		tls_context_use_ticket_keys(c, str_make((const char *) key, sizeof(key)));
	return c;
}

static struct tls_context *context(bool server, const char *chain, const char *ca)
{
	return trusting_context(server, chain, ca, "", false);
}

/* ---- two ends ---- */

struct end {
	struct tls_context *context;
	struct tls_wish wish;
	struct stream *s;
	struct arena *a;
	struct tls_peer peer;
	bool named, named_strictly;	/* client: the server's certificate is for server.example */
	int result;
	bool forgets;			/* the certificate is not what it has to be */
	bool hangs_up;
	when_t patience;
	const char *say, *hear;
	struct buf why;
};

static void speak(struct end *e, size_t pieces)
{
	struct str line;

	for (size_t i = 0; i < pieces; i++) {
		writef(e->s, "%s %zu\r\n", e->say, i);
		flush(e->s);
		if (!read_line(e->s, 1000, &line, NULL))
			fail_msg("%s: line %zu: %s", e->say, i, error_text(stream_error(e->s)));
		assert_true(str_starts(line, str_of(e->hear)));
	}
}

static void run_end(void *arg)
{
	struct end *e = arg;
	struct tls *t;

	if (e->hangs_up) {
		stream_free(e->s);
		return;
	}
	stream_deadline(e->s, in(20000));
	e->result = tls_begin(e->context, e->s, &e->wish, false, in(e->patience), &t, &e->why);
	if (e->result == 0) {
		tls_peer(t, e->a, &e->peer);
		e->named = tls_peer_is(t, "server.example", TLS_ANY_LABELS, &e->why);
		e->named_strictly = tls_peer_is(t, "server.example", TLS_ONLY_DNS_IDS, &e->why);
		if (e->forgets)
			tls_forget(t);
		speak(e, 500);
	}
	stream_free(e->s);
}

static void make_ends(struct end *server, struct end *client, struct tls_context *sc, struct tls_context *cc)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	*server = (struct end){ .context = sc, .s = stream_new(fds[0]), .a = arena_new("s", NULL, 1 << 20),
				.patience = 10000, .say = "server", .hear = "client",
				.why = BUF_WORDS };
	*client = (struct end){ .context = cc, .s = stream_new(fds[1]), .a = arena_new("c", NULL, 1 << 20),
				.patience = 10000, .say = "client", .hear = "server",
				.why = BUF_WORDS, .wish = { .sni = "server.example" } };
}

static void end_both(struct end *a, struct end *b)
{
	arena_free(a->a);
	arena_free(b->a);
	buf_free(&a->why);
	buf_free(&b->why);
}

static void run_both(void *arg)
{
	struct end **ends = arg;
	struct scope *s = scope_open("ends");

	assert_int_equal(scope_start(s, "server", run_end, ends[0]), 0);
	assert_int_equal(scope_start(s, "client", run_end, ends[1]), 0);
	scope_wait(s, NEVER);
	scope_close(s);
	loop_stop();
}

static void meet(struct end *server, struct end *client)
{
	struct end *ends[2] = { server, client };

	loop_run(run_both, ends);
}

static void test_two_ends_talk_and_know_each_other(void **state)
{
	const char *chain = make_chain("server", "server.example", 10),
		*own = make_chain("client", "client.example", 10);
	struct tls_context *sc = context(true, chain, own), *cc = context(false, own, chain);
	struct end server, client;

	(void) state;
	make_ends(&server, &client, sc, cc);
	meet(&server, &client);
	assert_int_equal(server.result, 0);
	assert_int_equal(client.result, 0);
	assert_string_equal(client.peer.protocol, "TLSv1.3");
	assert_int_equal(client.peer.trust, TLS_TRUSTED);
	assert_true(client.named && client.named_strictly);
	assert_str(client.peer.subject, "server.example");
	assert_int_equal(server.peer.trust, TLS_TRUSTED);
	assert_str(server.peer.subject, "client.example");
	assert_int_equal(server.peer.fingerprint.len, 95);
	assert_true(tls_fingerprint_is(&server.peer, server.peer.key_fingerprint));
	assert_false(tls_fingerprint_is(&server.peer, client.peer.fingerprint));
	assert_true(str_find_str(client.peer.summary,
				 STR("key-exchange X25519 server-signature ECDSA (prime256v1) server-digest SHA256")) > 0);
	end_both(&server, &client);
	tls_context_free(sc);
	tls_context_free(cc);
}

static void test_untrusted_expired_and_misnamed_certificates_are_told_apart(void **state)
{
	const char *chain = make_chain("expired", "other.example", -1),
		*stranger = make_chain("stranger", "x.example", 10);
	struct tls_context *sc = context(true, chain, ""), *trusting = context(false, "", chain),
		*strange = context(false, "", stranger);
	struct end server, client;

	(void) state;
	make_ends(&server, &client, sc, trusting);
	meet(&server, &client);
	assert_int_equal(client.peer.trust, TLS_UNTRUSTED);
	assert_str(client.peer.why, "certificate has expired");
	assert_false(client.named);
	assert_int_equal(server.peer.trust, TLS_ANONYMOUS);
	end_both(&server, &client);
	make_ends(&server, &client, sc, strange);
	meet(&server, &client);
	assert_int_equal(client.peer.trust, TLS_UNTRUSTED);
	end_both(&server, &client);
	tls_context_free(sc);
	tls_context_free(trusting);
	tls_context_free(strange);
}

static void test_a_common_name_counts_unless_it_must_not(void **state)
{
	struct tls_context *sc = context(true, make_named_chain("cn", "server.example", NULL, 10), ""),
		*cc = context(false, "", "");
	struct end server, client;

	(void) state;
	make_ends(&server, &client, sc, cc);
	meet(&server, &client);
	assert_true(client.named);
	assert_false(client.named_strictly);
	end_both(&server, &client);
	tls_context_free(sc);
	tls_context_free(cc);
}

/* A directory as openssl rehash makes it, with this one certificate. */
static const char *hashed_directory(const char *chain)
{
	static char path[SCRATCH_PATH + 20];
	char link[SCRATCH_PATH + 50];
	FILE *f = fopen(chain, "r");
	X509 *x;

	assert_non_null(f);
	x = PEM_read_X509(f, NULL, NULL, NULL);
	fclose(f);
	assert_non_null(x);
	snprintf(path, sizeof(path), "%s/hashed", directory);
	snprintf(link, sizeof(link), "%s/%08lx.0", path, X509_subject_name_hash(x));
	X509_free(x);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(symlink(chain, link), 0);
	return path;
}

static void test_cas_are_those_of_a_file_a_directory_and_the_system(void **state)
{
	const char *chain = make_chain("ca", "server.example", 10);
	struct tls_context *sc = context(true, chain, "");
	struct tls_context *clients[] = {
		trusting_context(false, "", "", "", false), trusting_context(false, "", chain, "", false),
			trusting_context(false, "", "", hashed_directory(chain), false), NULL,
	};

	(void) state;
	setenv("SSL_CERT_FILE", chain, 1);		/* what the library takes for the system's */
	clients[3] = trusting_context(false, "", "", "", true);
	unsetenv("SSL_CERT_FILE");
	for (size_t i = 0; i < COUNT_OF(clients); i++) {
		struct end server, client;

		make_ends(&server, &client, sc, clients[i]);
		meet(&server, &client);
		assert_int_equal(client.peer.trust, i == 0 ? TLS_UNTRUSTED : TLS_TRUSTED);
		end_both(&server, &client);
		tls_context_free(clients[i]);
	}
	tls_context_free(sc);
}

static void test_a_session_is_resumed_under_its_name_only_and_stays_untrusted(void **state)
{
	struct tls_context *sc = context(true, make_chain("again", "server.example", 10), ""),
		*cc = context(false, "", "");
	static const char *const names[] = { "mx may", "mx may", "mx encrypt" };

	(void) state;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		struct end server, client;

		make_ends(&server, &client, sc, cc);
		client.wish.resume_as = str_of(names[i]);
		meet(&server, &client);
		assert_int_equal(client.peer.resumed, i == 1);
		assert_int_equal(client.peer.trust, TLS_UNTRUSTED);
		assert_true(client.named);
		end_both(&server, &client);
	}
	assert_int_equal(tls_sessions_kept(), 2);
	tls_context_free(sc);
	tls_context_free(cc);
}

/* The session would go on showing the old certificate, or be what the server stumbles over. */
static void test_a_session_that_was_no_good_is_not_resumed(void **state)
{
	struct tls_context *sc = context(true, make_chain("no-good", "server.example", 10), ""),
		*cc = context(false, "", "");
	static const struct tls_protocols only_1_2 = { .min = 0x0303, .max = 0x0303 }, only_1_3 = { .min = 0x0304 };
	static const struct {
		const struct tls_protocols *protocols;
		enum { KEEPS, FORGETS, FAILS } what;
		bool resumes;
	} cases[] = {
		{ &only_1_2, FORGETS, false }, { &only_1_2, KEEPS, false }, { &only_1_2, FORGETS, true },
		{ &only_1_2, KEEPS, false }, { &only_1_2, FAILS, false }, { &only_1_2, FORGETS, false },
		{ &only_1_3, FORGETS, false }, { &only_1_3, KEEPS, false }, { &only_1_3, FORGETS, true },
		{ &only_1_3, FORGETS, false },
	};

	(void) state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct end server, client;

		make_ends(&server, &client, sc, cc);
		client.wish.resume_as = STR("no good");
		client.wish.protocols = cases[i].protocols;
		client.forgets = cases[i].what == FORGETS;
		server.hangs_up = cases[i].what == FAILS;
		meet(&server, &client);
		assert_int_equal(client.result < 0, cases[i].what == FAILS);
		assert_int_equal(client.peer.resumed, cases[i].resumes);
		end_both(&server, &client);
	}
	tls_context_free(sc);
	tls_context_free(cc);
}

static void test_no_common_version_is_a_failure_with_words(void **state)
{
	struct tls_context *sc = context(true, make_chain("old", "server.example", 10), ""),
		*cc = context(false, "", "");
	struct tls_protocols only_1_2 = { .min = 0x0303, .max = 0x0303 }, only_1_3 = { .min = 0x0304 };
	struct end server, client;

	(void) state;
	make_ends(&server, &client, sc, cc);
	server.wish.protocols = &only_1_3;
	client.wish.protocols = &only_1_2;
	meet(&server, &client);
	assert_int_equal(server.result, -EPROTO);
	assert_int_equal(client.result, -EPROTO);
	assert_true(str_find_str(buf_str(&server.why), STR("unsupported protocol")) > 0);
	end_both(&server, &client);
	tls_context_free(sc);
	tls_context_free(cc);
}

/*
 * A group of so many bits, from RFC 3526 (or with more bits in front, which is none to rely on). It has to be a real one: of
 * secrets that 2 makes modulo just any number one in some hundreds is 1, and OpenSSL does not take that.
 */
static void make_group(const char *path, size_t bits)
{
	BIGNUM *prime = bits == 3072 ? BN_get_rfc3526_prime_3072(NULL) : BN_get_rfc3526_prime_4096(NULL);
	const size_t len = bits / 8;
	unsigned char der[1024], *at = der;
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	*at++ = 0x30, *at++ = 0x82, *at++ = (unsigned char) ((len + 8) >> 8),
		*at++ = (unsigned char) (len + 8);
	*at++ = 0x02, *at++ = 0x82, *at++ = (unsigned char) ((len + 1) >> 8),
		*at++ = (unsigned char) (len + 1), *at++ = 0;
	assert_int_equal(BN_bn2binpad(prime, at, (int) len), len);
	at[0] = 0xff;
	BN_free(prime);
	at += len;
	*at++ = 0x02, *at++ = 0x01, *at++ = 0x02;
	PEM_write(f, "DH PARAMETERS", "", der, at - der);
	fclose(f);
}

static void test_a_server_cannot_have_us_work_for_a_second(void **state)
{
	static const struct { size_t bits; int result; } rows[] = { { 3072, 0 }, { 4096, 0 },
								    { 4104, -EPROTO } };
	const struct tls_protocols only_1_2 = { .min = 0x0303, .max = 0x0303 };
	struct tls_context *cc = context(false, "", "");
	char path[SCRATCH_PATH + 10];

	(void) state;
	snprintf(path, sizeof(path), "%s/group", directory);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct tls_context *sc;
		struct end server, client;

		make_group(path, rows[i].bits);
		dh_file = path;
		sc = context(true, make_chain("dh", "server.example", 10), "");
		dh_file = NULL;
		make_ends(&server, &client, sc, cc);
		server.wish.protocols = client.wish.protocols = &only_1_2;
		server.wish.ciphers = client.wish.ciphers = "ADH-AES256-GCM-SHA384";
		server.wish.lenient = client.wish.lenient = true;
		meet(&server, &client);
		assert_int_equal(client.result, rows[i].result);
		end_both(&server, &client);
		tls_context_free(sc);
	}
	tls_context_free(cc);
}

static void count_lines(void *counts, const char *line)
{
	int *n = counts;

	n[0] += str_starts(str_of(line), STR("0000 "));
	n[1] += str_find_str(str_of(line), STR("the rest is not shown")) >= 0;
	n[2] += str_find_str(str_of(line), STR("bytes are not shown")) >= 0;
	n[3] += str_find_str(str_of(line), STR("SSL_accept:")) >= 0;
}

/* To lines: those that count_lines() counts. */
static void trace_one(struct tls_context *sc, struct tls_context *cc, int loglevel,
		      struct tls_trace_limits limits, int lines[4])
{
	struct end server, client;

	memset(lines, 0, 4 * sizeof(*lines));
	make_ends(&server, &client, sc, cc);
	server.wish.loglevel = loglevel;
	server.wish.trace_limits = limits;
	server.wish.trace = count_lines;
	server.wish.trace_arg = lines;
	meet(&server, &client);
	assert_int_equal(server.result, 0);
	assert_int_equal(lines[3] > 0, loglevel >= 2);
	end_both(&server, &client);
}

static void test_of_traced_sessions_so_many_are_shown_and_so_many_bytes(void **state)
{
	struct tls_context *sc = context(true, make_chain("traced", "server.example", 10), ""),
		*cc = context(false, "", "");
	int lines[4];

	(void) state;
	for (int level = 1; level <= 4; level++) {
		trace_one(sc, cc, level, (struct tls_trace_limits){ 0, 0 }, lines);
		assert_int_equal(lines[0] > 0, level >= 3);
		assert_int_equal(lines[1] + lines[2], 0);
	}
	trace_one(sc, cc, 4, (struct tls_trace_limits){ 20, 0 }, lines);
	assert_int_equal(lines[0], 1);
	assert_int_equal(lines[1], 1);
	for (int i = 0; i < 1000 && lines[2] == 0; i++)
		trace_one(sc, cc, 3, (struct tls_trace_limits){ 0, 1 }, lines);
	assert_int_equal(lines[2], 1);
	assert_int_equal(lines[0], 0);
	tls_context_free(sc);
	tls_context_free(cc);
}

static void look_levels_up(void *arg)
{
	static const struct { const char *peer[2]; int level; bool complains; } rows[] = {
		{ { "mx.example.com", "192.0.2.1" }, 3, false }, { { "other.example.com", "192.0.2.1" }, 2,
								   false }, { { "example.com",
								   "192.0.2.77" }, 4, false },
		{ { "example.com", "198.51.100.1" }, 1, false }, { { "", "2001:db8:1::1" }, 0, false },
		{ { "wrong.example", "" }, 1, true },
	};
	struct tls_logging *l = arg;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct str peer[] = { str_of(rows[i].peer[0]), str_of(rows[i].peer[1]) };
		struct arena *a = arena_new("levels", NULL, 1 << 20);
		AUTO(buf) why = BUF_WORDS;

		assert_int_equal(tls_loglevel_of(l, a, peer, COUNT_OF(peer), &why), rows[i].level);
		assert_int_equal(why.len > 0, rows[i].complains);
		arena_free(a);
	}
	loop_stop();
}

static void test_a_table_may_know_the_log_level_of_a_peer(void **state)
{
	struct tls_logging l;
	AUTO(buf) why = BUF_WORDS;

	(void) state;
	assert_int_equal(tls_logging_open("x", "loud", "", &l, &why), -EINVAL);
	assert_int_equal(tls_logging_open("x", "routine",
					  "inline:{ mx.example.com=3, .example.com=debug, 192.0.2=4, 2001:db8=0, wrong.example=loud }",
					  &l, &why), 0);
	loop_run(look_levels_up, &l);
	tables_free(l.maps);
}

static void run_alone(void *end)
{
	run_end(end);
	loop_stop();
}

static void test_who_does_not_speak_costs_the_deadline_only(void **state)
{
	struct tls_context *sc = context(true, make_chain("silent", "server.example", 10), "");
	struct end server, nobody;

	(void) state;
	make_ends(&server, &nobody, sc, NULL);
	server.patience = 50;
	loop_run(run_alone, &server);
	assert_int_equal(server.result, -ETIMEDOUT);
	stream_free(nobody.s);
	end_both(&server, &nobody);
	tls_context_free(sc);
}

/* ---- files ---- */

static void test_files_that_do_not_fit_are_not_used(void **state)
{
	char key[300], cert[300], both[600];
	const struct { const char *chain, *words; } cases[] = {
		{ "/nonexistent-directory/x", "No such file or directory" },
		{ both, "there is no certificate" }, { "/dev/null", "not a regular file" },
	};
	FILE *f;

	(void) state;
	snprintf(key, sizeof(key), "%s", make_chain("one", "one.example", 10));
	snprintf(cert, sizeof(cert), "%s", make_chain("two", "two.example", 10));
	snprintf(both, sizeof(both), "%s/key-only", directory);
	f = fopen(both, "w");
	fputs("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIIXRVFTI75HiR1p/ZaXTc2ZhYvmAVIR1Z0Ze1cU9Vp4N\n-----END PRIVATE KEY-----\n", f);
	fclose(f);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct tls_config conf = { .server = true, .name = "x", .chain_files = cases[i].chain,
						 .ca_file = "", .ca_path = "", .ciphers = "HIGH",
						 .groups = "", .digest = "sha256" };
		AUTO(buf) why = BUF_WORDS;
		struct tls_context *c = NULL;

		assert_int_not_equal(tls_context_open(&conf, &c, &why), 0);
		assert_false(tls_context_is_usable(c));
		if (str_find_str(buf_str(&why), str_of(cases[i].words)) < 0)
			fail_msg("%s", buf_text(&why));
		tls_context_free(c);
	}
}

/* What ten seconds of looking come to: how often something was wrong, and how often new files are in use. */
static void look_for_a_while(struct tls_context *c, int wrong, int new)
{
	for (int i = 0; i < 10; i++) {
		AUTO(buf) why = BUF_WORDS;
		int r;

		clock_set_for_test(wall_us() + 1000000, (mono_ms() + 1000) * 1000);
		r = tls_context_refresh(c, &why);
		assert_int_equal(r < 0, why.len > 0);
		wrong -= r < 0;
		new -= r > 0;
	}
	assert_int_equal(wrong, 0);
	assert_int_equal(new, 0);
}

static void test_what_is_wrong_with_files_is_said_once(void **state)
{
	char path[300];
	const struct tls_config conf = { .server = true, .name = "x", .chain_files = path, .ca_file = "",
					 .ca_path = "", .ciphers = "HIGH", .groups = "", .digest = "sha256" };
	AUTO(buf) why = BUF_WORDS;
	struct tls_context *c;

	(void) state;
	snprintf(path, sizeof(path), "%s/comes-and-goes", directory);
	assert_int_equal(tls_context_open(&conf, &c, &why), 1);
	look_for_a_while(c, 0, 0);
	assert_int_equal(symlink("/dev/null", path), 0);
	look_for_a_while(c, 1, 0);
	unlink(path);
	look_for_a_while(c, 1, 0);
	make_chain("comes-and-goes", "x.example", 10);
	look_for_a_while(c, 0, 1);
	assert_true(tls_context_is_usable(c));
	unlink(path);
	look_for_a_while(c, 1, 0);
	assert_true(tls_context_is_usable(c));
	make_chain("comes-and-goes", "y.example", 10);
	look_for_a_while(c, 0, 1);
	tls_context_free(c);
	clock_set_for_test(-1, -1);
}

/* ---- set up ---- */

static int set_up(void **state)
{
	(void) state;
	scratch_directory(directory);
	return 0;
}

static int tear_down(void **state)
{
	(void) state;
	scratch_remove(directory);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_protocols_by_bounds_and_by_names),
		cmocka_unit_test(test_protocols_that_make_no_sense_are_refused),
		cmocka_unit_test(test_cipher_grades_and_exclusions),
		cmocka_unit_test(test_two_ends_talk_and_know_each_other),
		cmocka_unit_test(test_untrusted_expired_and_misnamed_certificates_are_told_apart),
		cmocka_unit_test(test_a_common_name_counts_unless_it_must_not),
		cmocka_unit_test(test_cas_are_those_of_a_file_a_directory_and_the_system),
		cmocka_unit_test(test_a_session_is_resumed_under_its_name_only_and_stays_untrusted),
		cmocka_unit_test(test_a_server_cannot_have_us_work_for_a_second),
		cmocka_unit_test(test_a_session_that_was_no_good_is_not_resumed),
		cmocka_unit_test(test_no_common_version_is_a_failure_with_words),
		cmocka_unit_test(test_of_traced_sessions_so_many_are_shown_and_so_many_bytes),
		cmocka_unit_test(test_a_table_may_know_the_log_level_of_a_peer),
		cmocka_unit_test(test_who_does_not_speak_costs_the_deadline_only),
		cmocka_unit_test(test_files_that_do_not_fit_are_not_used),
		cmocka_unit_test(test_what_is_wrong_with_files_is_said_once),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
