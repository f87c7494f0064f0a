/* SPDX-License-Identifier: ISC */
#include "smtp/fake_server.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/die.h"

enum { PATIENCE_MS = 10000 };

static void begin(struct fake_server *f, const char *ip, uint16_t port, const char *script)
{
	*f = (struct fake_server){ .script = script, .listener = -1, .content = BUF(64 << 20) };
	BUG_UNLESS(ip_parse(str_of(ip), &f->at) == 0);
	f->at.port = port;
}

static bool have(struct fake_server *f, int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	if (fd == -EADDRINUSE)
		return false;
	if (fd < 0)
		die(EX_OSERR, "a fake server: %s", error_text(fd));
	f->listener = fd;
	getsockname(fd, (struct sockaddr *) &sa, &len);
	ip_from_sockaddr((struct sockaddr *) &sa, &f->at);
	return true;
}

bool fake_listen(struct fake_server *f, const char *ip, uint16_t port, const char *script)
{
	begin(f, ip, port, script);
	return have(f, listen_tcp(&f->at, 20));
}

bool fake_absence(struct fake_server *f, const char *ip, uint16_t port)
{
	struct sockaddr_storage sa;
	AUTO_FD fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	begin(f, ip, port, NULL);
	if (bind(fd, (struct sockaddr *) &sa, ip_to_sockaddr(&f->at, &sa)) < 0)
		return have(f, -errno);
	return have(f, fd_take(&fd));
}

static void complain(struct fake_server *f, struct str step, const char *what, struct str got)
{
	if (f->complaint[0] == 0)
		snprintf(f->complaint, sizeof(f->complaint), "at \"%.*s\": %s \"%.*s\"", PSTR(step), what,
			 (int) MIN(got.len, 300), got.at);
}

static void close_stream(struct fake_server *f)
{
	stream_free(f->s);
	f->s = NULL;
}

static bool accept_next(struct fake_server *f, struct str step)
{
	int fd;

	close_stream(f);
	fd = accept_one(f->listener, in(PATIENCE_MS), NULL);
	if (fd < 0) {
		complain(f, step, "nobody came", STR_NONE);
		return false;
	}
	f->s = stream_new(fd);
	return true;
}

static bool expect(struct fake_server *f, struct str step, struct str start)
{
	struct str line;

	if (!read_line(f->s, 100000, &line, NULL)) {
		complain(f, step, "the client says no more:", str_of(error_text(stream_error(f->s))));
		return false;
	}
	if (!str_starts(line, start)) {
		complain(f, step, "the client said", line);
		return false;
	}
	return true;
}

static bool read_content(struct fake_server *f, struct str step)
{
	struct str line;
	bool bare;

	while (read_line(f->s, 10000000, &line, &bare)) {
		if (bare)
			complain(f, step, "bare LF:", line);
		if (str_is(line, STR(".")))
			return true;
		buf_add(&f->content, line);
		buf_add_byte(&f->content, '\n');
	}
	complain(f, step, "the content has no end:", str_of(error_text(stream_error(f->s))));
	return false;
}

static bool expect_end(struct fake_server *f, struct str step)
{
	struct str line;

	if (read_line(f->s, 10000, &line, NULL)
	    && !(str_is(line, STR("QUIT")) && !read_line(f->s, 10000, &line, NULL))) {
		complain(f, step, "the client did not close but said", line);
		return false;
	}
	return true;
}

static bool follow(struct fake_server *f, struct str step)
{
	struct str text = str_skip(step, 2);
	int64_t ms;

	if (f->s != NULL)
		stream_deadline(f->s, in(PATIENCE_MS));
	switch (step.at[0]) {
	case 'A': return accept_next(f, step);
	case 'S': write_str(f->s, text); write_str(f->s, STR("\r\n")); flush(f->s); return true;
	case 'R': write_str(f->s, text); flush(f->s); return true;
	case 'C': return expect(f, step, text);
	case 'D': return read_content(f, step);
	case 'X': case 'Z': close_stream(f); return true;
	case 'E': return expect_end(f, step);
	case 'Q': return expect(f, step, STR("QUIT")) && expect_end(f, step);
	case 'P': str_to_int(text, 0, 100000, &ms); co_sleep(in(ms)); return true;
	default: BUG("script: %.*s", PSTR(step));
	}
}

void fake_run(void *server)
{
	struct fake_server *f = server;
	struct str rest = str_of(f->script), step;
	bool more = rest.len > 0;

	while (more) {
		more = str_cut(&rest, '\n', &step);
		if (step.len > 0 && !follow(f, step))
			break;
		if (!more)
			f->done = true;
	}
	f->done = f->done || f->script[0] == 0;
	close_stream(f);
}

void fake_end(struct fake_server *f)
{
	if (f->listener >= 0) {
		co_forget_fd(f->listener);
		close(f->listener);
	}
	buf_free(&f->content);
	f->listener = -1;
}
