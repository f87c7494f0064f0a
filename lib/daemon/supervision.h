/* SPDX-License-Identifier: ISC */
/*
 * What master and the processes it starts have agreed on. Only master/ and lib/daemon include this.
 *
 * Descriptors: LIFELINE_FD is one end of a socket pair. Master's end closed or half-closed means:
 * finish what you hold and go, because there is a new generation, or because master is no more. The
 * other way, a worker reports with one byte what it can take on. Nothing else crosses it, so
 * nothing that a remote party sent can reach master. The service's listeners follow from
 * FIRST_LISTENER_FD on; they belong to master, which keeps them open over reloads and crashes.
 *
 * Options: -n service -t type -s listeners [-i descriptor] [-k descriptor] [-m sessions] [-u] [-r]
 * [-v] and those of master.cf; MAIL_CONFIG names the configuration. At the descriptor of -i is
 * main.cf as master read it: all processes of a generation have the same, whenever they start, and
 * whatever becomes of the file meanwhile. At that of -k is the keepsake: KEEPSAKE_SIZE bytes of
 * memory, zeros at first, in which a process leaves to the one after it what must not be on any
 * disk. Master holds it and never looks into it.
 */
#ifndef ROAD_DAEMON_SUPERVISION_H
#define ROAD_DAEMON_SUPERVISION_H

enum { LIFELINE_FD = 3, FIRST_LISTENER_FD = 4, MOST_LISTENERS = 64, KEEPSAKE_SIZE = 65536 };

enum worker_report {
	WORKER_READY = 'R',		/* started, jailed, accepting */
	WORKER_IDLE = 'I',		/* has had nothing to do, or hardly anything, for a while */
	WORKER_BUSY = 'B',		/* accepts, but another process would be of use */
	WORKER_FULL = 'F',		/* does not accept at present */
	WORKER_LEAVING = 'L',		/* does not accept any more and ends soon */
};

#endif
