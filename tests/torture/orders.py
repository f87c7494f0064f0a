# SPDX-License-Identifier: ISC
"""Orders of an administrator to single messages, while they are on the road: what each order said is held against what came of it."""

import random
import threading

from calls import Calls
from disks import MEGABYTE, small_file_system
from experiment import experiment
from kills import IN_FLIGHT, summary
from scene import BOX, LATER, RELAY, Scene, number_of, wait_until
from troubled_disks import Filler, work_directory

GONE = "gone@relay.example"         # nobody there, says the next hop
# Aliases are not among them: a message for one becomes another one, to which no order was given.
ROUTES = [[RELAY], [RELAY, BOX], [BOX], [LATER], [LATER, BOX], [RELAY, LATER], [LATER, GONE], [GONE, BOX]]
DONE = {"-h": "Placed on hold", "-H": "Released from hold", "-r": "Requeued", "-d": "Deleted", "-e": "Force-expired"}
SOME = 4                # messages that one round gives orders to
BACKLOG = 60            # of deferred mail, more is let through


class Administrator:
    """held: queue id -> the deliveries that it owes, and how many of each there were when it was seen in hold/. deleted: numbers of which
    nothing more is owed. buried: what was held when it was deleted."""

    def __init__(self, scene):
        self.scene, self.dice = scene, scene.dice
        self.held, self.buried, self.deleted = {}, [], set()
        self.given = 0

    def listing(self):
        """queue id -> (number, queue, recipients); without notices."""
        found = {}
        for entry in self.scene.mail.queue_list():
            number = number_of(entry["sender"])
            if number is not None:
                found[entry["queue_id"]] = number, entry["queue_name"], [one["address"] for one in entry["recipients"]]
        return found

    def obeyed(self, option, queue_id):
        """True, False; None: it cannot be known."""
        done = self.scene.mail.command("postsuper", option, queue_id, check=False)
        self.given += 1
        if done.returncode != 0:
            return None
        return f"{DONE[option]}: 1 message" in done.stdout + done.stderr

    # ---- what is held stays ----

    def look_into_hold(self, ids):
        """What has come into hold/ is delivered no more from now on. What is still being delivered is waited for."""
        now = {}

        def settled():
            now.clear()
            now.update(self.listing())
            return all(queue_id not in now or now[queue_id][1] == "hold" for queue_id in ids)
        wait_until(settled, 60, lambda: f"{ids} to be held: {now}\n{self.scene.mail.log_tail()}", pause=0.05)
        numbers = [number for number, _, _ in now.values()]
        came = self.scene.arrivals().delivered
        for queue_id in ids:
            # a death may have made two of it, and of the other nobody said anything
            if queue_id in now and numbers.count(now[queue_id][0]) == 1:
                number, _, recipients = now[queue_id]
                self.held[queue_id] = {(number, to): came.get((number, to), 0) for to in recipients}

    def check(self):
        came = self.scene.arrivals().delivered
        for queue_id, owed in [*self.held.items(), *self.buried]:
            for key, count in owed.items():
                assert came.get(key, 0) == count, (f"seed {self.scene.seed}: {queue_id} was on hold, and {key} arrived ({came.get(key, 0)}, {count})\n"
                                                   + "\n".join(self.scene.mail.log_lines(queue_id)))

    # ---- orders ----

    def hold(self, ids):
        self.look_into_hold([queue_id for queue_id in ids if self.obeyed("-h", queue_id)])

    def free(self, option, ids):
        """Whatever puts an end to being held."""
        self.check()
        for queue_id in ids:
            self.obeyed(option, queue_id)
            self.held.pop(queue_id, None)

    def delete(self, ids):
        self.check()
        at = self.listing()
        for queue_id in ids:
            obeyed = self.obeyed("-d", queue_id)
            owed = self.held.pop(queue_id, None)
            if obeyed is not False and queue_id in at:
                self.deleted.add(at[queue_id][0])
            if obeyed and owed:
                self.buried.append((queue_id, owed))

    def all_at_once(self, option, *queues):
        self.check()
        self.given += 1
        self.scene.mail.command("postsuper", option, "ALL", *queues, check=False)
        if option == "-h":
            self.look_into_hold([queue_id for queue_id, (_, where, _) in self.listing().items() if where == "hold" and queue_id not in self.held])
        else:
            self.held.clear()

    def queue(self, *words):
        self.given += 1
        self.scene.mail.command("postqueue", *words, check=False)

    def one_round(self):
        now = self.listing()
        ids = self.dice.sample(sorted(now), min(len(now), SOME))
        one = ids[:1] or ["4jXN6H4B000z01234"]
        self.dice.choices([lambda: self.hold(ids), lambda: self.free("-H", ids), lambda: self.free("-r", ids), lambda: self.free("-e", one), lambda: self.delete(ids[:2]),
                           lambda: self.all_at_once("-h"), lambda: self.all_at_once("-H"), lambda: self.all_at_once("-r"), lambda: self.all_at_once("-r", "deferred"),
                           lambda: self.queue("-f"), lambda: self.queue("-i", one[0]), lambda: self.queue("-s", LATER.partition("@")[2])],
                          weights=[6, 5, 3, 1, 3, 1, 1, 1, 1, 1, 1, 1])[0]()
        if sum(where == "deferred" for _, where, _ in now.values()) > BACKLOG:
            self.scene.let_through()


class Killer(threading.Thread):
    """Daemons die while orders are given."""

    def __init__(self, scene, programs):
        super().__init__(daemon=True)
        self.mail, self.programs = scene.mail, programs
        self.dice = random.Random(f"{scene.seed} killer")
        self.stop, self.kills = threading.Event(), 0

    def run(self):
        while not self.stop.wait(self.dice.uniform(0.2, 1.5)):
            self.kills += self.mail.kill(self.dice.choice(self.programs))


def give_orders(scene, rounds, programs=(), meanwhile=()):
    """The orders of so many rounds under load, while these programs die and these threads do mischief; what was deleted is owed no more."""
    scene.sink.answers["RCPT"] = lambda text: "550 5.1.1 nobody" if GONE in text else "250 2.1.5 Ok"
    scene.mail.start()
    scene.load(smtp=2, pause=0.05)
    scene.wait_for_promises(10)
    administrator, killer = Administrator(scene), Killer(scene, programs)
    threads = [*meanwhile, *([killer] if programs else [])]
    for thread in threads:
        thread.start()
    for _ in range(rounds):
        administrator.one_round()
        scene.wait_for_promises(1, 90)
    for thread in threads:
        thread.stop.set()
        thread.join(30)
    scene.end_load()
    administrator.all_at_once("-H")
    required = {key for key in scene.ledger.promises() if key[0] not in administrator.deleted}
    # again and again: what was told to a queue manager that died before it answered may be carried out now
    extra = scene.settle(required, duplicates=killer.kills * IN_FLIGHT, torn=killer.kills, timeout=150, commands=[("postsuper", "-H", "ALL"), ("postqueue", "-f")])
    administrator.check()
    return f"{administrator.given} orders, {killer.kills} killed, {len(administrator.deleted)} deleted, {summary(scene, extra)}"


@experiment("orders", rounds=150, short=8)
def orders(seed, rounds):
    """hold, release, requeue, expire, delete, flush for single messages on the road: what is held stays, and nothing comes twice"""
    with Scene(seed, routes=ROUTES) as scene:
        return give_orders(scene, rounds)


@experiment("orders-and-deaths", rounds=150)
def orders_and_deaths(seed, rounds):
    """the same while daemons die: what was held is on hold, and stays there, whoever dies"""
    with Scene(seed, routes=ROUTES) as scene:
        return give_orders(scene, rounds, ["qmgr", "qmgr", "smtp", "virtual", "cleanup", "pickup", "bounce"])


@experiment("orders-on-a-full-disk", rounds=100)
def orders_on_a_full_disk(seed, rounds):
    """the same while the queue's file system is full, again and again: what cannot be moved, copied or written stays whole where it is"""
    with work_directory() as work, Scene(seed, routes=ROUTES) as scene:
        with small_file_system("ext4", work, scene.mail.queue, 48 * MEGABYTE):
            words = give_orders(scene, rounds, meanwhile=[Filler(scene, scene.mail.queue, 48 * MEGABYTE)])
            scene.mail.stop()
    return words


@experiment("requeued-and-not-removed", rounds=3, short=1)
def requeued_and_not_removed(seed, rounds):
    """the original of a requeued message cannot be removed, with the queue manager and without: it comes once all the same"""
    with Scene(seed, routes=[[LATER]], environment={"LD_PRELOAD": "", "TORTURE_CALLS": ""}) as scene:
        calls = Calls(scene.mail.root / "calls")
        scene.mail.environment.update(calls.environment())
        scene.mail.start()
        for program in ("qmgr", "postsuper") * rounds:
            scene.load(smtp=1, sendmail=0)
            scene.wait_for_promises(5)
            scene.end_load()
            scene.wait_until_all_is_deferred()
            if program == "postsuper":
                scene.mail.stop()
            calls.fail(program, "unlinkat")
            scene.mail.command("postsuper", "-r", "ALL", check=False)
            assert calls.has_failed(), f"seed {seed}: {program} removed nothing\n{scene.mail.log_tail()}"
            calls.withdraw()
            if not scene.mail.running:
                scene.mail.start()
        return summary(scene, scene.settle())
