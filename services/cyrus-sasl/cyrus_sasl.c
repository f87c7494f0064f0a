/* SPDX-License-Identifier: ISC */
/*
 * cyrus-sasl: Cyrus libsasl2 behind the protocol of Dovecot's authentication service, so that smtpd
 * needs to know one way to ask only.
 *
 * The library blocks (saslauthd, databases), keeps state of its own, and loads plug-ins of many
 * hands: so it lives here, one client at a time in each process, and smtpd makes a connection for
 * each attempt. What hangs or crashes is one attempt; whoever does not configure it pays nothing.
 */
#include <errno.h>
#include <sasl/sasl.h>

#include "lib/base/base64.h"
#include "lib/base/die.h"
#include "lib/daemon/daemon.h"
#include "lib/sasl/auth_line.h"
#include "lib/sasl/options.h"

enum { PATIENCE_MS = 3600 * 1000, MOST_DECODED = AUTH_LONGEST_LINE };

static const char *config_path, *program_name;	/* cyrus_sasl_config_path, smtpd_sasl_path */

/* ---- the library ---- */

static int library_log(void *context, int level, const char *message)
{
	(void) context;
	if (message == NULL)
		return SASL_OK;
	if (level == SASL_LOG_ERR || level == SASL_LOG_FAIL)
		log_warning("SASL authentication problem: %s", message);
	else if (level == SASL_LOG_WARN)
		log_warning("SASL authentication warning: %s", message);
	else if (level > SASL_LOG_NONE && level < SASL_LOG_PASS)	/* never what may hold passwords */
		log_debug("SASL: %s", message);
	return SASL_OK;
}

static sasl_callback_t callbacks[] = {
	{ SASL_CB_LOG, (int (*)(void)) (void *) library_log, NULL },
	{ SASL_CB_LIST_END, NULL, NULL },
};

/* ---- start: what there is, and what it is good for ---- */

static struct { struct str word; unsigned flag; bool is_lack; struct str names; } properties[] = {
	{ STR_INIT("plaintext"), SASL_SEC_NOPLAINTEXT, true, STR_INIT("") },
	{ STR_INIT("active"), SASL_SEC_NOACTIVE, true, STR_INIT("") },
	{ STR_INIT("dictionary"), SASL_SEC_NODICTIONARY, true, STR_INIT("") },
	{ STR_INIT("anonymous"), SASL_SEC_NOANONYMOUS, true, STR_INIT("") },
	{ STR_INIT("forward-secrecy"), SASL_SEC_FORWARD_SECRECY, false, STR_INIT("") },
	{ STR_INIT("mutual-auth"), SASL_SEC_MUTUAL_AUTH, false, STR_INIT("") },
};
static struct str mechanisms;			/* separated by blanks */
static struct arena *forever;

/* The mechanisms that are good for all of `flags`. */
static struct str list(unsigned flags)
{
	const sasl_security_properties_t wanted = { .max_ssf = 0, .maxbufsize = 0, .security_flags = flags };
	const char *names = "";
	sasl_conn_t *c;
	struct str copy = STR_NONE;

	if (sasl_server_new("smtp", the_world->common->myhostname, NULL, NULL, NULL, callbacks, 0,
			    &c) != SASL_OK)
		return STR_NONE;
	sasl_setprop(c, SASL_SEC_PROPS, &wanted);
	if (sasl_listmech(c, NULL, "", " ", "", &names, NULL, NULL) == SASL_OK)
		copy = arena_copy(forever, str_of(names));
	sasl_dispose(&c);
	return copy;
}

static void start(void)
{
	struct str text;
	int r;

	forever = arena_new("cyrus-sasl", NULL, 1 << 20);
	config_path = conf_get(the_world->conf, forever, STR("cyrus_sasl_config_path"), &text)
		      ? str_c(forever, text) : "";
	program_name = conf_get(the_world->conf, forever, STR("smtpd_sasl_path"), &text)
		       && text.len > 0 ? str_c(forever, text) : "smtpd";
	if (config_path[0] != 0 && sasl_set_path(SASL_PATH_TYPE_CONFIG,
						 (char *) (uintptr_t) config_path) != SASL_OK)
		die(EX_CONFIG, "SASL: cyrus_sasl_config_path = %s", config_path);
	r = sasl_server_init(callbacks, program_name);
	if (r != SASL_OK)
		die(EX_CONFIG, "SASL: cannot start the library for \"%s\": %s", program_name,
		    sasl_errstring(r, NULL, NULL));
	mechanisms = list(0);
	if (mechanisms.len == 0)
		log_warning("SASL: %s.conf leaves no mechanism, or no plug-in for one is installed",
			    program_name);
	for (size_t i = 0; i < COUNT_OF(properties); i++)
		properties[i].names = list(properties[i].flag);
}

/* ---- one attempt ---- */

struct attempt {
	struct stream *stream;
	sasl_conn_t *connection;	/* NULL: none is under way */
	uint32_t id;
};

static void greet(struct stream *s)
{
	struct str rest = mechanisms, name;

	write_str(s, STR("VERSION\t1\t1\n"));
	while (str_token(&rest, " ", &name)) {
		if (!is_mechanism_name(name))
			continue;
		writef(s, "MECH\t%.*s", PSTR(name));
		for (size_t i = 0; i < COUNT_OF(properties); i++)
			if (str_lists_nocase(properties[i].names, name) != properties[i].is_lack)
				writef(s, "\t%.*s", PSTR(properties[i].word));
		write_str(s, STR("\n"));
	}
	write_str(s, STR("DONE\n"));
}

static void end_attempt(struct attempt *t)
{
	if (t->connection != NULL)
		sasl_dispose(&t->connection);
	t->connection = NULL;
}

/* As far as it is known who it is, or claims to be. */
static void add_user(struct attempt *t, struct buf *line)
{
	const void *user = NULL;

	if (t->connection == NULL || sasl_getprop(t->connection, SASL_USERNAME, &user) != SASL_OK
	    || user == NULL)
		return;
	buf_add_text(line, "\tuser=");
	auth_add_value(line, str_of(user));
}

static void fail(struct attempt *t, int result)
{
	AUTO(buf) line = BUF(AUTH_LONGEST_LINE);
	/* the password cannot be checked at all, and the library has logged why: not the client's fault */
	bool temporary = result == SASL_FAIL || result == SASL_TRYAGAIN || result == SASL_UNAVAIL
			 || result == SASL_NOMEM;

	buf_addf(&line, "FAIL\t%u\treason=", t->id);
	auth_add_value(&line, str_of(sasl_errstring(result == SASL_NOUSER ? SASL_BADAUTH : result,
						    NULL, NULL)));
	add_user(t, &line);
	buf_add_text(&line, temporary ? "\ttemp\n" : "\n");
	write_str(t->stream, buf_str(&line));
	end_attempt(t);
}

static void succeed(struct attempt *t)
{
	AUTO(buf) line = BUF(AUTH_LONGEST_LINE);
	const void *user = NULL;

	if (sasl_getprop(t->connection, SASL_USERNAME, &user) != SASL_OK || user == NULL) {
		fail(t, SASL_FAIL);
		return;
	}
	buf_addf(&line, "OK\t%u\tuser=", t->id);
	auth_add_value(&line, str_of(user));
	buf_add_byte(&line, '\n');
	write_str(t->stream, buf_str(&line));
	end_attempt(t);
}

static void go_on(struct attempt *t, int result, const char *out, unsigned out_len)
{
	AUTO(buf) challenge = BUF(AUTH_LONGEST_LINE);

	if (result == SASL_OK)
		succeed(t);
	else if (result != SASL_CONTINUE)
		fail(t, result);
	else if (base64_encode(str_make(out == NULL ? "" : out, out_len), &challenge) < 0)
		fail(t, SASL_BUFOVER);
	else
		writef(t->stream, "CONT\t%u\t%s\n", t->id, buf_text(&challenge));
}

struct request {
	struct str service, realm, lip, rip, lport, rport, response;
	bool has_response;
};

static bool take(struct str word, const char *name, struct str *ret)
{
	if (!str_starts(word, str_of(name)))
		return false;
	*ret = str_skip(word, strlen(name));
	return true;
}

static struct request parse_request(struct str rest)
{
	struct request q = { STR("smtp"), STR_NONE, STR_NONE, STR_NONE, STR_NONE, STR_NONE, STR_NONE, false };
	struct str word;

	while (str_token(&rest, "\t", &word))
		if (take(word, "resp=", &q.response))
			q.has_response = true;
		else if (!take(word, "service=", &q.service) && !take(word, "realm=", &q.realm)
			 && !take(word, "lip=", &q.lip) && !take(word, "rip=", &q.rip)
			 && !take(word, "lport=", &q.lport))
			take(word, "rport=", &q.rport);
	if (str_is(q.response, STR("=")))
		q.response = STR_NONE;
	return q;
}

static const char *end_of(struct arena *a, struct str ip, struct str port)
{
	return ip.len == 0 || port.len == 0 ? NULL : str_c(a, arena_fmt(a, "%.*s;%.*s", PSTR(ip), PSTR(port)));
}

static void begin(struct attempt *t, struct arena *a, struct str mechanism, struct str rest)
{
	const struct request q = parse_request(rest);
	/* TLS protects the connection, if anything does */
	const sasl_security_properties_t any = { .max_ssf = 0 };
	AUTO(buf) bytes = BUF(MOST_DECODED);
	const char *out = NULL;
	unsigned out_len = 0;
	int r;

	end_attempt(t);
	buf_room(&bytes, MOST_DECODED);
	r = sasl_server_new(str_c(a, q.service), the_world->common->myhostname,
			    q.realm.len > 0 ? str_c(a, q.realm) : NULL, end_of(a, q.lip, q.lport),
			    end_of(a, q.rip, q.rport), callbacks, 0, &t->connection);
	if (r == SASL_OK)
		r = sasl_setprop(t->connection, SASL_SEC_PROPS, &any);
	if (r == SASL_OK && base64_decode(q.response, &bytes) < 0)
		r = SASL_BADPROT;
	if (r == SASL_OK)
		r = sasl_server_start(t->connection, str_c(a, mechanism), q.has_response ? bytes.at : NULL,
				      (unsigned) bytes.len, &out, &out_len);
	go_on(t, r, out, out_len);
	buf_wipe(&bytes);
}

static void step(struct attempt *t, struct str response)
{
	AUTO(buf) bytes = BUF(MOST_DECODED);
	const char *out = NULL;
	unsigned out_len = 0;
	int r = SASL_BADPROT;

	if (t->connection == NULL) {
		writef(t->stream, "FAIL\t%u\n", t->id);
		return;
	}
	buf_room(&bytes, MOST_DECODED);
	if (base64_decode(response, &bytes) == 0)
		r = sasl_server_step(t->connection, bytes.at, (unsigned) bytes.len, &out, &out_len);
	go_on(t, r, out, out_len);
	buf_wipe(&bytes);
}

/* False: not in the protocol. */
static bool serve_line(struct attempt *t, struct arena *a, struct str line)
{
	struct str word, number, mechanism;
	int64_t id;

	str_cut(&line, '\t', &word);
	str_cut(&line, '\t', &number);
	if (str_is(word, STR("VERSION")) || str_is(word, STR("CPID")))
		return true;
	if (str_to_int(number, 1, UINT32_MAX, &id) < 0)
		return false;
	if (str_is(word, STR("AUTH"))) {
		str_cut(&line, '\t', &mechanism);
		t->id = (uint32_t) id;
		if (!is_mechanism_name(mechanism))
			return false;
		begin(t, a, mechanism, line);
	} else if (str_is(word, STR("CONT"))) {
		step(t, line);
	} else if (str_is(word, STR("CANCEL"))) {
		end_attempt(t);
	} else {
		return false;
	}
	return true;
}

static void serve(struct session_socket *socket)
{
	struct attempt t = { .stream = stream_new(socket->fd) };
	struct str line;

	stream_deadline(t.stream, in(PATIENCE_MS));
	greet(t.stream);
	while (read_line(t.stream, AUTH_LONGEST_LINE, &line, NULL)) {
		struct arena *a = arena_new("cyrus-sasl line", NULL, 4 * AUTH_LONGEST_LINE);
		bool understood = serve_line(&t, a, line);

		arena_wipe(a);
		if (!understood)
			break;
	}
	flush(t.stream);
	end_attempt(&t);
	stream_free(t.stream);
}

int main(int argc, char **argv)
{
	static const struct daemon cyrus_sasl = {
		.name = "cyrus-sasl",
		.shape = DAEMON_ONE_AT_A_TIME,
		.jail = {
			/*
			 * back ends are files, sockets and servers that only the library knows: it
			 * reads what its user and its groups may, and writes nothing
			 */
			.user = AS_MAIL_OWNER, .keeps_groups = true, .capabilities = "",
			.syscalls = SYS_CORE | SYS_ACCEPT | SYS_CONNECT_UNIX | SYS_CONNECT_INET | SYS_DNS
				    | SYS_FILES_READ,
			.paths = { { "/", 'r' } },
		},
		.start = start,
		.serve = serve,
	};

	return daemon_main(argc, argv, &cyrus_sasl);
}
