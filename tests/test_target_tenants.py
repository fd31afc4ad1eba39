"""Tenants: whatever happens in whatever order, nobody gets what belongs to somebody else."""

from __future__ import annotations

import asyncio
import random
import re
import sqlite3

import pytest
from databases import STORES, options_of
from fuzzing import bodies, is_sound
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inside import inside
from serving import HASH, serving

from target.cache import MemoryCache
from target.metrics import Metrics
from target.sqlite import SqliteStore

FIELDS = {"name": "first", "amount": 7, "tags": ["a", "é"], "open": True}
CANARY = re.compile(r"canary-\d+-")


class Model:
    """A tenant as a client knows it: its token, and everything that it wrote."""

    def __init__(self, made: dict, number: int) -> None:
        self.id = made["id"]
        self.headers = bearer(made["token"])
        self.mark = f"canary-{number}-"
        self.rows: list[dict] = []
        self.configuration: dict = {}
        self.version = 1

    def content(self) -> dict:
        return {"canary": self.mark, "number": len(self.rows) + 100 * self.version}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module", params=STORES)
def target(request, tmp_path_factory):
    options = options_of(request, request.param)
    with serving("--processes", "2", *options, folder=tmp_path_factory.mktemp("tenants")) as served:
        yield served


@pytest.fixture
def client(target):
    with target.client() as client:
        yield client


@pytest.fixture
def made(client):
    return client.post("/tenants", json={"name": "one"}).json()


@pytest.fixture
def other(client):
    made = client.post("/tenants", json={"name": "other"}).json()
    rows = f"/tenants/{made['id']}/rows"
    return made, client.post(rows, json={"fields": FIELDS}, headers=bearer(made["token"])).json()


def test_a_tenant_gets_a_token_of_its_own(client):
    """201 with id, name and a token of 256 random bits; no two are the same."""
    answers = [client.post("/tenants", json={"name": "é"}) for _ in range(5)]

    assert {answer.status_code for answer in answers} == {201}
    assert all(answer.json().keys() == {"id", "name", "token", "constitutional_hash"} for answer in answers)
    assert all(len(answer.json()["token"]) == 43 for answer in answers)
    assert len({answer.json()["token"] for answer in answers}) == len({a.json()["id"] for a in answers}) == 5


def test_the_store_does_not_know_a_token(tmp_path):
    """The token is in no file of the target, only its hash is."""

    async def told():
        async with inside(tmp_path) as (client,):
            made = (await client.post("/tenants", json={"name": "a name that is found"})).json()
            return made["token"], b"".join(
                path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()
            )

    token, files = asyncio.run(told())

    assert b"a name that is found" in files
    assert token.encode() not in files


def test_rows_are_read_as_they_were_written(client, made):
    """A row comes back whole, alone and in its list, from every process."""
    headers = bearer(made["token"])
    path = f"/tenants/{made['id']}/rows"
    answers = [client.post(path, json={"fields": {**FIELDS, "amount": n}}, headers=headers) for n in range(5)]
    written = [answer.json() for answer in answers]
    pages = [
        client.get(path, params={"offset": at, "limit": 2}, headers=headers).json() for at in (0, 2, 4, 9)
    ]

    assert {answer.status_code for answer in answers} == {201}
    assert [row["fields"]["amount"] for row in written] == list(range(5))
    for row in written:
        assert client.get(f"{path}/{row['id']}", headers=headers).json() == row
        del row["constitutional_hash"]
    assert [item for page in pages for item in page["items"]] == written
    assert [len(page["items"]) for page in pages] == [2, 2, 1, 0]
    assert {page["total"] for page in pages} == {5}
    assert {page["constitutional_hash"] for page in pages} == {HASH}


def test_a_configuration_has_versions(client, made):
    """It begins empty with version 1; each replacement counts one up; another version is refused with 409."""
    headers = bearer(made["token"])
    path = f"/tenants/{made['id']}/configuration"
    first = client.get(path, headers=headers).json()
    second = client.put(path, json={"configuration": FIELDS, "if_version": 1}, headers=headers)
    refused = client.put(path, json={"configuration": {}, "if_version": 1}, headers=headers)
    read = client.get(path, headers=headers)

    assert first == {"configuration": {}, "version": 1, "constitutional_hash": HASH}
    assert second.json() == read.json() == {**first, "configuration": FIELDS, "version": 2}
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "version_conflict")
    assert client.put(path, json={"configuration": {}}, headers=headers).json()["version"] == 3


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "token_missing"),
        ("", "token_missing"),
        ("Bearer", "token_missing"),
        ("Basic x", "token_missing"),
        ("Bearer x", "unknown_token"),
        ("Bearer \xff", "unknown_token"),
    ],
)
@pytest.mark.parametrize(
    "call", ["GET rows", "POST rows", "GET rows/1", "GET configuration", "PUT configuration"]
)
def test_without_a_token_there_is_nothing(client, made, header, code, call):
    """401 that says how to ask, for every endpoint and every tenant."""
    method, path = call.split()
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    answer = client.request(method, f"/tenants/{made['id']}/{path}", headers=headers, json={})

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "call", ["GET rows", "POST rows", "GET rows/1", "GET configuration", "PUT configuration"]
)
def test_another_tenants_path_says_nothing(client, made, other, call):
    """403 with the same bytes for a tenant that there is, one that there is not, and what is no id."""
    method, path = call.split()
    answers = [
        client.request(
            method,
            f"/tenants/{identity}/{path}",
            headers=bearer(made["token"]),
            json={"fields": FIELDS, "configuration": FIELDS},
        )
        for identity in (other[0]["id"], 10**9, f"0{made['id']}", f"{made['id']}%20", "x")
    ]

    assert {answer.status_code for answer in answers} == {403}
    assert len({answer.content for answer in answers}) == 1


def test_anothers_row_is_no_row(client, made, other):
    """Under one's own path another tenant's row is the same 404 as one that nobody has."""
    path = f"/tenants/{made['id']}/rows"
    theirs, nobodys = (
        client.get(f"{path}/{row}", headers=bearer(made["token"])) for row in (other[1]["id"], 10**9)
    )

    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.text.replace(str(other[1]["id"]), "") == nobodys.text.replace(str(10**9), "")


OPERATIONS = st.lists(
    st.tuples(
        st.integers(0, 2),  # who
        st.integers(0, 1),  # which process answers
        st.sampled_from(
            ["add", "row", "list", "list", "configure", "configuration", "their row", "their path"]
        ),
        st.integers(0, 7),
        st.integers(0, 7),
    ),
    min_size=10,
    max_size=60,
)


async def tenants(client, count: int = 3) -> list[Model]:
    return [
        Model((await client.post("/tenants", json={"name": "t"})).json(), number) for number in range(count)
    ]


async def operate(
    clients, models: list[Model], who: int, process: int, what: str, one: int, two: int
) -> None:
    """One operation, whose answer must be what the model says."""
    me, them, client = models[who], models[(who + 1 + one % 2) % 3], clients[process]
    path = f"/tenants/{me.id}"
    if what == "add":
        answer = await client.post(f"{path}/rows", json={"fields": me.content()}, headers=me.headers)
        assert answer.json()["fields"] == me.content()
        me.rows.append(answer.json())
    elif what == "row" and me.rows:
        row = me.rows[one % len(me.rows)]
        answer = await client.get(f"{path}/rows/{row['id']}", headers=me.headers)
        assert answer.json() == row
    elif what == "configure":
        answer = await client.put(
            f"{path}/configuration", json={"configuration": me.content()}, headers=me.headers
        )
        me.configuration, me.version = me.content(), me.version + 1
        assert (answer.json()["configuration"], answer.json()["version"]) == (me.configuration, me.version)
    elif what == "configuration":
        answer = await client.get(f"{path}/configuration", headers=me.headers)
        assert (answer.json()["configuration"], answer.json()["version"]) == (me.configuration, me.version)
    elif what == "their row" and them.rows:
        answer = await client.get(f"{path}/rows/{them.rows[two % len(them.rows)]['id']}", headers=me.headers)
        assert answer.status_code == 404
    elif what == "their path":
        answer = await client.get(f"/tenants/{them.id}/rows", headers=me.headers)
        assert answer.status_code == 403
    else:
        answer = await client.get(
            f"{path}/rows", params={"offset": one, "limit": two + 1}, headers=me.headers
        )
        expected = [{**row, "constitutional_hash": None} for row in me.rows[one : one + two + 1]]
        assert [{**row, "constitutional_hash": None} for row in answer.json()["items"]] == expected
        assert answer.json()["total"] == len(me.rows)
    assert set(CANARY.findall(answer.text)) <= {me.mark}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=OPERATIONS)
def test_no_order_of_operations_mixes_tenants_or_shows_what_was(tmp_path_factory, storage, operations):
    """Of two processes with a cache each, every answer is its tenant's own, whole and of this moment."""

    async def told():
        async with inside(tmp_path_factory.mktemp("property"), 2, **storage) as clients:
            models = await tenants(clients[0])
            for operation in operations:
                await operate(clients, models, *operation)

    asyncio.run(told())


def test_operations_at_once_do_not_mix_tenants(tmp_path, storage):
    """With many requests in flight at once in two processes, a list is always a beginning of its tenant's rows."""
    random.seed(5)

    async def add(client, me):
        answer = await client.post(
            f"/tenants/{me.id}/rows", json={"fields": me.content()}, headers=me.headers
        )
        me.rows.append(answer.json())

    async def look(client, me):
        before = len(me.rows)
        answer = await client.get(f"/tenants/{me.id}/rows", params={"limit": 100}, headers=me.headers)
        page = answer.json()
        assert before <= page["total"] == len(page["items"])
        assert set(CANARY.findall(answer.text)) <= {me.mark}
        return me, [item["id"] for item in page["items"]]

    async def told():
        async with inside(tmp_path, 2, **storage) as clients:
            models = await tenants(clients[0])
            work = [
                random.choice((add, look, look))(random.choice(clients), random.choice(models))
                for _ in range(240)
            ]
            seen = [each for each in await asyncio.gather(*work) if each is not None]
            assert len(seen) > 100
            for me, ids in seen:
                assert ids == sorted(row["id"] for row in me.rows)[: len(ids)]

    asyncio.run(told())


def test_a_list_ends_where_its_total_does(tmp_path, monkeypatch):
    """A row that comes while a list is made is in the next list: total and rows are of one moment, cached or not."""
    original = SqliteStore.read

    async def slow_read(store, sql, parameters=()):
        rows = await original(store, sql, parameters)
        if "row_count" in sql:
            with sqlite3.connect(tmp_path / "db") as connection:
                connection.execute("INSERT INTO tenant_rows (tenant, fields) VALUES (1, '{}')")
                connection.execute("UPDATE tenants SET row_count = row_count + 1 WHERE id = 1")
            connection.close()
        return rows

    monkeypatch.setattr(SqliteStore, "read", slow_read)

    async def told():
        async with inside(tmp_path) as (client,):
            (me,) = await tenants(client, 1)
            return [(await client.get(f"/tenants/{me.id}/rows", headers=me.headers)).json() for _ in range(3)]

    assert [(page["total"], len(page["items"])) for page in asyncio.run(told())] == [(0, 0), (1, 1), (2, 2)]


def test_lookups_are_counted(tmp_path):
    """A hit is what was in this process's memory and a miss what was not, for sessions and for reads."""

    async def told():
        async with inside(tmp_path, 2) as (one, two):
            me = (await tenants(one))[0]
            rows = f"/tenants/{me.id}/rows"

            async def lookups() -> list[int]:
                text = (await one.get("/metrics")).text
                pattern = r'target_cache_lookups_total\{cache="%s",outcome="%s"\} (\d+)'
                return [
                    int(re.search(pattern % (cache, outcome), text)[1])
                    for cache in ("sessions", "reads")
                    for outcome in ("hit", "miss")
                ]

            steps = [await lookups()]
            for client, call in [
                (one, "GET"),
                (one, "GET"),
                (two, "GET"),
                (one, "POST"),
                (one, "GET"),
                (one, "GET"),
            ]:
                await client.request(call, rows, headers=me.headers, json={"fields": FIELDS})
                steps.append(await lookups())
            await one.get(f"{rows}/1", headers=me.headers)
            steps.append(await lookups())
            await one.get(rows, headers=bearer("unknown"))
            steps.append(await lookups())
            return steps

    steps = asyncio.run(told())

    # Session hits and misses, read hits and misses.
    assert steps == [
        [0, 0, 0, 0],
        [1, 0, 0, 1],  # the list was never read
        [2, 0, 1, 1],
        [2, 1, 1, 2],  # another process knows neither
        [3, 1, 1, 2],
        [4, 1, 1, 3],  # a row more: another list
        [5, 1, 2, 3],
        [6, 1, 3, 3],  # the process that wrote the row has it
        [6, 2, 3, 3],
    ]


def test_the_cache_forgets_what_was_used_least_recently(tmp_path):
    """Its size is bounded; a key of one tenant never gives another's value."""

    async def told():
        cache = MemoryCache(Metrics(tmp_path, 0, 1), most_bytes=3 * 1256)
        for number in (1, 2, 3):
            await cache.put(number, "key", b"%d" % number * 1000)
        await cache.get(1, "key")
        await cache.put(4, "key", b"4" * 1000)
        await cache.put(4, "key", b"5" * 1000)
        return [await cache.get(number, "key") for number in range(6)]

    assert asyncio.run(told()) == [None, b"1" * 1000, None, b"3" * 1000, b"5" * 1000, None]


def test_a_leak_is_planted_as_often_as_asked(client, made, other):
    """With `leaked_row=2` two lists have another tenant's row in place of their last; then all are right."""
    headers = bearer(made["token"])
    path = f"/tenants/{made['id']}/rows"
    for _ in range(2):
        client.post(path, json={"fields": {}}, headers=headers)
    right = client.get(path, headers=headers).json()
    client.put("/switches", json={"leaked_row": 2})
    row = client.get(f"{path}/{right['items'][0]['id']}", headers=headers)
    leaking = [client.get(path, headers=headers).json() for _ in range(2)]
    after = client.get(path, headers=headers).json()

    assert row.json()["tenant"] == made["id"]
    for page in leaking:
        assert page["items"][0] == right["items"][0]
        assert page["items"][1]["tenant"] != made["id"]
        assert page["items"][1]["fields"] == FIELDS
    assert after == right
    assert client.get("/switches").json()["leaked_row"] == 0


def test_nothing_leaks_where_there_is_nothing_else(tmp_path):
    """Without another tenant's row the planted leak waits for one."""

    async def told():
        async with inside(tmp_path) as (client,):
            me, them = await tenants(client, 2)
            await client.put("/switches", json={"leaked_row": 1})
            first = await client.get(f"/tenants/{me.id}/rows", headers=me.headers)
            await client.post(f"/tenants/{them.id}/rows", json={"fields": FIELDS}, headers=them.headers)
            second = await client.get(f"/tenants/{me.id}/rows", headers=me.headers)
            return first.json()["items"], second.json()["items"], them.id

    first, second, them = asyncio.run(told())

    assert first == []
    assert [row["tenant"] for row in second] == [them]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    call=st.sampled_from(["POST /tenants", "POST /tenants/1/rows", "PUT /tenants/1/configuration"]),
    body=bodies({"name": "n"}, {"fields": FIELDS}, {"configuration": FIELDS, "if_version": 1}),
)
def test_no_body_breaks_it(fuzzed, call, body):
    """Damaged documents, other JSON and plain bytes: an answer below 500 in the right form."""
    method, path = call.split()
    is_sound(fuzzed.request(method, path, content=body), method)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    row=st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1, max_size=20),
    query=st.dictionaries(st.sampled_from(["offset", "limit", "x"]), st.text(max_size=20)),
)
def test_no_path_or_query_breaks_it(fuzzed, row, query):
    """Odd ids and queries: an answer below 500 in the right form."""
    from urllib.parse import quote

    is_sound(fuzzed.get(f"/tenants/1/rows/{quote(row, safe='')}"), "GET")
    is_sound(fuzzed.get("/tenants/1/rows", params=query), "GET")
    is_sound(fuzzed.get(f"/tenants/{quote(row, safe='')}/configuration"), "GET")


@pytest.fixture(scope="module", params=STORES)
def fuzzed(request, tmp_path_factory):
    """A client with the token of tenant 1."""
    options = options_of(request, request.param)
    with serving(*options, folder=tmp_path_factory.mktemp("fuzzed")) as served:
        with served.client() as client:
            client.headers.update(bearer(client.post("/tenants", json={"name": "n"}).json()["token"]))
            yield client
        assert served.end() == 0
        assert served.process.communicate()[1] == b""
