"""The stores: what is answered is kept, whatever happens to the neighbours or the process."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import threading

import httpx
import psycopg
import pytest
from databases import STORES, flags
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import HEADERS, POLICY, serving, start

from loadproof.errors import UsageError
from target import group_commit
from target import sqlite as sqlite_module
from target.databases import open_store, prepare, store_url
from target.store import StoreUnavailableError

SCHEMA = ("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT UNIQUE)",)


INSERT = "INSERT INTO notes (id, text) VALUES ((SELECT coalesce(max(id), 0) + 1 FROM notes), ?) RETURNING id"


def insert(text):
    return lambda transaction: transaction.execute(INSERT, (text,))


def insert_then_raise(text, error):
    def job(transaction):
        transaction.execute(INSERT, (text,))
        raise error

    return job


@pytest.fixture(params=STORES)
def url(request, tmp_path):
    """Of a store without tables."""
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/db"
    return request.getfixturevalue("databases").postgres.new()


def using(url, story, **options):
    """Run `story(store)` in an event loop of its own."""
    prepare(url, SCHEMA)

    async def told():
        store = open_store(url, **options)
        try:
            return await story(store)
        finally:
            store.close()

    return asyncio.run(told())


async def together(store, jobs):
    """The outcomes of jobs that wait at the same time: the writer is held until all are queued."""
    entered, release = threading.Event(), threading.Event()
    held = asyncio.ensure_future(store.write(lambda _: entered.set() or release.wait(30)))
    await asyncio.to_thread(entered.wait)
    waiting = [asyncio.ensure_future(store.write(job)) for job in jobs]
    await asyncio.sleep(0)
    release.set()
    await held
    return await asyncio.gather(*waiting, return_exceptions=True)


def texts(url):
    rows = using(url, lambda store: store.read("SELECT text FROM notes ORDER BY id"))
    return [row[0] for row in rows]


def test_jobs_that_wait_are_committed_together(url):
    """A hundred jobs that wait make one group; each gets its own result."""
    groups = []

    async def story(store):
        return await together(store, [insert(str(number)) for number in range(100)])

    results = using(url, story, on_group=lambda kept, undone: groups.append((kept, undone)))

    assert [rows[0][0] for rows in results] == list(range(1, 101))
    assert groups == [(1, 0), (100, 0)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fates=st.lists(st.sampled_from(["keep", "raise", "broken SQL", "twice"]), max_size=12))
def test_a_failing_job_is_undone_alone(url, fates):
    """In one group, exactly the jobs that failed are undone and hear of their own failure."""
    jobs = []
    for number, fate in enumerate(fates):
        if fate == "raise":
            jobs.append(insert_then_raise(f"{number}", KeyError(number)))
        elif fate == "broken SQL":
            jobs.append(lambda transaction: transaction.execute("INSERT INTO nowhere VALUES (1)"))
        else:
            jobs.append(insert("same" if fate == "twice" else f"{number}"))
    using(url, lambda store: store.write(lambda transaction: transaction.execute("DELETE FROM notes")))
    results = using(url, lambda store: together(store, jobs))
    repeated = [number for number, fate in enumerate(fates) if fate == "twice"][1:]

    for number, (fate, result) in enumerate(zip(fates, results, strict=True)):
        if fate == "raise":
            assert isinstance(result, KeyError)
            assert result.args == (number,)
        elif fate == "broken SQL":
            assert isinstance(result, StoreUnavailableError)
        elif number in repeated:
            assert isinstance(result, (sqlite3.IntegrityError, psycopg.IntegrityError))
        else:
            assert isinstance(result, list)
    assert texts(url) == [
        "same" if fate == "twice" else f"{number}"
        for number, fate in enumerate(fates)
        if fate in {"keep", "twice"} and number not in repeated
    ]


def test_a_read_sees_what_was_resolved(url):
    """A write that has been awaited is seen by the next read, also by another process's store."""

    async def story(store):
        other = open_store(url)
        await store.write(insert("seen"))
        found = [await each.read("SELECT text FROM notes") for each in (store, other)]
        other.close()
        return found

    assert using(url, story) == [[("seen",)], [("seen",)]]


def test_two_writers_keep_all_writes(url):
    """Two stores of one database lose nothing, and number what they write without gaps."""

    async def story(store):
        other = open_store(url)
        writers = (store, other)
        rows = await asyncio.gather(
            *(writers[number % 2].write(insert(f"{number}")) for number in range(200))
        )
        other.close()
        return [row[0][0] for row in rows]

    assert sorted(using(url, story)) == list(range(1, 201))
    assert sorted(texts(url), key=int) == [f"{number}" for number in range(200)]


def test_a_database_that_cannot_be_written_refuses_and_recovers(tmp_path, monkeypatch):
    """While another program holds the write lock every waiting job is refused; afterwards writes work."""
    monkeypatch.setattr(sqlite_module, "BUSY_S", 0.01)
    path = tmp_path / "db"
    url = f"sqlite://{path}"

    async def story(store):
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        refused = await asyncio.gather(
            *(store.write(insert(f"{number}")) for number in range(3)), return_exceptions=True
        )
        blocker.execute("ROLLBACK")
        blocker.close()
        await store.write(insert("after"))
        return refused

    refused = using(url, story)

    assert [type(each) for each in refused] == [StoreUnavailableError] * 3
    assert texts(url) == ["after"]


def test_a_full_disk_loses_no_answered_job(tmp_path):
    """When the database is full, what was answered as kept is there, and what was refused is not."""
    url = f"sqlite://{tmp_path}/db"

    async def story(store):
        await store.write(lambda transaction: transaction.execute("PRAGMA max_page_count = 12"))
        sizes = [10, 30_000, 20, 10_000, 60_000, 30, 5_000, 40]
        wanted = [f"{number}:" + "x" * size for number, size in enumerate(sizes)]
        results = []
        for pair in range(0, len(wanted), 2):
            results += await together(store, [insert(text) for text in wanted[pair : pair + 2]])
        return wanted, results

    wanted, results = using(url, story)
    refused = [isinstance(result, StoreUnavailableError) for result in results]

    assert any(refused)
    assert not all(refused)
    assert texts(url) == [text for text, no in zip(wanted, refused, strict=True) if not no]


def test_a_damaged_file_is_no_defect_of_the_request(tmp_path):
    """Reading from a file that lost its end is refused as unavailable, whatever SQLite calls it."""
    path = tmp_path / "db"

    async def fill(store):
        await together(store, [insert(f"{number}" * 200) for number in range(400)])

    async def use(store):
        os.truncate(path, 8192)
        for use in (store.read("SELECT text FROM notes WHERE id = 399"), store.write(insert("new"))):
            with pytest.raises(StoreUnavailableError):
                await use

    using(f"sqlite://{path}", fill)
    using(f"sqlite://{path}", use)


def test_a_cancelled_request_does_not_stop_the_writer(url):
    """A waiter that was cancelled is passed over; the others get their results."""

    async def story(store):
        release = threading.Event()
        held = asyncio.ensure_future(store.write(lambda _: release.wait(30)))
        cancelled = asyncio.ensure_future(store.write(insert("cancelled")))
        await asyncio.sleep(0)
        cancelled.cancel()
        release.set()
        await held
        return await store.write(insert("kept"))

    assert using(url, story)
    assert "kept" in texts(url)


def test_closing_finishes_what_waits(url):
    """Jobs that were queued before `close` are in the file after it."""

    async def story(store):
        for number in range(50):
            store._writer._jobs.put(group_commit._Job(insert(f"{number}")))

    using(url, story)

    assert len(texts(url)) == 50


def test_a_kill_loses_nothing_that_was_answered(tmp_path, storage):
    """SIGKILL of every process amid writes: what was answered with 201 or 200 is there, as answered."""
    served = start("--processes", "2", *flags(storage), folder=tmp_path)
    pids = served.processes()
    answered: list[dict] = []
    enough = threading.Event()

    def write() -> None:
        with served.client() as client:
            try:
                while True:
                    made = client.post("/policies", json=POLICY)
                    new = {"policy": {**POLICY, "title": f"Policy {made.json()['id']}"}, "if_version": 1}
                    changed = client.put(f"/policies/{made.json()['id']}", json=new)
                    for answer in (made, changed):
                        assert answer.status_code in {200, 201}
                        answered.append(answer.json())
                    if len(answered) > 300:
                        enough.set()
            except httpx.TransportError:
                return

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert enough.wait(60)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for thread in threads:
        thread.join()
    served.process.communicate()
    latest: dict[int, dict] = {}
    for answer in answered:
        latest[answer["id"]] = max(answer, latest.get(answer["id"], answer), key=lambda each: each["version"])

    with serving(*flags(storage), folder=tmp_path) as again, again.client() as client:
        found = {each: client.get(f"/policies/{each}").json() for each in latest}
    # The last update of each thread may have been written without having been answered.
    assert all(found[each]["version"] >= latest[each]["version"] for each in latest)
    assert sum(found[each] != latest[each] for each in latest) <= len(threads)


def test_health_tells_of_an_unreadable_store(tmp_path):
    """When the store cannot be read, health is 503 and names the reason."""
    before = (
        "from target import sqlite\n"
        "async def read(self, *_): raise sqlite.StoreUnavailableError('disk I/O error')\n"
        "sqlite.SqliteStore.read = read"
    )
    with serving(folder=tmp_path, before=before) as served, served.client() as client:
        health = client.get("/gateway/health")
        policy = client.get("/policies/1")

    assert health.status_code == policy.status_code == 503
    assert health.json()["status"] == "unavailable"
    assert health.json()["store"] == "disk I/O error"
    assert "disk I/O error" in policy.json()["error"]["message"]


def test_a_store_that_is_locked_is_answered_with_503(tmp_path):
    """A write that cannot be made is 503 with Retry-After; reads and health go on."""
    path = tmp_path / "kept.db"
    before = "from target import sqlite\nsqlite.BUSY_S = 0.01"
    with serving("--store", f"sqlite://{path}", folder=tmp_path, before=before) as served:
        with sqlite3.connect(path, isolation_level=None) as blocker, served.client() as client:
            client.post("/policies", json=POLICY)
            blocker.execute("BEGIN IMMEDIATE")
            refused = client.post("/policies", json=POLICY)
            read = client.get("/policies/1")
            health = client.get("/gateway/health")
            blocker.execute("ROLLBACK")
            written = client.post("/policies", json=POLICY)
        blocker.close()

    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "1"
    assert refused.json()["error"]["code"] == "store_unavailable"
    assert refused.headers["X-Constitutional-Hash"] == HEADERS["X-Constitutional-Hash"]
    assert (read.status_code, health.status_code, written.status_code) == (200, 200, 201)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (None, "a folder/store.sqlite3"),
        ("sqlite://{}/target.db", "target.db"),
        ("sqlite://{}/a%20b.db", "a b.db"),
    ],
)
def test_a_store_url_names_a_file(tmp_path, url, name):
    """Three slashes and an absolute path; without a URL the file is in the target's folder."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    prepare(store_url(url and url.format(tmp_path), folder), SCHEMA)

    assert (tmp_path / name).exists()


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite://host/x", "mysql:///x", "/x", "sqlite:///x?y"]
)
def test_another_store_url_is_refused(tmp_path, url):
    """Every other URL is a mistake that the message quotes."""
    with pytest.raises(UsageError, match="sqlite:///"):
        store_url(url, tmp_path)


@settings(max_examples=150, deadline=None)
@given(damage=st.dictionaries(st.integers(0, 4095), st.integers(0, 255), min_size=1, max_size=8))
def test_a_damaged_schema_page_is_refused_in_words_or_not_noticed(tmp_path_factory, damage):
    """Whatever bytes of the first page are others, `prepare` ends in order or with UsageError that names the file."""
    path = tmp_path_factory.mktemp("damaged") / "store.sqlite3"
    prepare(f"sqlite://{path}", SCHEMA)
    page = bytearray(path.read_bytes())
    for position, byte in damage.items():
        page[position] = byte
    path.write_bytes(page)

    told = ""
    try:
        prepare(f"sqlite://{path}", SCHEMA)
    except UsageError as error:
        told = str(error)

    assert not told or str(path) in told


def test_a_schema_that_is_no_text_is_refused_in_words(tmp_path):
    """SQLite's own message would not be text either, so the store has one of its own."""
    path = tmp_path / "store.sqlite3"
    prepare(f"sqlite://{path}", SCHEMA)
    path.write_bytes(path.read_bytes().replace(b"tablenotes", b"tabl\xff\xfe\xfdtes"))

    with pytest.raises(UsageError, match="its schema is damaged"):
        prepare(f"sqlite://{path}", SCHEMA)
