#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Proof that nothing is lost: faults of every kind under load, and a ledger that is compared afterwards.

    make torture                                            every experiment once, seeds from the clock
    make torture TORTURE="power-ext4 --seed 7 --rounds 50"  these, so often, from that seed
    make torture TORTURE=--list                             what there is

Each round prints its seed; the same seed chooses the same messages and the same faults again (not the same instant: the machine has
its own mind). Experiments that need root, loop devices or a build with --enable-failpoints say so and are skipped where there is none.
"""

import argparse
import importlib
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import experiment                                       # noqa: E402

ROOMS = ["kills", "failpoints", "power", "troubled_disks", "failing_calls", "oddities", "meddling", "orders", "surroundings", "long_life"]


def all_experiments():
    for room in ROOMS:
        importlib.import_module(room)
    return experiment.TABLE


def run(one, seed, rounds):
    """True: it held or could not be tried here."""
    started = time.monotonic()
    try:
        words = one.run(seed, rounds)
    except experiment.Skip as reason:
        print(f"skip  {one.name}: {reason}", flush=True)
        return True
    except Exception:
        traceback.print_exc()
        print(f"FAIL  {one.name} --seed {seed} --rounds {rounds}", flush=True)
        return False
    print(f"ok    {one.name} --seed {seed} --rounds {rounds}: {words} ({time.monotonic() - started:.0f} s)", flush=True)
    return True


def main():
    table = all_experiments()
    parser = argparse.ArgumentParser(description="Faults under load, and nothing lost.")
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--rounds", type=int, help="instead of the experiment's own number")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        for one in table.values():
            print(f"{one.name:18} {one.rounds:4} rounds  {one.what}")
        return 0
    unknown = [name for name in options.experiments if name not in table]
    if unknown:
        parser.error(f"there is no experiment {' '.join(unknown)}; see --list")
    chosen = [table[name] for name in options.experiments] or list(table.values())
    print(f"seed {options.seed}", flush=True)
    bad = [one.name for one in chosen if not run(one, options.seed, options.rounds or one.rounds)]
    print(f"{len(chosen) - len(bad)} held, {len(bad)} failed{': ' if bad else ''}{' '.join(bad)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
