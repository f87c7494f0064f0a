/* SPDX-License-Identifier: ISC */
/*
 * Load source: some sessions at once, each sending messages one after the other, on new connections
 * or on one.
 *
 *   source -p PORT [-s SESSIONS] [-n MESSAGES] [-b BYTES] [-r] [-l] [-R RECIPIENTS] [-t TO,...] [-a NETWORK] [-i INTERVAL] [-T] [-S] [-H]
 *
 * -r reuses connections. -l waits for each reply, for servers that know no pipelining. -R gives
 * each message that many recipients, r0.TO and so on. Several TO take turns. -a sends message n to
 * user@ the n-th address of 127.NETWORK, as the sink counts them. -i starts a message every
 * INTERVAL microseconds, whatever became of those before. -T speaks TLS, by STARTTLS; -S resumes
 * its sessions, one for each of SESSIONS. -H is content with the handshake: connections without
 * messages. Each message carries the time when its end was sent, for the sink to tell how long it
 * took. Prints one line of JSON.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/tls/tls.h"
#include "tests/bench/client.h"

#define AT_ONCE 100			/* commands in one write */

static struct {
	uint16_t port;
	int sessions, messages, bytes, recipients, network, interval;
	bool reuse, lockstep, tls, resume, hands_only;
	struct str to[100];
	int to_count;
} opt = { .sessions = 20, .messages = 1000, .bytes = 4096, .recipients = 1,
	  .to = { STR_INIT("user@example.com") }, .to_count = 1 };

static struct tls_context *tls;
static int taken, acknowledged, failed, resumed;
static int64_t last_recipient;		/* mono_us() when the last RCPT was answered */
static struct samples replies;		/* end of data to 250 */
static struct str content;

static void write_recipient(struct stream *s, int message, int recipient)
{
	struct str to = opt.to[message % opt.to_count];

	if (opt.network > 0)
		writef(s, "RCPT TO:<user@[127.%d.%d.%d]>\r\n", opt.network, message / 250, message % 250 + 1);
	else if (opt.recipients > 1)
		writef(s, "RCPT TO:<r%d.%.*s>\r\n", recipient, PSTR(to));
	else
		writef(s, "RCPT TO:<%.*s>\r\n", PSTR(to));
}

/* Replies to what was sent, once `most` are due. */
static bool hear_replies(struct stream *s, int *unanswered, int most)
{
	bool good = true;

	if (*unanswered < most && !opt.lockstep)
		return true;
	for (; *unanswered > 0; (*unanswered)--)
		good = expect(s, '2') && good;
	return good;
}

/*
 * The envelope in one write, as a pipelining client does it; many recipients in several, lest both
 * sides wait to write.
 */
static bool send_envelope(struct stream *s, int message)
{
	int unanswered = 1;
	bool good;

	write_str(s, STR("MAIL FROM:<sender@example.net>\r\n"));
	good = hear_replies(s, &unanswered, AT_ONCE);
	for (int i = 0; i < opt.recipients; i++) {
		write_recipient(s, message, i);
		unanswered++;
		if (i + 1 < opt.recipients)
			good = hear_replies(s, &unanswered, AT_ONCE) && good;
	}
	if (opt.lockstep)
		good = hear_replies(s, &unanswered, 1) && good;
	write_str(s, STR("DATA\r\n"));
	good = hear_replies(s, &unanswered, 1) && good;
	last_recipient = mono_us();
	return expect(s, '3') && good;
}

static bool send_message(struct stream *s, int message)
{
	int64_t start;

	if (!send_envelope(s, message))
		return false;
	start = mono_us();
	writef(s, "X-Sent: %lld\r\n", (long long) start);
	write_str(s, content);
	if (!expect(s, '2'))
		return false;
	samples_add(&replies, mono_us() - start);
	return true;
}

/* Says that nothing more comes: some servers wait for the end of the connection before they answer QUIT. */
static void end_session(struct stream *s)
{
	write_str(s, STR("QUIT\r\n"));
	flush_last(s);
	shutdown(stream_fd(s), SHUT_WR);
	expect(s, '2');
	stream_free(s);
}

/* The server's certificate is not looked at: that would be our work, not the server's. */
static bool start_tls(struct stream *s, int number)
{
	struct arena *a = arena_new("tls", NULL, 64 << 10);
	AUTO(buf) why = BUF_WORDS;
	struct tls_wish wish = { .resume_as = opt.resume ? arena_fmt(a, "session %d", number) : STR_NONE };
	struct tls_peer peer;
	struct tls *t;
	bool good;

	write_str(s, STR("STARTTLS\r\n"));
	good = expect(s, '2') && tls_begin(tls, s, &wish, false, in(60000), &t, &why) == 0;
	if (good) {
		tls_peer(t, a, &peer);
		resumed += peer.resumed;
	}
	arena_free(a);
	return good && say_hello(s);
}

static struct stream *open_one(int number)
{
	struct stream *s = open_session(opt.port);

	if (s == NULL || !opt.tls || start_tls(s, number))
		return s;
	stream_free(s);
	return NULL;
}

static void run_session(void *arg)
{
	struct stream *s = NULL;

	while (taken < opt.messages) {
		int number = taken++;

		if (s == NULL)
			s = open_one((int) (intptr_t) arg);
		if (s == NULL || (!opt.hands_only && !send_message(s, number))) {
			failed++;
			stream_free(s);
			s = NULL;
			continue;
		}
		acknowledged++;
		if (!opt.reuse) {
			end_session(s);
			s = NULL;
		}
	}
	if (s != NULL)
		end_session(s);
}

static void send_one(void *arg)
{
	struct stream *s = open_one(0);

	if (s != NULL && send_message(s, (int) (intptr_t) arg)) {
		acknowledged++;
		end_session(s);
	} else {
		failed++;
		stream_free(s);
	}
}

static void run_at_rate(struct scope *sessions)
{
	int64_t start = mono_us();

	for (intptr_t i = 0; i < opt.messages; i++) {
		int64_t early = (start + i * opt.interval - mono_us()) / 1000;

		if (early > 0)
			co_sleep(in(early));
		if (scope_start(sessions, "message", send_one, (void *) i) < 0)
			failed++;
	}
}

static void run_all(void *arg)
{
	struct scope *sessions = scope_open("sessions");

	(void) arg;
	if (opt.interval > 0)
		run_at_rate(sessions);
	else
		for (intptr_t i = 0; i < opt.sessions; i++)
			if (scope_start(sessions, "session", run_session, (void *) i) < 0)
				die(EX_OSERR, "cannot start session %d", (int) i);
	scope_wait(sessions, NEVER);
	scope_close(sessions);
	loop_stop();
}

static void open_tls(void)
{
	static const struct tls_config conf = { .name = "source", .ciphers = "HIGH", .digest = "sha256",
						.session_s = 3600, .depth = 9 };
	AUTO(buf) why = BUF_WORDS;

	if (tls_context_open(&conf, &tls, &why) != 0)
		die(EX_UNAVAILABLE, "TLS: %s", buf_text(&why));
}

static struct str make_content(void)
{
	struct buf b = BUF((size_t) 1 << 30);

	buf_add_text(&b, "From: <sender@example.net>\r\nTo: <user@example.com>\r\nSubject: benchmark\r\n"
			 "Date: Sun, 22 Nov 2026 00:00:00 +0000\r\nMessage-Id: <bench@example.net>\r\n\r\n");
	while ((int) b.len < opt.bytes)
		buf_add_text(&b, "The quick brown fox jumps over the lazy dog and runs away from it at once.\r\n");
	buf_add_text(&b, ".\r\n");
	return buf_str(&b);
}

static void read_recipients(struct str list)
{
	for (opt.to_count = 0; opt.to_count < (int) COUNT_OF(opt.to); opt.to_count++)
		if (!str_token(&list, ",", &opt.to[opt.to_count]))
			return;
}

static void read_options(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "p:s:n:b:rlR:t:a:i:TSH")) != -1) {
		int64_t n = strchr("psnbRai", c) != NULL ? number_option(c, optarg) : 0;

		switch (c) {
		case 'p': opt.port = (uint16_t) n; break;
		case 's': opt.sessions = (int) n; break;
		case 'n': opt.messages = (int) n; break;
		case 'b': opt.bytes = (int) n; break;
		case 'R': opt.recipients = (int) n; break;
		case 'a': opt.network = (int) n; break;
		case 'i': opt.interval = (int) n; break;
		case 'r': opt.reuse = true; break;
		case 'l': opt.lockstep = true; break;
		case 'T': opt.tls = true; break;
		case 'S': opt.tls = opt.resume = true; break;
		case 'H': opt.hands_only = true; break;
		case 't': read_recipients(str_of(optarg)); break;
		default: exit(EX_USAGE);
		}
	}
}

int main(int argc, char **argv)
{
	int64_t start;

	read_options(argc, argv);
	ask_for_descriptors();
	content = make_content();
	if (opt.tls)
		open_tls();
	start = mono_us();
	loop_run(run_all, NULL);
	printf("{\"acknowledged\": %d, \"resumed\": %d, \"failed\": %d, \"seconds\": %.6f, \"start_us\": %lld, \"last_recipient_us\": %lld, ",
	       acknowledged, resumed, failed, (double) (mono_us() - start) / 1e6, (long long) start,
	       (long long) last_recipient);
	samples_print("reply", &replies);
	printf("}\n");
	return failed > 0;
}
