# SPDX-License-Identifier: ISC
"""postconf beside the one of the postfix package, unpacked: the same command lines, the same answers, warnings, exit statuses and files.

What is compared: standard output, exit status, the warnings as a set, and both files afterwards. Not compared: words that Postroad says in addition
("did you mean", parameters that have no effect here), the text of the usage message, and where comments stand relative to an entry of master.cf
that was changed (Postfix moves those behind it in front of it; here they stay).
"""
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from instance import COMMANDS
from postfix import postfix_tree

MAIN = """\
# the host
compatibility_level = 3.6
meta_directory = @T@
myhostname = mail.example.org
mydestination = $myhostname, localhost
  # in between
  example.com long-enough.example.org to-be-folded.example.org and-another-one.example.org
unknown = $undef
helper = x
relayhost = $helper
slow_destination_concurrency_limit = 3
inet_protocols=ipv4
# last words
"""

MASTER = """\
# master
smtp inet n - y - - smtpd
  -o syslog_name=postfix/$service_name -v
  -o { smtpd_banner = hello world }
#pickup unix n - - 60 1 pickup
slow unix - - n - - smtp
maildrop  unix  -       n       n       -       -       pipe
  flags=DRXhu user=vmail argv=/usr/bin/maildrop -d ${recipient} {with blank}

# end
"""

SHOW_MAIN = """relayhost|-n|relayhost myhostname nonsense|-x relayhost|-h relayhost|-H relayhost|-f mydestination|-fh mydestination|-nf|-nH|-nh
-C user|-C user,service -n|-C bogus|-C builtin,bogus|-C USER|-C user relayhost|-C all relayhost|-nC builtin|-d -C user|-n relayhost mydomain|-n nonsense
-o relayhost=abc relayhost|-n -o relayhost=zz|-o relayhost= -n relayhost|-d relayhost mydestination|-dh relayhost|-d nonsense
-d slow_destination_concurrency_limit|-dx mydestination|-df smtpd_recipient_restrictions|-p relayhost|slow_destination_concurrency_limit
slow_destination_recipient_limit fast_destination_recipient_limit|helper|unknown|undef|-x -h myhostname mydomain|mydomain myorigin mynetworks_style
maildrop_time_limit|-x maildrop_time_limit|-d maildrop_time_limit slow_time_limit|-n maildrop_time_limit|relayhost relayhost|-fh nosuch relayhost|b relayhost=a|-l|-T run-version|-T bogus|-T|-z|-c|-bt|-hH relayhost|-nfx|-nxh relayhost
-C all,bogus|-o relayhost=a -o relayhost=b relayhost|-o relayhost=a -e relayhost=b|-o inet_protocols=all -n|-- relayhost|relayhost -n
-x slow_destination_concurrency_limit|-H slow_destination_concurrency_limit|smtp_destination_concurrency_limit|-d local_destination_concurrency_limit
-c /nonexistent|-c /nonexistent -d relayhost mydestination|-c /nonexistent -d -C user|-c /nonexistent -n|-c /nonexistent -l|-c relative relayhost"""
SHOW_MASTER = """-M|-Mf|-M smtp|-M smtp/inet|-M */unix|-M nosuch|-M smtp/inet/x|-M smtp/bogus|-M smtp slow/unix|-M */*|-Mx|-Mfx
-F|-Ff|-F smtp|-F smtp/inet|-F smtp/inet/command|-F */*/chroot|-Fh */inet/chroot|-FH|-Ffh smtp|-FfH smtp|-F x/y/z/w|-F smtp/inet/bogus|-Fx
-P|-Pf|-Px|-P smtp|-P smtp/inet/syslog_name|-P smtp/inet/nosuch|-Ph|-PH|-P */*/smtpd_banner|-P nosuch|-P a/b/c/d|-MFP|-Md|-MH|-Mp|-Fd|-Pn"""
EDIT_MAIN = """-e mydestination=zzz newone=y relayhost=|-e foo|-e a=b=c|-e =x|-e relayhost=a relayhost=b|relayhost=a b|relayhost=[a]:25|-e new=|-e|-X|-#
-X mydestination not_there|-X a=b|-# relayhost|-# mydestination|-# nosuch|-X relayhost helper|-# relayhost nosuch helper|-pe a=b|-X -p relayhost
-#p relayhost|-X #foo|-# #foo|-e unknown=1 inet_protocols=all|-X myhostname unknown inet_protocols"""
EDIT_MASTER = """-MX slow/unix|-MX slow|-MX */unix|-MX nosuch/unix|-M# slow/unix|-M# smtp/inet|-M# maildrop/unix|-M# nosuch/inet|-MX smtp/inet slow/unix
-MX smtp/inet=x|-MX */*|-MX /unix|-M# */*|-MX smtp/inet/x|-Me smtp/inet|-Me smtp/inet=garbage|-Me smtp/inet=|-Me /inet=x|-eM|-MX|-M#
-Fe smtp/inet/chroot=n|-F smtp/inet/chroot=n|-Fe smtp/inet/bogus=n|-Fe */unix/chroot=y|-Fe smtp/inet/chroot=x|-Fe smtp/inet/maxproc=3
-Fe smtp/inet/process_limit=3|-FX smtp/inet/chroot|-F# smtp/inet/chroot|-Fe nosuch/inet/chroot=y|-Fe smtp/inet=y|-Fe smtp/inet/service=2525
-Fe smtp/inet/type=unix|-Fe smtp/inet/wakeup=60?|-Fe smtp/inet/wakeup=x|-Fe smtp/inet/process_limit=x|-Fe smtp/inet/private=q|-Fe smtp/inet/type=q
-Fe */*/*=y|-Fe smtp/inet/chroot=n smtp/inet/process_limit=5 slow/unix/chroot=y|-Fe smtp/inet/unprivileged=y|-Fe slow/*/private=n
-Pe smtp/inet/syslog_name=foo|-P slow/unix/x=y|-PX smtp/inet/syslog_name|-PX smtp/inet/nosuch|-P# smtp/inet/syslog_name|-Pe */unix/q=r
-PX */*/smtpd_banner|-P maildrop/unix/z=1|-PX nosuch/inet/x|-PX smtp/inet/syslog_name smtp/inet/smtpd_banner|-Pe smtp/inet=x
-Pe slow/unix/a=b slow/unix/c=d|-Pe slow/unix/a=|-Pe slow/unix/=x|-Pe slow/unix/a.b=x|-Pe nosuch/unix/a=x|-Pe smtp/inet/smtpd_banner=zz smtp/inet/zz=top
-PX smtp/inet/*|-PX smtp/inet|-PX smtp/inet/a=b|-Pe smtp/inet/*=b|-PX */*/*|-ePf smtp/inet/a=b|-e -n a=b|-eX a|-X# a"""
WITH_BLANKS = [
    ["-e", "newone=y z", "mydestination = a,  b"], ["-e", "#foo = bar"], ["-e", "a = b\nc = d"], ["-e", "a b = c"], ["-e", " relayhost = y "],
    ["-e", "a\t=\tb"], ["-e", "a = b  c   d "], ["-e", ""], ["-e", " "], ["-X", ""], ["-X", "a\nb"], ["-e", "a=b\n"],
    ["-Me", "smtp/inet=smtp inet n - n - - smtpd"], ["-Me", "new/unix=new unix - - n - - smtp -o a=b"], ["-Me", "slow/unix=fast unix - - n - - smtp"],
    ["-Me", "smtp=smtp inet n - n - - smtpd"], ["-M", "smtp/inet=smtp inet n - n - - smtpd"], ["-Me", "*/unix=x unix - - n - - smtp"],
    ["-Me", "smtp/inet=smtp foo n - n - - smtpd"], ["-Me", "smtp/inet=smtp inet x - n - - smtpd"], ["-Me", "smtp/inet=smtp inet n - n w - smtpd"],
    ["-Me", "smtp/inet=smtp inet n - n - q smtpd"], ["-Me", "smtp/inet=smtp inet n - n 1? - smtpd -o a"], ["-Me", "smtp/inet = smtp inet n - n - - smtpd"],
    ["-Me", "smtp/inet=smtp inet n - n - - smtpd -o a=b", "slow/unix=slow unix - - n - - smtp -v"],
    ["-Me", "smtp/inet=smtp inet n - n - - smtpd", "smtp/inet=smtp inet n - y - - smtpd"], ["-Me", "smtp/bogus=smtp bogus - - - - - x"],
    ["-Fe", "smtp/inet/command=smtpd -v"], ["-Fe", "smtp/inet/service=a b"], ["-Fe", "smtp/inet/command=smtpd -o a=b -o {c = d e}"],
    ["-Pe", "slow/unix/a b=x"], ["-#", "a b"], ["-X", "a b"], ["-C", "all all", "-n"],
]

# main.cf or master.cf of their own: (main.cf, master.cf, command lines one after the other)
HEAD = "meta_directory=@T@\n"
FILES = [
    (None, "a unix - - n - - smtp -v -o x=1 -o x=2 -o y=1\n", "-PX a/unix/x|-P|-M|-Mf"),
    (None, "a unix - - n - - smtp -v -o x=1 -o x=2 -o y=1 -D\n", "-PX a/unix/x|-P|-M|-Mf"),
    (None, "a unix - - n - - smtp -ox=1 -vo y=2 -o {z=}\n", "-M|-P|-Mf"),
    (None, "a unix - - n - -\n", "-M"), (None, "", "-M|-P|-F"), (None, "# only\n", "-M"), (None, None, "-M|relayhost"),
    (None, "a-very-long-service-name-indeed inet n - y 12345? 1000 smtpd\n", "-M|-Mf|-F"),
    (None, "127.0.0.1:25 inet n - y - - smtpd\na/b unix - - n - - smtp\n", "-M|-M 127.0.0.1:25|-M 127.0.0.1:25/inet"),
    (None, "a unix - - n - - smtp\na unix - - y - - smtp\nb unix - - n - - smtp\n", "-M|-MX a/unix|-M"),
    (None, "a unix - - n - - smtp -o x=$relayhost -o y=$x.$helper flags=$helper {a $helper}\n", "-Mx|-Px|-Fx|-Mfx"),
    (None, "a unix - - n - - pipe argv=/bin/x\n  -o b {c d}\nb unix - - n - - smtp\n", "-M|-Mf|-P|-Pe a/unix/x=y|-M"),
    ("a = b\nnonsense\n", MASTER, "|-n"), (HEAD + "= x\n", MASTER, "-n"), (HEAD + "  foo = x\n", MASTER, "-n"),
    (HEAD + "relayhost = a\nrelayhost = b\n", MASTER, "-e relayhost=c"), (HEAD + "relayhost = a\n  b\n\n  c\nrelayhost = b\n", MASTER, "-X relayhost"),
    (HEAD + "relayhost = a\n  b\n\n  c\n# x\nrelayhost = b\n", MASTER, "-# relayhost"), (HEAD + "relayhost = a", MASTER, "-e relayhost=c"),
    (HEAD + "  relayhost = a\nmydomain = q\n", MASTER, "-e relayhost=c"),
    (HEAD + "relayhost = ${helper?{a}:{b}}\nmydomain = ${{$relayhost} == {b} ? {yes} : {no}}\n", MASTER, "-n|-nx"),
    (HEAD + "smtpd_restriction_classes = foo bar\nfoo = reject\nbar=permit\nbaz=permit\n", MASTER, "-n|-C user"),
    (HEAD + "virtual_alias_maps = ldap:foo, mysql:bar\nfoo_server_host=x\nbar_query=y\nbaz_query=z\n", MASTER, "-n|-C user"),
    (HEAD + "spawn_time_limit = 4\nslow_time_limit=3\nmaildrop_time_limit=4\nmaildrop_destination_recipient_limit=1\n"
     "fast_destination_recipient_limit=1\n", MASTER, "-n|-C service -n"),
    (HEAD, "a unix - - n - - smtp -o unusedthing=1 -o relayhost=$nosuchthing\n", "-n|-M|-P"),
    (HEAD + "mua_client = x\n", "a unix - - n - - smtp -o smtpd_client_restrictions=$mua_client -o foo=$bar -o bar=1\n", "-n|-P"),
    (HEAD + "maximal_queue_lifetime=xyz\nbiff=maybe\n", MASTER, "-n"), (HEAD + "virtual_maps = x\n", MASTER, "-n"),
    (HEAD + "\n\n# end\n", MASTER, "-e a=b|-n"), (HEAD + "a = $b\nb = $c\nc = d\nmyorigin = $a\n", MASTER, "-nx|-C user -x"),
]

# Every two options together: which contradict each other, and in which words. (-F -h of Postfix 3.7 loses the blank behind a command.)
OPTIONS = ["-a", "-A", "-d", "-e", "-f", "-F", "-h", "-H", "-l", "-m", "-M", "-n", "-p", "-P", "-x", "-X", "-#", "-o a=b"]
SILENT_PAIRS = {("-F", "-h"), ("-d", "-f"), ("-d", "-h"), ("-d", "-H"), ("-d", "-p"), ("-d", "-x"), ("-f", "-h"), ("-f", "-H"), ("-f", "-p"), ("-f", "-x"),
                ("-h", "-p"), ("-h", "-x"), ("-H", "-p"), ("-H", "-x"), ("-p", "-x"), ("-f", "-o a=b"), ("-h", "-o a=b"), ("-H", "-o a=b"),
                ("-p", "-o a=b"), ("-x", "-o a=b"), ("-M", "-o a=b"), ("-F", "-o a=b"), ("-P", "-o a=b"), ("-n", "-o a=b")}
PAIRS = [f"{a} {b}" for i, a in enumerate(OPTIONS) for b in OPTIONS[i + 1:] if (a, b) not in SILENT_PAIRS]


def split(lines):
    return [line.split() for line in lines.replace("\n", "|").split("|")]


CASES = [(MAIN, MASTER, [words]) for block in (SHOW_MAIN, SHOW_MASTER, EDIT_MAIN, EDIT_MASTER, "|".join(PAIRS)) for words in split(block)]
CASES += [(MAIN, MASTER, [words]) for words in WITH_BLANKS]
CASES += [(MAIN if main is None else main, master, split(runs) if runs else [[]]) for main, master, runs in FILES]

OURS_ALONE = re.compile(r"not supported yet|has no effect here")


def warnings_of(stderr):
    """Sorted; of a failure only its reason; without what is said in other words on purpose."""
    lines = [re.sub(r"fatal: usage: .*", "fatal: usage", line) for line in stderr.splitlines() if not OURS_ALONE.search(line)]
    lines = [re.sub(r" \(did you mean .*?\)|file @T@/master.cf: line \d+: (?=invalid)", "", line) for line in lines]
    lines = [re.sub(r"(master\.cf), line \d+: field \"service\".*must not.*", r"\1: logical line", line) for line in lines]
    lines = [re.sub(r"(?<=parameter override: )(.*attribute name).*", r"\1", line) for line in lines]
    lines = [line.replace("specify one of -b and -t", "specify one of -b -t") for line in lines]
    fatal = [line for line in lines if "fatal" in line]
    return fatal or sorted(set(lines))


def entries_and_comments(text):
    lines = text.splitlines()
    nothing = [line for line in lines if line.strip() == "" or line.lstrip().startswith("#")]
    return [line for line in lines if line not in nothing], nothing


class Side:
    """One of the two programs in a directory of its own."""

    def __init__(self, directory, program, environment, main, master):
        self.directory, self.program, self.environment = directory, str(program), environment
        directory.mkdir()
        (directory / "main.cf").write_text(main.replace("@T@", str(directory)))
        if master is not None:
            (directory / "master.cf").write_text(master)

    def run(self, words):
        done = subprocess.run([self.program, "-c", str(self.directory), *words], capture_output=True, text=True, timeout=60, env=self.environment)
        stderr = done.stderr.replace(self.program, "postconf").replace(str(self.directory), "@T@")
        return done.returncode, done.stdout.replace(str(self.directory), "@T@"), warnings_of(stderr)

    def files(self):
        main = (self.directory / "main.cf").read_text().replace(str(self.directory), "@T@")
        master = self.directory / "master.cf"
        return main, entries_and_comments(master.read_text()) if master.exists() else None


def ours_knows(words, output):
    """-a, -A and -m list what a build has; everything else is compared."""
    return output if not any(option in words for option in ("-a", "-A", "-m")) or any("fatal" in w for w in output[2]) else output[0]


def both(directory, postfix, environment, case):
    """What either answered to each command line, and the files in the end."""
    main, master, runs = case
    directory.mkdir()
    theirs = Side(directory / "a", *postfix, main, master)
    ours = Side(directory / "b", COMMANDS / "postconf", environment, main, master)
    answers = [(words, theirs.run(words), ours.run(words)) for words in runs if words]
    return answers, theirs.files(), ours.files()


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """Of all cases, several at once: Postfix's commands sleep for a second before they fail."""
    tree, top = postfix_tree(), tmp_path_factory.mktemp("beside")
    environment = dict(os.environ)          # a copy: pytest changes its own while the threads read it
    postfix = tree / "usr/sbin/postconf", {**environment, "LD_LIBRARY_PATH": f"{tree}/usr/lib/postfix"}
    with ThreadPoolExecutor(24) as pool:
        yield [pool.submit(both, top / str(1000 + number), postfix, environment, case) for number, case in enumerate(CASES)]


@pytest.mark.parametrize("number", range(len(CASES)), ids=[" ; ".join(" ".join(words) for words in case[2])[:60] for case in CASES])
def test_like_postfix(results, number):
    answers, their_files, our_files = results[number].result(timeout=600)
    for words, theirs, ours in answers:
        assert ours_knows(words, ours) == ours_knows(words, theirs), words
    assert our_files == their_files


ALL_TEMPLATES = "".join(f"{kind}_template = <<EOF\nSubject: {kind}\nFrom: me <me@example.com>\n\ntext\nEOF\n" for kind in
                        ("failure", "delay", "success", "verify"))
TEMPLATES = ["Charset: utf-8\nSubject: x\nPostmaster-Subject: y\n\nH\xe9 $myhostname $(myhostname) ${mydomain} $$x\n# kept\n\n",
             "$maximal_queue_lifetime $maximal_queue_lifetime_days $maximal_queue_lifetime_hours\n",
             "${delay_warning_time?a} ${delay_warning_time_hours?{a}:{b}}\n", "Subject: x\n\n${delay_warning_time?a}${delay_warning_time_hours?{a}:{b}} ${{a}=={a}?{y}:{n}}\n", "\n\n leading\n\n", "charset : x\nFROM:    y\n\na\nEOF  \n",
             "Subject: x\ntext\n", "Subject: x\n text\n", "Subject: x\nNo header\n\ntext\n", "no: header?\n\ntext\n", "Subject: h\xe9\n\ntext\n", "Subject: x\n",
             "t\xe9xt\n"]


@pytest.mark.parametrize("body", TEMPLATES)
def test_templates_of_notifications_like_postfix(tmp_path, body):
    """Of the file's templates what is not used is built in, in words of one's own: then only that it is not used."""
    tree = postfix_tree()
    sides = [Side(tmp_path / "a", tree / "usr/sbin/postconf", dict(os.environ, LD_LIBRARY_PATH=f"{tree}/usr/lib/postfix"),
                  f"{MAIN}daemon_directory = {tree}/usr/lib/postfix/sbin\n", MASTER),
             Side(tmp_path / "b", COMMANDS / "postconf", os.environ, MAIN, MASTER)]
    (tmp_path / "file").write_text(f"# first\n{ALL_TEMPLATES}\nfailure_template = <<EOF\n{body}EOF\n", encoding="utf-8")
    for option in ("-b", "-t"):
        theirs, ours = (side.run([option, str(tmp_path / "file")]) for side in sides)
        assert bool(ours[2]) == bool(theirs[2]) and ours[0] == theirs[0], (ours, theirs)
        assert ours[1].partition("EOF\n\n")[2] == theirs[1].partition("EOF\n\n")[2]
        if not ours[2]:
            assert ours[1] == theirs[1]


def test_there_are_enough_cases():
    assert len(CASES) >= 150
