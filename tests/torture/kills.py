# SPDX-License-Identifier: ISC
"""SIGKILL under load: one daemon at random, the supervisor, everything at once."""

import os
import signal

from experiment import experiment
from scene import Scene
from wide import SERVICES, WideScene

KILLABLE = ["smtpd", "cleanup", "qmgr", "smtp", "lmtp", "bounce", "virtual", "local", "pipe", "pickup", "error", "discard", "resolver", "proxymap", *SERVICES]
# What an agent had delivered, and qmgr had not yet recorded, when one of them died is delivered again: at most what one destination
# has under way, to the next hop and to each mailbox.
IN_FLIGHT = 60


def summary(scene, extra):
    return f"{len(scene.ledger.promised)} promised, {scene.ledger.refused} refused, {extra} duplicates"


@experiment("kill-daemons", rounds=300, short=15)
def kill_daemons(seed, rounds):
    """a daemon at random is killed, again and again"""
    with WideScene(seed) as scene:
        scene.mail.start()
        scene.load()
        scene.wait_for_promises(20)
        kills = 0
        for _ in range(rounds):
            victim = scene.some_process(KILLABLE)
            if victim:
                os.kill(victim[0], signal.SIGKILL)
                kills += 1
            scene.wait_for_promises(scene.dice.randrange(1, 30), 60)
        scene.end_load()
        extra = scene.settle(duplicates=kills * IN_FLIGHT, torn=kills)
        assert kills > rounds // 2
        return f"{kills} killed, {summary(scene, extra)}"


@experiment("kill-everything", rounds=100, short=4)
def kill_everything(seed, rounds):
    """supervisor and all daemons die at the same instant"""
    with Scene(seed) as scene:
        for number in range(rounds):
            scene.mail.start()
            scene.load()
            scene.wait_for_promises(scene.dice.randrange(1, 80))
            scene.mail.kill_everything()
            scene.end_load()
        scene.mail.start()
        extra = scene.settle(duplicates=rounds * IN_FLIGHT, torn=rounds)
        return summary(scene, extra)


@experiment("kill-master", rounds=40, short=2)
def kill_master(seed, rounds):
    """the supervisor dies alone; its daemons follow, and a new one starts"""
    with Scene(seed) as scene:
        for number in range(rounds):
            scene.mail.start()
            scene.load()
            scene.wait_for_promises(scene.dice.randrange(1, 80))
            scene.kill_master()
            scene.end_load()
        scene.mail.start()
        extra = scene.settle(duplicates=rounds * IN_FLIGHT, torn=rounds)
        return summary(scene, extra)
