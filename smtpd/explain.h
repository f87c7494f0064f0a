/* SPDX-License-Identifier: ISC */
/*
 * What `postroad explain` and `postroad lint` have smtpd say about a dialogue that does not take
 * place (smtpd -R ... KEY=VALUE ...).
 */
#ifndef ROAD_SMTPD_EXPLAIN_H
#define ROAD_SMTPD_EXPLAIN_H

/*
 * explain client=ADDRESS [name=NAME] [helo=NAME] [tls=yes] [ccert=FINGERPRINT [trusted=yes]]
 * [sasl=USER] [sender=ADDRESS] recipient=ADDRESS ...: each restriction with its answer and the
 * reply in the end, on standard output. lint: what is wrong with the restrictions, as warnings. The
 * exit status: 0 accepted, 1 refused, EX_USAGE.
 */
int explain(void);

#endif
