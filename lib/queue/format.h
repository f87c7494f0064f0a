/* SPDX-License-Identifier: ISC */
/*
 * The queue file, version 1. Only lib/queue reads or writes it; postcat shows it; `less` shows it
 * too, because all of it is text except what the message itself holds.
 *
 *   offset 0    head, QUEUE_HEAD_SIZE bytes (one sector: a power cut leaves the old one or the new one)
 *   anywhere    headers   as rewritten, LF line ends, the last one too; no empty line
 *   behind it   body      LF line ends; what followed the empty line. In a small message one LF stands between headers
 *                         and body, so that both are read with one call; a large body comes first in the file
 *   behind it   envelope  lib/queue/envelope.h
 *   to the end  journal   append-only records of what happened since, see below
 *
 * The head is lines of fixed width, `head -c 512 FILE` shows them, filled up with blanks:
 *
 *   postroad-queue-file 1                          magic and version
 *   id QUEUE_ID                                    the same as the file's name
 *   arrival MICROSECONDS flags HEX recipients N    flags: enum envelope_flags and QUEUE_NO_EMPTY_LINE
 *   headers OFFSET LENGTH CRC
 *   body OFFSET LENGTH CRC
 *   envelope OFFSET LENGTH CRC
 *   journal OFFSET
 *   segment NAME OFFSET                            only in the intake log: which generation of which segment, and where in it
 *   check CRC                                      of all of the head before the word
 *
 * CRC is CRC-32C in eight hex digits, OFFSET and LENGTH are decimal with leading zeros. The part
 * checksums start from 0.
 *
 * A journal record is one line:  CRC KIND[ TEXT]\n  where the checksum is of "KIND TEXT", seeded
 * with that of the queue id, so that a record can never count for another message. A line whose
 * checksum does not hold is skipped: after a crash the last one may be torn, and whoever appends
 * next starts on a fresh line. Kinds:
 *
 *   outcome   a packed outcome (lib/queue/outcome.h)
 *   told      index of a recipient: the sender knows of its failure
 *   delay     a delay notice went out
 *   expire    the next attempt is the last
 *   held      when its delivery ends it goes to hold/
 *   requeued  then it goes to maildrop/
 *   released  neither held nor requeued any more
 *
 * Life of a file:
 *   no valid head, all zeros or too short   debris: the writer died before the commit point; never acknowledged
 *   head or a part damaged                  corrupt: was once valid; set aside for a person, never deleted
 *   version above 1                         written by a newer program: left alone
 *
 * What every later version keeps, so that this one can tell its files from damaged ones: the head's
 * first line and its last, and the line that begins with "segment". A kind of journal record, or a
 * flag, that an older program must not overlook makes a new version: what it does not know it
 * skips.
 *
 * The intake log (segment.h) holds messages in exactly this form, one behind the other on multiples
 * of QUEUE_HEAD_SIZE, without journals: offsets count from the message's own head. What would be in
 * their journals stands in the segment's ledger.
 *
 * What must stay true: the file is created under its final name, and one fsync after the last byte
 * is the promise behind 250. It is written once; afterwards only the journal grows, and only qmgr
 * (or postsuper while there is no qmgr) appends.
 */
#ifndef ROAD_QUEUE_FORMAT_H
#define ROAD_QUEUE_FORMAT_H

#include "lib/queue/queue.h"

enum {
	QUEUE_HEAD_SIZE = 512,
	QUEUE_VERSION = 1,
	/* bodies up to here are written in one go with everything else */
	QUEUE_SMALL = 64 << 10,
	QUEUE_MOST_ENVELOPE = 16 << 20,
	QUEUE_MOST_HEADERS = 16 << 20,
	JOURNAL_MOST_LINE = 64 << 10, JOURNAL_MOST_LINES = 64 << 20,
};

/* Behind a torn line, so that it never counts, not even when nothing but its LF was missing. */
#define JOURNAL_SPOILT "?\n"

/* In a head's flags, beside enum envelope_flags: the message ends with its headers, no empty line follows. */
#define QUEUE_NO_EMPTY_LINE 0x80000000u

#define QUEUE_SEGMENT_LINE "segment %s %020llu\n"

struct queue_part {
	uint64_t at, len;
	uint32_t crc;
};

struct queue_head {
	char id[32];
	int64_t arrival_us;
	uint32_t flags;				/* enum envelope_flags */
	uint32_t recipient_count;
	struct queue_part headers, body, envelope;
	uint64_t journal_at;
	char segment[SEGMENT_NAME_SIZE];	/* "": a file of its own */
	uint64_t segment_at;
};

/* headers, the empty line and the body, with LF line ends */
uint64_t queue_head_message_size(const struct queue_head *h);
/* as on disk, with its checksum; no NUL at the end */
void queue_head_print(const struct queue_head *h, char out[QUEUE_HEAD_SIZE]);
/*
 * data: the first QUEUE_HEAD_SIZE bytes (or fewer, if the file has fewer). 0; -ENODATA debris;
 * -EBADMSG damaged; -ENOTSUP newer, or of Postfix. Offsets are checked against file_size, lengths
 * against the limits above.
 */
int queue_head_parse(struct str data, uint64_t file_size, struct queue_head *ret);
/* The same without looking at the checksum, to see what can still be had of a damaged file. */
int queue_head_guess(struct str data, uint64_t file_size, struct queue_head *ret);

/* 0, -EBADMSG, -errno; reads all of it */
int queue_check_part(int fd, uint64_t at, uint64_t len, uint32_t crc);

/*
 * Where the message lies below its queue's directory: "ID", or "A/ID" in a hashed one. path has
 * room for 64.
 */
void queue_path(const struct queue *q, enum queue_name where, struct str id, char path[64]);
/* descriptor, or -ENOENT: not opened */
int queue_dir(const struct queue *q, enum queue_name where);
/* Makes the hash directories for path, relative to the queue's directory. 0 or -errno. */
int queue_make_hash_directories(struct queue *q, enum queue_name where, const char *path);

/* One record as a line, its LF included. 0, -EMSGSIZE, -EINVAL: b may hold part of it then. */
int journal_record_print(struct buf *b, const char *id, const struct journal_record *r);
/* Lines that were printed like that: like journal_append(), but to a file only. */
int journal_append_lines(struct queue_file *f, struct str lines);
/*
 * One journal record, for whoever shows damaged files: view into line (without LF). -EBADMSG:
 * checksum or syntax.
 */
int journal_record_parse(struct str line, const char *id, struct journal_record *ret);

#endif
