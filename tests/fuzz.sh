#!/bin/sh
# SPDX-License-Identifier: ISC
# Runs libFuzzer targets of a build with --enable-fuzzers, one after another, each for so many CPU seconds, and only with processor
# time that nobody else wants, so that it may run beside other work for hours; `make fuzz` calls it.
# What finds new ways through the code is minimised and stays in tests/corpus/NAME, as long as it is small; an input that fails stays
# in fuzz-failures/ of the build directory, and the exit status says so.
#
#   tests/fuzz.sh SECONDS CORPUS-DIRECTORY TARGET...
set -u
seconds=$1
corpora=$2
shift 2

longest=2048		# bytes of an input that is kept
most=100		# new inputs that are kept of one run
failures=$PWD/fuzz-failures
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
idle="nice -n 19"
chrt -i 0 true 2>/dev/null && idle="chrt -i 0 $idle"
mkdir -p "$failures"
export TMPDIR="$work"		# targets that need files
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=1"

# merge TARGET FROM TO: adds to TO what of FROM goes ways that nothing in TO goes.
merge()
{
	$idle "./$1" -merge=1 -max_len=$longest -rss_limit_mb=2048 -verbosity=0 "$3" "$2" >"$work/merge.log" 2>&1 || cat "$work/merge.log"
}

# Of the input files of a directory so many, of all sizes.
keep_some()
{
	find "$1" -type f -size -$((longest + 1))c -printf '%s %p\n' | sort -n >"$work/list"
	lines=$(wc -l <"$work/list")
	awk -v n="$lines" -v most=$most 'n <= most || int(NR * most / n) != int((NR - 1) * most / n) { print $2 }' "$work/list" |
	while read -r path; do
		cp "$path" "$2/"
	done
}

# What the children of this shell have used.
cpu_seconds()
{
	awk '{ print int(($16 + $17) / '"$(getconf CLK_TCK)"') }' /proc/$$/stat
}

for target in "$@"; do
	used=$(cpu_seconds)
	name=${target##*/}
	found=$work/$name
	fresh=$work/$name.fresh
	mkdir -p "$found" "$fresh" "$corpora/$name"
	# The timeout is by the clock on the wall, and who has only what nobody else wants may stand still for long.
	options="-rss_limit_mb=2048 -timeout=600 -print_final_stats=1 -max_len=65536 -artifact_prefix=$failures/$name-"
	# Killed by its CPU limit is the usual end: what it found is in files by then.
	(ulimit -S -t "$seconds" && exec $idle "./$target" $options "$found" "$corpora/$name") >"$work/log" 2>&1
	status=$?
	if grep -qE '^SUMMARY: |ERROR: libFuzzer|panic: ' "$work/log" && [ $status != 152 ]; then
		failed=$((failed + 1))
		echo "$name: FAILED, status $status"
		tail -40 "$work/log"
	else
		runs=$(grep -oE '^#[0-9]+' "$work/log" | tail -1)
		echo "$name: $(($(cpu_seconds) - used)) CPU seconds, $runs runs, $(find "$found" -type f | wc -l) inputs found"
	fi
	cp "$corpora/$name"/* "$fresh/" 2>/dev/null
	before=$(find "$fresh" -type f | wc -l)
	merge "$target" "$found" "$fresh"
	for old in "$corpora/$name"/*; do
		rm -f "$fresh/${old##*/}"
	done
	keep_some "$fresh" "$corpora/$name"
	echo "    corpus: $before inputs before, $(find "$corpora/$name" -type f | wc -l) now, $(du -sk --apparent-size "$corpora/$name" | cut -f1) KiB"
done
rmdir "$failures" 2>/dev/null
[ $failed = 0 ]
