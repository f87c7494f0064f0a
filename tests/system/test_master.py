# SPDX-License-Identifier: ISC
"""The supervisor, with a daemon of the tests' own (echod.c) behind the rows of master.cf."""

import contextlib
import os
import re
import resource
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from foreground import listens
from instance import BUILD, COMMANDS, DAEMONS, PATIENCE, SANITIZED, Instance, free_port, wait_until

ECHOD = BUILD / "tests/system/echod"
STANDS_FOR = ("smtpd", "blocker", "qmgr", "pickup", "error")


class Echo(Instance):
    """An instance whose daemons are echod, but for master and postlogd."""

    def __init__(self, rows="", stands_for=STANDS_FOR, **options):
        super().__init__(**options)
        self.rows = rows
        self.programs = self.root / "programs"
        self.programs.mkdir()
        for name in ("master", "postlogd"):
            (self.programs / name).symlink_to(DAEMONS / name)
        for name in stands_for:
            (self.programs / name).symlink_to(ECHOD)
        self.main["daemon_directory"] = self.programs
        self.main.update(options.get("main") or {})

    def master_cf(self):
        return f"{self.address}:{self.smtp_port} inet n - n - {self.smtpd_limit} smtpd\npostlog unix-dgram n - n - 1 postlogd\n{self.rows}"

    def talk(self, where=None):
        return Talk(where if where is not None else self.smtp_port, self)


class Talk:
    """A connection to echod: ask("pid") is the answer."""

    def __init__(self, where, instance):
        if isinstance(where, int):
            self.socket = socket.create_connection((instance.address, where), timeout=60 * PATIENCE)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(60 * PATIENCE)
            self.socket.connect(str(instance.queue / where))
        self.file = self.socket.makefile("rw")
        if isinstance(where, int):
            assert self.file.readline().startswith("hello from"), "no greeting"

    def tell(self, line):
        self.file.write(line + "\n")
        self.file.flush()

    def ask(self, line):
        self.tell(line)
        answer = self.file.readline()
        assert answer.endswith("\n"), f"{line}: the connection ended"
        return answer.strip()

    def pid(self):
        return int(self.ask("pid"))

    def close(self):
        self.file.close()
        self.socket.close()


@pytest.fixture
def echo():
    made = []

    def make(rows="", start=True, **options):
        one = Echo(rows, **options)
        made.append(one)
        if start:
            one.start()
        return one

    yield make
    for one in made:
        one.close()


def test_start_returns_when_connections_are_taken(echo):
    one = echo()
    assert one.talk().ask("hallo") == "hallo"
    assert one.wait_for_log(r"postfix/master\[\d+\]: daemon started -- version \S+, configuration ")


def test_a_process_is_started_by_its_first_client_and_serves_many(echo):
    one = echo("a unix n - n - 50 smtpd\n", main={"worker_processes": "1"})
    assert one.pids("smtpd") == []
    talks = [one.talk("public/a") for _ in range(20)]
    assert len({talk.pid() for talk in talks}) == 1
    assert talks[0].ask("limit") == "50"


def test_worker_processes_share_the_clients(echo):
    one = echo("a unix n - n - 41 smtpd\n", main={"worker_processes": "3"})
    talks = []
    pids = set()

    def all_three_serve():
        talks.append(one.talk("public/a"))
        pids.add(talks[-1].pid())
        return len(pids) == 3

    wait_until(all_three_serve, 30, "three processes")
    assert sorted(one.pids("smtpd")) == sorted(pids)
    assert sorted({talk.pid(): talk.ask("limit") for talk in talks}.values()) == ["13", "14", "14"]      # 41


def test_at_a_port_a_second_process_comes_when_the_first_has_a_processor_to_itself(echo):
    one = echo(main={"worker_processes": "2"})
    talks = [one.talk() for _ in range(12)]
    assert len({talk.pid() for talk in talks}) == 1

    with contextlib.suppress(PermissionError):      # on a busy machine nobody else has one to himself
        os.sched_setscheduler(talks[0].pid(), os.SCHED_RR, os.sched_param(1))

    def two_serve():
        talks[0].tell("spin 300")               # who comes meanwhile is for the second one, if there is one
        talks.append(one.talk())
        return talks[-1].pid() != int(talks[0].file.readline())

    wait_until(two_serve, 120, "a second process")
    assert len(one.pids("smtpd")) == 2


def test_one_session_per_process_when_asked_for(echo):
    one = echo("a unix n - n - 5 smtpd\n", main={"worker_session_limit": "1"})
    talks = [one.talk("public/a") for _ in range(5)]
    assert len({talk.pid() for talk in talks}) == 5
    sixth = one.talk("public/a")            # accepted by nobody, but not refused
    sixth.tell("pid")
    sixth.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        sixth.socket.recv(1)
    freed = talks[2].pid()
    talks[2].close()
    sixth.socket.settimeout(60 * PATIENCE)
    assert int(sixth.socket.recv(20)) == freed


def test_one_at_a_time_programs_get_a_process_per_client(echo):
    one = echo("a unix n n n - 3 blocker\n")
    talks = [one.talk("public/a") for _ in range(3)]
    pids = [talk.pid() for talk in talks]
    assert len(set(pids)) == 3
    talks[1].close()
    assert one.talk("public/a").pid() == pids[1]


def test_reaching_the_limit_is_said(echo):
    one = echo(smtpd_limit="2", main={"worker_processes": "2"})
    talks = [one.talk() for _ in range(2)]
    assert len({talk.pid() for talk in talks}) == 2
    one.wait_for_log(r"warning: service \"127.0.0.1:\d+\" \(\S+\) has reached its process limit \"2\"")


def test_processes_that_share_clients_take_no_more_than_the_limit(echo):
    one = echo(smtpd_limit="4", main={"worker_processes": "3"})
    talks = [one.talk() for _ in range(4)]
    one.wait_for_log(r"has reached its process limit \"4\"")
    first = talks[0].pid()
    left = [talk for talk in talks if talk.pid() != first]
    os.kill(first, signal.SIGKILL)      # what it had is the next one's
    one.wait_for_log(rf"smtpd pid {first} killed by signal 9")
    left += [one.talk() for _ in range(2)]
    assert sorted({talk.pid(): talk.ask("limit") for talk in left}.values()) == ["1", "1", "2"]


def test_inherited_facts_about_a_connection(echo):
    one = echo("a unix n - n - - smtpd\nb unix - - n - - smtpd\n")
    uid = os.geteuid()
    assert one.talk("public/a").ask("peer") == f"{uid} public"
    assert one.talk("private/b").ask("peer") == f"{uid} private"


def test_overrides_of_a_row_reach_the_program(echo):
    one = echo("a unix n - n - - smtpd -o syslog_name=postfix/$service_name -o { mail_name = Two Words }\n")
    talk = one.talk("public/a")
    assert talk.ask("conf mail_name") == "Two Words"
    assert talk.ask("conf syslog_name") == "postfix/a"


def test_a_death_is_named_and_the_next_client_is_served(echo):
    one = echo()
    talk = one.talk()
    pid = talk.pid()
    talk.tell("exit 7")
    one.wait_for_log(rf"warning: process \S+/smtpd pid {pid} exit status 7")
    again = one.talk()
    assert again.pid() != pid
    pid = again.pid()
    os.kill(pid, signal.SIGKILL)
    one.wait_for_log(rf"warning: process \S+/smtpd pid {pid} killed by signal 9")
    assert one.talk().ask("x") == "x"
    assert not one.log_lines("throttling")


SLOW_TO_LOOK = """
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

pid_t waitpid(pid_t pid, int *status, int options)
{
	pid_t found = wait4(pid, status, options, 0);

	if (found == 0)
		usleep(300000);
	return found;
}
"""


@pytest.mark.skipif(SANITIZED, reason="a preloaded library and the sanitizers exclude each other")
def test_who_dies_just_when_master_has_looked_for_the_dead_is_not_overlooked(echo, tmp_path):
    """Its line to master is closed a moment before it is dead; master may look, and find nobody, in between."""
    one = echo("s unix n - n - 1 foreign\n", start=False)
    library, started = tmp_path / "slow.so", one.root / "started"
    subprocess.run([os.environ.get("CC", "cc"), "-x", "c", "-shared", "-fPIC", "-o", library, "-"], input=SLOW_TO_LOOK, text=True, check=True)
    for name, script in (("master", f"LD_PRELOAD={library} exec {DAEMONS / 'master'} \"$@\""),
                         ("foreign", f"echo >>{started}; sleep 1; exec 3>&-; sleep 0.1")):
        program = one.programs / name
        program.unlink(missing_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    one.start()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(one.queue / "public/s"))
        wait_until(lambda: started.exists() and len(started.read_text()) >= 2, 30, "the next process for a client that still waits")


def test_master_hears_of_its_dead_when_started_by_who_ignores_his(echo):
    one = echo(start=False)
    one.write()
    subprocess.run([COMMANDS / "postroad", "-c", one.etc, "start"], check=True, capture_output=True,
                   preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    one.running = True
    pid = one.talk().pid()
    os.kill(pid, signal.SIGKILL)
    one.wait_for_log(rf"warning: process \S+/smtpd pid {pid} killed by signal 9")
    assert one.talk().pid() != pid


def test_what_the_starter_has_open_is_not_kept_open(echo):
    """A script that holds a lock, or an installer that waits for the end of a pipe."""
    one = echo(start=False)
    one.write()
    ours, theirs = os.pipe()
    subprocess.run([COMMANDS / "postroad", "-c", one.etc, "start"], check=True, capture_output=True, pass_fds=[theirs])
    one.running = True
    one.talk().pid()
    os.close(theirs)
    os.set_blocking(ours, False)
    assert os.read(ours, 1) == b""      # nobody else could write to it
    os.close(ours)


def test_how_large_files_may_be_is_not_for_the_starter_to_say(echo):
    one = echo(start=False)
    one.write()
    subprocess.run([COMMANDS / "postroad", "-c", one.etc, "start"], check=True, capture_output=True,
                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 30)))
    one.running = True
    limits = Path(f"/proc/{one.talk().pid()}/limits").read_text()
    assert re.search(r"Max file size +(\w+)", limits)[1] in ("unlimited", str(1 << 30))     # as far as our rights go


def test_a_program_that_cannot_start_rests(echo):
    one = echo("a unix n - n - - error\n", main={"service_throttle_time": "2s"})
    client = one.talk("public/a")
    one.wait_for_log(r"warning: process \S+/error pid \d+ exit status 70")
    one.wait_for_log(r"warning: \S+/error: bad command startup -- throttling")
    one.wait_for_log("exit status 70", count=2, timeout=30)       # tried again after its rest: the client still waits
    times = [sum(int(part) * unit for part, unit in zip(line[7:15].split(":"), (3600, 60, 1))) for line in one.log_lines("exit status 70")]
    assert (times[1] - times[0]) % 86400 >= 1
    client.close()


def test_a_program_that_is_not_there_closes_the_door_and_says_so_once(echo):
    one = echo("a inet n - n - - qmqpd\nb unix n - n - - smtpd\n".replace("a inet", f"127.0.0.1:{free_port()} inet"))
    port = int(re.search(r"127.0.0.1:(\d+) inet n - n - - qmqpd", one.rows).group(1))
    for _ in range(5):
        client = socket.create_connection(("127.0.0.1", port), timeout=10)
        assert client.recv(1) == b""
    lines = one.wait_for_log(r"needs the program qmqpd, which is not in")
    assert len(lines) == 1
    assert one.talk("public/b").ask("alive") == "alive"


def test_a_service_that_is_done_in_process_has_no_socket(echo):
    one = echo("rewrite unix - - n - - trivial-rewrite\nscache unix - - n - 1 scache\n")
    assert not (one.queue / "private/rewrite").exists()
    assert not (one.queue / "private/scache").exists()


def test_reload_keeps_sessions_and_refuses_nobody(echo):
    one = echo("a unix n - n - - smtpd\n")
    old = one.talk()
    pid = old.pid()
    for round in range(5):
        one.reload()
        assert old.pid() == pid                 # the session lives on in its old process
        new = one.talk()
        assert new.pid() != pid
        assert one.talk("public/a").ask("x") == "x"
    assert len(one.wait_for_log(r"reload -- version", count=5)) == 5
    old.close()
    wait_until(lambda: pid not in one.pids("smtpd"), 30, "the old process ends with its last session")


def test_reload_under_load_refuses_no_connection(echo):
    one = echo("a unix n - n - 0 smtpd\n", smtpd_limit="0")
    reloads = 0
    done = 0
    reloading = None
    while reloads <= 10 or done <= 100:
        if reloading is None or reloading.poll() is not None:
            assert reloading is None or reloading.returncode == 0
            reloading = subprocess.Popen([COMMANDS / "postroad", "-c", one.etc, "reload"])
            reloads += 1
        talk = one.talk()
        assert talk.ask("x") == "x"             # a session that was accepted is served
        talk.close()
        done += 1
    assert reloading.wait(60 * PATIENCE) == 0


def test_reload_reads_main_cf_for_services_whose_row_did_not_change(echo):
    one = echo()
    assert one.talk().ask("conf mail_name") == "Postroad"
    one.set(mail_name="Changed")
    one.reload()
    assert one.talk().ask("conf mail_name") == "Changed"


def test_reload_with_a_mistake_changes_nothing(echo):
    one = echo()
    talk = one.talk()
    pid = talk.pid()
    with (one.etc / "master.cf").open("a") as table:
        table.write("broken row\n")
    done = one.command("postroad", "reload", check=False)
    assert done.returncode != 0
    assert "master.cf, line 3" in done.stderr
    one.wait_for_log(r"reload: \S+master.cf, line 3")
    assert talk.pid() == pid and one.talk().pid() == pid


def test_who_asks_for_a_reload_does_not_wait_for_an_answer_that_cannot_be_written(echo):
    one = echo()
    one.stop()
    (one.queue / "pid/master.reload").unlink()
    (one.queue / "pid/master.reload").mkdir()
    one.start()
    done = one.command("postroad", "reload", check=False, timeout=60)       # 90 s would be its patience
    assert done.returncode == 75 and "see the log" in done.stderr
    one.wait_for_log("reload -- version")
    assert "is running" in one.command("postroad", "status").stderr


def test_a_reload_whose_predecessor_could_not_be_written_down_is_answered(echo):
    one = echo()
    os.truncate(one.queue / "pid/master.reload", 0)         # as master leaves it on a full disk
    one.reload()
    one.settle_log()
    assert len(one.log_lines("reload -- version")) == 1


def test_start_says_what_a_service_will_stumble_over_at_its_first_client(instance):
    one = instance(start=False, main={"smtpd_client_restrictions": "reject_everything"},
                   master=f"127.0.0.1:{free_port()} inet n - n - - smtpd -o syslog_name=postfix/another\n")
    one.write()
    said = one.command("postroad", "start").stderr
    one.running = True
    words = r'warning: \S+main\.cf, line \d+: smtpd_client_restrictions: unknown restriction "reject_everything"'
    assert len(re.findall(words, said)) == 1, said          # of two that stumble over it
    one.wait_for_log(f"postroad\\[\\d+\\]: {words}")
    assert not one.log_lines(r"smtpd\[\d+\]: fatal")


def test_a_service_that_is_disabled_may_be_wrong(instance):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        row = f"127.0.0.1:{taken.getsockname()[1]}"
        one = instance(start=False, master=f"{row} inet n - n - - smtpd -o smtpd_client_restrictions=reject_everything\n"
                                                    "later unix - - n - - nosuch\n",
                       main={"master_service_disable": f"{row}/inet later/unix"})
        one.write()
        one.running = True
        assert "reject_everything" not in one.command("postroad", "start").stderr
        one.reload()
        said = one.command("postroad", "lint", check=False).stderr
        assert row not in said and "no program" not in said


def test_a_reload_is_refused_when_a_daemon_could_not_start_with_it(instance):
    one = instance()                        # nobody serves yet: a process that starts later has the configuration of before
    for change, reason in (({"smtpd_client_restrictions": "reject_everything"}, "smtpd_client_restrictions: unknown restriction \"reject_everything\""),
                           ({"transport_maps": "nosuchtype:table"}, "nosuchtype"),
                           ({"smtpd_timeout": "for ever"}, "smtpd_timeout = for ever")):
        before = dict(one.main)
        one.set(**change)
        done = one.command("postroad", "reload", check=False)
        assert done.returncode == 78 and re.search(reason, done.stderr), (done.returncode, done.stderr)
        one.wait_for_log(rf"reload: .*{reason}")
        with one.client() as client:
            assert client.noop()[0] == 250
        one.main = before
    one.write()
    one.reload()
    with one.client() as client:
        assert client.noop()[0] == 250
    assert not one.log_lines(r"smtpd\[\d+\]: fatal")


def test_reload_opens_and_closes_services(echo):
    port = free_port()
    one = echo("a unix n - n - - smtpd\n")
    one.rows = f"b unix - - n - - smtpd\n127.0.0.1:{port} inet n - n - - smtpd\n"
    one.write()
    one.reload()
    assert not (one.queue / "public/a").exists()
    assert one.talk("private/b").ask("x") == "x"
    assert one.talk(port).ask("x") == "x"


def test_of_two_rows_for_a_service_it_is_said_that_the_later_one_counts(echo):
    one = echo("a unix n - n - - nosuch\na unix n - n - - smtpd\n")
    said = r'warning: duplicate master.cf entry for service "a" \(lines 3 and 4\) -- using the last entry'
    one.stop()
    started = one.command("postroad", "start")              # there is no log yet
    one.running = True
    assert re.search(said, started.stderr)
    assert one.talk("public/a").ask("x") == "x"
    one.reload()
    one.wait_for_log(r"master\[\d+\]: " + said)


def test_a_singleton_starts_again_only_when_its_predecessor_has_gone(echo):
    one = echo("q unix n - n - 1 pickup\n", main={"stop_time_limit": "2s"})
    first = one.pids("pickup")
    assert len(wait_until(lambda: one.pids("pickup"), 30, "pickup runs without a client")) == 1
    talk = one.talk("public/q")
    pid = talk.pid()
    assert first in ([], [pid])
    one.reload()

    def successor_answers():                    # the old one may still take a client before it hears of the reload
        assert len(one.pids("pickup")) <= 1
        client = one.talk("public/q")
        try:
            return client.pid() != pid
        except (OSError, AssertionError):       # accepted and then sent away
            return False

    wait_until(successor_answers, 30, "the successor")
    # what was sent before the old one was told to go was still answered, then it closed
    assert talk.file.readline() == ""


def test_a_permanent_service_is_restarted_when_it_dies(echo):
    one = echo("q unix n - n - 1 qmgr\n")
    pid = wait_until(lambda: one.pids("qmgr"), 30, "qmgr runs")[0]
    one.talk("public/q").ask("x")               # it is ready
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: one.pids("qmgr") not in ([], [pid]), 30, "another qmgr")


def test_wakeup_comes_at_start_and_in_intervals(echo):
    one = echo("q unix n - n 1 1 qmgr\np fifo n - n 1? 1 pickup\n")
    one.wait_for_log(r"qmgr\[\d+\]: woken", count=2)
    assert int(one.talk("public/q").ask("wakes")) >= 2


def test_triggers_wake_and_are_not_served(echo):
    one = echo("q unix n - n - 1 qmgr\n")
    frame = b"\0\0\0\x0c\0\0\0\0\x06wakeup\0"

    def woken(times):
        return int(one.talk("public/q").ask("wakes")) == times

    for times, trigger in enumerate((b"W", frame, b"WWW", frame + frame), 1):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(one.queue / "public/q"))
            client.sendall(trigger)
        wait_until(lambda: woken(times), 30, f"woken by {trigger}")
    with socket.socket(socket.AF_UNIX) as client:        # a trigger, and then something to serve on the same connection
        client.settimeout(60 * PATIENCE)
        client.connect(str(one.queue / "public/q"))
        client.sendall(frame + b"hallo\n")
        assert client.recv(20) == b"hallo\n"


def test_a_program_of_others_is_started_by_a_byte_in_its_named_pipe(echo):
    one = echo("f fifo n - n - 1 foreign\n", start=False)
    program = one.programs / "foreign"
    program.write_text(f"#!/bin/sh\nhead -c 1 <&4 >{one.root}/woken.new && mv {one.root}/woken.new {one.root}/woken\n")
    program.chmod(0o755)
    one.start()
    with open(one.queue / "public/f", "w") as fifo:
        fifo.write("W")
    wait_until((one.root / "woken").exists, 30, one.log_tail)
    assert (one.root / "woken").read_text() == "W"


def test_pass_services_receive_connections(echo):
    one = echo("p pass - - n - - smtpd\n")
    ours, theirs = socket.socketpair()
    with socket.socket(socket.AF_UNIX) as carrier:
        carrier.connect(str(one.queue / "private/p"))
        socket.send_fds(carrier, [b"x"], [theirs.fileno()])
    theirs.close()
    ours.settimeout(60 * PATIENCE)
    ours.sendall(b"through\n")
    assert ours.recv(20) == b"through\n"


def test_a_second_start_is_refused_and_status_tells(echo):
    one = echo()
    pid = one.master_pid()
    done = one.command("postroad", "start", check=False)
    assert done.returncode != 0 and f"already running: PID: {pid}" in done.stderr
    done = one.command("postroad", "status", check=False)
    assert done.returncode == 0 and f"is running: PID: {pid}" in done.stderr
    one.stop()
    done = one.command("postroad", "status", check=False)
    assert done.returncode == 1 and "is not running" in done.stderr


def test_a_stale_lock_file_means_nothing(echo):
    one = echo(start=False)
    (one.queue / "pid").mkdir()
    (one.queue / "pid/master.pid").write_text(f"{os.getpid()} 0\n")      # a process that lives, and is no master
    one.start()
    assert one.master_pid() != os.getpid()


def test_data_directory_is_not_shared(echo):
    one = echo()
    two = Echo()
    two.main["data_directory"] = one.data
    two.write()
    done = two.command("postroad", "-c", two.etc, "start", check=False)
    assert done.returncode != 0 and "in use by another mail system" in done.stderr
    two.close()


def test_workers_finish_when_master_is_killed_and_a_new_one_starts(echo):
    one = echo("q unix n - n - 1 qmgr\n")
    talk = one.talk()
    pid = talk.pid()
    os.kill(one.master_pid(), signal.SIGKILL)
    wait_until(lambda: one.command("postroad", "status", check=False).returncode == 1, 30, "the lock is free")
    assert talk.pid() == pid                    # still served
    one.command("postroad", "start")
    assert one.talk().pid() != pid
    talk.close()
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 30, "the old worker ends")


def test_stop_is_bounded(echo):
    one = echo(main={"stop_time_limit": "1s"})
    talk = one.talk()
    pid = talk.pid()
    before = time.monotonic()
    one.stop()
    assert time.monotonic() - before < 30 * PATIENCE
    assert not os.path.exists(f"/proc/{pid}")
    assert talk.file.readline() == ""
    assert one.log_lines(r"master\[\d+\]: terminating on signal 15")


def test_abort_waits_for_nobody(echo):
    one = echo(main={"stop_time_limit": "60s"})
    talk = one.talk()
    pid = talk.pid()
    before = time.monotonic()
    one.command("postroad", "abort")
    one.running = False
    assert time.monotonic() - before < 55
    assert not os.path.exists(f"/proc/{pid}")


# ---- what keeps it from starting ----

def refused(one):
    one.write()
    done = one.command("postroad", "-c", one.etc, "start", check=False)
    assert done.returncode != 0
    assert one.command("postroad", "-c", one.etc, "status", check=False).returncode != 0
    return done.stderr


def test_start_names_the_port_that_is_taken(echo):
    one = echo(start=False)
    with socket.socket() as other:
        other.bind((one.address, one.smtp_port))
        other.listen()
        assert f"cannot listen at {one.address}:{one.smtp_port}: Address already in use" in refused(one)


def test_start_names_the_parameter_and_where_it_stands(echo):
    one = echo(start=False, main={"default_process_limit": "many"})
    words = refused(one)
    assert "default_process_limit" in words and re.search(r"main\.cf, line \d+", words), words


def test_start_tells_of_values_that_a_program_could_not_read(echo):
    """The others serve."""
    one = echo(start=False, main={"smtpd_recipient_limit": "many"})
    one.write()
    done = one.command("postroad", "start", check=False)
    assert done.returncode == 0 and re.search(r"error: .*main\.cf, line \d+: smtpd_recipient_limit = many: a number from", done.stderr), done
    one.command("postroad", "stop")


def test_start_names_the_row_that_is_wrong(echo):
    one = echo("a unix n - n - - smtpd\nb unix n - n - lots smtpd\n", start=False)
    assert re.search(r"master\.cf, line 4: field \"maxproc\"", refused(one))
    one.rows = "nosuchport inet n - n - - smtpd\n"
    assert "nosuchport" in refused(one)


def test_start_names_the_directory_that_is_missing(echo):
    one = echo(start=False)
    one.queue.rmdir()
    assert f"queue_directory {one.queue}" in refused(one)
    one.queue.mkdir()
    one.data.rmdir()
    assert f"data_directory {one.data}" in refused(one)


@pytest.mark.root
def test_start_names_the_wrong_owner(echo):
    one = echo(start=False)
    os.chown(one.data, 0, 0)
    assert re.search(rf"data_directory {one.data}: owned by uid 0, must be daemon", refused(one))
    os.chown(one.data, 1, 1)
    one.main["mail_owner"] = "root"
    assert "must not be root" in refused(one)
    one.main["mail_owner"] = "nosuchuser"
    assert "nosuchuser: there is no such account" in refused(one)


@pytest.mark.root
def test_check_names_every_wrong_owner_and_mode(echo):
    one = echo()
    one.stop()
    assert one.command("postroad", "check").stderr.count("error:") == 0
    os.chmod(one.queue / "maildrop", 0o777)
    os.chown(one.queue / "incoming", 0, 0)
    os.chmod(one.etc / "main.cf", 0o666)
    (one.queue / "deferred" / "stray").write_text("")
    os.rmdir(one.queue / "hold")
    done = one.command("postroad", "check", check=False)
    assert done.returncode == 1
    for words in (r"maildrop: mode is 777, should be 730", r"incoming: owned by uid 0, must be daemon", r"main.cf: group or other writable",
                  r"deferred/stray: owned by uid 0"):
        assert re.search(words, done.stderr), (words, done.stderr)
    assert (one.queue / "hold").is_dir()        # a missing one is made


def test_programs_of_postfix_are_not_started_in_place_of_ours(echo):
    """Many a main.cf made for Postfix says where its programs are."""
    one = echo(start=False)
    (one.programs / "trivial-rewrite").symlink_to(ECHOD)
    assert re.search(rf"error: .*main\.cf, line \d+: daemon_directory {one.programs}: these are Postfix's programs \(mend: take ", refused(one))
    (one.programs / "resolver").symlink_to(ECHOD)            # ours were installed over them, or they over ours
    assert "these are Postfix's programs (or there are some among ours; mend: remove trivial-rewrite" in refused(one)
    one.main["daemon_directory"] = one.root / "nowhere"
    one.write()
    said = one.command("postroad", "check", check=False).stderr
    assert re.search(rf"error: .*main\.cf, line \d+: daemon_directory {one.root}/nowhere: master: No such file or directory \(mend: ", said), said
    assert "there is no program" not in said, said       # that line says it for all


def test_a_second_queue_manager_does_not_keep_mail_from_the_first():
    """mailcow has one for its watchdog. Both waited for the same lock, and the mail for the one that got it."""
    with Instance(main={"default_transport": "discard"}, master="watchdog_qmgr unix n - n 300 1 qmgr\n") as one:
        said = one.command("postroad", "check").stderr
        assert re.search(r"warning: .*master\.cf, line \d+: service watchdog_qmgr is not started: ", said), said
        assert not (one.queue / "public/watchdog_qmgr").exists()
        one.send("Subject: x\r\n\r\nx\r\n", recipients=["joe@elsewhere.example"])
        one.wait_for_log("to=<joe@elsewhere.example>.* status=sent")
    assert not one.log_lines("another queue manager")


def test_check_says_who_cannot_log_in_without_the_service_for_cyrus_sasl(echo):
    one = echo(start=False)

    def said(rows="", **main):
        one.rows = rows
        one.main.update(main)
        one.write()
        return re.findall(r"master\.cf, line (\d+): service \S+: .*no service cyrus-sasl \(mend: add the row", one.command("postroad", "check", check=False).stderr)

    assert said() == []
    assert said("2526 inet n - n - - smtpd -o smtpd_sasl_auth_enable=yes -o smtpd_sasl_type=dovecot\n2527 inet n - n - - smtpd -o smtpd_sasl_auth_enable=yes\n") == ["4"]
    assert said(smtpd_sasl_auth_enable="yes") == ["1"]
    assert said("cyrus-sasl unix - - n - - cyrus-sasl\n") == []
    assert said(smtpd_sasl_type="dovecot") == []


@pytest.mark.root
def test_check_has_nothing_against_the_modes_that_postfix_gives_its_directories(echo):
    one = echo()
    one.stop()
    os.chmod(one.queue / "maildrop", 0o1730)
    os.chmod(one.queue / "public", 0o2710)
    said = one.command("postroad", "check").stderr
    assert not re.search("queue_directory .*mode is", said), said


# ---- outside ----

def test_systemd_is_told(echo):
    one = echo(start=False)
    one.write()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(one.root / "notify"))
        manager.settimeout(60 * PATIENCE)
        environment = dict(os.environ, NOTIFY_SOCKET=str(one.root / "notify"))
        process = subprocess.Popen([COMMANDS / "postroad", "-c", one.etc, "start-fg"], env=environment)
        one.running = True
        words = manager.recv(200).decode()
        assert "READY=1" in words and f"MAINPID={process.pid}" in words
        assert one.talk().ask("x") == "x"
        one.reload()
        assert "RELOADING=1" in manager.recv(200).decode()
        assert "READY=1" in manager.recv(200).decode()
        process.send_signal(signal.SIGTERM)
        assert "STOPPING=1" in manager.recv(200).decode()
        assert process.wait(30 * PATIENCE) == 0
        one.running = False


@pytest.mark.root
def test_process_1_of_a_container_reaps_orphans(echo):
    if subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"], capture_output=True).returncode != 0:
        pytest.skip("needs a pid and a mount namespace")
    one = echo(start=False, main={"maillog_file": "/dev/stdout", "maillog_file_prefixes": "/dev/stdout"})
    one.write()
    log = one.root / "stdout"
    with log.open("w") as output:
        process = subprocess.Popen(["unshare", "--pid", "--fork", "--mount-proc", "--kill-child=KILL", COMMANDS / "postroad", "-c", one.etc,
                                    "start-fg"], stdout=output)
    try:
        wait_until(lambda: "daemon started" in log.read_text(), 30, "started as process 1")
        inner = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
        # somebody's child whose parent dies becomes process 1's
        enter = ["nsenter", "--pid", "--mount", "-t", str(inner)]
        subprocess.run([*enter, "sh", "-c", "sleep 0.2 & exit 0"], check=True, timeout=20)
        wait_until(lambda: "Z" not in subprocess.run([*enter, "ps", "-o", "stat=", "-A"], check=True, capture_output=True,
                                                     text=True).stdout, 10, "no zombies")
        assert one.talk().ask("x") == "x"
        os.kill(inner, signal.SIGTERM)
        assert process.wait(30 * PATIENCE) == 0
        assert "terminating on signal 15" in log.read_text()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()


def test_a_stop_waits_for_a_log_writer_that_has_just_been_started(echo):
    one = echo(start=False)
    slow = one.programs / "postlogd"
    slow.unlink()
    slow.write_text(f"#!/bin/sh\nsleep 2\nexec {DAEMONS / 'postlogd'} \"$@\"\n")
    slow.chmod(0o755)
    one.start()
    one.stop()
    assert len(one.log_lines(r"master\[\d+\]: (daemon started|terminating on signal)")) == 2, one.log_tail()


def test_a_log_writer_that_never_comes_up_does_not_keep_a_stop(echo):
    one = echo(start=False)
    stuck = one.programs / "postlogd"
    stuck.unlink()
    stuck.write_text("#!/bin/sh\nexec sleep 300\n")
    stuck.chmod(0o755)
    one.start()
    begin = time.monotonic()
    one.stop()
    assert 4 < time.monotonic() - begin < 40        # five seconds, and what the machine takes


def test_a_link_to_the_log_is_followed_where_only_its_owner_can_have_placed_it(echo):
    one = echo(start=False)
    place = one.root / "linked"
    place.mkdir(mode=0o755)
    one.maillog = one.main["maillog_file"] = place / "maillog"
    one.maillog.symlink_to("../elsewhere")
    one.start()
    one.command("postlog", "through the link")
    one.wait_for_log("through the link")
    assert one.maillog.is_symlink() and "through the link" in (one.root / "elsewhere").read_text()
    one.command("postroad", "reload")
    place.chmod(0o777)
    assert "could have placed" in one.command("postroad", "reload", check=False).stderr
    place.chmod(0o755)
    (one.root / "elsewhere").rename(one.root / "further")
    (one.root / "elsewhere").symlink_to("further")
    assert "could have placed" in one.command("postroad", "reload", check=False).stderr


def test_rotation_begins_a_new_file_and_loses_no_line(echo):
    one = echo(main={"maillog_file_compressor": ""})
    for n in range(5):
        one.command("postlog", f"before {n}")
    one.wait_for_log("before 0")                # the file is there; the last lines may still be on their way
    one.command("postroad", "logrotate")
    for n in range(5):
        one.command("postlog", "-p", "warn", f"after {n}")
    one.wait_for_log(r"postlog\[\d+\]: warning: after 4")
    old = [path for path in one.root.iterdir() if path.name.startswith("maillog.")]
    assert len(old) == 1
    text = old[0].read_text() + one.log()
    for n in range(5):
        assert text.count(f": before {n}\n") == 1 and text.count(f": warning: after {n}\n") == 1


def test_rotation_replaces_nothing(echo):
    one = echo(main={"maillog_file_compressor": "", "maillog_file_rotate_suffix": "old"})
    place = one.root / "maillog.old"
    for make in (lambda: place.symlink_to("elsewhere"), lambda: place.write_text("of before\n")):
        make()
        one.settle_log()
        done = one.command("postroad", "logrotate", check=False)
        assert done.returncode == 73 and f"cannot rename {one.maillog} to {place}: File exists" in done.stderr
        assert one.log_lines("daemon started")
        place.unlink()


def test_postlog_says_how_bad_it_is(echo):
    one = echo()
    one.stop()                              # nobody writes a log: what it has to say goes to standard error
    words = {"info": "", "warn": "warning: ", "error": "error: ", "fatal": "fatal: ", "panic": "panic: "}
    assert [one.command("postlog", "-p", priority, "text").stderr for priority in words] == [f"postlog: {word}text\n" for word in words.values()]


def test_log_lines_of_strangers_are_bounded_and_clean(echo):
    one = echo()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        stranger.connect(str(one.queue / "public/postlog"))
        stranger.send(b"\x1b[31mred\0\r\n\n\nsecond line without end")
        stranger.send(os.urandom(60000))
        stranger.send(b"still there\n")
    one.wait_for_log("^still there$")
    assert one.log_lines(r"^\?\[31mred\?\?$") and one.log_lines("^second line without end$")        # one socket, in order
    assert b"\x1b" not in one.maillog.read_bytes()


@pytest.mark.root
def test_lines_that_a_full_disk_cuts_short_do_not_run_into_others(echo):
    one = echo(start=False)
    place = one.root / "log"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("cannot mount a small file system here")
    try:
        one.maillog = one.main["maillog_file"] = place / "maillog"
        filler = place / "filler"
        filler.write_bytes(b"x" * 40000)
        one.start()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(str(one.queue / "public/postlog"))
            sender.settimeout(60 * PATIENCE)
            for n in range(300):
                sender.send(f"line {n} {'x' * 190} ends\n".encode())
            wait_until(lambda: os.statvfs(place).f_bavail == 0, 30, "a full disk")
            filler.unlink()

            def comes():                # what was sent before may still be on its way to be lost
                sender.send(b"room again\n")
                return "room again" in one.log()
            wait_until(comes, 30, "a line after the full disk")
        one.stop()
        lines = [line for line in one.log().splitlines() if line.startswith("line ")]
        assert 10 < len(lines) < 300 and all(re.fullmatch(r"line \d+ x{190} ends", line) for line in lines), lines[-1]
        assert all(line in ("room again", "") for line in one.log().splitlines() if line.endswith("room again"))
    finally:
        one.stop()
        subprocess.run(["umount", place], check=True)


@pytest.mark.skipif(not Path("/usr/share/postfix/master.cf.dist").exists() and not os.environ.get("POSTFIX_MASTER_CF"),
                    reason="needs Postfix's own master.cf (package postfix, or POSTFIX_MASTER_CF)")
def test_postfix_own_master_cf_starts_unchanged(echo):
    table = Path(os.environ.get("POSTFIX_MASTER_CF", "/usr/share/postfix/master.cf.dist")).read_text()
    one = echo(start=False)
    one.master_cf = lambda: table.replace("smtp      inet", f"{one.smtp_port}      inet")
    one.start()
    assert one.talk().ask("x") == "x"
    with socket.socket(socket.AF_UNIX) as client:      # a row whose program is absent
        client.settimeout(60 * PATIENCE)
        client.connect(str(one.queue / "private/bsmtp"))
        assert client.recv(1) == b""
    one.wait_for_log("service bsmtp/unix needs the program pipe")


# ---- the skeleton: how long a process lives, and life without master ----

def test_a_worker_retires_after_max_use_and_drops_nobody(echo):
    one = echo(main={"max_use": "3", "worker_processes": "1"})
    keeper = one.talk()
    first = keeper.pid()
    pids = [one.talk().pid() for _ in range(8)]
    assert pids.count(first) == 2 and len(set(pids)) >= 3
    assert keeper.ask("x") == "x"               # served to its end by the retired one
    assert not one.log_lines("exit status|killed by")


def test_an_idle_worker_ends_and_comes_back(echo):
    one = echo("a unix n - n - - smtpd\nb unix n n n - - blocker\n", main={"max_idle": "1s"})
    pids = []
    for where in ("public/a", "public/b"):
        talk = one.talk(where)
        pids.append(talk.pid())
        talk.close()
    for pid in pids:
        wait_until(lambda pid=pid: not os.path.exists(f"/proc/{pid}"), 30, "the idle process has ended")
    assert one.talk("public/a").pid() not in pids
    assert one.talk("public/b").pid() not in pids


def test_a_blocking_worker_finishes_its_session_on_reload(echo):
    one = echo("b unix n n n - - blocker\n")
    talk = one.talk("public/b")
    pid = talk.pid()
    talk.tell("one\ntwo")                       # what came before the end is answered
    one.reload()
    assert one.talk("public/b").pid() != pid
    assert talk.file.readline() == "one\n" and talk.file.readline() == "two\n"


def test_accounts_are_looked_up_in_the_jail(echo):
    one = echo("a unix n - n - - smtpd\n")
    talk = one.talk("public/a")
    assert talk.ask("user root") == "found 0 /root"
    assert talk.ask("user nosuchuserhere") == "none"


def test_a_daemon_in_the_foreground_listens_itself(echo):
    one = echo(start=False)
    one.write()
    one.start()
    one.stop()                                  # the directories are there now
    port = free_port()
    process = subprocess.Popen([one.programs / "smtpd", "-d", "-c", one.etc, "-n", "by-hand", f"{one.address}:{port}", "public/by-hand"],
                               stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: listens(one.queue / "public/by-hand"), 30, "the socket")
        talk = one.talk("public/by-hand")
        assert talk.pid() == process.pid
        assert one.talk(port).ask("x") == "x"
        talk.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20 * PATIENCE) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.communicate()


def test_a_daemon_by_hand_without_d_says_how(echo):
    one = echo(start=False)
    done = subprocess.run([one.programs / "smtpd"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 64 and "-d" in done.stderr


@pytest.mark.root
def test_a_chrooted_daemon_serves(echo):
    one = echo("a unix n - y - - smtpd\n")
    talk = one.talk("public/a")
    pid = talk.pid()
    assert os.readlink(f"/proc/{pid}/root") == str(one.queue)
    assert f"uid={1} " in talk.ask("jail")


@pytest.mark.skipif(SANITIZED, reason="there is no jail under sanitizers")
def test_a_daemon_reports_its_jail(echo):
    one = echo("a unix n - n - - smtpd\n")
    words = one.talk("public/a").ask("jail")
    assert "no_new_privs=1" in words and "seccomp=on" in words and "capabilities=0 " in words


def test_a_singleton_of_a_killed_master_and_its_successor_do_not_run_together(echo):
    one = echo("q unix n - n - 1 qmgr\n")
    talk = one.talk("public/q")
    old = talk.pid()
    os.kill(old, signal.SIGSTOP)                # it cannot even notice that master has gone
    os.kill(one.master_pid(), signal.SIGKILL)
    wait_until(lambda: one.command("postroad", "status", check=False).returncode == 1, 30, "the lock is free")
    one.command("postroad", "start")
    one.wait_for_log("waiting for the former qmgr process to end")
    other = one.talk("public/q")
    other.tell("pid")
    other.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        other.socket.recv(1)
    os.kill(old, signal.SIGCONT)
    other.socket.settimeout(20 * PATIENCE)
    assert int(other.socket.recv(20)) not in (0, old)


# ---- with the real daemons ----

def test_reload_under_mail_load_costs_nobody_an_error(instance):
    one = instance(main={"mydestination": "", "relayhost": "", "default_transport": "discard:", "relay_domains": "example.org"})
    stop = threading.Event()
    failures = []
    sent = []

    def send_mail(number):
        while not stop.is_set():
            try:
                with one.client() as client:
                    for _ in range(5):
                        client.sendmail("a@example.net", [f"user{number}@example.org"], "Subject: x\r\n\r\nbody\r\n")
                        sent.append(number)
            except Exception as error:          # noqa: every kind counts
                failures.append(repr(error))
                return

    threads = [threading.Thread(target=send_mail, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for reloads in range(1, 21):
        one.reload()
        wait_until(lambda reloads=reloads: failures or len(sent) > 5 * reloads, 60, one.log_tail)      # mail goes on between them
    stop.set()
    for thread in threads:
        thread.join(60 * PATIENCE)
    assert failures == [], (failures, len(sent), one.log_lines("(error|warning|fatal):"))
    one.wait_empty()
    ids = [re.search(r": (\w+): to=", line).group(1) for line in one.wait_for_log(r"status=sent", count=len(sent))]
    twice = {identity for identity in ids if ids.count(identity) > 1}
    assert not twice, "\n".join(line for identity in twice for line in one.log_lines(identity))
    assert len(ids) == len(sent)


def test_a_mistake_in_main_cf_keeps_nobody_from_stopping(echo):
    one = echo()
    one.set(default_process_limit="many", mail_owner="$nothing$")
    assert one.command("postroad", "reload", check=False).returncode == 78
    for name in "postroad", "postfix":
        assert f"is running: PID: {one.master_pid()}" in one.command(name, "status").stderr
    (one.etc / "main.cf").write_text((one.etc / "main.cf").read_text() + "a line without a sign\n")
    assert "main.cf, line" in one.command("postroad", "reload", check=False).stderr
    one.stop()
    assert one.command("postroad", "status", check=False).returncode == 1


def test_out_of_descriptors_is_a_pause_and_not_a_storm(echo):
    one = echo("a unix n - n - 0 smtpd\n", start=False, main={"worker_processes": "1"})
    one.write()
    one.command("postroad", "-c", one.etc, "start", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)))
    one.running = True
    talks = [one.talk("public/a") for _ in range(120)]      # connected; the last ones wait in the backlog
    pid = talks[0].pid()
    one.wait_for_log("warning: accept connection: Too many open files")
    before = cpu_of(pid)
    time.sleep(1)
    assert cpu_of(pid) - before < 0.2
    for talk in talks[:20]:
        assert talk.ask("x") == "x"
    for talk in talks[:80]:
        talk.close()
    for talk in talks[80:]:
        assert talk.ask("x") == "x"
    assert one.pids("smtpd") == [pid]


def cpu_of(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("garbage", [b"\xff" * 100000, b"\0" * 100000, b"\0\0\0\x08" + b"\0" * 4 + b"\xff" * 200, None],
                         ids=["ones", "zeros", "a frame with a long name", "random"])
def test_garbage_at_every_door_harms_nobody(instance, garbage):
    one = instance()
    doors = [path for kind in ("public", "private") for path in (one.queue / kind).iterdir() if path.is_socket()]
    assert len(doors) > 10
    for path in doors:
        kind = socket.SOCK_DGRAM if path.name == "postlog" else socket.SOCK_STREAM
        with socket.socket(socket.AF_UNIX, kind) as client:
            client.settimeout(5)
            client.connect(str(path))
            with contextlib.suppress(OSError):              # a peer may hang up in the middle
                client.send((garbage or os.urandom(100000))[:60000 if kind == socket.SOCK_DGRAM else None])
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_WR)
                client.recv(100)
    one.send("Subject: still here\n\nbody\n", recipients=["nobody@[127.0.0.1]"])
    assert not one.log_lines(r"killed by signal|panic:|exit status (?!78)")
