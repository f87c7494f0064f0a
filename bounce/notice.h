/* SPDX-License-Identifier: ISC */
/*
 * One notification: decided in notice.c, made of a text for people (words.c), a report for programs
 * (report.c, RFC 3464), and the message it is about (original.c).
 */
#ifndef ROAD_BOUNCE_NOTICE_H
#define ROAD_BOUNCE_NOTICE_H

#include "lib/conf/params/bounce.h"
#include "lib/conf/params/common.h"
#include "lib/ipc/message.h"
#include "lib/mail/bounce_template.h"
#include "lib/peers/cleanup.h"
#include "lib/queue/content.h"

/*
 * With their $names replaced. What is built in is for notices in UTF-8 where the administrator's
 * template is in another charset.
 */
struct templates {
	struct arena *arena;		/* holds them, as long as the process lives */
	struct bounce_template of[BOUNCE_KINDS], built_in[BOUNCE_KINDS];
};

enum notice_audience {
	TO_SENDER,
	TO_POSTMASTER,			/* a copy of what the sender hears */
	TO_POSTMASTER_INSTEAD,		/* there is no sender who could: the message is nowhere else */
};

/* Why the message is not in its notification. */
enum original {
	IS_ATTACHED,
	IS_DAMAGED,			/* its file: it can never be returned */
	IS_REFUSED,			/* the notification with it was refused for good */
};

/* What bounce is asked to tell, decoded. */
struct notice {
	struct arena *arena;
	const struct common_conf *common;
	const struct bounce_conf *conf;
	const struct templates *templates;
	enum bounce_kind kind;
	struct envelope e;		/* of the message it is about, with the recipients concerned */
	struct outcome *outcomes;	/* parallel to e.recipients */
	struct content content;
	enum original original;
	int64_t retry_until_s;
	const struct bounce_template *template;		/* what it says */
	/* in the forms of RFC 6533: UTF-8 is let through only where the reader was promised it */
	bool is_utf8;
};

/* notice.c. Decides who has to know, and tells them. Returns 0, or an errno: try again later. */
int notice_decode(struct arena *a, struct bounce_request *request, struct notice *ret);	/* -EBADMSG */
int notice_send(struct notice *n, char ret_id[32]) MAY_YIELD;

/* The three parts; each adds to b. */
void add_words(const struct notice *n, enum notice_audience who, struct buf *b);
void add_report(const struct notice *n, struct buf *b);
bool wants_whole_message(const struct notice *n, enum notice_audience who);
/*
 * Reads the content from the queue file into m: all of it or the headers. -errno: no message may
 * come of m.
 */
int write_original(const struct notice *n, bool whole, struct mail_out *m, when_t until) MAY_YIELD;

/* "Name: value" in lines of bearable length; bytes that the kind of notice does not allow as '?'. */
void add_field(const struct notice *n, struct buf *b, const char *name, struct str value);

#endif
