#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Postroad beside Postfix (Debian's packages, unpacked, not installed), in one run: same work, same durability, both logging.

    make bench [BENCH="--rounds 5 --secs 3 relay20 maildir"]

Rounds of the systems alternate, so that disturbance hits all alike; ratios are taken per round and reduced to the median.
CPU is that of all processes of a system, dead ones included (cpuacct cgroup, else /proc), not of source and sink. Needs root: Postfix does.
Every figure of every round goes to a JSON file, the ratios to an SVG plot beside it.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests" / "system"))
from instance import BUILD  # noqa: E402
from report import summary, svg, table  # noqa: E402
from systems import SYSTEMS  # noqa: E402
from works import EVERYDAY, WORKS, Costs  # noqa: E402


def measure(work, options, wanted, scratch):
    systems = work.systems(scratch, wanted)
    results = {one.label: [] for one in systems}
    started = []
    try:
        for one in systems:
            started.append(one)
            one.start()
        sizes = {one.label: work.size(one, options.secs) for one in systems}        # warms up too
        for number in range(work.fixed_rounds or options.rounds):
            for one in systems if number % 2 == 0 else reversed(systems):
                results[one.label].append(work.round(one, sizes[one.label]))
    finally:
        for one in started:
            one.stop()
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="works:\n" + "\n".join(f"  {name:16} {work.what}" for name, work in WORKS.items()))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--secs", type=float, default=2, help="how long a round takes, about")
    parser.add_argument("--systems", default="postfix,postroad,opensmtpd,exim", help="of those that can do the work")
    parser.add_argument("--calls", action="store_true", help="count system calls too (perf), which costs a little time")
    parser.add_argument("--json", type=Path, default=BUILD / "bench.json")
    parser.add_argument("works", nargs="*", metavar="WORK", help="default: all but those that take many minutes")
    options = parser.parse_args()
    unknown = [name for name in options.works if name not in WORKS]
    if unknown:
        parser.error(f"no such work: {' '.join(unknown)}")
    wanted = set(options.systems.split(","))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))       # so that what was started is stopped
    Costs.count_calls = options.calls
    for name in wanted - {"postroad"}:
        SYSTEMS[name].unpack()
    everything = {}
    with tempfile.TemporaryDirectory(prefix="postroad-bench-") as scratch:
        os.chmod(scratch, 0o755)
        for name in options.works or EVERYDAY:
            everything[name] = WORKS[name], measure(WORKS[name], options, wanted, scratch)
            print(table(name, *everything[name]), flush=True)
            options.json.write_text(json.dumps({name: rounds for name, (_, rounds) in everything.items()}, indent=1))
    print(summary(everything))
    title = f"Postroad against its base, {time.strftime('%Y-%m-%d')}, {os.cpu_count()} CPUs: times better"
    options.json.with_suffix(".svg").write_text(svg(everything, title))
    print(f"{options.json}, {options.json.with_suffix('.svg')}")


if __name__ == "__main__":
    main()
