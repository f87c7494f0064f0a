# SPDX-License-Identifier: ISC
# The Debian packages that building and testing need; sourced by ./try and ./check.
BUILD_PACKAGES="gcc make autoconf automake pkg-config libssl-dev libdb5.3-dev libpcre2-dev libevent-dev libunbound-dev"
TRY_PACKAGES="python3 swaks"
CHECK_PACKAGES="clang-14 libclang-rt-14-dev libcmocka-dev python3-pytest openssl swaks s-nail msmtp dovecot-imapd dovecot-lmtpd iproute2 strace"

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
	apt-get install -y -qq --no-install-recommends $missing >/dev/null
}
