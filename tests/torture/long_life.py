# SPDX-License-Identifier: ISC
"""Processes that live long: what they hold must not grow with what they have done."""

import contextlib
from pathlib import Path

from experiment import Skip, experiment
from instance import SANITIZED, children_of
from toll import descriptors, kib
from wide import WideScene

PROMISES = 300          # a round
MOST_GROWTH = 1024      # KiB since a third of the rounds
MOST_DESCRIPTORS = 8


def sometimes_later(dice):
    return lambda argument: "451 4.3.0 later" if dice.random() < 0.1 else "250 2.1.5 Ok"


def held(scene):
    """{(process, program): (KiB of memory of its own, descriptors)} while nothing is under way."""
    master = scene.mail.master_pid()
    found = {}
    for pid in [master, *children_of(master)]:
        with contextlib.suppress(OSError):      # it has just ended: compare() misses it if it had been there before
            found[pid, Path(f"/proc/{pid}/comm").read_text().strip()] = kib(pid, "RssAnon"), descriptors(pid)
    return found


def compare(scene, then, now):
    """The largest growth in KiB."""
    gone = then.keys() - now.keys()
    assert not gone, f"no longer there: {gone}\n{scene.mail.log_tail()}"
    for process, (memory, files) in then.items():
        assert now[process][0] - memory <= MOST_GROWTH, f"{process} held {memory} KiB and now {now[process][0]}"
        assert now[process][1] - files <= MOST_DESCRIPTORS, f"{process} had {files} descriptors and now {now[process][1]}"
    return max(now[process][0] - then[process][0] for process in then)


@experiment("long-life", rounds=100)
def long_life(seed, rounds):
    """the same processes serve round after round, and hold at most 1 MiB and 8 descriptors more at the end than after a third"""
    if SANITIZED:
        raise Skip("sanitizers keep what was freed")
    with WideScene(seed) as scene:
        scene.sink.answers["RCPT"] = sometimes_later(scene.dice)
        scene.release()
        scene.mail.start()
        for number in range(rounds):
            scene.load()
            scene.wait_for_promises(PROMISES)
            scene.end_load()
            scene.settle(reload=False)
            scene.forget()
            if number == rounds // 3:
                then = held(scene)
        growth = compare(scene, then, held(scene))
        return f"{rounds} rounds of {PROMISES} promises, {len(then)} processes, at most {growth} KiB more"
