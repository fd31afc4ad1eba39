"""PostgreSQL comes and goes under the target, and whoever writes beside it: refused is 503, answered is kept."""

from __future__ import annotations

import json
import re
import shlex
import signal
import threading

import httpx
import psycopg
import pytest
from commands import start, wait_until
from databases import SEALED, flags
from serving import HEADERS, POLICY, ROOT, launch, serving

from loadproof.errors import UsageError
from target import postgres
from target.databases import store_url

TEXT = (ROOT / "docs" / "target.md").read_text()
HURRIED = "from target import store\nstore.BUSY_S = 0.5"
"""Of a target that waits for PostgreSQL a tenth as long."""


@pytest.fixture
def storage(databases):
    """Only PostgreSQL here; it is there again at the end, whatever became of it."""
    yield {"store": databases.postgres.new(), "redis": databases.redis.url}
    if databases.postgres.process.poll() is not None:
        databases.postgres.start()


def is_refused(answer: httpx.Response) -> bool:
    assert answer.status_code == 503, answer.text
    return answer.headers["Retry-After"] == "1" and answer.json()["error"]["code"] == "store_unavailable"


def serves_again(client) -> httpx.Response:
    """The first policy that can be written."""
    return wait_until(lambda: (answer := client.post("/policies", json=POLICY)).is_success and answer)


def test_a_stopped_database_is_503_until_it_is_back(tmp_path, databases, storage):
    """Reads, writes and health are 503 at once; when it is back, both processes serve what was there before."""
    with serving("--processes", "2", *flags(storage), folder=tmp_path) as served, served.client() as client:
        before = client.post("/policies", json=POLICY).json()
        for _ in range(16):  # so that connections of both processes are kept
            httpx.get(f"{served.url}/policies/1", headers=HEADERS)
        databases.postgres.stop()
        for _ in range(4):
            assert is_refused(httpx.post(f"{served.url}/policies", json=POLICY, headers=HEADERS))
            assert is_refused(httpx.get(f"{served.url}/policies/1", headers=HEADERS))
        health = client.get("/gateway/health")
        databases.postgres.start()
        answers = [httpx.get(f"{served.url}/policies/1", headers=HEADERS) for _ in range(16)]
        written = [httpx.post(f"{served.url}/policies", json=POLICY, headers=HEADERS) for _ in range(8)]
        alive = len(served.processes())

    assert health.status_code == 503
    assert "connection" in health.json()["store"].lower()
    assert [answer.json() for answer in answers] == [before] * 16
    assert [answer.json()["id"] for answer in written] == list(range(2, 10))
    assert alive == 3
    assert served.process.returncode == 0


@pytest.mark.parametrize("line", re.findall(r"^    (.*loadproof target.*)$", TEXT, re.MULTILINE))
def test_the_documented_commands_start_it(tmp_path, databases, storage, line):
    """`docs/target.md`, typed as it stands but for addresses and port: it serves from both, and says it by metrics."""
    line = line.replace("postgresql://target@127.0.0.1:5432/govern", storage["store"])
    line = line.replace("redis://127.0.0.1:6379/0", storage["redis"]).replace("--port 8000 ", "")
    environment = dict(re.findall(r"([A-Z_]+)=(\S+)", line))
    words = shlex.split(line.partition("loadproof ")[2])
    process = start(*words, "--port", "0", cwd=tmp_path, **environment)
    try:
        url = json.loads(process.stdout.readline())["url"]
        with httpx.Client(base_url=url, headers=HEADERS) as client:
            tenant = client.post("/tenants", json={"name": "t"}).json()
            client.get(
                f"/tenants/{tenant['id']}/rows", headers={"Authorization": f"Bearer {tenant['token']}"}
            )
            metrics = client.get("/metrics").text
    finally:
        process.terminate()
        output, _ = process.communicate(timeout=90)

    assert process.returncode == 0, output
    assert 'target_cache_lookups_total{cache="sessions",outcome="hit"} 1.0' in metrics
    with psycopg.connect(storage["store"]) as connection:
        assert connection.execute("SELECT name FROM tenants").fetchall() == [("t",)]


def test_a_restart_that_nobody_saw_is_not_noticed(tmp_path, databases, storage):
    """Connections that died while nothing was asked are replaced: no request hears of it."""
    with serving(*flags(storage), folder=tmp_path) as served, served.client() as client:
        made = client.post("/policies", json=POLICY).json()
        assert client.get("/policies/1").json() == made
        databases.postgres.stop(signal.SIGQUIT)
        databases.postgres.start()

        assert client.get("/policies/1").json() == made
        assert client.post("/policies", json=POLICY).json()["id"] == 2


def test_a_crash_amid_writes_loses_and_doubles_nothing(tmp_path, databases, storage):
    """Whatever moment PostgreSQL dies in: an entry answered with 201 is in the trail once, as it was answered."""
    answered: list[dict] = []
    refused: list[str] = []
    done = threading.Event()

    def append(served, actor: int) -> None:
        with served.client() as client:
            number = 0
            while not done.is_set():
                number += 1
                entry = {"actor": f"{actor}", "action": f"{number}", "payload": {}}
                answer = client.post("/audit/entries", json=entry)
                if answer.status_code == 201:
                    answered.append(answer.json())
                else:
                    assert is_refused(answer)
                    refused.append(f"{actor} {number}")

    with serving("--processes", "2", *flags(storage), folder=tmp_path) as served, served.client() as client:
        threads = [threading.Thread(target=append, args=(served, actor)) for actor in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):
                enough = len(answered) + 60
                wait_until(lambda: len(answered) > enough)  # noqa: B023 called before it changes
                databases.postgres.stop(signal.SIGQUIT)
                databases.postgres.start()
            enough = len(answered) + 60
            wait_until(lambda: len(answered) > enough)
        finally:
            done.set()
            for thread in threads:
                thread.join()
        head = client.get("/audit/head").json()["seq"]
        whole = client.get("/audit/verify").json()
        kept = {}
        for first in range(1, head + 1, 100):
            page = client.get("/audit/entries", params={"from": first, "limit": 100}).json()
            kept |= {item["seq"]: item for item in page["items"]}

    assert whole["ok"]
    assert sorted(kept) == list(range(1, head + 1))
    for answer in answered:
        del answer["constitutional_hash"]
        assert kept[answer["seq"]] == answer
    written = [f"{item['entry']['actor']} {item['entry']['action']}" for item in kept.values()]
    assert len(set(written)) == len(written)
    # What more there is was on its way when the connection broke.
    assert set(written) - {f"{each['entry']['actor']} {each['entry']['action']}" for each in answered} <= set(
        refused
    )


def test_a_database_that_does_not_answer_is_503(tmp_path, databases, storage):
    """A PostgreSQL that stands still is given its time and then refused; nothing hangs, and it heals."""
    with serving(*flags(storage), folder=tmp_path, before=HURRIED) as served, served.client() as client:
        client.post("/policies", json=POLICY)
        client.get("/policies/1")
        with databases.postgres.frozen():
            assert is_refused(client.post("/policies", json=POLICY))
            for _ in range(2):  # by the kept connection, and by a new one
                assert is_refused(client.get("/policies/1"))
        made = serves_again(client).json()

        assert client.get(f"/policies/{made['id']}").json() == made
        assert client.get("/policies").json()["total"] == made["id"]


def test_a_writer_waits_for_another_and_not_for_ever(tmp_path, storage):
    """While somebody else keeps the turn a write is 503 and reads go on; afterwards it is made."""
    with serving(*flags(storage), folder=tmp_path, before=HURRIED) as served, served.client() as client:
        client.post("/policies", json=POLICY)
        with psycopg.connect(storage["store"]) as other:
            other.execute(f"SELECT pg_advisory_xact_lock({postgres.TURN})".encode())
            refused = client.post("/policies", json=POLICY)
            read = client.get("/policies/1")
        written = client.post("/policies", json=POLICY)

    assert is_refused(refused)
    assert "lock timeout" in refused.json()["error"]["message"]
    assert (read.status_code, written.status_code) == (200, 201)
    assert written.json()["id"] == 2


def test_a_password_comes_from_the_environment_only(tmp_path, databases, storage):
    """PGPASSWORD opens a database that needs one; without it the target does not start, and no message shows it."""
    with psycopg.connect(storage["store"], autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {SEALED} LOGIN SUPERUSER PASSWORD 'a secret of tests'".encode())
    url = storage["store"].replace("target@", f"{SEALED}@")
    with serving("--store", url, folder=tmp_path, PGPASSWORD="a secret of tests") as served:
        assert httpx.get(f"{served.url}/gateway/health").json()["store"] == "ok"
    for wrong in {}, {"PGPASSWORD": "another secret of tests"}:
        process = launch("--store", url, folder=tmp_path, **wrong)
        output, said = process.communicate(timeout=90)

        assert process.returncode == 2
        assert said.startswith(b"target: the store postgresql://")
        assert b"password" in said
        assert b"secret" not in output + said
        assert said.count(b"\n") == 1


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:hidden@h/d", "postgresql://u@h/d?password=hidden", "postgresql://u@h:port/d?x=hidden"],
)
def test_a_wrong_url_is_refused_without_being_repeated(tmp_path, url):
    """A URL with a password in it, or that is none, is refused in words that do not have it."""
    with pytest.raises(UsageError, match="--store postgresql://") as refused:
        store_url(url, tmp_path)

    assert "hidden" not in str(refused.value)


def test_a_database_of_another_encoding_is_refused(databases):
    """It would take some texts and fail at others; the message says what to type."""
    url = databases.postgres.new("ENCODING 'SQL_ASCII' TEMPLATE template0")

    with pytest.raises(UsageError, match=r"is kept in SQL_ASCII, .* make a database with ENCODING 'UTF8'"):
        postgres.prepare(url, ())


def test_a_database_that_is_not_there_ends_the_start(tmp_path):
    """Exit 2 and one line that says which and why."""
    process = launch("--store", "postgresql://target@127.0.0.1:1/nothing", folder=tmp_path)
    _, said = process.communicate(timeout=90)

    assert process.returncode == 2
    assert said.startswith(b"target: the store postgresql://target@127.0.0.1:1/nothing cannot be opened: ")
    assert b"Connection refused" in said
    assert said.count(b"\n") == 1
