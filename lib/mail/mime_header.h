/* SPDX-License-Identifier: ISC */
/* What the MIME walker needs from headers: type, boundary, encoding. Private to lib/mail. */
#ifndef ROAD_MAIL_MIME_HEADER_H
#define ROAD_MAIL_MIME_HEADER_H

#include "lib/base/buf.h"
#include "lib/mail/mime.h"

enum mime_type {
	TYPE_LEAF,			/* text, image, application, ... and what cannot be parsed */
	TYPE_MULTIPART,			/* with a boundary */
	TYPE_DIGEST,			/* multipart/digest: parts are messages by default */
	TYPE_MESSAGE,			/* message/rfc822, message/global */
	/* other message types: neither entered nor re-encoded; multipart without boundary */
	TYPE_OPAQUE,
};

/*
 * value: of a Content-Type header, folding included. The boundary is written without quotes, cut to the
 * buffer's limit.
 */
enum mime_type mime_type_parse(struct str value, struct buf *boundary);
/* of a Content-Transfer-Encoding header; absent or empty: 7bit */
enum mime_encoding mime_encoding_parse(struct str value);

#endif
