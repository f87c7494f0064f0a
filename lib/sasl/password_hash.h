/* SPDX-License-Identifier: ISC */
/*
 * What may be written down of a password that is to be recognised later: a salted hash that takes
 * long to make (PBKDF2 with HMAC-SHA-256), so that who reads it has to guess, one password and one
 * salt at a time. After sasl_login_open().
 */
#ifndef ROAD_SASL_PASSWORD_HASH_H
#define ROAD_SASL_PASSWORD_HASH_H

#include "lib/base/buf.h"
#include "lib/co/co.h"

/* Added to *ret: "pbkdf2-sha256$ROUNDS$SALT$HASH", the latter in base64. -errno. */
int password_hash(const char *password, struct buf *ret) MAY_YIELD;
/* 1: it is this password's; 0: it is not, or not made by password_hash(); -errno. */
int password_fits(const char *password, struct str hash) MAY_YIELD;

#endif
