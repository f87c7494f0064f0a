# SPDX-License-Identifier: ISC
"""What ./try shows: a message's way through two private instances, step by step."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from dns_server import DnsServer  # noqa: E402
from instance import BUILD, COMMANDS, IS_ROOT, Instance, free_port, wait_until  # noqa: E402

BOLD, DIM, PLAIN = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "", "")


def title(text):
    print(f"\n{BOLD}== {text}{PLAIN}")


def indent(text):
    print("\n".join("   " + line for line in text.rstrip("\n").splitlines()))


def make_mailbox_host(dns_at):
    """The destination: example.com's mail host, with a virtual mailbox for jane."""
    host = Instance(address="127.0.0.2", hostname="mx.example.com")
    mailboxes = host.root / "mailboxes"
    mailboxes.mkdir()
    if IS_ROOT:
        shutil.chown(mailboxes, "daemon")
    uid = 1 if IS_ROOT else os.getuid()
    gid = 1 if IS_ROOT else os.getgid()
    host.main.update({
        "mydestination": "",
        "dns_resolver_addresses": dns_at,
        "virtual_mailbox_domains": "example.com",
        "virtual_mailbox_base": mailboxes,
        "virtual_mailbox_maps": "inline:{ jane@example.com=jane/ }",
        "virtual_minimum_uid": "1",
        "virtual_uid_maps": f"static:{uid}",
        "virtual_gid_maps": f"static:{gid}",
    })
    return host, mailboxes / "jane"


def make_relay(dns_at, smtp_port):
    return Instance(address="127.0.0.1", hostname="relay.example.org", main={
        "dns_resolver_addresses": dns_at,
        "smtp_tcp_port": smtp_port,
    })


def send(relay):
    body = "Hello Jane,\n\nthis message went through two Postroad systems.\n.A leading dot survives too.\n"
    client = subprocess.run(
        ["swaks", "--server", relay.address, "--port", str(relay.smtp_port), "--helo", "client.example.net",
         "--from", "john@example.net", "--to", "jane@example.com", "--h-Subject", "Greetings by Postroad",
         "--body", body],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    indent(client.stdout)
    if client.returncode != 0:
        raise SystemExit(f"swaks could not hand the message in\n{relay.log_tail()}")


def show(relay, host, maildir):
    title(f"A client (swaks) hands a message to relay.example.org on {relay.address}:{relay.smtp_port}")
    send(relay)
    arrived = wait_until(lambda: list((maildir / "new").glob("*")) if (maildir / "new").is_dir() else [], 30,
                         f"the message in {maildir}\n{relay.log_tail()}\n{host.log_tail()}")
    title("The message in Jane's Maildir on mx.example.com, with its trace headers")
    indent(arrived[0].read_text())
    relay.wait_for_log(": removed")
    host.wait_for_log(": removed")
    title("Its way in the log of relay.example.org (the next hop was found by MX)")
    indent(relay.log())
    title("And in the log of mx.example.com")
    indent(host.log())
    title("The queues are empty")
    for one in (relay, host):
        indent(f"{one.hostname}: " + one.command("postqueue", "-p").stdout)


def explain(relay, host):
    title("Both systems still run. In another terminal:")
    print(f"""
   export MAIL_CONFIG={relay.etc} PATH={COMMANDS}:$PATH
   sendmail -f me@example.net jane@example.com < some-message     hand in mail
   postqueue -p                                                   the queue
   postconf -n                                                    the configuration
   postroad status                                                is it running?
   postroad reload                                                after a change in {relay.etc}
   tail -f {relay.maillog}

   The other one:  MAIL_CONFIG={host.etc}  mailboxes in {host.root}/mailboxes

{BOLD}Ctrl-C stops both and removes {relay.root} and {host.root}.{PLAIN}""", flush=True)


def wait_for_end():
    while True:
        time.sleep(3600)


def end(one, interrupted):
    """Stops it and removes what it made. Whoever was interrupted while starting is not told to stop, but killed."""
    with contextlib.suppress(AssertionError) if interrupted and not one.running else contextlib.nullcontext():
        one.close()


def main():
    os.environ.setdefault("POSTROAD_BUILD", str(BUILD))
    smtp_port = free_port("127.0.0.2")
    dns = DnsServer()
    dns.add("example.com", "MX", "10 mx.example.com")
    dns.add("mx.example.com", "A", "127.0.0.2")
    made = []
    interrupted = False
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        host, maildir = make_mailbox_host(dns.at)
        made.append(host)
        host.smtp_port = smtp_port
        relay = make_relay(dns.at, smtp_port)
        made.append(relay)
        for one in made:
            one.start()
        show(relay, host, maildir)
        if "--once" not in sys.argv and sys.stdin is not None and sys.stdin.isatty():     # else nobody is there to look around
            explain(relay, host)
            wait_for_end()
    except KeyboardInterrupt:
        interrupted = True
        print()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for one in made:
            end(one, interrupted)
        dns.close()
    print("Stopped, nothing left behind.")


if __name__ == "__main__":
    main()
