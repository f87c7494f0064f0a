# SPDX-License-Identifier: ISC
"""Tables that ask servers, against the real ones: what is found, what is not, and what cannot be told; servers that go away and come back.

Each type through postmap, and through proxymap with its jail.
"""

import contextlib
import os
import signal
import socket
import sqlite3
import struct
import tempfile
import threading
import time
from concurrent import futures

import pytest

from foreground import Foreground
from frames import Peer
from instance import Instance, free_port, wait_until
from servers import Certificates, Mariadb, Memcached, Postgres, Redis, Slapd
from test_proxymap import CANNOT_TELL, FOUND, NOT_THERE, look_up

ROWS = [("joe@example.com", "a@one.example"), ("joe@example.com", "b@two.example"), ("it's@example.com", "quote"), ("back\\slash", "backslash"),
        ("%s", "percent"), ("plain", "no domain"), ("empty", ""), ("long", "x" * 5000), ("many", "v"), ("ünï@example.com", "ü"), ("a\"b", "double")]
HOSTILE = ["' OR '1'='1", "x' OR 1=1 -- ", "\\' OR 1=1 #", "'; DROP TABLE alias; --", "*", "joe*", "joe@example.com)(objectClass=*", "\\2a", "%", "_", "joe@example.com' AND '1'='1",
           "x\r\nGET joe@example.com", "joe@example.com\nx", "\u2019 OR 1=1"]


def rows_sql(quote):
    values = ", ".join(f"('{quote(address)}', '{quote(goto)}')" for address, goto in ROWS)
    more = ", ".join(f"('many', 'v{number}')" for number in range(20))
    return f"CREATE TABLE alias (address VARCHAR(200), goto TEXT); INSERT INTO alias VALUES {values}, {more}, ('nothing', NULL);"


@pytest.fixture(scope="module")
def postgres():
    with Postgres() as server:
        server.start()
        server.sql(rows_sql(lambda text: text.replace("'", "''")) + "CREATE FUNCTION goto_of(text) RETURNS SETOF text AS $$ SELECT goto FROM alias WHERE address = $1 $$ "
                   "LANGUAGE SQL;")
        yield server


@pytest.fixture(scope="module")
def mariadb():
    with Mariadb() as server:
        server.start().make_system_tables()
        server.sql("CREATE DATABASE m CHARACTER SET utf8mb4; USE m; " + rows_sql(lambda text: text.replace("\\", "\\\\").replace("'", "''"))
                   + "CREATE PROCEDURE goto_of(a VARCHAR(200)) SELECT goto FROM alias WHERE address = a;", "--default-character-set=utf8mb4")
        yield server


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory):
    path = tmp_path_factory.mktemp("sqlite") / "alias.db"
    with sqlite3.connect(path) as db:
        db.executescript(rows_sql(lambda text: text.replace("'", "''")))
    path.chmod(0o644)
    return path


def ldap_escape(text):
    return "".join(character if character.isalnum() and character.isascii() else "".join(f"\\{byte:02X}" for byte in character.encode()) for character in text)


@pytest.fixture(scope="module")
def slapd():
    with Slapd() as server:
        server.start()
        entries = ["dn: dc=example\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example\n"]
        values = {}
        for address, goto in ROWS + [("many", f"v{number}") for number in range(20)]:
            if goto and goto.isascii() and address.isascii():
                values.setdefault(address, []).append(goto[:500])
        for number, (address, gotos) in enumerate(values.items()):
            entries.append(f"dn: uid=u{number},dc=example\nobjectClass: inetOrgPerson\nuid: u{number}\ncn: x\nsn: {address}\n" +
                           "".join(f"title: {goto}\n" for goto in gotos))
        entries.append("dn: cn=list,dc=example\nobjectClass: groupOfNames\ncn: list\nmember: uid=u0,dc=example\nmember: cn=inner,dc=example\nmember: cn=gone,dc=example\n")
        entries.append("dn: cn=inner,dc=example\nobjectClass: groupOfNames\ncn: inner\nmember: uid=u1,dc=example\n")
        entries.append("dn: cn=loop,dc=example\nobjectClass: groupOfNames\ncn: loop\nmember: cn=loop,dc=example\n")
        entries.append("dn: cn=urls,dc=example\nobjectClass: groupOfNames\nobjectClass: labeledURIObject\ncn: urls\nmember: cn=gone,dc=example\n" +
                       "".join(f"labeledURI: ldap:///{url}\n" for url in ("uid=u0,dc=example?SN,Title", "dc=example??one?(sn=it's@example.com)", "cn=list,dc=example?member,cn",
                                                                          "uid=u2,dc=example?sn")))
        entries.append("dn: cn=drops,dc=example\nobjectClass: groupOfNames\nobjectClass: extensibleObject\ncn: drops\nmember: uid=drop,dc=example\nmaildrop: group@one.example\n")
        entries.append("dn: uid=drop,dc=example\nobjectClass: inetOrgPerson\nobjectClass: extensibleObject\nuid: drop\ncn: drop\nsn: drop\nmaildrop: drop@one.example\n")
        server.load("\n".join(entries))
        yield server


def fill_redis(server):
    for address, goto in ROWS:
        if goto:
            server.cli("SET", address, goto)
    server.cli("HSET", "example.com", "joe", "in a hash", "admin", "other")


@pytest.fixture(scope="module")
def redis():
    with Redis() as server:
        server.start()
        fill_redis(server)
        yield server


@pytest.fixture(scope="module")
def mail():
    instance = Instance()
    instance.write()
    yield instance
    instance.close()


def settings(kind, server):
    """The lines that lead to the server and to ROWS."""
    sql = "query = SELECT goto FROM alias WHERE address = '%s'\n"
    if kind == "pgsql":
        return f"hosts = inet:127.0.0.1:{server.port}\nuser = test\npassword = x\ndbname = postgres\n{sql}"
    if kind == "mysql":
        return f"hosts = inet:127.0.0.1:{server.port}\nuser = test\npassword = x\ndbname = m\n{sql}"
    if kind == "sqlite":
        return f"dbpath = {server}\n{sql}"
    if kind == "ldap":
        return f"server_host = ldap://127.0.0.1:{server.port}\nsearch_base = dc=example\nquery_filter = (sn=%s)\nresult_attribute = title\n"
    return f"hosts = inet:127.0.0.1:{server.port}\n"


SERVERS = {"pgsql": "postgres", "mysql": "mariadb", "sqlite": "sqlite", "ldap": "slapd", "redis": "redis"}
every_type = pytest.mark.parametrize("kind", SERVERS)


@pytest.fixture
def table(request, mail, kind):
    """table(text of more lines): the spec of a table of this kind; replaces: lines that are left out."""
    server = request.getfixturevalue(SERVERS[kind])
    made = []

    def make(more="", without=()):
        lines = [line for line in settings(kind, server).splitlines() if not line.startswith(tuple(without) or "\0")]
        made.append(mail.file(f"{kind}-{len(made)}.cf", "\n".join(lines) + "\n" + more))
        return f"{kind}:{made[-1]}"

    make.server = server
    return make


def ask(mail, spec, key):
    """The value; None: not there; RuntimeError with the words: cannot tell."""
    done = mail.command("postmap", "-q", key, spec, check=False)
    if done.returncode == 0:
        return done.stdout.removesuffix("\n")
    assert done.returncode == 1
    if done.stderr == "":
        return None
    raise RuntimeError(done.stderr)


@every_type
def test_what_is_there_and_what_is_not(mail, table, kind):
    spec = table()
    assert ask(mail, spec, "JOE@example.com") == ("b@two.example" if kind == "redis" else "a@one.example,b@two.example")
    assert ask(mail, spec, "it's@example.com") == "quote"
    assert ask(mail, spec, "back\\slash") == "backslash"
    assert ask(mail, spec, "%s") == "percent"
    assert ask(mail, spec, 'a"b') == "double"
    assert len(ask(mail, spec, "long")) == (500 if kind == "ldap" else 5000)
    if kind != "ldap":
        assert ask(mail, spec, "ünï@example.com") == ask(mail, spec, "ÜNÏ@Example.com") == "ü"
    for key in ("nobody@example.com", "empty", "nothing", "", " ", "joe@example.co", "x" * 3000):
        assert ask(mail, spec, key) is None, key


@every_type
def test_nothing_that_is_looked_up_becomes_part_of_the_question(mail, table, kind):
    spec = table()
    for key in HOSTILE:
        assert ask(mail, spec, key) is None, key
    assert ask(mail, spec, "joe@example.com") is not None


@pytest.mark.parametrize("kind", ["pgsql", "ldap"])
def test_bytes_that_are_no_text_are_not_there(mail, table, kind):
    """A header may have such an address, and these servers refuse the question."""
    spec = table("search_base = sn=%s,dc=example\n", without=["search_base"]) if kind == "ldap" else table()
    with Service(spec) as peer:
        for key in (b"j\xf6rg@example.com", b"\xbf' OR 1=1", b"\xff", b"\xe2\x28\xa1@example.com"):
            assert look_up(peer, spec, key)[:2] == (NOT_THERE, ""), key


@every_type
def test_results_are_formatted_and_limited(mail, table, kind):
    single = kind == "redis"
    assert ask(mail, table("result_format = <%s> %u at %d (%S %U %D %2)\n"), "joe@example.com") == ",".join(
        f"<{one}> {one[0]} at {one[2:]} (joe@example.com joe example.com example)" for one in (["b@two.example"] if single else ["a@one.example", "b@two.example"]))
    assert ask(mail, table("result_format = %d\n"), "it's@example.com") is None             # the value has no domain
    assert ask(mail, table("result_format = %S of %D\n"), "plain") is None                   # and here the key
    assert ask(mail, table("domain = example.com, other.example\n"), "joe@example.com") is not None
    for key in ("plain", "@example.com", "joe@sub.example.com", "example.com"):
        assert ask(mail, table("domain = example.com, other.example\n"), key) is None, key
    if not single:
        assert len(ask(mail, table("expansion_limit = 25\n"), "many").split(",")) == 21 if kind != "ldap" else 20
        with pytest.raises(RuntimeError, match="expansion_limit|Size limit"):
            ask(mail, table("expansion_limit = 5\n"), "many")
    if kind in ("pgsql", "mysql", "sqlite"):        # what is empty is no result, and does not count
        spec = table("query = SELECT goto, '', NULL FROM alias WHERE address = '%s'\nexpansion_limit = 2\n", without=["query"])
        assert ask(mail, spec, "joe@example.com") == "a@one.example,b@two.example"


@every_type
def test_questions_are_made_of_parts_of_the_key(mail, table, kind):
    forms = {"pgsql": ("query", "SELECT goto FROM alias WHERE address = '{}'"), "mysql": ("query", 'SELECT goto FROM alias WHERE address = "{}"'),
             "sqlite": ("query", "SELECT goto FROM alias WHERE address = '{}'"), "ldap": ("query_filter", "(sn={})"), "redis": ("key_format", "{}")}
    name, form = forms[kind]
    for text, key, found in [("%u@%d", "joe@example.com", True), ("%U@%2.%1", "joe@example.com", True), ("%u@example.%1", "joe@other.com", True), ("%u", "plain", True),
                             ("%u", "plain@anything", True), ("%d", "plain", False), ("%u@%d", "@example.com", False), ("%3", "joe@example.com", False), ("%%s", "anything", True)]:
        value = ask(mail, table(f"{name} = {form.format(text)}\n", without=[name]), key)
        assert (value is not None) == found, (text, key, value)


@every_type
def test_what_makes_no_sense_is_said_at_once(mail, table, kind):
    query = {"ldap": "query_filter", "redis": "key_format"}.get(kind, "query")
    for more, words in [("result_format = %q\n", "%q"), (f"{query} = '%z'\n", "%z"), ("expansion_limit = many\n", "expansion_limit"), ("timeout = 0\n", "timeout"),
                        ("connections = 1000\n", "connections")]:
        with pytest.raises(RuntimeError, match=words):
            ask(mail, table(more, without=[query] if query in more else []), "x")
    done = mail.command("postmap", "-q", "x", table("no_such_parameter = 1\n"), check=False)
    assert "unused parameter: no_such_parameter" in done.stderr
    with pytest.raises(RuntimeError, match="No such file"):
        ask(mail, f"{kind}:{mail.etc}/nothere.cf", "x")


@every_type
def test_a_server_that_is_not_there_cannot_tell(mail, table, kind):
    where = {"sqlite": f"dbpath = {mail.etc}/nothere.db\n", "ldap": "server_host = 127.0.0.1:1\n"}.get(kind, "hosts = 127.0.0.1:1 unix:/nonexistent/socket\n")
    with pytest.raises(RuntimeError, match="(?i)refused|No such file|contact|connect"):
        ask(mail, table(where, without=[where.split()[0]]), "joe@example.com")
    if kind in ("pgsql", "mysql", "redis"):        # the next host has it
        assert ask(mail, table(f"hosts = 127.0.0.1:1 unix:/nonexistent/socket inet:127.0.0.1:{table.server.port}\n", without=["hosts"]), "joe@example.com")


def test_a_server_that_takes_no_questions_now_is_passed_over(mail, postgres, mariadb):
    """A disk that cannot be read; a node of Galera that has lost its cluster. The servers are in such a state for as many questions as a table says."""
    postgres.sql("CREATE SEQUENCE sick_asked; CREATE TABLE sick (questions int); INSERT INTO sick VALUES (0);"
                 "CREATE FUNCTION sick_goto(a text) RETURNS SETOF text AS $$ BEGIN IF nextval('sick_asked') <= (SELECT questions FROM sick) THEN RAISE EXCEPTION 'sick' USING "
                 "ERRCODE = '58030'; END IF; RETURN QUERY SELECT goto FROM alias WHERE address = a; END $$ LANGUAGE plpgsql;")
    mariadb.sql("USE m; CREATE TABLE sick (questions int); INSERT INTO sick VALUES (0);\nDELIMITER //\n"
                "CREATE PROCEDURE sick_goto(a VARCHAR(200)) BEGIN UPDATE sick SET questions = questions - 1; IF (SELECT questions >= 0 FROM sick) THEN SIGNAL SQLSTATE '08S01' "
                "SET MYSQL_ERRNO = 1047, MESSAGE_TEXT = 'sick'; END IF; SELECT goto FROM alias WHERE address = a; END//")

    def asked(kind, server, hosts, sick):
        server.sql(f"SELECT setval('sick_asked', 1, false); UPDATE sick SET questions = {sick};" if kind == "pgsql" else f"UPDATE m.sick SET questions = {sick};")
        query = "SELECT sick_goto('%s')" if kind == "pgsql" else "CALL sick_goto('%s')"
        text = f"hosts = {hosts}\nuser = test\npassword = x\ndbname = {'m' if kind == 'mysql' else 'postgres'}\nquery = {query}\n"
        return ask(mail, f"{kind}:{mail.file('sick.cf', text)}", "it's@example.com")

    for kind, server, path in [("pgsql", postgres, f"unix:{postgres.root}/.s.PGSQL.{postgres.port}"), ("mysql", mariadb, f"unix:{mariadb.socket}")]:
        assert asked(kind, server, path, 0) == "quote"
        assert asked(kind, server, f"{path} inet:127.0.0.1:{server.port}", 1) == "quote", kind
        with pytest.raises(RuntimeError, match="sick"):
            asked(kind, server, path, 100)


def test_questions_that_fail_are_no_answers(mail, postgres, mariadb, sqlite, slapd, redis):
    for kind, server, more, words in [("pgsql", postgres, "query = SELECT nope FROM alias WHERE address = '%s'\n", "nope"),
                                      ("pgsql", postgres, "query = DELETE FROM alias WHERE address = 'x%s'\n", "no result set"),
                                      ("mysql", mariadb, "query = SELECT nope FROM alias WHERE address = '%s'\n", "nope"),
                                      ("mysql", mariadb, "query = SELECT ? FROM alias WHERE address = '%s'\n", "placeholders"),
                                      ("sqlite", sqlite, "query = SELECT nope FROM alias WHERE address = '%s'\n", "nope"),
                                      ("ldap", slapd, "query_filter = (sn=%s\n", "filter"), ("redis", redis, "key_format = example.com\n", "WRONGTYPE")]:
        text = "".join(line + "\n" for line in settings(kind, server).splitlines() if not line.startswith(more.split()[0]))
        with pytest.raises(RuntimeError, match=words):
            ask(mail, f"{kind}:{mail.file('failing.cf', text + more)}", "x@y")


def test_other_ways_to_say_what_is_wanted(mail, postgres, mariadb, sqlite, slapd, redis):
    old = "table = alias\nselect_field = goto\nwhere_field = address\nadditional_conditions = AND goto LIKE 'a%'\n"
    for kind, server, text in [
            ("pgsql", postgres, f"hosts = unix:{postgres.root}/.s.PGSQL.{postgres.port}\nuser = test\ndbname = postgres\n" + old.replace("'a%'", "'a%%'")),
            ("pgsql", postgres, f"hosts = postgresql://test@127.0.0.1:{postgres.port}/postgres\n" + old.replace("'a%'", "'a%%'")),
            ("pgsql", postgres, f"hosts = postgresql://test@127.0.0.1:{postgres.port}/postgres\nuser = nobody\ndbname = other\n" + old.replace("'a%'", "'a%%'")),
            ("pgsql", postgres, f"hosts = 127.0.0.1:{postgres.port}\nuser = test\ndbname = postgres\nquery = SELECT goto FROM alias WHERE address = E'%s' AND goto LIKE 'a%%'\n"),
            ("pgsql", postgres, f"hosts = 127.0.0.1:{postgres.port}\nuser = test\ndbname = postgres\nselect_function = goto_of\nresult_format = %u@%d\n"),
            ("pgsql", postgres, f"hosts = 127.0.0.1:{postgres.port}\nuser = test\ndbname = postgres\nquery = SELECT goto /* 'x */ FROM alias\n  WHERE address = %s -- all of them\n"),
            ("mysql", mariadb, f"hosts = unix:{mariadb.socket}\nuser = test\ndbname = m\n" + old.replace("'a%'", "'a%%'")),
            ("mysql", mariadb, f"hosts = unix:{mariadb.socket}\nuser = test\ndbname = m\nquery = CALL goto_of('%s')\n"),
            ("sqlite", sqlite, f"dbpath = {sqlite}\n" + old.replace("'a%'", "'a%%'")),
            ("sqlite", sqlite, f"dbpath = {sqlite}\nquery = SELECT goto FROM alias WHERE address = \"%s\"\n"),
            ("ldap", slapd, f"server_host = ldapi://{str(slapd.root / 'sock').replace('/', '%2F')}\nsearch_base = dc=%1\nscope = one\nquery_filter = (sn=%u@example.com)\n"
                            "bind = yes\nbind_dn = cn=admin,dc=example\nbind_pw = secret\nresult_attribute = title\n"),
            ("redis", redis, f"hosts = unix:{redis.root}/sock\nkey_format = %d\nfield_format = %u\n")]:
        key = "joe@x.example" if "dc=%1" in text else "joe@example.com"
        value = ask(mail, f"{kind}:{mail.file('other.cf', text)}", key)
        assert value in ("a@one.example", "a@one.example,b@two.example", "in a hash"), (text, value)


def test_parameters_may_stand_in_the_name_or_in_main_cf(mail, postgres):
    lines = settings("pgsql", postgres).splitlines()
    assert ask(mail, "pgsql:{ " + ", ".join(f"{{ {line} }}" for line in lines) + " }", "it's@example.com") == "quote"
    mail.set(**{"mine_" + line.partition(" = ")[0]: line.partition(" = ")[2] for line in lines}, mine_result_format="<%s>", minelike_hosts="x")
    assert ask(mail, "pgsql:mine", "it's@example.com") == "<quote>"
    with pytest.raises(RuntimeError, match="main.cf sets no other_hosts"):
        ask(mail, "pgsql:other", "x")
    with Service("pgsql:mine") as peer:
        assert look_up(peer, "pgsql:mine", "x")[0] == CANNOT_TELL            # that one's main.cf has none of it


def test_names_in_ldap_are_followed(mail, slapd):
    base = f"server_host = 127.0.0.1\nserver_port = {slapd.port}\nsearch_base = dc=example\nquery_filter = (cn=%s)\nresult_attribute = title\nspecial_result_attribute = member\n"
    spec = f"ldap:{mail.file('follow.cf', base)}"
    assert ask(mail, spec, "list") == "a@one.example,b@two.example,quote"
    with pytest.raises(RuntimeError, match="recursion_limit"):
        ask(mail, spec, "loop")
    assert ask(mail, f"ldap:{mail.file('leaf.cf', base.replace('result_attribute = title', 'leaf_result_attribute = cn', 1))}", "inner") == "x"
    assert ask(mail, f"ldap:{mail.file('terminal.cf', base + 'terminal_result_attribute = cn' + chr(10))}", "list") == "list"
    with pytest.raises(RuntimeError, match="(?i)credentials"):
        ask(mail, f"ldap:{mail.file('wrong.cf', base + 'bind_dn = cn=admin,dc=example' + chr(10) + 'bind_pw = wrong' + chr(10))}", "list")


def test_a_name_that_leads_round_in_circles_ends_however_deep_one_may_go(mail, slapd):
    text = f"server_host = 127.0.0.1\nserver_port = {slapd.port}\nsearch_base = dc=example\nquery_filter = (cn=%s)\nspecial_result_attribute = member\nrecursion_limit = 100000\n"
    with pytest.raises(RuntimeError, match="recursion_limit"):
        ask(mail, f"ldap:{mail.file('deep.cf', text)}", "loop")


def test_urls_in_ldap_are_followed_for_results_only(mail, slapd):
    """What a URL selects and the table does not name as a result is none: a name would become an address."""
    text = (f"server_host = 127.0.0.1\nserver_port = {slapd.port}\nsearch_base = dc=example\nquery_filter = (cn=%s)\nresult_attribute = title\n"
            "special_result_attribute = labeledURI, member\n")
    assert ask(mail, f"ldap:{mail.file('urls.cf', text)}", "urls") == "a@one.example,b@two.example,quote,a@one.example,b@two.example,quote"


def test_ldap_results_are_maildrop_unless_said_otherwise(mail, slapd):
    base = f"server_host = 127.0.0.1\nserver_port = {slapd.port}\nsearch_base = dc=example\nquery_filter = (cn=%s)\nspecial_result_attribute = member\n"
    assert ask(mail, f"ldap:{mail.file('drop.cf', base)}", "drops") == "group@one.example,drop@one.example"
    assert ask(mail, f"ldap:{mail.file('leafdrop.cf', base + 'leaf_result_attribute = maildrop' + chr(10))}", "drops") == "drop@one.example"
    assert ask(mail, f"ldap:{mail.file('nodrop.cf', base + 'result_attribute =' + chr(10))}", "drops") is None


def test_a_fixed_base_that_is_not_there_is_trouble_and_one_made_of_the_key_no_result(mail, slapd):
    def spec(search_base):
        return f"ldap:{mail.file('base.cf', settings('ldap', slapd).replace('search_base = dc=example', f'search_base = {search_base}'))}"

    with pytest.raises(RuntimeError, match="ou=lost,dc=example.*No such object"):
        ask(mail, spec("ou=lost,dc=example"), "joe@example.com")
    with pytest.raises(RuntimeError, match="No such object"):
        ask(mail, spec("ou=100%%,dc=example"), "joe@example.com")
    assert ask(mail, spec("ou=%d,dc=example"), "joe@example.com") is None


@pytest.mark.parametrize("text, words", [
    ('SELECT goto FROM "%s" WHERE 1', "quoted name"), ("SELECT $$%s$$", "dollar quotes"), ("SELECT U&'%s'", "prefix"), ("SELECT 'x", "without its end"), ("SELECT '%s", "without its end"),
    ("SELECT E'\\x41%s'", r"\\x"),
])
def test_expansions_where_no_value_can_stand_are_refused(mail, text, words):
    with pytest.raises(RuntimeError, match=words):
        ask(mail, f"pgsql:{mail.file('odd.cf', f'hosts = 127.0.0.1:1{chr(10)}query = {text}{chr(10)}')}", "x")


def test_redis_with_tls_and_password(mail, tmp_path):
    tls = Certificates(tmp_path)
    with Redis("--requirepass", "geheim", tls=tls) as server:
        server.start()
        server.cli("-a", "geheim", "--no-auth-warning", "SET", "joe", "here")
        base = f"hosts = 127.0.0.1:{server.port}\ntls = yes\ntls_CAfile = {tls.ca}\n"
        assert ask(mail, f"redis:{mail.file('tls.cf', base + 'password = geheim' + chr(10))}", "joe") == "here"
        with Service(f"redis:{mail.etc}/tls.cf") as peer:
            answer = look_up(peer, f"redis:{mail.etc}/tls.cf", "joe")
            assert answer[:2] == (FOUND, "here"), answer
        with pytest.raises(RuntimeError, match="NOAUTH"):
            ask(mail, f"redis:{mail.file('tls.cf', base)}", "joe")
        with pytest.raises(RuntimeError, match="WRONGPASS|invalid password"):
            ask(mail, f"redis:{mail.file('tls.cf', base + 'password = wrong' + chr(10))}", "joe")
        with pytest.raises(RuntimeError, match="(?i)certificate|self.signed"):
            ask(mail, f"redis:{mail.file('tls.cf', base.replace(f'tls_CAfile = {tls.ca}', '') + 'password = geheim' + chr(10))}", "joe")
        with pytest.raises(RuntimeError, match="(?i)mismatch"):
            ask(mail, f"redis:{mail.file('tls.cf', base + 'password = geheim' + chr(10) + 'tls_server_name = other.example' + chr(10))}", "joe")
        with pytest.raises(RuntimeError, match="TLS: No such file or directory"):
            ask(mail, f"redis:{mail.file('tls.cf', base.replace(str(tls.ca), '/nonexistent'))}", "joe")


def test_redis_in_a_cluster(mail):
    bus = [free_port(), free_port()]
    with (Redis("--cluster-enabled", "yes", "--cluster-port", bus[0]) as one, Redis("--cluster-enabled", "yes", "--cluster-port", bus[1]) as two):
        one.start(), two.start()
        one.cli("CLUSTER", "ADDSLOTSRANGE", "0", "8000")
        two.cli("CLUSTER", "ADDSLOTSRANGE", "8001", "16383")
        one.cli("CLUSTER", "MEET", "127.0.0.1", str(two.port), str(bus[1]))
        for server in (one, two):
            wait_until(lambda s=server: "cluster_state:ok" in s.cli("CLUSTER", "INFO"), 30)
        for number in range(20):
            key = f"key{number}"
            server = one if int(one.cli("CLUSTER", "KEYSLOT", key)) <= 8000 else two
            server.cli("SET", key, f"value{number}")
        spec = f"redis:{mail.file('cluster.cf', f'hosts = 127.0.0.1:{one.port}{chr(10)}cluster = yes{chr(10)}')}"
        done = mail.command("postmap", "-q", "-", spec, input="".join(f"key{number}\n" for number in range(25)))
        assert done.stdout == "".join(f"key{number}\tvalue{number}\n" for number in range(20))
        with pytest.raises(RuntimeError, match="MOVED"):
            mail.command("postmap", "-q", "-", f"redis:{mail.file('single.cf', f'hosts = 127.0.0.1:{one.port}{chr(10)}')}", check=False,
                         input="".join(f"key{number}\n" for number in range(25))).stderr and ask(mail, f"redis:{mail.etc}/single.cf", "key0") and ask(mail, f"redis:{mail.etc}/single.cf", "key1") and ask(mail, f"redis:{mail.etc}/single.cf", "key2")


# ---- protocols that are simple ----

class Scripted:
    """A server of one's own: answer(line or bytes) for each question; None: closes the connection."""

    def __init__(self, answer, read):
        self.answer, self.read, self.connections, self.questions, self.peers = answer, read, 0, [], []
        self.answers = threading.Event()        # cleared: what is asked is read, and has to wait
        self.answers.set()
        self.port = free_port()
        self.start()

    def start(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def kill(self):
        """Its listener and all connections end, as those of a process do."""
        for one in (self.listener, *self.peers):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.peers.clear()

    def accept(self, listener):
        while True:
            try:
                peer = listener.accept()[0]
            except OSError:
                return
            self.connections += 1
            self.peers.append(peer)
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        with contextlib.suppress(OSError), peer, peer.makefile("rb") as stream:
            while question := self.read(stream):
                self.questions.append(question)
                self.answers.wait(60)
                answer = self.answer(question)
                if answer is None:
                    return
                peer.sendall(answer)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.kill()


def netstring(stream):
    length = b""
    while (byte := stream.read(1)) not in (b":", b""):
        length += byte
    return stream.read(int(length) + 1)[:-1] if length else b""


TCP = {b"get joe@example.com\n": b"200 a%20b%25%0Ac\n", b"get nobody\n": b"500 not%20here\n", b"get a%20b%25\n": b"200 blank\n", b"get busy\n": b"400 come%20back\n",
       b"get " + b"k" * 5000 + b"\n": b"200 found\n", b"get nonsense\n": b"what?\n", b"get bad%0Acode\n": b"200 %zz\n", b"get long\n": b"200 " + b"x" * 5000 + b"\n", b"get gone\n": None, b"get \xff\n": None}
SOCKETMAP = {b"virtual joe@example.com": b"OK a b", b"virtual " + b"k" * 20000: b"OK found", b"virtual nobody": b"NOTFOUND ", b"virtual busy": b"TEMP come back", b"virtual late": b"TIMEOUT", b"virtual bad": b"PERM never",
             b"virtual nonsense": b"MAYBE", b"virtual long": b"OK " + b"x" * 99000, b"virtual too long": b"OK " + b"x" * 100000, b"virtual empty": b"OK ", b"virtual gone": None}


def socketmap_answer(question):
    if question == b"virtual no netstring":
        return b"hello there, this is none"
    answer = SOCKETMAP.get(question, b"NOTFOUND ")
    return answer if answer is None else b"%d:%s," % (len(answer), answer)


def test_tcp_tables(mail):
    with Scripted(lambda question: TCP.get(question, b"500 no\n"), lambda stream: stream.readline()) as server:
        spec = f"tcp:127.0.0.1:{server.port}"
        assert ask(mail, spec, "joe@example.com") == "a b%\nc"
        assert ask(mail, spec, "JOE@example.com") is None            # nothing is folded
        assert ask(mail, spec, "nobody") is None
        assert ask(mail, spec, "a b%") == "blank"
        assert ask(mail, spec, "k" * 5000) == "found"               # only the server can tell: no key is too long for it
        for key, words in [("busy", "come back"), ("nonsense", "protocol"), ("bad\ncode", "protocol"), ("long", "too long|Message"), ("gone", "closed")]:
            with pytest.raises(RuntimeError, match=words):
                ask(mail, spec, key)
    for bad in ("tcp:x", "tcp:127.0.0.1", "tcp::25", "tcp:127.0.0.1:nosuchport"):
        with pytest.raises(RuntimeError, match="expected inet:host:port"):
            ask(mail, bad, "x")
    with pytest.raises(RuntimeError, match="refused"):
        ask(mail, "tcp:127.0.0.1:1", "x")


def test_socketmap_tables(mail):
    with Scripted(socketmap_answer, netstring) as server:
        spec = f"socketmap:inet:127.0.0.1:{server.port}:virtual"
        assert ask(mail, spec, "joe@example.com") == "a b"
        assert ask(mail, spec, "nobody") is None
        assert ask(mail, spec, "k" * 20000) == "found"
        assert len(ask(mail, spec, "long")) == 99000
        assert ask(mail, spec, "empty") == ""
        for key, words in [("busy", "come back"), ("late", "TIMEOUT"), ("bad", "PERM never"), ("nonsense", "MAYBE"), ("too long", "too long"), ("gone", "closed"),
                           ("no netstring", "protocol")]:
            with pytest.raises(RuntimeError, match=words):
                ask(mail, spec, key)
    for bad in ("socketmap:x", "socketmap:inet:host:name", "socketmap:inet:127.0.0.1:25:"):
        with pytest.raises(RuntimeError, match="expected socketmap"):
            ask(mail, bad, "x")


def test_memcache_tables(mail):
    with Memcached() as server:
        server.start()
        server.set("joe@example.com", "here")
        server.set("k%20x", "blank")
        text = f"memcache = inet:127.0.0.1:{server.port}\nretry_pause = 0\n"
        spec = f"memcache:{mail.file('memcache.cf', text)}"
        assert ask(mail, spec, "JOE@example.com") == "here"
        assert ask(mail, spec, "k x") == "blank"
        for key in ("nobody", "x" * 300, "joe@example.com\r\nflush_all", "%", "joe@example.com x"):
            assert ask(mail, spec, key) is None, key
        # in front of another table: what that one has is kept, under the key's own name
        kept = f"memcache:{mail.file('backup.cf', text + 'backup = texthash:' + str(mail.file('users', 'alice one' + chr(10))) + chr(10) + 'key_format = users:%s' + chr(10) + 'ttl = 1h' + chr(10))}"
        assert ask(mail, kept, "alice") == "one" and ask(mail, kept, "bob") is None
        (mail.etc / "users").unlink()
        assert ask(mail, kept, "alice") == "one"
        with pytest.raises(RuntimeError, match="users"):
            ask(mail, kept, "bob")
        server.set("large", "x" * 20000)
        with pytest.raises(RuntimeError, match="data_size_limit"):
            ask(mail, spec, "large")
        server.kill()
        with pytest.raises(RuntimeError, match="refused"):
            ask(mail, spec, "joe@example.com")
        mail.file("users", "alice one\n")
        assert ask(mail, kept, "alice") == "one"                    # without its cache
        slow = f"memcache:{mail.file('slow.cf', (mail.etc / 'backup.cf').read_text().replace('retry_pause = 0', 'retry_pause = 30'))}"
        began = time.monotonic()
        assert ask(mail, slow, "alice") == "one" and time.monotonic() - began < 20       # whoever is not there is not asked again


def test_a_mysql_server_that_asks_for_a_file_of_ours_is_not_even_told_that_it_could(mail):
    local_files, connect_with_db, tls, plugins = 0x80, 0x08, 0x800, 0x08
    greeting = (b"\x0a8.0.0\0" + struct.pack("<I8sxHBHHB10x", 1, b"saltsalt", 0xffff & ~tls, 45, 2, plugins, 21) + b"saltsaltsalt\0mysql_native_password\0")
    with socket.create_server(("127.0.0.1", 0)) as listener, futures.ThreadPoolExecutor(1) as pool:
        text = f"hosts = inet:127.0.0.1:{listener.getsockname()[1]}\nuser = test\npassword = x\ndbname = m\nquery = SELECT '%s'\n"
        asked = pool.submit(ask, mail, f"mysql:{mail.file('files.cf', text)}", "x")
        listener.settimeout(60)
        with listener.accept()[0] as peer:
            peer.sendall(struct.pack("<I", len(greeting)) + greeting)
            _, capabilities = struct.unpack("<IH", peer.recv(6))
        with pytest.raises(RuntimeError, match="connect to"):
            asked.result()
    assert capabilities & connect_with_db and not capabilities & local_files


# ---- Active Directory's groups, which no other server has ----

def ber(tag, *parts):
    content = b"".join(part if isinstance(part, bytes) else part.encode() for part in parts)
    length = len(content)
    return bytes([tag]) + (bytes([length]) if length < 128 else b"\x83" + length.to_bytes(3, "big")) + content


def ber_elements(content):
    elements, at = [], 0
    while at < len(content):
        tag, length, at = content[at], content[at + 1], at + 2
        if length >= 128:
            at, length = at + length - 128, int.from_bytes(content[at:at + length - 128], "big")
        elements.append((tag, content[at:at + length]))
        at += length
    return elements


def ber_message(stream):
    head = stream.read(2)
    if len(head) == 2 and head[1] >= 128:
        head += stream.read(head[1] - 128)
        return head + stream.read(int.from_bytes(head[2:], "big"))
    return head + stream.read(head[1]) if head else b""


class Directory:
    """Values of groups, of which no more than `most` are told at once: attribute;range=FIRST-LAST, and the last part ends with *."""

    def __init__(self, most, entries, spoil=lambda part: part):
        self.most, self.entries, self.spoil, self.parts = most, entries, spoil, []

    def attribute(self, values, asked):
        name, _, wanted = asked.partition(";range=")
        values, first = values.get(name, []), int(wanted.partition("-")[0] or 0)
        if not values or (wanted and first >= len(values)):
            return b""
        if not wanted and len(values) <= self.most:
            return ber(0x30, ber(4, name), ber(0x31, *(ber(4, value) for value in values)))
        last = first + self.most
        part = self.spoil(f"{name};range={first}-{'*' if last >= len(values) else last - 1}")
        self.parts.append(part)
        return (b"" if wanted else ber(0x30, ber(4, name), ber(0x31))) + ber(0x30, ber(4, part), ber(0x31, *(ber(4, value) for value in values[first:last])))

    def answer(self, question):
        (_, number), (kind, request) = ber_elements(ber_elements(question)[0][1])[:2]
        fine = ber(10, b"\0"), ber(4), ber(4)
        if kind == 0x42:
            return None
        if kind == 0x60:
            return ber(0x30, ber(2, number), ber(0x61, *fine))
        (_, base), *_, (_, names) = ber_elements(request)
        values = self.entries.get(base.decode(), {})
        attributes = b"".join(self.attribute(values, asked.decode()) for _, asked in ber_elements(names))
        return ber(0x30, ber(2, number), ber(0x64, ber(4, base), ber(0x30, attributes))) + ber(0x30, ber(2, number), ber(0x65, *fine))


@contextlib.contextmanager
def directory(mail, most, entries, lines, spoil=lambda part: part):
    """The table, and the parts that have been told."""
    one = Directory(most, entries, spoil)
    with Scripted(one.answer, ber_message) as server:
        yield f"ldap:{mail.file('directory.cf', f'server_host = ldap://127.0.0.1:{server.port}{chr(10)}search_base = cn=%s{chr(10)}query_filter = (cn=%s){chr(10)}{lines}')}", one.parts


@pytest.mark.parametrize("count", [1500, 1501, 3000, 4001])
def test_all_values_of_a_large_group_in_active_directory_are_found(mail, count):
    members = [f"user{number}@example.com" for number in range(count)]
    with directory(mail, 1500, {"cn=all": {"mail": members}}, "result_attribute = mail\n") as (spec, parts):
        assert ask(mail, spec, "all").split(",") == members
        assert len(parts) == (0 if count == 1500 else -(-count // 1500))
        with pytest.raises(RuntimeError, match="expansion_limit"):
            ask(mail, f"ldap:{mail.file('limited.cf', (mail.etc / 'directory.cf').read_text() + f'expansion_limit = {count - 1}{chr(10)}')}", "all")


def test_all_members_of_a_large_group_in_active_directory_are_followed(mail):
    people = {f"cn=p{number}": {"mail": [f"p{number}@example.com"]} for number in range(5)}
    with directory(mail, 2, people | {"cn=all": {"member": list(people), "mail": ["all@example.com"]}}, "leaf_result_attribute = mail\nspecial_result_attribute = member\n") as (spec, parts):
        assert ask(mail, spec, "all") == ",".join(f"p{number}@example.com" for number in range(5))
        assert parts == ["member;range=0-1", "member;range=2-3", "member;range=4-*"]


@pytest.mark.parametrize("spoiled", ["mail;range=0-3", "mail;range=3-2", "mail;range=x", "mail"])
def test_a_part_of_a_group_that_is_not_the_one_asked_for_is_no_answer(mail, spoiled):
    with directory(mail, 2, {"cn=all": {"mail": list("abcdef")}}, "result_attribute = mail\n", lambda part: part.replace("mail;range=2-3", spoiled)) as (spec, _), \
            pytest.raises(RuntimeError, match="values of mail from number 2 on"):
        ask(mail, spec, "all")


# ---- through proxymap ----

def test_connections_of_simple_protocols_are_kept_and_renewed(mail):
    with Scripted(socketmap_answer, netstring) as server, Scripted(lambda question: TCP.get(question, b"500 no\n"), lambda stream: stream.readline()) as other:
        spec, tcp = f"socketmap:inet:127.0.0.1:{server.port}:virtual", f"tcp:localhost:{other.port}"
        with Service(spec, tcp) as peer:
            for _ in range(20):
                assert look_up(peer, spec, "joe@example.com")[:2] == (FOUND, "a b")
                assert look_up(peer, tcp, "joe@example.com")[:2] == (FOUND, "a b%\nc")
            assert server.connections == 1 and other.connections == 1
            assert look_up(peer, spec, "gone")[0] == CANNOT_TELL
            assert look_up(peer, spec, "joe@example.com")[:2] == (FOUND, "a b")
            calls = {peer.send("table_request", spec=spec, flags=1, key="joe@example.com") for _ in range(300)}
            while calls:
                call, _, reply = peer.receive()
                calls.remove(call)
                assert reply["value"] == b"a b"
            assert server.connections <= 60



class Service:
    def __init__(self, *specs):
        self.service = Foreground("proxymap", {})
        self.service.instance.set(proxy_read_maps=" ".join(f"proxy:{spec}" for spec in specs))

    def __enter__(self):
        self.service.start()
        self.peer = Peer(self.service.path)
        self.peer.__enter__()
        return self.peer

    def __exit__(self, *error):
        self.peer.__exit__(None, None, None)
        self.service.close()


def goes_away_and_comes_back(kind, server, spec, refill=lambda: None):
    key, value = "it's@example.com", "quote"

    def is_answered(asked, *expected):
        """A server that is not quick enough for a timeout of a second cannot tell, but it never tells anything else."""
        answer = look_up(peer, spec, asked)
        assert answer[:2] == expected or answer[0] == CANNOT_TELL, answer
        return answer[0] != CANNOT_TELL

    with Service(spec) as peer:
        wait_until(lambda: is_answered(key.upper(), FOUND, value), 20)
        wait_until(lambda: is_answered("nobody", NOT_THERE, ""), 20)
        # it does not answer: a temporary error in time, and never "not there"
        server.signal(signal.SIGSTOP)
        started = time.monotonic()
        calls = {peer.send("table_request", spec=spec, flags=1, key=key) for _ in range(10)}
        while calls:
            call, _, reply = peer.receive()
            calls.remove(call)
            assert int(reply["status"]) == CANNOT_TELL and reply["why"], reply
        server.signal(signal.SIGCONT)
        assert time.monotonic() - started < 60
        wait_until(lambda: is_answered(key, FOUND, value), 20)
        # it dies while it is asked
        server.signal(signal.SIGSTOP)
        calls = {peer.send("table_request", spec=spec, flags=1, key=key) for _ in range(5)}
        server.kill()
        while calls:
            call, _, reply = peer.receive()
            calls.remove(call)
            assert int(reply["status"]) == CANNOT_TELL and reply["why"], reply
        assert look_up(peer, spec, "nobody")[0] == CANNOT_TELL
        server.start()
        refill()
        wait_until(lambda: is_answered(key, FOUND, value), 20)
        wait_until(lambda: is_answered("nobody", NOT_THERE, ""), 20)


def test_servers_go_away_in_mid_query_and_come_back(mail, postgres, mariadb, slapd, redis):
    """Every kind of server at once: most of it is waiting."""
    with Memcached() as memcached, futures.ThreadPoolExecutor() as pool:
        memcached.start()

        def fill_memcached():
            memcached.set("it's@example.com", "quote")

        fill_memcached()
        started = [pool.submit(goes_away_and_comes_back, "memcache", memcached, f"memcache:{mail.file('away.cf', f'memcache = inet:127.0.0.1:{memcached.port}{chr(10)}timeout = 1{chr(10)}max_try = 1{chr(10)}')}",
                               fill_memcached)]
        for kind, server, refill in (("pgsql", postgres, lambda: None), ("mysql", mariadb, lambda: None), ("ldap", slapd, lambda: None), ("redis", redis, lambda: fill_redis(redis))):
            path = mail.file(f"away-{kind}.cf", settings(kind, server) + "timeout = 1\n")
            started.append(pool.submit(goes_away_and_comes_back, kind, server, f"{kind}:{path}", refill))
        for one in started:
            one.result()


def test_servers_of_simple_protocols_go_away_in_mid_query_and_come_back(mail):
    key = "joe@example.com"
    with Scripted(socketmap_answer, netstring) as socketmap, Scripted(lambda question: TCP.get(question, b"500 no\n"), lambda stream: stream.readline()) as tcp:
        specs = {f"socketmap:inet:127.0.0.1:{socketmap.port}:virtual": (socketmap, "a b"), f"tcp:127.0.0.1:{tcp.port}": (tcp, "a b%\nc")}
        with Service(*specs) as peer:
            for spec, (server, value) in specs.items():
                other, (_, other_value) = next((other, what) for other, what in specs.items() if other != spec)

                def ask_while_it_waits(count):
                    """The numbers of so many calls, all of them with the server."""
                    server.answers.clear()
                    before = len(server.questions)
                    calls = {peer.send("table_request", spec=spec, flags=1, key=key) for _ in range(count)}
                    wait_until(lambda: len(server.questions) >= before + count, 20)
                    return calls

                def answers_of(calls):
                    while calls:
                        call, _, reply = peer.receive()
                        calls.remove(call)
                        yield reply

                assert look_up(peer, spec, key)[:2] == (FOUND, value)
                waiting = ask_while_it_waits(10)
                assert look_up(peer, other, key)[:2] == (FOUND, other_value)        # meanwhile another one is asked
                server.answers.set()
                for reply in answers_of(waiting):
                    assert int(reply["status"]) == FOUND and reply["value"].decode() == value
                waiting = ask_while_it_waits(5)
                server.kill()
                server.answers.set()
                for reply in answers_of(waiting):
                    assert int(reply["status"]) == CANNOT_TELL and reply["why"], reply
                assert look_up(peer, spec, "nobody")[0] == CANNOT_TELL
                server.start()
                wait_until(lambda: look_up(peer, spec, key)[:2] == (FOUND, value), 20)
                assert look_up(peer, spec, "nobody")[:2] == (NOT_THERE, "")


def test_connections_are_kept_and_bounded(mail, postgres):
    text = settings("pgsql", postgres).replace("SELECT goto", "SELECT pg_sleep(0.05), goto") + "connections = 4\nresult_format = %u\n"
    spec = f"pgsql:{mail.file('bounded.cf', text)}"
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'postroad'"
    with Service(spec) as peer:
        calls = {peer.send("table_request", spec=spec, flags=1, key="it's@example.com") for _ in range(60)}
        wait_until(lambda: postgres.sql(count) == "4\n", 20)
        while calls:
            call, _, reply = peer.receive()
            calls.remove(call)
            assert int(reply["status"]) == FOUND, reply
        assert postgres.sql(count) == "4\n"
        # they were cut off behind our back: nobody notices
        postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'postroad'")
        assert look_up(peer, spec, "it's@example.com")[:2] == (FOUND, "quote")


def test_what_is_left_of_the_time_to_connect_does_not_limit_later_questions(mail, postgres):
    """The first host takes three of four seconds to hang up, so little is left for the second, which is slow now and then."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{directory}/.s.PGSQL.1")
        listener.listen()
        os.chmod(directory, 0o755)
        os.chmod(f"{directory}/.s.PGSQL.1", 0o666)

        def hang_up_late():
            with contextlib.suppress(OSError), listener.accept()[0] as peer:
                while peer.recv(1000) and not threading.Event().wait(3):
                    break

        threading.Thread(target=hang_up_late, daemon=True).start()
        text = settings("pgsql", postgres).replace("inet:", f"unix:{directory}/.s.PGSQL.1 inet:").replace(" WHERE", ", pg_sleep(CASE WHEN '%s' = 'plain' THEN 2 ELSE 0 END) WHERE")
        spec = f"pgsql:{mail.file('late.cf', text + 'timeout = 4' + chr(10))}"
        with Service(spec) as peer:
            look_up(peer, spec, "it's@example.com")
            listener.close()
            wait_until(lambda: look_up(peer, spec, "plain")[:2] == (FOUND, "no domain"), 20)


def test_a_host_that_hangs_leaves_the_next_one_its_time(mail, postgres, mariadb, redis):
    """Sockets of this machine are tried first: these take the connection and never say a word."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory, contextlib.ExitStack() as open_ones:
        os.chmod(directory, 0o755)
        specs = []
        for kind, server, name in (("pgsql", postgres, ".s.PGSQL.1"), ("mysql", mariadb, "mysql"), ("redis", redis, "redis")):
            listener = open_ones.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(f"{directory}/{name}")
            listener.listen()
            os.chmod(f"{directory}/{name}", 0o666)
            text = settings(kind, server).replace("inet:", f"unix:{directory}/{name} inet:")
            specs.append(f"{kind}:{mail.file(f'hangs-{kind}.cf', text + 'timeout = 8' + chr(10))}")
        with Service(*specs) as peer:
            calls = {peer.send("table_request", spec=spec, flags=1, key="it's@example.com"): spec for spec in specs}
            while calls:
                call, _, reply = peer.receive()
                assert int(reply["status"]) == FOUND and reply["value"].decode() == "quote", (calls[call], reply)
                del calls[call]


def test_a_table_file_that_was_changed_is_read_again(mail, postgres):
    path = mail.file("change.cf", settings("pgsql", postgres))
    spec = f"pgsql:{path}"
    with Service(spec) as peer:
        assert look_up(peer, spec, "it's@example.com")[:2] == (FOUND, "quote")
        call = peer.send("table_request", spec=spec, flags=1, key="it's@example.com")
        fresh = mail.file("change.new", settings("pgsql", postgres) + "result_format = changed %s\n")
        os.rename(fresh, path)
        assert peer.receive()[0] == call
        wait_until(lambda: look_up(peer, spec, "it's@example.com")[:2] == (FOUND, "changed quote"), 10)


def test_one_slow_table_does_not_hold_up_another(mail, postgres, redis):
    slow = f"pgsql:{mail.file('slow.cf', settings('pgsql', postgres).replace('SELECT goto', 'SELECT pg_advisory_xact_lock_shared(1), goto') + 'timeout = 60' + chr(10) + 'connections = 3' + chr(10))}"
    quick = f"redis:{mail.file('quick.cf', settings('redis', redis))}"
    with Service(slow, quick) as peer, contextlib.closing(postgres.hold_lock(1)) as held:
        waiting = {peer.send("table_request", spec=slow, flags=1, key="it's@example.com") for _ in range(3)}
        for _ in range(200):
            calls = peer.send("table_request", spec=quick, flags=1, key="plain")
            call, _, reply = peer.receive()
            assert call == calls and int(reply["status"]) == FOUND        # none of the slow ones before it
        held.close()
        while waiting:
            waiting.remove(peer.receive()[0])
