# SPDX-License-Identifier: ISC
"""What people and other hosts do to a running server: commands on its queue, things put there by hand, signals, next hops that break off."""

import os
import signal
import threading
import time

from experiment import experiment
from kills import IN_FLIGHT, summary
from scene import Scene, wait_until

# ---- commands on the queue ----

ORDERS = [["postsuper", "-h", "ALL"], ["postsuper", "-H", "ALL"], ["postsuper", "-r", "ALL"], ["postsuper", "-r", "ALL", "deferred"], ["postsuper", "-s"],
          ["postsuper"], ["postqueue", "-f"], ["postqueue", "-p"], ["postqueue", "-s", "later.example"]]


@experiment("queue-commands", rounds=200, short=4)
def queue_commands(seed, rounds):
    """postsuper and postqueue hold, release, requeue, check and flush under load, while daemons die now and then"""
    with Scene(seed) as scene:
        scene.mail.start()
        scene.load(smtp=2, pause=0.01)
        kills = 0
        for number in range(rounds):
            scene.mail.command(*scene.dice.choice(ORDERS), check=False)
            if number % 5 == 4:
                kills += scene.mail.kill(scene.dice.choice(["qmgr", "cleanup", "bounce", "smtp"]))
            scene.wait_for_promises(1, 90)
        scene.end_load()
        scene.mail.command("postsuper", "-H", "ALL")
        return summary(scene, scene.settle(duplicates=kills * IN_FLIGHT, torn=kills, timeout=150))


# ---- things put there by hand ----

def put_things(place, dice):
    """None of it is a message. Names are those of messages, or not even that."""
    names = [f"4jXN6H4B{dice.randrange(36 ** 3):03d}z0{dice.randrange(10 ** 4):04d}" for _ in range(6)] + ["of\nany name", ".hidden", "x" * 200, "-rf"]
    made = []
    for number, name in enumerate(names):
        path = place / name
        if path.exists() or path.is_symlink():
            continue
        if number % 6 == 0:
            path.symlink_to("/etc/passwd")
        elif number % 6 == 1:
            os.mkfifo(path)
        elif number % 6 == 2:
            path.mkdir()
        elif number % 6 == 3:
            path.symlink_to(place / "nowhere")
        else:
            with path.open("xb") as file:               # by descriptor: who reads the directory may have moved it to corrupt/ already
                file.write(dice.randbytes(dice.choice([0, 10, 5000])))
                os.fchmod(file.fileno(), dice.choice([0o000, 0o600, 0o700, 0o644]))
                if os.geteuid() == 0:
                    os.fchown(file.fileno(), dice.randrange(3), 0)
        made.append(path)
    return made


@experiment("put-by-hand", rounds=20, short=1)
def put_by_hand(seed, rounds):
    """links, pipes, directories and nonsense in the queue's directories: nobody hangs, nothing of it is mail"""
    with Scene(seed) as scene:
        scene.mail.start()
        scene.load(smtp=2, pause=0.01)
        for number in range(rounds):
            for name in ("incoming", "deferred", "hold", "maildrop", "corrupt", "intake"):
                put_things(scene.mail.queue / name, scene.dice)
            scene.mail.kill("qmgr")                     # the next one reads what there is
            for command in (["postqueue", "-j"], ["postsuper"], ["postsuper", "-r", "ALL"], ["postqueue", "-f"]):
                scene.mail.command(*command, check=False, timeout=60)
            scene.wait_for_promises(5, 90)
        scene.end_load()
        extra = scene.settle(duplicates=rounds * IN_FLIGHT, corrupt=10 ** 9)
        return summary(scene, extra)


# ---- signals for who submits ----

class Nuisance(threading.Thread):
    """Sends signals to the submitting programs of one scene."""

    def __init__(self, scene):
        super().__init__(daemon=True)
        self.scene, self.stop, self.sent = scene, threading.Event(), 0

    def victims(self):
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit():
                continue
            try:
                program = os.path.basename(os.readlink(f"/proc/{entry.name}/exe"))
                if program in ("postdrop", "sendmail") and str(self.scene.mail.etc).encode() in open(f"/proc/{entry.name}/environ", "rb").read():
                    yield int(entry.name)
            except OSError:
                continue

    def run(self):
        while not self.stop.wait(0.002):
            for pid in self.victims():
                if self.scene.dice.random() < 0.3:
                    try:
                        os.kill(pid, self.scene.dice.choice([signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT, signal.SIGKILL]))
                        self.sent += 1
                    except ProcessLookupError:
                        pass


@experiment("signalled-submission", rounds=200)
def signalled_submission(seed, rounds):
    """sendmail and postdrop get signals while they write: exit status 0 only for what is queued, and never half a message"""
    with Scene(seed) as scene:
        scene.mail.start()
        nuisance = Nuisance(scene)
        nuisance.start()
        scene.load(smtp=0, sendmail=4)
        wait_until(lambda: nuisance.sent >= rounds, 30 + rounds, lambda: f"{rounds} signals, {nuisance.sent} were sent", pause=0.05)
        nuisance.stop.set()
        nuisance.join(30)
        scene.end_load()
        extra = scene.settle()
        return f"{nuisance.sent} signals, {summary(scene, extra)}"


# ---- next hops ----

def break_off(scene):
    """Every tenth answer is a delay, a temporary refusal, or the end of the connection; after the dot also of a message that was kept."""
    defaults = {"connect": "220 sink.example ESMTP", "MAIL": "250 2.1.0 Ok", "RCPT": "250 2.1.5 Ok", "DATA": "354 go on", ".": "250 2.0.0 Ok: kept"}
    lost = []

    def answer_for(stage, default):
        def answer(what):
            roll = scene.dice.randrange(60)
            if roll == 0:
                return None
            if roll == 1:
                return "421 4.3.2 not now"
            if roll == 2:
                return "451 4.3.0 not this one"
            if roll == 3:
                time.sleep(0.3)
            if roll == 4 and stage == ".":
                with scene.sink.lock:
                    scene.sink.messages.append(what)
                lost.append(what)
                return None
            return default
        return answer

    scene.sink.answers = {stage: answer_for(stage, default) for stage, default in defaults.items()}
    return lost


@experiment("next-hop-breaks-off", rounds=10)
def next_hop_breaks_off(seed, rounds):
    """the next hop closes, refuses and stalls at every stage, also after it has kept a message: that one alone comes twice"""
    with Scene(seed) as scene:
        lost = break_off(scene)
        scene.mail.start()
        scene.load(smtp=2)
        scene.wait_for_promises(100 * rounds, 30 * rounds)
        scene.end_load()
        scene.sink.answers = {}
        extra = scene.settle(duplicates=sum(len(message.recipients) for message in lost), timeout=150)
        return f"{len(lost)} answers lost, {summary(scene, extra)}"
