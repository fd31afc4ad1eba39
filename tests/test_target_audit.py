"""The audit trail: one chain whoever appends to it, and nothing in it changes unseen."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import threading
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from databases import STORES, flags, options_of
from fuzzing import bodies, is_sound
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inside import inside
from serving import HASH, serving

from loadproof.errors import UsageError
from locustfiles.governance.chain import fault_in
from target.audit import LONGEST_RANGE

ENTRY = {"actor": "clerk-7", "action": "approve", "payload": {"record": 12, "reasons": ["é", "b"], "a": True}}
ZEROS = "00" * 32
COLUMNS = ("previous", "hash", "signature", "content")
LENGTH = 3


@pytest.fixture(scope="module", params=STORES)
def target(request, tmp_path_factory):
    options = options_of(request, request.param)
    with serving("--processes", "2", *options, folder=tmp_path_factory.mktemp("audit")) as served:
        with served.client() as client:
            for number in range(5):
                client.post("/audit/entries", json={**ENTRY, "payload": {"number": number}})
        yield served


@pytest.fixture
def client(target):
    with target.client() as client:
        yield client


def key_of(client) -> Ed25519PublicKey:
    answer = client.get("/audit/key").json()
    assert answer["algorithm"] == "ed25519"
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(answer["public_key"]))


def entries(client, first: int = 1, limit: int = 100) -> list[dict]:
    return client.get("/audit/entries", params={"from": first, "limit": limit}).json()["items"]


def verified(client, **query) -> tuple[bool, int | None, str | None]:
    answer = client.get("/audit/verify", params=query)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return body["ok"], body["first_bad"], body["fault"]


def test_an_entry_is_chained_and_signed(client):
    """The hash covers the hash before and the entry's canonical JSON; the key that is told verifies the signature."""
    made = client.post("/audit/entries", json=ENTRY)
    item = made.json()
    before = entries(client, item["seq"] - 1, 1)[0]
    text = json.dumps(item["entry"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    assert made.status_code == 201
    assert item["constitutional_hash"] == HASH
    assert item["previous"] == before["hash"]
    assert item["hash"] == hashlib.sha256(bytes.fromhex(item["previous"]) + text.encode()).hexdigest()
    key_of(client).verify(bytes.fromhex(item["signature"]), bytes.fromhex(item["hash"]))
    assert {name: item["entry"][name] for name in ENTRY} == ENTRY
    assert item["entry"]["seq"] == item["seq"]
    assert item["entry"].keys() == {*ENTRY, "seq", "time_us"}


def test_a_range_is_what_was_appended(client):
    """Entries come in order from `from` on, as they were answered when they were appended."""
    made = [client.post("/audit/entries", json=ENTRY).json() for _ in range(3)]
    for item in made:
        del item["constitutional_hash"]

    assert entries(client, made[0]["seq"], 2) == made[:2]
    assert entries(client, made[0]["seq"]) == made
    assert entries(client, made[2]["seq"] + 1) == []
    assert [item["seq"] for item in entries(client)] == list(range(1, made[2]["seq"] + 1))
    assert client.get("/audit/head").json() == {
        "seq": made[2]["seq"],
        "hash": made[2]["hash"],
        "constitutional_hash": HASH,
    }


def test_an_empty_trail_begins_with_zeros(tmp_path):
    """Without entries the head is 0 with 32 zero bytes and the trail is whole; the first entry follows them."""

    async def told():
        async with inside(tmp_path) as (client,):
            head = (await client.get("/audit/head")).json()
            whole = (await client.get("/audit/verify")).json()
            first = (await client.post("/audit/entries", json=ENTRY)).json()
            return head, whole, first

    head, whole, first = asyncio.run(told())

    assert (head["seq"], head["hash"]) == (0, ZEROS)
    assert (whole["ok"], whole["first"], whole["last"]) == (True, 1, 0)
    assert (first["seq"], first["previous"]) == (1, ZEROS)


def test_processes_and_threads_append_to_one_chain(tmp_path, storage):
    """Two targets of two processes on one store, appending at once: no fork, no gap, nothing lost, all verified."""
    options = ["--processes", "2", *flags(storage)]
    with serving(*options, folder=tmp_path) as one, serving(*options, folder=tmp_path) as two:
        made: list[tuple[int, dict]] = []

        def append(served, actor: int) -> None:
            with served.client() as client:
                for number in range(25):
                    written = {"actor": f"{actor}", "action": "append", "payload": {"number": number}}
                    made.append((actor, client.post("/audit/entries", json=written).json()))

        threads = [threading.Thread(target=append, args=((one, two)[actor % 2], actor)) for actor in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with one.client() as client, two.client() as another:
            items = entries(client) + entries(client, 101)
            keys = {key_of(client).public_bytes_raw(), key_of(another).public_bytes_raw()}
            whole = verified(another)
            fault = fault_in(key_of(another), 1, items)

    assert len(keys) == 1
    assert whole == (True, None, None)
    assert fault is None
    assert sorted(item["seq"] for _, item in made) == list(range(1, 201)) == [item["seq"] for item in items]
    for actor, item in made:
        del item["constitutional_hash"]
        assert items[item["seq"] - 1] == item
        assert item["entry"]["actor"] == f"{actor}"


def test_the_key_is_the_stores(tmp_path, storage):
    """A store keeps its key over restarts, and what was signed stays verifiable; another store has another key."""
    kept = flags(storage)
    keys = []
    for options in (kept, kept, []):
        with serving(*options, folder=tmp_path) as served, served.client() as client:
            client.post("/audit/entries", json=ENTRY)
            assert verified(client) == (True, None, None)
            keys.append(key_of(client).public_bytes_raw())

    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("query", [{}, {"from": 2, "to": 4}, {"from": 5, "to": 5}, {"from": 2}, {"to": 3}])
def test_any_range_can_be_verified(client, query):
    """A range that is whole is ok wherever it begins and ends."""
    assert verified(client, **query) == (True, None, None)


def test_what_is_not_there_does_not_verify(client):
    """A range that goes on behind the trail's end is not whole from the first entry that is missing."""
    head = client.get("/audit/head").json()["seq"]

    assert verified(client, **{"from": 3, "to": 5_000}) == (False, head + 1, "missing")
    assert verified(client, **{"from": 9_000, "to": 9_001}) == (False, 9_000, "missing")


def test_a_long_range_is_verified_whole(tmp_path):
    """A range of more entries than are read at once is verified to its end, and a fault far in it is found."""

    async def told():
        async with inside(tmp_path) as (client,):
            for number in range(1_100):
                await client.post("/audit/entries", json={**ENTRY, "payload": {"number": number}})
            whole = (await client.get("/audit/verify")).json()
            alter(tmp_path / "db", "UPDATE audit_entries SET previous = hash WHERE seq = 1001")
            return whole, (await client.get("/audit/verify")).json()

    whole, broken = asyncio.run(told())

    assert (whole["ok"], whole["first"], whole["last"]) == (True, 1, 1_100)
    assert (broken["ok"], broken["first_bad"], broken["fault"]) == (False, 1_001, "link")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/audit/verify?from=3&to=2", 422, "invalid_query"),
        ("/audit/verify?from=0", 422, "invalid_query"),
        ("/audit/verify?first=1", 422, "invalid_query"),
        (f"/audit/verify?from=1&to={LONGEST_RANGE + 1}", 422, "range_too_long"),
        ("/audit/verify?from=5000", 404, "no_such_entry"),
        ("/audit/entries?from=0", 422, "invalid_query"),
        ("/audit/entries?limit=101", 422, "invalid_query"),
    ],
)
def test_a_wrong_range_is_refused(client, path, status, code):
    """Each has its status and code."""
    answer = client.get(path)

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def alter(path, sql: str, *parameters) -> None:
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute(sql, parameters)
    connection.close()


def seen_by_the_client(key: bytes, text: str) -> bool:
    """Whether a client that reads the whole trail finds something wrong with it."""
    try:
        items = json.loads(text)["items"]
        fault = fault_in(Ed25519PublicKey.from_public_bytes(key), 1, items)
        return fault is not None or len(items) != LENGTH
    except (ValueError, KeyError, TypeError):
        return True


async def trail(client) -> bytes:
    for number in range(LENGTH):
        await client.post("/audit/entries", json={**ENTRY, "payload": {"number": number}})
    return bytes.fromhex((await client.get("/audit/key")).json()["public_key"])


async def found(client, key: bytes) -> tuple[tuple[int | None, str | None], bool]:
    """What the service's verification says of the trail, and whether a client's own finds something."""
    body = (await client.get("/audit/verify", params={"to": LENGTH})).json()
    text = (await client.get("/audit/entries")).text
    return (body["first_bad"], body["fault"]), seen_by_the_client(key, text)


def test_every_changed_byte_is_found(tmp_path):
    """Whatever byte of an entry is changed in the database, both verifications find it, where it is."""

    async def told():
        async with inside(tmp_path) as (client,):
            key = await trail(client)
            path = tmp_path / "db"
            connection = sqlite3.connect(path, isolation_level=None)
            stored = connection.execute(
                f"SELECT {','.join(COLUMNS)} FROM audit_entries WHERE seq = 2"
            ).fetchone()
            for column, value in zip(COLUMNS, stored, strict=True):
                for at in range(len(value)):
                    changed = value[:at] + bytes([value[at] ^ (1 << at % 8)]) + value[at + 1 :]
                    sql = f"UPDATE audit_entries SET {column} = ? WHERE seq = 2"
                    connection.execute(sql, (changed,))
                    (position, fault), by_the_client = await found(client, key)
                    connection.execute(sql, (value,))
                    assert position == 2, (column, at)
                    assert fault in {"content", "link", "hash", "signature"}
                    assert by_the_client, (column, at)
            connection.close()
            assert await found(client, key) == ((None, None), False)

    asyncio.run(told())


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("DELETE FROM audit_entries WHERE seq = 1", (1, "missing")),
        ("DELETE FROM audit_entries WHERE seq = 2", (2, "missing")),
        ("DELETE FROM audit_entries WHERE seq = 3", (3, "missing")),
        ("DELETE FROM audit_entries", (1, "missing")),
        ("UPDATE audit_entries SET seq = 9 WHERE seq = 2", (2, "missing")),
        ("UPDATE audit_entries SET seq = seq - 1", (1, "content")),
        (
            """UPDATE audit_entries SET (previous, hash, signature, content) =
            (SELECT previous, hash, signature, content FROM audit_entries AS o WHERE o.seq = 1) WHERE seq = 2""",
            (2, "content"),
        ),
        (
            """UPDATE audit_entries SET (hash, signature) =
            (SELECT hash, signature FROM audit_entries AS o WHERE o.seq = 1) WHERE seq = 3""",
            (3, "hash"),
        ),
        (
            """UPDATE audit_entries SET signature =
            (SELECT signature FROM audit_entries AS o WHERE o.seq = 1) WHERE seq = 3""",
            (3, "signature"),
        ),
        ("UPDATE audit_entries SET signature = x'' WHERE seq = 2", (2, "signature")),
        ("UPDATE audit_entries SET content = x'ff' WHERE seq = 2", (2, "content")),
    ],
)
def test_what_is_removed_moved_or_exchanged_is_found(tmp_path, sql, expected):
    """Deleting, renumbering, and copying entries or their parts is found where it begins."""

    async def told():
        async with inside(tmp_path) as (client,):
            key = await trail(client)
            alter(tmp_path / "db", sql)
            return await found(client, key)

    assert asyncio.run(told()) == (expected, True)


@pytest.mark.parametrize("column", COLUMNS)
def test_values_of_other_types_are_found(tmp_path, column):
    """Nothing, a number or a text in place of bytes, in a table that lets them in, is a fault like any other."""

    async def told():
        async with inside(tmp_path) as (client,):
            key = await trail(client)
            with sqlite3.connect(tmp_path / "db", isolation_level=None) as connection:
                connection.executescript(
                    "CREATE TABLE loose AS SELECT * FROM audit_entries; DROP TABLE audit_entries;"
                    "ALTER TABLE loose RENAME TO audit_entries;"
                )
            connection.close()
            results = []
            for value in (None, 7, "text"):
                alter(tmp_path / "db", f"UPDATE audit_entries SET {column} = ? WHERE seq = 2", value)
                results.append(await found(client, key))
            return results

    assert [(where[0], by_the_client) for where, by_the_client in asyncio.run(told())] == [(2, True)] * 3


def test_an_entry_without_the_key_is_found(tmp_path):
    """Somebody who can write and hash, but has not the key, is found by the signature alone."""

    async def told():
        async with inside(tmp_path) as (client,):
            key = await trail(client)
            item = (await client.get("/audit/entries")).json()["items"][-1]
            item["entry"]["actor"] = "nobody"
            content = json.dumps(item["entry"], sort_keys=True, separators=(",", ":")).encode()
            mark = hashlib.sha256(bytes.fromhex(item["previous"]) + content).digest()
            alter(
                tmp_path / "db",
                "UPDATE audit_entries SET content = ?, hash = ? WHERE seq = ?",
                *(content, mark, LENGTH),
            )
            return await found(client, key)

    assert asyncio.run(told()) == ((LENGTH, "signature"), True)


@dataclass(repr=False)
class Closed:
    """A trail whose target has ended."""

    file: bytes
    offsets: list[int]
    """Where the file has something of the trail."""
    entries: str
    key: bytes


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    async def told():
        folder = tmp_path_factory.mktemp("closed")
        async with inside(folder) as (client,):
            key = await trail(client)
            text = (await client.get("/audit/entries")).text
        connection = sqlite3.connect(folder / "db")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        pages = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name LIKE 'audit_%'").fetchall()
        connection.close()
        file = (folder / "db").read_bytes()
        offsets = [at for (page,) in pages for at in range((page - 1) * size, page * size) if file[at]]
        return Closed(file, offsets, text, key)

    return asyncio.run(told())


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_damaged_file_never_verifies_as_something_else(tmp_path_factory, closed, data):
    """With any byte of the trail's pages changed, what verifies is what was appended; and no answer is a defect."""
    content = bytearray(closed.file)
    content[data.draw(st.sampled_from(closed.offsets))] ^= data.draw(st.integers(1, 255))
    folder = tmp_path_factory.mktemp("damaged")

    async def told():
        async with inside(folder, before=bytes(content)) as (client,):
            whole = await client.get("/audit/verify", params={"to": LENGTH})
            return whole, await client.get("/audit/entries")

    try:
        whole, items = asyncio.run(told())
    except UsageError:
        return  # it is not even opened
    assert {whole.status_code, items.status_code} <= {200, 503}
    if whole.status_code == items.status_code == 200:
        found = not whole.json()["ok"] and seen_by_the_client(closed.key, items.text)
        assert found or items.text == closed.entries


def test_a_broken_link_is_planted_as_often_as_asked(client):
    """With `broken_link=2` two ranges end with a signed entry that does not follow, and in nothing else wrong."""
    key = key_of(client)
    right = entries(client, 1, 3)
    client.put("/switches", json={"broken_link": 2})
    alone = entries(client, 3, 1)
    broken = [entries(client, 1, 3) for _ in range(2)]
    again = entries(client, 1, 3)

    assert alone == right[2:]  # nothing would show it there
    assert again == right
    for items in broken:
        assert fault_in(key, 1, items) == "entry 3 does not follow the entry before it"
        assert fault_in(key, 3, items[2:]) is None
        assert items[:2] == right[:2]
    assert client.get("/switches").json()["broken_link"] == 0
    assert verified(client) == (True, None, None)


def test_a_bad_signature_is_planted_as_often_as_asked(client):
    """With `bad_signature=2` two ranges end with a signature that does not fit, and in nothing else wrong."""
    key = key_of(client)
    right = entries(client, 1, 3)
    client.put("/switches", json={"bad_signature": 2})
    empty = entries(client, 5_000)
    bad = [entries(client, 1, 3) for _ in range(2)]
    again = entries(client, 1, 3)

    assert empty == []
    assert again == right
    for items in bad:
        assert fault_in(key, 1, items) == "entry 3 has a wrong signature"
        assert [{**item, "signature": ""} for item in items] == [{**item, "signature": ""} for item in right]
    assert client.get("/switches").json()["bad_signature"] == 0


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    body=bodies(ENTRY),
    query=st.dictionaries(
        st.sampled_from(["from", "to", "limit", "x"]), st.text(max_size=20) | st.integers()
    ),
)
def test_no_input_breaks_it(fuzzed, body, query):
    """Damaged entries, other JSON, plain bytes and odd queries: an answer below 500 in the right form."""
    is_sound(fuzzed.post("/audit/entries", content=body), "POST")
    for path in ("entries", "verify", "head", "key"):
        is_sound(fuzzed.get(f"/audit/{path}", params=query), "GET")


def test_whatever_was_appended_verifies(fuzzed):
    """After all that was taken of it, the trail is whole for both verifications."""
    items = entries(fuzzed)

    assert items
    assert verified(fuzzed) == (True, None, None)
    assert fault_in(key_of(fuzzed), 1, items) is None


@pytest.fixture(scope="module", params=STORES)
def fuzzed(request, tmp_path_factory):
    options = options_of(request, request.param)
    with serving(*options, folder=tmp_path_factory.mktemp("fuzzed")) as served:
        with served.client() as client:
            yield client
        assert served.end() == 0
        assert served.process.communicate()[1] == b""
