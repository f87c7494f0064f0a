# SPDX-License-Identifier: ISC
# The Debian packages that building and testing need; sourced by ./try and ./check.
BUILD_PACKAGES="gcc make autoconf automake pkg-config libssl-dev libdb5.3-dev libpcre2-dev libevent-dev libidn2-dev libunbound-dev libcurl4-openssl-dev zlib1g-dev liblmdb-dev libpq-dev libmariadb-dev libsqlite3-dev libldap-dev libsasl2-dev libhiredis-dev libgsasl-dev"
TRY_PACKAGES="python3 swaks"
# exim is unpacked, not installed: its libraries are, since it starts itself anew and a setuid program has no LD_LIBRARY_PATH
EXIM_LIBRARIES="libgnutls-dane0 libidn12 libnsl2 libspf2-2"
# the servers that tables are looked up in: run by the tests themselves, on private directories
SERVER_PACKAGES="postgresql-15 postgresql-client-15 mariadb-server-core mariadb-client-core slapd ldap-utils redis-server redis-tools memcached"
# a name server of somebody else's, and what signs its zones
DNS_PACKAGES="nsd ldnsutils"
# what swaks speaks TLS with, and what cdb tables of the postfix package need, which is unpacked only
PEER_LIBRARIES="libnet-ssleay-perl libcdb1"
CHECK_PACKAGES="clang-14 libclang-rt-14-dev libcmocka-dev python3-pytest python3-pytest-xdist openssl sasl2-bin libsasl2-modules gnutls-bin swaks s-nail msmtp curl dovecot-imapd dovecot-lmtpd iproute2 strace procps gdb groff-base valgrind e2fsprogs xfsprogs btrfs-progs $EXIM_LIBRARIES $PEER_LIBRARIES $SERVER_PACKAGES $DNS_PACKAGES"

# need PACKAGE...: makes sure that they are installed; says what to install when it may not.
need()
{
	missing=
	for package in "$@"; do
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
	done
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" != 0 ]; then
		echo "Please install as root:  apt-get install --no-install-recommends$missing" >&2
		exit 1
	fi
	echo "Installing:$missing"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq >/dev/null
	# No service is started by being installed.
	policy=/usr/sbin/policy-rc.d
	if [ -e $policy ]; then
		policy=
	else
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
	fi
	status=0
	apt-get install -y -qq --no-install-recommends $missing >/dev/null || status=$?
	[ -z "$policy" ] || rm -f $policy
	return $status
}
