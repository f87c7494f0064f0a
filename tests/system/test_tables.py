# SPDX-License-Identifier: ISC
"""Tables beside those of Postfix: what one makes the other reads, and the same questions get the same answers."""

import os
import random
from concurrent import futures

import pytest

from instance import IS_ROOT, Instance
from peers import PostfixCommands

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="Postfix's commands want to be run as root")

DATABASES = ["hash", "btree", "lmdb", "cdb"]


@pytest.fixture(scope="module")
def postfix():
    with PostfixCommands() as commands:
        yield commands


@pytest.fixture(scope="module")
def mail():
    instance = Instance()
    instance.write()
    yield instance
    instance.close()


def source_text():
    """500 entries and the questions about them: every kind of key that mail has, and what is nearly one."""
    rng = random.Random(7)
    entries, keys = [], []
    forms = [lambda n: f"user{n}@example{n % 7}.com", lambda n: f"User{n}+ext@Example.COM", lambda n: f"@domain{n}.example", lambda n: f".sub{n}.example",
             lambda n: f"host{n}.example.net", lambda n: f"192.0.2.{n % 256}", lambda n: f'"quoted user{n}"@example.com', lambda n: f"plain{n}",
             lambda n: f"k{n}" + "x" * rng.randrange(200), lambda n: f"ünïcode{n}@exämple.com", lambda n: f"back\\\\slash{n}", lambda n: f"2001:db8::{n:x}"]
    for n in range(500):
        key = forms[n % len(forms)](n)
        value = rng.choice(["OK", "REJECT go away", f"smtp:[192.0.2.{n % 200}]:25", f"a{n}@b, c@d,  e@f", "x" * rng.randrange(1, 3000), f"two  spaces {n}",
                            f"tab\there {n}", "first\n  second\n\tthird"])
        entries.append(key + rng.choice([" ", "\t", "    "]) + value)
        keys += [key, rng.choice([key.upper(), key + "x", key[:-1], key.replace("@", "%")])]
    return "# a comment\n\n" + "\n".join(entries) + "\n", [key for key in dict.fromkeys(keys) if key.strip() == key and key]


def ask(commands, spec, keys, *options):
    return commands.command("postmap", *options, "-q", "-", spec, input="\n".join(keys) + "\n", **({} if isinstance(commands, PostfixCommands) else {"check": False}))


@pytest.mark.parametrize("kind", DATABASES)
def test_what_one_makes_the_other_reads(mail, postfix, kind):
    text, keys = source_text()
    assert len(keys) > 850
    ours, theirs = mail.file(f"ours-{kind}", text), mail.file(f"theirs-{kind}", text)
    done = postfix.command("postmap", f"{kind}:{theirs}")
    assert done.returncode == 0, done.stderr
    mail.command("postmap", f"{kind}:{ours}")
    expected = ask(postfix, f"{kind}:{theirs}", keys)
    assert expected.stdout.count("\n") >= 480
    for options in ((), ("-f",)):
        expected = ask(postfix, f"{kind}:{theirs}", keys, *options)
        for commands in (postfix, mail):
            for made in (ours, theirs):
                got = ask(commands, f"{kind}:{made}", keys, *options)
                assert (got.returncode, got.stdout) == (expected.returncode, expected.stdout), (commands, made, options)
    listed = [sorted(commands.command("postmap", "-s", f"{kind}:{made}").stdout.split("\n")) for commands in (postfix, mail) for made in (ours, theirs)
              if kind != "cdb" or commands is mail]            # Postfix 3.7 lists no cdb
    assert all(one == listed[0] for one in listed) and len(listed[0]) > 490


@pytest.mark.parametrize("kind", ["hash", "btree", "lmdb"])
def test_changes_meet_in_the_same_file(mail, postfix, kind):
    spec = f"{kind}:{mail.file(f'both-{kind}', 'a 1' + chr(10))}"
    for number, commands in enumerate((postfix, mail) * 3):
        commands.command("postmap", spec) if number == 0 else None
        done = commands.command("postmap", "-i", spec, input=f"key{number} {number}\n")
        assert done.returncode == 0, done.stderr
        assert commands.command("postmap", "-d", "a" if number == 0 else f"key{number - 1}", spec).returncode == 0
        for reader in (postfix, mail):
            assert reader.command("postmap", "-s", spec).stdout == f"key{number}\t{number}\n"


OPTIONS = [["-q", "a"], ["-q", "b"], ["-f", "-q", "b"], ["-f", "-q", "B"], ["-q", "zz"], ["-q", "-"], ["-s"], ["-d", "a"], ["-d", "A"], ["-d", "zz"], ["-d", "-"], ["-f", "-d", "A"],
           ["-d", "a", "-i"], ["-i"], ["-r", "-i"], ["-w", "-i"], [], ["-N"], ["-n"], ["-w"], ["-r"], ["-o"], ["-p"], ["-f"], ["-u"], ["-U"], ["-v"], ["-q", "a", "-s"], ["-s", "-i"], ["-z"], ["-q", "a", "-q", "b"],
           ["-q", "a", "-d", "b"]]
SOURCES = {"postmap": ("a 1\nB 2\n\"x y\"@z q\ndup 1\ndup 2\nk: v\nnoval\n", "new 5\na 9\n"), "postalias": ("a: joe, \"a b\"@c\nB: x\nbad\ndup: 1\ndup: 2\n", "new: 5\na: 9\n")}


def outcome(commands, directory, program, kind, options):
    """Exit status, output and what the table holds then, of a table made from SOURCES and a command with these options."""
    source, more = SOURCES[program]
    directory.mkdir(parents=True)
    (directory / "t").write_text(source)
    spec = f"{kind}:{directory}/t"
    unchecked = {} if isinstance(commands, PostfixCommands) else {"check": False}
    commands.command(program, spec, **unchecked)
    done = commands.command(program, *options, spec, input=more if "-i" in options else "a\nB\nzz\n\n k \n", **unchecked)
    held = commands.command(program, "-s", spec, **unchecked).stdout
    return "fatal" if "fatal:" in done.stderr else done.returncode, without_yp(done.stdout), without_yp(held)


def without_yp(listing):
    """Sorted, and without what Postfix adds to aliases for NIS."""
    return sorted(line for line in listing.splitlines() if not line.startswith(("@:", "YP_")))


def test_every_option_does_the_same(mail, postfix):
    """Postfix takes a second for each refusal: all at once."""
    cases = [(program, "lmdb" if number % 3 == 0 else "hash", options) for program in SOURCES for number, options in enumerate(OPTIONS) if program == "postmap" or options != ["-U"]]

    def both(case):
        number, (program, kind, options) = case
        return [outcome(commands, mail.root / "options" / f"{number}-{name}", program, kind, options) for commands, name in ((postfix, "theirs"), (mail, "ours"))]

    with futures.ThreadPoolExecutor(12) as pool:
        for case, (theirs, ours) in zip(cases, pool.map(both, enumerate(cases))):
            assert ours == theirs, case


ALIASES = r"""
Root: bob,   alice (a comment),"x y"@foo
"spa ce": |"/usr/bin/x -a  b"
q1: "|/bin/sh -c 'a  b;  c'", "|cmd \"arg one\"  two", |cmd arg  two, "/var/mail/x y", :include:/a/b, ":include:/a b"
q2: Joe Doe <a@b>, "Doe, Joe" <c@d>, friends: a, b;, @foo:a@b, <@foo:a@b>, a,,b, a\,b, "a\\b"
q3: user%host, a!b, [1.2.3.4], user@[ 1.2 . 3 ], a . b @ c, =?x?, x"y"z, (c)x(d), a<b>(c), b< a >
q4: \root, \root, "\"joe", \"joe, "a	b", ünï@exämple.com, ~/x, a\ b, (c (nested) \) d) e, {a} {b}, a|b, x]y, x)y
q5: "un closed
q6: list,
  # inner
  of, several
	lines
MiXeD: UPPER, Lower@Example.COM
with\ back: x
k1 (c): x
<k2>: x
k3.k4.: x
x"y"z: x
a@b: x
a%b: x
a, b: x
k5\@l: x
"k6@l": x
"k7"@l: x
k8 "k9": x
empty:
no colon
"""


@pytest.mark.parametrize("kind", DATABASES)
def test_aliases_are_stored_as_postfix_stores_them(mail, postfix, kind):
    sources = {commands: mail.root / f"aliases-{kind}-{name}" / "aliases" for commands, name in ((mail, "ours"), (postfix, "theirs"))}
    said = {}
    for commands, source in sources.items():
        source.parent.mkdir()
        source.write_text(ALIASES)
        said[commands] = commands.command("postalias", f"{kind}:{source}").stderr.replace(str(source), "aliases")
    assert said[mail] == said[postfix] and said[mail].count("warning: ") == 6
    ours, theirs = (mail.command("postalias", "-s", f"{kind}:{source}").stdout for source in sources.values())
    assert without_yp(ours) == without_yp(theirs) and ours.count("\n") == 17


def test_text_tables_answer_the_same(mail, postfix):
    text, keys = source_text()
    spec = f"texthash:{mail.file('text', text + 'null' + chr(0) + 'byte v' + chr(10))}"
    assert ask(mail, spec, keys).stdout == ask(postfix, spec, keys).stdout != ""
    for options in (("-s",), ("-fs",)):
        ours, theirs = (commands.command("postmap", *options, spec) for commands in (mail, postfix))
        assert sorted(ours.stdout.splitlines()) == sorted(theirs.stdout.splitlines()) and ours.stdout.count(chr(10)) > 490


def test_modes_and_owners_are_as_postfix_leaves_them(mail, postfix):
    """Of a new table from sources that may be written or not, and of one that is replaced by root itself."""
    for number, (mode, options) in enumerate([(0o444, []), (0o400, ["-f"]), (0o755, []), (0o660, []), (0o600, ["-p"]), (0o644, ["-o"]), (0o644, ["-oi"]), (0o644, ["-o", "-d", "a"])]):
        left = []
        for commands, name in ((postfix, "theirs"), (mail, "ours")):
            directory = mail.root / f"modes-{number}-{name}"
            directory.mkdir()
            (directory / "t").write_text("a 1\nb 2\n")
            (directory / "t").chmod(mode)
            if "-o" in "".join(options):
                postfix.command("postmap", f"hash:{directory}/t")
                os.chown(directory / "t.db", 1, 1)
            commands.command("postmap", *options, f"hash:{directory}/t", input="c 3\n")
            st = (directory / "t.db").stat()
            left.append((oct(st.st_mode), st.st_uid, st.st_gid))
        assert left[0] == left[1], (mode, options)


COMPOSED = [
    "inline:{ a=b, { c = d e }, {f=}, A=x }", "static:all", "static:{ two words }", "environ:x",
    "unionmap:{ inline:{ a=1, b=2 }, inline:{ a=3 } }", "unionmap:{static:x inline:{a=y}}",
    "pipemap:{ inline:{ a=b, q=nothere }, inline:{ b=c } }", "pipemap:{ inline:{ a=b, q=z }, inline:{ b=c }, static:end }",
    "unionmap:{ inline:{ a=1 }, fail:x }", "pipemap:{ inline:{ a=b }, fail:x }", "pipemap:{ inline:{ a=b }, nosuch:type }", "unionmap:{}", "unionmap:x",
    "randmap:{ one }", "randmap:{ same, same }", "randmap:{}", "internal:x", "fail:always", "inline:{ a }", "inline:{ a=b", "static:{ x", "pipemap:{ regexp:{ { /^(.)$/ $1$1 } }, inline:{ aa=double } }",
    "inline:{}", "inline:{ {a=b}{b=c} }", "inline:{ {a=b}x }", "inline:{a=b}}", "unionmap:{static:a}}", "static:{a}b", "randmap:{a}}", "regexp:{{/a/ x}{/b/ y}}",
    "regexp:{{/a/ x}}}", "regexp:{ {if /./}, {/a/ x}, {endif extra} }", "cidr:{ {[192.0.2.0/24] x} }", "inline:{a=}",
]


COMPOSED_KEYS = ("a", "A", "b", "c", "f", "q", "", "HOME")


@pytest.fixture(scope="module")
def composed_answers(postfix):
    """What Postfix says, asked at once: it takes a second for each table that it cannot open."""
    def ask_all(spec):
        answers = []
        for key in COMPOSED_KEYS:
            answers.append(postfix.command("postmap", "-q", key, spec))
            if "fatal:" in answers[-1].stderr:
                break
        return answers

    with futures.ThreadPoolExecutor(len(COMPOSED)) as pool:
        return dict(zip(COMPOSED, pool.map(ask_all, COMPOSED)))


@pytest.mark.parametrize("spec", COMPOSED)
def test_tables_made_of_others_answer_the_same(mail, composed_answers, spec):
    for key, theirs in zip(COMPOSED_KEYS, composed_answers[spec]):
        ours = mail.command("postmap", "-q", key, spec, check=False)
        if "fatal:" in theirs.stderr:
            assert ours.returncode == 1 and "fatal:" in ours.stderr, (key, theirs.stderr, ours.stderr)
        else:
            assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout), (key, theirs.stderr, ours.stderr)


PATTERNS = {
    "regexp": r"""
# comment
/^(.*)@example\.com$/            ${1}@example.org and $1 again $(1)
!/@/                             no at sign
if /^x/
/^x(y)(z)?/                      y=$1 z=$2 $$5
!/q$/                            x without q at the end
endif
if !/@local$/
/^a(b|c)d@/i                     case matters here $1
/^UPPER@/                        folded by default
%/slash/%                        other delimiter
|pipe\|d|                        quoted delimiter
endif
/(un(nested)?)(group)/           $1-$2-$3
/bad [/                          broken
/out of range/                   $7
\backslash\                      no delimiter
/toomany/ $1
!/neg/ $1
/no result/
if /^if-open/
/./  inside the last
""",
    "pcre": r"""
/^(.*)@example\.com$/            ${1}@example.org and $1 again $(1)
!/@/                             no at sign
if /^x/
/^x(y)(z)?/                      y=$1 z=$2 $$5
!/q$/                            x without q at the end
endif
if !/@local$/
/^a(b|c)d@/i                     case matters here $1
/^UPPER@/                        folded by default
%/slash/%                        other delimiter
endif
/(?<=look)behind(\d+)/           $1
/^multi.line/s                   dot and newline
/(un(nested)?)(group)/           $1-$2-$3
/bad [/                          broken
/lazy(.+)(.+)end/U               $1|$2
/white space/x                   extended
/anchored@/A                     at the start
/out of range/                   $7
/no result/
""",
    "cidr": """
192.0.2.0/24     doc
192.0.2.1        never reached
!10.0.0.0/8      not ten
if 10.0.0.0/8
10.1.0.0/16      ten one
if !10.2.0.0/16
10.0.0.0/9       lower half
endif
10.2.3.4/32      one host
endif
2001:db8::/32    six
[2001:db9::]/32  six too
::/0             any six
10.3.3.3/24      host bits
::ffff:0:0/96    mapped
[198.51.100.0/24]  in brackets
[2001:dba::/32]  six in brackets
300.1.1.1        nonsense
10.0.0.0/8       rest of ten
""",
}
QUESTIONS = {
    "regexp": ["joe@example.com", "JOE@EXAMPLE.COM", "noat", "xyz@", "xyzq@q", "xyq", "x@q", "abd@x", "ABD@x", "acd@local", "upper@here", "a/slash/@", "pipe|d@",
               "unnestedgroup@", "ungroup@", "out of range@", "no result@", "backslash@", "if-open@", "", "@", "a b@c", "toomany@", "neg@"],
    "cidr": ["192.0.2.1", "192.0.2.255", "192.0.3.0", "10.1.2.3", "10.2.3.4", "10.2.3.5", "10.100.0.1", "10.200.0.1", "10.3.3.3", "2001:db8::1", "2001:DB9::1", "::1",
             "2002::", "::ffff:192.0.3.1", "example.com", "", "192.0.2", "192.0.2.1.5", "0.0.0.0", "255.255.255.255", "[192.0.2.1]", "198.51.100.7", "2001:dba::7"],
}
QUESTIONS["pcre"] = QUESTIONS["regexp"] + ["lookbehind77@", "multi\tline@", "lazyabcdend@", "whitespace@", "anchored@x", "not anchored@x", "ünï@x"]


@pytest.mark.parametrize("kind", PATTERNS)
def test_rules_answer_the_same(mail, postfix, kind):
    if kind == "pcre" and "pcre" not in postfix.command("postconf", "-m").stdout.split():
        kind_of_oracle = None            # Debian has it in a package of its own
    else:
        kind_of_oracle = kind
    spec = f"{kind}:{mail.file('rules-' + kind, PATTERNS[kind])}"
    for key in QUESTIONS[kind]:
        ours = mail.command("postmap", "-q", key, spec, check=False)
        if kind_of_oracle is None:
            assert ours.returncode in (0, 1)
            continue
        theirs = postfix.command("postmap", "-q", key, spec)
        if "fatal:" in theirs.stderr:
            assert ours.returncode == 1 and "fatal:" in ours.stderr, (key, theirs.stderr)
        else:
            assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout), (key, theirs.stderr, ours.stderr)


@pytest.mark.parametrize("program", ["postmap", "postalias"])
def test_what_is_not_utf8_is_left_out_unless_u_says_otherwise(mail, postfix, program):
    """Lines of a source, keys and values; keys of -q - are whole lines, white space included."""
    colon = ":" if program == "postalias" else ""
    text = f"k\udce9{colon} v\nkk{colon} v\udce9\nok{colon} v\nü{colon} w\n"
    for build, ask in ((), ()), ((), ("-u",)), (("-u",), ("-u",)), (("-u",), ()), (("-u",), ("-f",)):
        answers = []
        for commands in (postfix, mail):
            source = mail.root / "latin1"
            source.write_text(text, errors="surrogateescape")
            unchecked = {"errors": "surrogateescape", **({} if commands is postfix else {"check": False})}
            made = commands.command(program, *build, f"hash:{source}", **unchecked)
            listed = commands.command(program, "-s", f"hash:{source}", **unchecked)
            asked = [commands.command(program, *ask, "-q", "-", f"hash:{source}", input=key + "\n", **unchecked) for key in ("k\udce9", "kk", "ok", " ok", "ok ", "ü", "")]
            answers.append((made.returncode, made.stderr.replace(f"{source}.db", f"{source}"), without_yp(listed.stdout),
                            [("fatal:" in done.stderr or done.returncode, "non-UTF-8" in done.stderr, done.stdout) for done in asked]))
        assert answers[0] == answers[1], (build, ask)
    done = mail.command(program, "-q", "-", "inline:{ a=b }", input="\udce9\na\n", errors="surrogateescape")
    assert done.stdout == f"a{colon}\tb\n" and 'non-UTF-8 key "?"' in done.stderr


MESSAGE = """\
From: someone
Subject: one
  and two
To: me
Content-Type: multipart/mixed; boundary="b"

preamble
--b
Content-Type: text/plain
X-Part: yes

body of one
: not a header
--b
Content-Type: message/rfc822

Subject: nested
X-Nested: deep

nested body

--b--
epilogue
"""


@pytest.mark.parametrize("options", [("-h",), ("-b",), ("-bh",), ("-hm",), ("-bm",), ("-bhm",)])
@pytest.mark.parametrize("message", [MESSAGE, MESSAGE.replace("\n\npreamble", "\npreamble"), "no header at all\n\nx\n", "", "X: y", "A: b\n\n"])
def test_messages_are_taken_apart_the_same(mail, postfix, options, message):
    spec = f"regexp:{mail.file('all', '/^(.*)$/ got $1' + chr(10) + '/^/ got' + chr(10))}"
    theirs = postfix.command("postmap", *options, "-q", "-", spec, input=message)
    ours = mail.command("postmap", *options, "-q", "-", spec, input=message, check=False)
    assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout), ours.stderr


@pytest.mark.parametrize("kind", ["hash", "lmdb", "cdb", "texthash"])
def test_files_as_values(mail, postfix, kind):
    one, two = mail.file("one.pem", "-----BEGIN ONE-----\nab\n"), mail.file("two.pem", "two\n")
    source = mail.file(f"sni-{kind}", f"a.example {one}, {two}\nb.example {two}\n")
    if kind != "texthash":
        for commands, reader in ((postfix, mail), (mail, postfix)):
            (mail.etc / f"sni-{kind}.{'db' if kind == 'hash' else kind}").unlink(missing_ok=True)
            assert commands.command("postmap", "-F", f"{kind}:{source}").returncode == 0
            assert reader.command("postmap", "-F", "-q", "a.example", f"{kind}:{source}").stdout.startswith("-----BEGIN ONE-----\nab\n\ntwo\n")
    answers = {commands.command("postmap", "-Fq", "A.example", f"{kind}:{source}").stdout for commands in (postfix, mail)}
    assert len(answers) == 1, answers


FILES_MISSING = ["texthash:sni", "regexp:{{/^a$/ one}, {/^b$/ none}}", "cidr:{{192.0.2.1 one}, {192.0.2.2 none}}", "randmap:{one}",
                 "randmap:{none}", "static:one", "static:none", "inline:{a=one}", "inline:{a=none}", "pipemap:{static:a, inline:{a=one}}", "environ:x"]


def test_an_entry_whose_file_is_missing_is_left_out_as_in_postfix(mail, postfix):
    """Names of files start where postmap was started."""
    directory = mail.root / "files"
    directory.mkdir()
    (directory / "one").write_text("1\n")
    (directory / "sni").write_text("a one\nb none\nc one none\nd one\n")

    def said(commands, *words):
        done = commands.command(*words, cwd=directory, **({} if commands is postfix else {"check": False}))
        return done.returncode, done.stdout, set(done.stderr.replace(f"{directory}/", "").splitlines())    # Postfix reads a file twice that is new

    for kind in ("hash", "lmdb"):
        theirs, ours = [[said(commands, "postmap", *options, f"{kind}:sni") for options in (["-F"], ["-Fs"], ["-Fq", "b"])] for commands in (postfix, mail)]
        assert ours == theirs and ours[0][0] == 0 and len(ours[0][2]) == 2
    with futures.ThreadPoolExecutor(12) as pool:
        cases = [(spec, key) for spec in FILES_MISSING for key in ("a", "b", "192.0.2.1")]
        for case, theirs in zip(cases, pool.map(lambda case: said(postfix, "postmap", "-Fq", case[1], case[0]), cases)):
            ours = said(mail, "postmap", "-Fq", case[1], case[0])
            if "fatal:" in "".join(theirs[2]):
                assert ours[0] == 1 and "fatal:" in "".join(ours[2]), (case, theirs, ours)
            else:
                assert ours == theirs, case


def test_randmap_chooses_each_of_its_values(mail):
    keys = [f"k{n}" for n in range(300)]
    got = [line.split("\t")[1] for line in ask(mail, "randmap:{ often, often, often, { once in a while } }", keys).stdout.splitlines()]
    assert set(got) == {"often", "once in a while"} and 150 < got.count("often") < 290


def test_debug_says_what_was_asked(mail):
    done = mail.command("postmap", "-q", "a", "debug:inline:{ a=b }")
    assert done.stdout == "b\n" and 'inline:{ a=b } lookup: "a" = "b"' in done.stderr
    done = mail.command("postmap", "-q", "z", "debug:inline:{ a=b }", check=False)
    assert done.returncode == 1 and '"z" = "not found"' in done.stderr


def test_a_key_that_a_database_cannot_hold_is_not_lost_in_silence(mail):
    source = mail.file("long", "k" * 600 + " v\n")
    done = mail.command("postmap", f"lmdb:{source}", check=False)
    assert done.returncode == 1 and "600 bytes" in done.stderr and not (mail.etc / "long.lmdb").exists()
    assert "fatal:" in mail.command("postmap", "-q", "k" * 600, f"lmdb:{mail.file('short', 'a b' + chr(10))}", check=False).stderr
    mail.command("postmap", f"lmdb:{mail.etc}/short", f"cdb:{source}")
    assert mail.command("postmap", "-q", "k" * 600, f"lmdb:{mail.etc}/short", check=False).returncode == 1
    assert mail.command("postmap", "-q", "k" * 600, f"cdb:{source}").stdout == "v\n"


def test_a_large_lmdb_grows(mail):
    count = 60000
    mail.file("large", "".join(f"key{n}@example.com {'v' * 500}{n}\n" for n in range(count)))
    mail.command("postmap", f"lmdb:{mail.etc}/large", timeout=120)
    assert (mail.etc / "large.lmdb").stat().st_size > 32 << 20
    for n in (0, 1, 9999, 10000, 10001, count - 1):
        assert mail.command("postmap", "-q", f"key{n}@example.com", f"lmdb:{mail.etc}/large").stdout == "v" * 500 + f"{n}\n"
    (mail.etc / "large.lmdb").unlink()


def test_a_damaged_cdb_is_an_error(mail):
    source = mail.file("damage", "".join(f"k{n} {n}\n" for n in range(100)))
    mail.command("postmap", f"cdb:{source}")
    table = mail.etc / "damage.cdb"
    whole = table.read_bytes()
    for at in (10, 1000, 2047, 2500, len(whole) - 8):
        table.write_bytes(whole[:at])
        answers = [mail.command("postmap", "-q", f"k{n}", f"cdb:{source}", check=False) for n in (3, 57)]
        assert any("fatal:" in done.stderr for done in answers) or at > 2500, at
    rng = random.Random(1)
    for _ in range(30):
        bytes_ = bytearray(whole)
        for _ in range(20):
            bytes_[rng.randrange(len(bytes_))] = rng.randrange(256)
        table.write_bytes(bytes_)
        assert mail.command("postmap", "-q", "k3", f"cdb:{source}", check=False, errors="replace").returncode >= 0          # no signal
        assert mail.command("postmap", "-s", f"cdb:{source}", check=False, errors="replace").returncode >= 0


def test_options_that_make_no_sense_together_are_refused(mail):
    for options in (["-b", "-q", "a"], ["-h"], ["-m", "-q", "a"], ["-q", "a", "-d", "b"]):
        done = mail.command("postmap", *options, "inline:{ a=b }", check=False)
        assert done.returncode == 1 and "specify" in done.stderr, options
    assert "cannot be changed" in mail.command("postmap", "-i", f"cdb:{mail.file('c', 'a b' + chr(10))}", input="x y\n", check=False).stderr
    assert "usage: postalias" in mail.command("postalias", "-b", "-q", "-", "hash:x", check=False).stderr
